use super::*;
use crate::fieldset::{FieldsV1, LeftOut};
use crate::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

fn set() -> SchemaSet {
    let plain = Field::new;
    let list = |inner, kind| Type::List(Box::new(inner), kind);
    let port = Schema {
        name: "Port".into(),
        fields: vec![
            plain("name", Type::String),
            plain("port", Type::Int32),
            Field {
                default: Some(json!("TCP")),
                ..plain("protocol", Type::String)
            },
        ],
        ..Schema::default()
    };
    let root = Schema {
        name: "Root".into(),
        fields: vec![
            plain("args", list(Type::String, ListKind::Atomic)),
            plain("labels", Type::Map(Box::new(Type::String), false)),
            plain("owners", list(Type::String, ListKind::Set)),
            plain(
                "ports",
                list(
                    Type::Struct(0),
                    ListKind::Map(vec!["port".into(), "protocol".into()]),
                ),
            ),
            plain("selector", Type::Map(Box::new(Type::String), true)),
        ],
        ..Schema::default()
    };
    SchemaSet::new(vec![port, root])
}

#[test]
fn fields_of_an_object() {
    let object = json!({"args": ["a"], "labels": {"k": "v"}, "owners": ["x"], "ports": [{"port": 80, "name": "http"}], "selector": {"a": "b"}});
    let fields = json!({"f:args": {}, "f:labels": {"f:k": {}}, "f:owners": {"v:\"x\"": {}}, "f:selector": {},
        "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}}});
    assert_eq!(
        field_set(&set(), &Type::Struct(1), &object).to_fields_v1(),
        fields
    );
}

#[test]
fn differences() {
    let before = json!({"labels": {"a": "1", "b": "2"}, "ports": [{"port": 80, "name": "http"}]});
    let after = json!({"labels": {"a": "1", "b": "3"}, "args": ["x"], "ports": [{"port": 81}]});
    let comparison = compare(&set(), &Type::Struct(1), &before, &after);
    assert_eq!(comparison.modified.paths(), [".labels.b"]);
    assert_eq!(
        comparison.added.paths(),
        [
            ".args",
            ".ports[port=81,protocol=\"TCP\"]",
            ".ports[port=81,protocol=\"TCP\"].port"
        ]
    );
    assert_eq!(comparison.removed.paths()[0], ".ports[port=80,protocol=\"TCP\"]");
    assert_eq!(
        compare(&set(), &Type::Struct(1), &after, &after),
        Comparison::default()
    );
}

#[test]
fn merged_lists_keep_both_orders() {
    for (live, applied, merged) in [
        (
            json!(["a", "b", "c"]),
            json!(["c", "x"]),
            json!(["a", "b", "c", "x"]),
        ),
        (json!(["a", "b"]), json!(["b", "a"]), json!(["b", "a"])),
        (json!(["a", "s", "b"]), json!(["b", "a"]), json!(["s", "b", "a"])),
        (json!([]), json!(["a"]), json!(["a"])),
    ] {
        let (mut out, applied) = (json!({"owners": live}), json!({"owners": applied}));
        let applied = validate(&set(), &Type::Struct(1), &applied).unwrap();
        merge(&set(), &Type::Struct(1), &mut out, applied);
        assert_eq!(out, json!({"owners": merged}));
    }
}

#[test]
fn removal_and_validation() {
    let mut object =
        json!({"labels": {"k": "v", "l": "w"}, "ports": [{"port": 80, "name": "http"}, {"port": 81}]});
    let fields = FieldSet::from_fields_v1(&json!({"f:labels": {"f:k": {}}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:name": {}}, "k:{\"port\":81,\"protocol\":\"TCP\"}": {}}})).unwrap();
    remove(&set(), &Type::Struct(1), &mut object, &fields);
    assert_eq!(object, json!({"labels": {"l": "w"}, "ports": [{"port": 80}]}));
    for (applied, error) in [
        (json!({"none": 1}), ".none: field not declared in schema"),
        (
            json!({"owners": ["a", "a"]}),
            ".owners: duplicate entries for key [=\"a\"]",
        ),
        (
            json!({"none": 1, "owners": ["a", "a"]}),
            "errors:\n  .none: field not declared in schema\n  .owners: duplicate entries for key [=\"a\"]",
        ),
    ] {
        let refused = validate(&set(), &Type::Struct(1), &applied).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
}

/// Values that fit the schema, or nearly.
fn objects() -> impl Strategy<Value = Value> {
    let text = || prop_oneof!["[ab]{0,2}", Just("a\"\\b".to_owned())];
    let scalar = prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    let texts = move || proptest::collection::vec(text(), 0..3);
    let map = move || proptest::collection::btree_map(text(), text(), 0..3).prop_map(|map| json!(map));
    let port = (
        0..3u8,
        proptest::option::of("[ab]"),
        proptest::option::of("TCP|UDP"),
    )
        .prop_map(|(port, name, protocol)| json!({"port": port, "name": name, "protocol": protocol}));
    let ports = proptest::collection::vec(port, 0..3).prop_map(Value::from);
    let member = prop_oneof![
        2 => (Just("args"), texts().prop_map(|list| json!(list))),
        2 => (Just("labels"), map()),
        2 => (Just("owners"), texts().prop_map(|list| json!(list))),
        3 => (Just("ports"), ports),
        2 => (Just("selector"), map()),
        1 => (Just("unknown"), map()),
        1 => (prop_oneof![Just("labels"), Just("owners"), Just("ports"), Just("selector"), Just("unknown")], scalar),
    ];
    proptest::collection::vec(member, 0..6).prop_map(|members| {
        let named = members.into_iter().map(|(name, value)| (name.to_owned(), value));
        Value::Object(named.collect())
    })
}

proptest! {
    /// What is written in one pass is what sets come to.
    #[test]
    fn written_fields_are_those_of_sets(after in objects(), bare in objects(), typed in any::<bool>()) {
        let (set, ty) = (set(), Type::Struct(1));
        let whole = FieldSet::of_names(&["selector", "labels.a", "ports.*.name", "unknown.*"]);
        let alone = FieldSet::of_names(&["labels", "unknown", "args", "labels.b"]);
        let left = |mut set: FieldSet| {
            set.subtract_below(&whole);
            set.subtract(&alone);
            FieldsV1::from(&set)
        };
        let left_out = LeftOut::new(&whole, &alone);
        if validate(&set, &ty, &after).is_ok() {
            prop_assert_eq!(applied_fields(&set, &ty, &after, left_out), left(field_set(&set, &ty, &after)));
        }
        if let Some(created) = created_fields(&set, &ty, &bare, &after, typed, left_out) {
            let Comparison { mut added, modified, .. } =
                compare_change(&set, &ty, &bare, &after, &crate::decode::Unchanged::default(), typed);
            added.add(modified);
            prop_assert_eq!(created, left(added));
        }
    }
}

proptest! {
    /// Lists that have the same items in the same order are compared without looking for them; otherwise they are paired.
    #[test]
    fn the_order_of_items_is_no_difference(before in objects(), after in objects(), same in any::<bool>()) {
        let mut before = before;
        if same && let Some(ports) = after.get("ports") {
            before["ports"] = ports.clone();
            if let Some(port) = before["ports"].as_array_mut().and_then(|ports| ports.first_mut()) {
                port["name"] = json!("other");
            }
        }
        let mut turned = before.clone();
        for list in ["ports", "owners"] {
            if let Some(list) = turned.get_mut(list).and_then(Value::as_array_mut) {
                list.reverse();
            }
        }
        let compared = |before: &Value| compare(&set(), &Type::Struct(1), before, &after);
        prop_assert_eq!(compared(&before), compared(&turned));
    }
}
