use super::*;
use crate::schema::{ListKind, Schema};
use serde_json::json;

fn set() -> SchemaSet {
    let plain = Field::new;
    let list = |name: &str, item: Type, key: Option<&str>| Field {
        patch: Some(PatchRule {
            merge: true,
            merge_key: key.map(str::to_owned),
            ..PatchRule::default()
        }),
        ..plain(name, Type::List(Box::new(item), ListKind::Atomic))
    };
    let container = Schema {
        name: "Container".into(),
        fields: vec![plain("image", Type::String), plain("name", Type::String)],
        ..Schema::default()
    };
    let pod = Schema {
        name: "Pod".into(),
        fields: vec![
            plain("args", Type::List(Box::new(Type::String), ListKind::Atomic)),
            list("containers", Type::Struct(0), Some("name")),
            list("finalizers", Type::String, None),
            plain("labels", Type::Map(Box::new(Type::String), false)),
            plain("strategy", Type::Any),
        ],
        ..Schema::default()
    };
    SchemaSet::new(vec![container, pod])
}

#[test]
fn directives() {
    let base = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}], "finalizers": ["x", "y"], "args": ["1", "2"], "labels": {"k": "v", "l": "w"}});
    for (patch, path, result) in [
        (
            json!({"containers": [{"name": "b", "image": "3"}]}),
            "/containers",
            json!([{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]),
        ),
        (
            json!({"containers": [{"name": "c", "image": null}]}),
            "/containers/0",
            json!({"name": "c"}),
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            "/containers",
            json!([{"name": "b", "image": "2"}]),
        ),
        (
            json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
            "/containers",
            json!([{"name": "z"}]),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            "/containers/0/name",
            json!("b"),
        ),
        (
            json!({"$deleteFromPrimitiveList/finalizers": ["x"]}),
            "/finalizers",
            json!(["y"]),
        ),
        (
            json!({"finalizers": ["z"]}),
            "/finalizers",
            json!(["z", "x", "y"]),
        ),
        (
            json!({"$setElementOrder/finalizers": ["z", "y"], "finalizers": ["z"]}),
            "/finalizers",
            json!(["z", "x", "y"]),
        ),
        (json!({"args": ["3"]}), "/args", json!(["3"])),
        (json!({"labels": {"k": null}}), "/labels", json!({"l": "w"})),
        (
            json!({"labels": {"$patch": "replace", "n": "o"}}),
            "/labels",
            json!({"n": "o"}),
        ),
        (
            json!({"labels": {"$retainKeys": ["k"]}}),
            "/labels",
            json!({"k": "v"}),
        ),
    ] {
        let mut target = base.clone();
        apply(&set(), 1, &mut target, &patch).unwrap();
        assert_eq!(target.pointer(path), Some(&result), "{patch}");
    }
}

#[test]
fn refusals() {
    for patch in [
        json!({"containers": [{"image": "1"}]}),
        json!({"labels": {"$patch": "fly"}}),
        json!([]),
    ] {
        assert!(
            apply(&set(), 1, &mut json!({"containers": [], "labels": {}}), &patch).is_err(),
            "{patch}"
        );
    }
}
