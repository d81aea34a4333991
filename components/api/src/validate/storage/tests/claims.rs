use super::*;
use crate::features::Feature;

fn claim() -> Value {
    json!({
        "metadata": {"name": "c", "namespace": "n"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeMode": "Filesystem"},
    })
}

fn fields(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|error| error.split(": ").next()).collect()
}

#[test]
fn claims_are_checked_in_upstreams_order() {
    for (changes, wrong) in [
        (
            &[
                ("spec.accessModes", json!(["Odd"])),
                (
                    "spec.selector",
                    json!({"matchExpressions": [{"key": "a", "operator": "Odd"}]}),
                ),
                ("spec.resources.requests.storage", json!("0")),
            ][..],
            &[
                r#"spec.selector.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator"#,
                r#"spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
                r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#,
            ][..],
        ),
        (
            &[(
                "spec.accessModes",
                json!(["ReadWriteOncePod", "ReadWriteOncePod"]),
            )],
            &[],
        ),
        // An empty group is another than none.
        (
            &[
                (
                    "spec.dataSource",
                    json!({"kind": "PersistentVolumeClaim", "name": "a", "apiGroup": ""}),
                ),
                (
                    "spec.dataSourceRef",
                    json!({"kind": "PersistentVolumeClaim", "name": "a"}),
                ),
            ],
            &["spec: Invalid value: {}: must match dataSourceRef"],
        ),
    ] {
        let claim = with(&claim(), changes);
        assert_eq!(told("PersistentVolumeClaim", None, &claim), wrong, "{claim}");
    }
}

#[test]
fn claims_may_keep_what_older_servers_took() {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["a b"]}]});
    let source = json!({"kind": "K", "name": "a", "apiGroup": "Odd Group"});
    for changes in [
        &[("spec.selector", selector)][..],
        &[
            ("spec.dataSource", source.clone()),
            ("spec.dataSourceRef", source),
        ],
    ] {
        let claim = with(&claim(), changes);
        assert!(!told("PersistentVolumeClaim", None, &claim).is_empty());
        assert_eq!(told("PersistentVolumeClaim", Some(&claim), &claim), [""; 0]);
    }
}

#[test]
fn bound_claims_grow_and_change_their_class() {
    let bound = with(
        &claim(),
        &[(
            "status",
            json!({"phase": "Bound", "capacity": {"storage": "1Gi"}}),
        )],
    );
    let classy = with(&bound, &[("spec.volumeAttributesClassName", json!("gold"))]);
    const SIZE: &str = "spec.resources.requests.storage";
    const CLASS: &str = "spec.volumeAttributesClassName";
    for (old, changes, wrong) in [
        (&bound, &[(SIZE, json!("3Gi"))][..], &[][..]),
        (&claim(), &[(SIZE, json!("3Gi"))], &["spec"]),
        // A failed growth may be taken back.
        (&bound, &[(SIZE, json!("1500Mi"))], &[]),
        (&bound, &[(SIZE, json!("1Gi"))], &[SIZE]),
        (&bound, &[(CLASS, json!("gold"))], &[]),
        (&claim(), &[(CLASS, json!("gold"))], &["spec"]),
        (&classy, &[(CLASS, json!("silver"))], &[]),
        (&classy, &[(CLASS, json!(""))], &[CLASS]),
        (&classy, &[(CLASS, Value::Null)], &["spec", CLASS]),
        (&bound, &[("spec.volumeName", json!("v"))], &[]),
        (
            &bound,
            &[("spec.volumeMode", json!("Block"))],
            &["spec", "volumeMode"],
        ),
        (
            &bound,
            &[("spec.resources.requests", json!({}))],
            &["spec.resources[storage]", SIZE],
        ),
        (
            &bound,
            &[("spec.resources", json!({}))],
            &["spec.resources[storage]", "spec", SIZE],
        ),
    ] {
        let said = told("PersistentVolumeClaim", Some(old), &with(old, changes));
        assert_eq!(fields(&said), wrong, "{changes:?}: {said:?}");
    }
    let off = Features::default().with(Feature::RecoverVolumeExpansionFailure, false);
    let new = with(&bound, &[(SIZE, json!("1500Mi"))]);
    let errors = check("PersistentVolumeClaim", Some(&bound), Some(&bound), &new, off).unwrap_or_default();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["spec.resources.requests.storage: Forbidden: field can not be less than previous value"]
    );
}

#[test]
fn a_class_moves_from_the_annotation() {
    const NOTE: &str = "volume.beta.kubernetes.io/storage-class";
    let noted = |class: Option<&str>, note: Option<&str>| {
        let mut claim = claim();
        if let Some(note) = note {
            claim["metadata"]["annotations"] = json!({ NOTE: note });
        }
        if let Some(class) = class {
            claim["spec"]["storageClassName"] = json!(class);
        }
        claim
    };
    for (old, new, wrong) in [
        (noted(None, None), noted(Some("a"), None), &[][..]),
        (noted(None, Some("a")), noted(Some("a"), None), &[]),
        (noted(None, Some("a")), noted(Some("a"), Some("a")), &[]),
        (noted(None, Some("a")), noted(Some("b"), Some("a")), &["spec"]),
        (
            noted(None, Some("a")),
            noted(None, Some("b")),
            &["metadata.annotations.volume.beta.kubernetes.io/storage-class"],
        ),
        (noted(Some("a"), None), noted(Some("b"), None), &["spec"]),
        // An empty note is as good as none.
        (noted(None, None), noted(None, Some("")), &[]),
    ] {
        let said = told("PersistentVolumeClaim", Some(&old), &new);
        assert_eq!(fields(&said), wrong, "{old} {new}: {said:?}");
    }
}

#[test]
fn statuses_tell_of_storage_alone() {
    let claim = |status: Value| with(&claim(), &[("status", status)]);
    for (status, wrong) in [
        (
            json!({"allocatedResources": {"storage": "1Gi"}, "allocatedResourceStatuses": {"storage": "NodeResizePending"}}),
            &[][..],
        ),
        (
            json!({"allocatedResources": {"cpu": "-1", "storage": "-1"}, "allocatedResourceStatuses": {"storage": "Odd"}}),
            &[
                r#"status.allocatedResourceStatus: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending""#,
                r#"status.allocatedResources: Unsupported value: "cpu": supported values: "storage""#,
                "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
            ],
        ),
    ] {
        let new = claim(status);
        let errors = claim_status(&claim(json!({})), &new, Features::default());
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            wrong,
            "{new}"
        );
        let off = Features::default().with(Feature::RecoverVolumeExpansionFailure, false);
        assert!(claim_status(&claim(json!({})), &new, off).is_empty());
    }
}
