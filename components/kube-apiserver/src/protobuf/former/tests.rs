use super::super::encode::writer;
use super::*;
use serde_json::json;

#[test]
fn each_message_of_now_is_there() {
    let (built_in, mut table) = (api::schema::built_in(), HashMap::new());
    add(&mut table);
    assert_eq!(table.len(), OLDER.len());
    for older in OLDER {
        if let Some(now) = older.now {
            let id = built_in.id(&full(now)).unwrap_or_else(|| panic!("{now}"));
            assert_eq!(SCHEMAS.get(id).name, full(older.name));
            assert!(super::super::TABLE.contains_key(&full(now)), "{now}");
        }
    }
    // The others are as they were.
    for (id, schema) in (0..).zip(built_in.iter()) {
        let older = OLDER.iter().any(|older| SCHEMAS.get(id).name == full(older.name));
        assert!(older || SCHEMAS.get(id) == schema, "{}", schema.name);
    }
}

/// A message of these fields, written by hand from upstream's generated.proto.
fn message(fields: &[(u32, Part)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, part) in fields {
        match part {
            Part::Text(text) => writer::bytes(&mut out, *number, text.as_bytes()),
            Part::Number(value) => {
                writer::varint(&mut out, u64::from(*number) << 3);
                writer::varint(&mut out, *value);
            }
            Part::Inner(fields) => writer::bytes(&mut out, *number, &message(fields)),
        }
    }
    out
}

enum Part {
    Text(&'static str),
    Number(u64),
    Inner(Vec<(u32, Part)>),
}
use Part::{Inner, Number, Text};

fn read(schema: &str, fields: &[(u32, Part)]) -> Value {
    let id = api::schema::built_in()
        .id(&format!("io.k8s.api.{schema}"))
        .unwrap();
    decode(id, &message(fields)).unwrap()
}

#[test]
fn older_messages_are_read_by_their_own_numbers() {
    let backend = || {
        Inner(vec![
            (1, Text("s")),
            (2, Inner(vec![(1, Number(0)), (2, Number(80))])),
        ])
    };
    assert_eq!(
        read(
            "networking.v1.Ingress",
            &[(
                2,
                Inner(vec![
                    (1, backend()),
                    (
                        3,
                        Inner(vec![
                            (1, Text("h")),
                            (
                                2,
                                Inner(vec![(
                                    1,
                                    Inner(vec![(1, Inner(vec![(1, Text("/a")), (2, backend())]))]),
                                )]),
                            ),
                        ]),
                    ),
                ]),
            )]
        ),
        json!({ "spec": {
            "backend": { "serviceName": "s", "servicePort": 80 },
            "rules": [{ "host": "h", "http": { "paths": [{ "path": "/a", "backend": { "serviceName": "s", "servicePort": 80 } }] } }],
        } })
    );
    assert_eq!(
        read("node.v1.RuntimeClass", &[(2, Inner(vec![(1, Text("runc"))]))]),
        json!({ "spec": { "runtimeHandler": "runc" } })
    );
    assert_eq!(
        read(
            "rbac.v1.RoleBinding",
            &[(
                2,
                Inner(vec![
                    (1, Text("User")),
                    (2, Text("rbac.authorization.k8s.io/v1alpha1")),
                    (3, Text("u")),
                ])
            )]
        ),
        json!({ "subjects": [{ "kind": "User", "apiVersion": "rbac.authorization.k8s.io/v1alpha1", "name": "u" }] })
    );
    assert_eq!(
        read(
            "rbac.v1.Role",
            &[(
                2,
                Inner(vec![
                    (1, Text("get")),
                    (3, Text("g")),
                    (4, Text("r")),
                    (5, Text("n")),
                    (6, Text("/u"))
                ])
            )]
        ),
        json!({ "rules": [{
            "verbs": ["get"], "apiGroups": ["g"], "resources": ["r"], "resourceNames": ["n"], "nonResourceURLs": ["/u"],
        }] })
    );
    assert_eq!(
        read(
            "flowcontrol.v1.PriorityLevelConfiguration",
            &[(
                2,
                Inner(vec![(1, Text("Limited")), (2, Inner(vec![(1, Number(5))]))])
            )]
        ),
        json!({ "spec": { "type": "Limited", "limited": { "assuredConcurrencyShares": 5 } } })
    );
    assert_eq!(
        read(
            "discovery.v1.EndpointSlice",
            &[(
                2,
                Inner(vec![
                    (1, Text("1.2.3.4")),
                    (5, Inner(vec![(1, Text("k")), (2, Text("v"))])),
                    (7, Inner(vec![(1, Inner(vec![(1, Text("z"))]))])),
                ])
            )]
        ),
        json!({ "endpoints": [{ "addresses": ["1.2.3.4"], "topology": { "k": "v" }, "hints": { "forZones": [{ "name": "z" }] } }] })
    );
    assert_eq!(
        read(
            "apps.v1.Deployment",
            &[(
                2,
                Inner(vec![
                    (1, Number(2)),
                    (8, Inner(vec![(1, Number(3))])),
                    (9, Number(600))
                ])
            )]
        ),
        json!({ "spec": { "replicas": 2, "rollbackTo": { "revision": 3 }, "progressDeadlineSeconds": 600 } })
    );
    assert_eq!(
        read(
            "apps.v1.DaemonSet",
            &[(2, Inner(vec![(5, Number(7)), (6, Number(10))]))]
        ),
        json!({ "spec": { "templateGeneration": 7, "revisionHistoryLimit": 10 } })
    );
}

#[test]
fn older_claims_and_slices_are_read_by_their_own_numbers() {
    let toleration = || Inner(vec![(1, Text("k"))]);
    assert_eq!(
        read(
            "resource.v1.ResourceClaim",
            &[(
                2,
                Inner(vec![(
                    1,
                    Inner(vec![(
                        1,
                        Inner(vec![
                            (1, Text("r")),
                            (2, Text("c")),
                            (4, Text("ExactCount")),
                            (5, Number(2)),
                            (6, Number(1)),
                            (7, Inner(vec![(1, Text("s")), (2, Text("d")), (7, toleration())])),
                            (8, toleration()),
                        ])
                    )])
                )])
            )]
        ),
        json!({ "spec": { "devices": { "requests": [{
            "name": "r", "deviceClassName": "c", "allocationMode": "ExactCount", "count": 2, "adminAccess": true,
            "firstAvailable": [{ "name": "s", "deviceClassName": "d", "tolerations": [{ "key": "k" }] }],
            "tolerations": [{ "key": "k" }],
        }] } } })
    );
    assert_eq!(
        read(
            "resource.v1.ResourceSlice",
            &[(
                2,
                Inner(vec![(
                    6,
                    Inner(vec![
                        (1, Text("gpu")),
                        (
                            2,
                            Inner(vec![
                                (1, Inner(vec![(1, Text("a")), (2, Inner(vec![(4, Text("x"))]))])),
                                (4, Text("n")),
                                (11, Number(1)),
                            ])
                        ),
                    ])
                )])
            )]
        ),
        json!({ "spec": { "devices": [{ "name": "gpu", "basic": {
            "attributes": { "a": { "string": "x" } }, "nodeName": "n", "allowMultipleAllocations": true,
        } }] } })
    );
}
