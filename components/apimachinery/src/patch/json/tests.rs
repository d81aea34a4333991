use super::*;
use serde_json::json;

#[test]
fn operations_in_order() {
    let mut target = json!({"a": [1, 2], "b": {"c/d": "x"}});
    let patch = json!([
        {"op": "test", "path": "/b/c~1d", "value": "x"}, {"op": "add", "path": "/a/-", "value": 3}, {"op": "add", "path": "/a/0", "value": 0},
        {"op": "replace", "path": "/b/c~1d", "value": "y"}, {"op": "copy", "from": "/b/c~1d", "path": "/e"}, {"op": "move", "from": "/a/1", "path": "/f"},
        {"op": "remove", "path": "/b"}
    ]);
    apply(&mut target, &patch).unwrap();
    assert_eq!(target, json!({"a": [0, 2, 3], "e": "y", "f": 1}));
}

#[test]
fn indexes_and_what_is_not_there() {
    let base = json!({"l": [1, 2, 3], "m": {"n": null}});
    for (operation, path, want) in [
        (json!({"op": "remove", "path": "/l/-1"}), "/l", json!([1, 2])),
        (
            json!({"op": "add", "path": "/l/-1", "value": 4}),
            "/l",
            json!([1, 2, 3, 4]),
        ),
        (
            json!({"op": "add", "path": "/l/-4", "value": 0}),
            "/l",
            json!([0, 1, 2, 3]),
        ),
        (
            json!({"op": "replace", "path": "/l/-3", "value": 0}),
            "/l",
            json!([0, 2, 3]),
        ),
        (
            json!({"op": "replace", "path": "/l/01", "value": 0}),
            "/l",
            json!([1, 0, 3]),
        ),
        (
            json!({"op": "test", "path": "/l/+1", "value": 2}),
            "/l/1",
            json!(2),
        ),
        (
            json!({"op": "copy", "from": "/l/-1", "path": "/m/o"}),
            "/m/o",
            json!(3),
        ),
        (json!({"op": "add", "path": "/m/o"}), "/m/o", json!(null)),
        (
            json!({"op": "copy", "from": "/m/none", "path": "/m/o"}),
            "/m/o",
            json!(null),
        ),
        (json!({"op": "test", "path": "/m/none"}), "/m/n", json!(null)),
        (
            json!({"op": "test", "path": "/m/n", "value": null}),
            "/m/n",
            json!(null),
        ),
        (
            json!({"op": "replace", "path": "/m/o", "value": 1}),
            "/m/o",
            json!(1),
        ),
        (
            json!({"op": "replace", "path": "", "value": {"x": 1}}),
            "",
            json!({"x": 1}),
        ),
        (json!({"op": "test", "path": "", "value": base}), "", base.clone()),
    ] {
        let mut target = base.clone();
        apply(&mut target, &json!([operation])).unwrap();
        assert_eq!(target.pointer(path), Some(&want), "{operation}");
    }
    let mut target = base.clone();
    apply(&mut target, &Value::Null).unwrap();
    assert_eq!(target, base);
}

#[test]
fn refusals_in_the_librarys_words() {
    for (operation, want) in [
        (
            json!({"op": "test", "path": "/a", "value": 2}),
            "testing value /a failed: test failed",
        ),
        (
            json!({"op": "test", "path": "/none", "value": 2}),
            "testing value /none failed: test failed",
        ),
        (
            json!({"op": "test", "path": "/none/x", "value": null}),
            "test operation does not apply: is missing path: /none/x: missing value",
        ),
        (
            json!({"op": "remove", "path": "/none"}),
            "error in remove for path: '/none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            json!({"op": "replace", "path": "/none/x", "value": 1}),
            "replace operation does not apply: doc is missing path: /none/x: missing value",
        ),
        (
            json!({"op": "replace", "path": "/l/0", "value": 1}),
            "replace operation does not apply: doc is missing key: /l/0: missing value",
        ),
        (
            json!({"op": "add", "path": "/none/x", "value": 1}),
            "add operation does not apply: doc is missing path: \"/none/x\": missing value",
        ),
        (json!({"op": "fly", "path": "/a"}), "Unexpected kind: fly"),
        (json!({"path": "/a"}), "Unexpected kind: unknown"),
        (
            json!({"op": "add", "path": "/l/7", "value": 1}),
            "error in add for path: '/l/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        (
            json!({"op": "add", "path": "/l/x", "value": 1}),
            "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            json!({"op": "move", "from": "/l", "path": "/l/0"}),
            "move operation does not apply: doc is missing destination path: /l/0: missing value",
        ),
        (
            json!({"op": "add", "path": "x", "value": 1}),
            "add operation does not apply: doc is missing path: \"x\": missing value",
        ),
        (
            json!({"op": "add", "path": "", "value": {}}),
            "add operation does not apply: doc is missing path: \"\": missing value",
        ),
        (
            json!({"op": "add"}),
            "add operation failed to decode path: missing value",
        ),
    ] {
        let refused = apply(&mut json!({"a": 1, "l": []}), &json!([operation])).unwrap_err();
        assert_eq!(refused.to_string(), want, "{operation}");
    }
}

#[test]
fn operations_of_wrong_types_are_malformed() {
    for (patch, want) in [
        (json!({}), "object into Go value of type []handlers.jsonPatchOp"),
        (json!("x"), "string into Go value of type []handlers.jsonPatchOp"),
        (json!(["a"]), "string into Go value of type handlers.jsonPatchOp"),
        (
            json!([{"op": 1}]),
            "number into Go struct field jsonPatchOp.op of type string",
        ),
        (
            json!([{"op": "add", "path": []}]),
            "array into Go struct field jsonPatchOp.path of type string",
        ),
    ] {
        let want = format!("error decoding patch: json: cannot unmarshal {want}");
        assert_eq!(apply(&mut json!({}), &patch), Err(PatchError::Malformed(want)));
    }
}
