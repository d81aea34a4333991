use super::*;
use crate::features::Feature;

fn volume(source: Value) -> Value {
    let mut volume = json!({
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
    });
    for (kind, value) in source.as_object().cloned().into_iter().flatten() {
        volume["spec"][kind] = value;
    }
    volume
}

fn on_host() -> Value {
    volume(json!({"hostPath": {"path": "/a", "type": ""}}))
}

#[test]
fn sources_are_checked_by_kind_and_are_alone() {
    for (source, wrong) in [
        (
            json!({}),
            &["spec: Required value: must specify a volume type"][..],
        ),
        // In the order in which upstream looks for them.
        (
            json!({
                "cephfs": {}, "csi": {"driver": "d", "volumeHandle": "h"}, "hostPath": {"path": "/a"}, "nfs": {},
                "flexVolume": {},
            }),
            &[
                "spec.nfs: Forbidden: may not specify more than 1 volume type",
                "spec.cephFS: Forbidden: may not specify more than 1 volume type",
                "spec.flexVolume.driver: Required value",
                "spec.csi: Forbidden: may not specify more than 1 volume type",
            ],
        ),
        (
            json!({"csi": {"driver": "", "nodePublishSecretRef": {}, "controllerExpandSecretRef": {"name": "a b"}}}),
            &[
                "spec.csi.driver: Required value",
                "spec.csi.volumeHandle: Required value",
                "spec.csi.controllerExpandSecretRef.name: Invalid value: \"a b\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                "spec.csi.controllerExpandSecretRef.namespace: Required value",
                "spec.csi.nodePublishSecretRef.name: Required value",
                "spec.csi.nodePublishSecretRef.namespace: Required value",
            ],
        ),
        (
            json!({"iscsi": {"targetPortal": "t", "iqn": "odd", "secretRef": {}, "initiatorName": "naa.1"}}),
            &[
                r#"spec.iscsi.iqn: Invalid value: "odd": must be valid format"#,
                "spec.iscsi.secretRef.name: Required value",
                r#"spec.iscsi.initiatorname: Invalid value: "naa.1": must be valid format"#,
            ],
        ),
        (
            json!({"iscsi": {"targetPortal": "x".repeat(63), "iqn": "eui.0123456789abcdef", "initiatorName": "eui.0123456789abcdef"}}),
            &[
                "spec.iscsi.targetportal: Invalid value: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
            ],
        ),
        (
            json!({"local": {"path": "../a"}}),
            &[
                r#"spec.local.path: Invalid value: "../a": must not contain '..'"#,
                "spec.nodeAffinity: Required value: Local volume requires node affinity",
            ],
        ),
        (
            json!({"cinder": {"secretRef": {}}}),
            &[
                "spec.cinder.volumeID: Required value",
                "spec.cinder.secretRef.name: Required value",
                "spec.cinder.secretRef.namespace: Required value",
            ],
        ),
        (
            json!({"quobyte": {"registry": "[::1]:1,h:1", "volume": "v"}}),
            &[],
        ),
        (
            json!({"quobyte": {"registry": "a[b:1", "volume": "v"}}),
            &[
                r#"spec.quobyte.registry: Invalid value: "a[b:1": must be a host:port pair or multiple pairs separated by commas"#,
            ],
        ),
    ] {
        assert_eq!(
            told("PersistentVolume", None, &volume(source.clone())),
            wrong,
            "{source}"
        );
    }
}

#[test]
fn modes_amounts_and_policies() {
    for (fields, wrong) in [
        (
            &[(
                "spec.accessModes",
                json!(["ReadWriteOncePod", "ReadWriteOncePod"]),
            )][..],
            &[][..],
        ),
        (
            &[("spec.accessModes", json!(["ReadWriteOncePod", "ReadOnlyMany"]))],
            &["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
        ),
        (
            &[("spec.accessModes", json!(["ReadWriteOncePod", "Odd"]))],
            &[
                r#"spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            ],
        ),
        (
            &[("spec.capacity", json!({"odd": "-1"}))],
            &[
                r#"spec.capacity: Unsupported value: {"odd":"-1"}: supported values: "storage""#,
                "spec.capacity[odd]: Invalid value: -1: must be a valid resource quantity",
                r#"spec.capacity[odd]: Invalid value: "-1": must be greater than zero"#,
            ],
        ),
        (
            &[
                ("spec.hostPath.path", json!("//./")),
                ("spec.persistentVolumeReclaimPolicy", json!("Recycle")),
            ],
            &[
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ],
        ),
        (
            &[
                ("spec.hostPath.path", json!("/a/b/../..")),
                ("spec.persistentVolumeReclaimPolicy", json!("Recycle")),
            ],
            &[
                "spec.hostPath.path: Invalid value: \"/a/b/../..\": must not contain '..'",
                "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            ],
        ),
        (
            &[("spec.volumeAttributesClassName", json!(""))],
            &[
                "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
                "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
            ],
        ),
    ] {
        let volume = with(&on_host(), fields);
        assert_eq!(told("PersistentVolume", None, &volume), wrong, "{volume}");
    }
}

#[test]
fn affinities_may_keep_values_that_no_label_has() {
    let affinity = |value: &str| {
        let requirement = json!({"key": "zone", "operator": "In", "values": [value]});
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [requirement]}]});
        with(&on_host(), &[("spec.nodeAffinity", json!({ "required": terms }))])
    };
    assert_eq!(told("PersistentVolume", None, &affinity("a b")).len(), 1);
    assert_eq!(
        told("PersistentVolume", Some(&affinity("a b")), &affinity("a b")),
        [""; 0]
    );
    assert_eq!(
        told("PersistentVolume", Some(&affinity("a")), &affinity("a b")).len(),
        2
    );
}

#[test]
fn sources_and_classes_stay() {
    let csi = volume(json!({"csi": {"driver": "d", "volumeHandle": "h"}}));
    let secret = json!({"name": "s", "namespace": "n"});
    let with_secret = with(&csi, &[("spec.csi.controllerExpandSecretRef", secret)]);
    let class = |name: Value| with(&csi, &[("spec.volumeAttributesClassName", name)]);
    for (old, new, wrong) in [
        (&csi, with_secret.clone(), &[][..]),
        (&with_secret, csi.clone(), &["spec.persistentvolumesource"]),
        (
            &csi,
            with(&csi, &[("spec.csi.driver", json!("e"))]),
            &["spec.persistentvolumesource"],
        ),
        (&csi, on_host(), &["spec.persistentvolumesource"]),
        (
            &csi,
            with(&csi, &[("spec.volumeMode", json!("Block"))]),
            &["volumeMode"],
        ),
        (&csi, class(json!("gold")), &[]),
        (&class(json!("gold")), class(json!("silver")), &[]),
        (
            &class(json!("gold")),
            csi.clone(),
            &["spec.volumeAttributesClassName"],
        ),
    ] {
        let said = told("PersistentVolume", Some(old), &new);
        let fields: Vec<&str> = said.iter().filter_map(|error| error.split(": ").next()).collect();
        assert_eq!(fields, wrong, "{new}: {said:?}");
    }
    let off = Features::default().with(Feature::VolumeAttributesClass, false);
    let (old, new) = (class(json!("gold")), class(json!("silver")));
    let errors = check("PersistentVolume", Some(&old), Some(&old), &new, off).unwrap_or_default();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "spec.volumeAttributesClassName: Forbidden: update is forbidden when the VolumeAttributesClass feature gate is disabled"
        ]
    );
}
