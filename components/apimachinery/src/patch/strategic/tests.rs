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
            json!({"name": "c", "image": null}),
        ),
        (
            json!({"containers": [{"name": "c", "image": {"$patch": "delete"}}]}),
            "/containers/0",
            json!({"name": "c", "image": {"$patch": "delete"}}),
        ),
        (
            json!({"containers": [{"name": "z"}, {"name": "a", "$patch": "delete"}], "$setElementOrder/containers": [{"name": "z"}]}),
            "/containers",
            json!([{"name": "b", "image": "2"}, {"name": "z"}]),
        ),
        (
            json!({"$setElementOrder/finalizers": [], "finalizers": ["z"]}),
            "/finalizers",
            json!(["x", "y", "z"]),
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

/// As upstream has them: an item with a directive is never kept, what is deleted by one is empty, and what wasn't there
/// isn't made by one.
#[test]
fn directives_where_there_is_nothing_to_merge_with() {
    let base = json!({"containers": [{"name": "a", "image": "1"}], "labels": {"k": "v"}, "strategy": {"a": {"b": 1}}});
    for (patch, path, result) in [
        (
            json!({"labels": {"$patch": "delete"}}),
            "/labels",
            Some(json!({})),
        ),
        (
            json!({"containers": [{"$patch": "replace", "name": "a"}, {"name": "z"}]}),
            "/containers",
            Some(json!([{"name": "z"}])),
        ),
        (
            json!({"strategy": {"c": {"$patch": "replace", "x": 1}}}),
            "/strategy/c",
            None,
        ),
        (
            json!({"strategy": {"c": {"d": null, "e": 1}}}),
            "/strategy/c",
            Some(json!({"e": 1})),
        ),
        (
            json!({"finalizers": [], "$setElementOrder/args": ["1"], "args": ["1"]}),
            "/args",
            Some(json!(["1"])),
        ),
    ] {
        let mut target = base.clone();
        apply(&set(), 1, &mut target, &patch).unwrap();
        assert_eq!(target.pointer(path), result.as_ref(), "{patch}");
    }
    let mut target = base.clone();
    apply(&set(), 1, &mut target, &Value::Null).unwrap();
    assert_eq!(target, base);
}

#[test]
fn refusals() {
    let failed = |text: &str| PatchError::Failed(text.into());
    let malformed = |text: &str| PatchError::Malformed(text.into());
    for (patch, want) in [
        (
            json!({"containers": [{"image": "1"}]}),
            failed("map: map[image:1] does not contain declared merge key: name"),
        ),
        (
            json!({"labels": {"$patch": "fly"}}),
            failed("unknown patch type: fly in map: map[$patch:fly]"),
        ),
        (
            json!({"labels": {"$patch": "merge"}}),
            failed("unknown patch type: merge in map: map[$patch:merge]"),
        ),
        (
            json!({"containers": [{"name": "a", "$patch": "merge"}]}),
            failed("merging lists cannot yet be specified in the patch"),
        ),
        (
            json!({"labels": {"$retainKeys": ["a"], "b": "c"}}),
            malformed("invalid patch format of retainKeys"),
        ),
        (
            json!({"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}, {"name": "a"}],
                "containers": [{"name": "a"}, {"name": "c"}]}),
            failed(
                "The order in patch list:\n[map[name:a] map[name:c]]\n doesn't match $setElementOrder list:\n[map[name:a] map[name:b] map[name:a]]\n",
            ),
        ),
        (
            json!({"$setElementOrder/none": ["a"], "none": ["a"]}),
            failed("unable to find api field in struct Pod for the json field \"none\""),
        ),
        (
            json!({"containers": ["a"]}),
            failed("list element types are not identical: [[map[name:x]] [a]]"),
        ),
        (
            json!({"$setElementOrder/finalizers": ["a"], "finalizers": []}),
            failed("no elements in any of the given slices"),
        ),
        (
            json!([]),
            malformed("json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ),
    ] {
        let mut target = json!({"containers": [{"name": "x"}], "labels": {}});
        assert_eq!(apply(&set(), 1, &mut target, &patch), Err(want), "{patch}");
    }
}
