use super::*;
use crate::features::Feature;

#[test]
fn drivers_ask_for_tokens_as_kubelets_can_get_them() {
    let driver = json!({"metadata": {"name": "d"}, "spec": {"fsGroupPolicy": "File"}});
    let asks = |requests: Value| with(&driver, &[("spec.tokenRequests", requests)]);
    for (driver, wrong) in [
        (
            asks(json!([{"audience": "a", "expirationSeconds": 4_294_967_296_i64}])),
            &[][..],
        ),
        (
            asks(json!([{"audience": "a", "expirationSeconds": 4_294_967_297_i64}])),
            &[
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
            ],
        ),
        (
            asks(json!([{"audience": "a", "expirationSeconds": 599}])),
            &[
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
            ],
        ),
        // A repeated audience is not looked at any further.
        (
            asks(json!([{"audience": "a"}, {"audience": "a", "expirationSeconds": 1}])),
            &[r#"spec.tokenRequests[1].audience: Duplicate value: "a""#],
        ),
        (
            with(&driver, &[("spec.serviceAccountTokenInSecrets", json!(false))]),
            &[
                "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
            ],
        ),
        (
            with(
                &asks(json!([{"audience": ""}])),
                &[("spec.serviceAccountTokenInSecrets", json!(true))],
            ),
            &[],
        ),
        // In upstream's order.
        (
            with(
                &asks(json!([{"audience": "a", "expirationSeconds": 1}])),
                &[
                    ("spec.fsGroupPolicy", json!("Never")),
                    ("spec.volumeLifecycleModes", json!(["Odd"])),
                    ("spec.nodeAllocatableUpdatePeriodSeconds", json!(9)),
                ],
            ),
            &[
                r#"spec.fsGroupPolicy: Unsupported value: "Never": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
                r#"spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral""#,
                "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
            ],
        ),
    ] {
        assert_eq!(told("CSIDriver", None, &driver), wrong, "{driver}");
    }
}

#[test]
fn nodes_name_each_driver_once_and_keep_what_they_said_of_it() {
    let node = |drivers: Value| json!({"metadata": {"name": "n"}, "spec": {"drivers": drivers}});
    for (drivers, wrong) in [
        (
            json!([{"name": "", "nodeID": "a"}, {"name": "", "nodeID": "a"}]),
            &[
                "spec.drivers[0].name: Required value",
                "spec.drivers[1].name: Required value",
                r#"spec.drivers[1].name: Duplicate value: """#,
            ][..],
        ),
        (
            json!([{"name": "d", "nodeID": "a"}, {"name": "d", "nodeID": "a", "topologyKeys": ["a b"]}]),
            &[
                r#"spec.drivers[1].name: Duplicate value: "d""#,
                "spec.drivers[1]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
    ] {
        assert_eq!(told("CSINode", None, &node(drivers.clone())), wrong, "{drivers}");
    }
    let driver = |count: i64, keys: Value| {
        node(json!([{"name": "d", "nodeID": "a", "topologyKeys": keys, "allocatable": {"count": count}}]))
    };
    let said = |features: Features, new: &Value| {
        let old = driver(1, json!([]));
        let errors = check("CSINode", Some(&old), Some(&old), new, features).unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let on = Features::default();
    assert_eq!(said(on, &driver(2, Value::Null)), [""; 0]);
    assert_eq!(
        said(on, &driver(2, json!(["zone"]))),
        [
            r#"spec.drivers: Invalid value: {"Name":"d","NodeID":"a","TopologyKeys":["zone"],"Allocatable":null}: field is immutable"#
        ]
    );
    let off = on.with(Feature::MutableCSINodeAllocatableCount, false);
    assert_eq!(
        said(off, &driver(2, json!([]))),
        [
            r#"spec.drivers: Invalid value: {"Name":"d","NodeID":"a","TopologyKeys":[],"Allocatable":{"Count":2}}: field is immutable"#
        ]
    );
}

#[test]
fn attachments_tell_their_errors_in_bounds() {
    let attachment = json!({
        "metadata": {"name": "a"},
        "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    });
    let long = "x".repeat(1025);
    for (status, wrong) in [
        (
            json!({"attachError": {"message": "x".repeat(1024), "errorCode": 0}}),
            &[][..],
        ),
        (
            json!({"attachError": {"message": long}, "detachError": {"message": long, "errorCode": -1}}),
            &[
                "status.attachError.message: Too long: may not be more than 262144 bytes",
                "status.detachError.message: Too long: may not be more than 262144 bytes",
                "status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        ),
        (json!({"attachmentMetadata": {"a": "x".repeat(262_143)}}), &[]),
        (
            json!({"attachmentMetadata": {"ab": "x".repeat(262_143)}}),
            &["status.attachmentMetadata: Too long: may not be more than 262144 bytes"],
        ),
    ] {
        let new = with(&attachment, &[("status", status)]);
        assert_eq!(told("VolumeAttachment", Some(&attachment), &new), wrong);
    }
}

#[test]
fn attachments_name_a_driver_a_node_and_one_source() {
    let attachment = json!({
        "metadata": {"name": "a"},
        "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    });
    let inline = |fields: Value| {
        with(
            &attachment,
            &[("spec.source", json!({"inlineVolumeSpec": fields}))],
        )
    };
    let csi = json!({"driver": "d", "volumeHandle": "h"});
    for (attachment, wrong) in [
        (attachment.clone(), &[][..]),
        (
            with(
                &attachment,
                &[("spec.attacher", json!("")), ("spec.source", json!({}))],
            ),
            &[
                "spec.attacher: Required value",
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ],
        ),
        (
            inline(json!({"accessModes": ["ReadWriteOnce"], "csi": csi, "volumeAttributesClassName": ""})),
            &[],
        ),
        (
            inline(json!({
                "accessModes": ["ReadWriteOnce"], "csi": csi, "claimRef": {}, "capacity": {"storage": "1"},
                "persistentVolumeReclaimPolicy": "Delete", "nodeAffinity": {}, "storageClassName": "c",
                "volumeMode": "Block",
            })),
            &[
                "spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
                "spec.source.inlineVolumeSpec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes",
                "spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes",
            ],
        ),
    ] {
        assert_eq!(told("VolumeAttachment", None, &attachment), wrong, "{attachment}");
    }
    let changed = inline(json!({"accessModes": ["ReadWriteOnce"], "csi": csi}));
    let said = told("VolumeAttachment", Some(&attachment), &changed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains(r#""Source":{"PersistentVolumeName":null,"InlineVolumeSpec":{"Capacity":null,"#)
            && said[0].contains(r#""CSI":{"Driver":"d","VolumeHandle":"h","ReadOnly":false,"FSType":"","#),
        "{said:?}"
    );
}

#[test]
fn capacities_are_not_negative_and_stay_where_they_are() {
    let capacity = json!({"metadata": {"name": "c"}, "storageClassName": "s", "capacity": "1"});
    let zone =
        |value: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [value]}]});
    for (capacity, wrong) in [
        (with(&capacity, &[("maximumVolumeSize", json!("-1"))]), &[][..]),
        (
            with(
                &capacity,
                &[
                    ("storageClassName", json!("")),
                    ("capacity", json!("-1")),
                    (
                        "nodeTopology",
                        json!({"matchExpressions": [{"key": "zone", "operator": "Odd"}]}),
                    ),
                ],
            ),
            &[
                r#"nodeTopology.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator"#,
                "storageClassName: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                r#"capacity: Invalid value: "-1": must be greater than or equal to 0"#,
            ],
        ),
    ] {
        assert_eq!(told("CSIStorageCapacity", None, &capacity), wrong, "{capacity}");
    }
    let odd = with(&capacity, &[("nodeTopology", zone("a b"))]);
    assert_eq!(told("CSIStorageCapacity", None, &odd).len(), 1);
    assert_eq!(told("CSIStorageCapacity", Some(&odd), &odd), [""; 0]);
    let other = with(&capacity, &[("nodeTopology", zone("b"))]);
    assert_eq!(told("CSIStorageCapacity", Some(&odd), &other).len(), 1);
}

#[test]
fn classes_name_each_topology_once() {
    let class = |topologies: Value| {
        json!({
            "metadata": {"name": "c"}, "provisioner": "p", "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate", "allowedTopologies": topologies,
        })
    };
    let term = |values: &[&str]| json!({"matchLabelExpressions": [{"key": "zone", "values": values}]});
    let told = |topologies: Value| told("StorageClass", None, &class(topologies));
    let twice =
        |index: usize| format!("allowedTopologies[{index}].matchLabelExpressions: Duplicate value: \"\"");
    assert_eq!(told(json!([term(&["a"]), term(&["b"])])), [""; 0]);
    // The order of values says nothing, and each earlier one counts.
    assert_eq!(
        told(json!([term(&["a", "b"]), term(&["b", "a"]), term(&["a", "b"])])),
        [twice(1), twice(2), twice(2)]
    );
    assert_eq!(told(json!([{}])), [twice(0)]);
    assert_eq!(
        told(json!([{}, {}])),
        [twice(0), twice(0), twice(1), twice(1), twice(1)]
    );
    assert!(told(Value::from(vec![json!({}); 10_000])).len() <= 160_000);
}
