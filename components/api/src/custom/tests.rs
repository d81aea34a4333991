use super::*;
use serde_json::json;
use std::sync::Arc;

/// What a definition of one version with such a schema, which has a status endpoint, says of its objects.
fn definition(schema: Value) -> Arc<Definition> {
    let names = json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"});
    let definition = json!({
        "metadata": {"name": "as.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema},
        }]},
        "status": {"acceptedNames": names},
    });
    let row = rows(&definition, &mut || 0).into_iter().next();
    row.and_then(|row| row.custom).expect("a served version")
}

fn checked(definition: &Definition, old: Option<&Value>, new: &Value, status: bool) -> Vec<String> {
    told(&check(definition, old, new, status, ErrorList::new()))
}

fn told(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_status_is_checked_alone() {
    let schema = json!({"type": "object", "required": ["spec"], "maxProperties": 4, "properties": {
        "spec": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
        "status": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": "integer", "maximum": 3}, "m": {"type": "integer", "oneOf": [{"minimum": 3}, {"minimum": 1}]},
        }},
    }});
    let fitting = definition(schema.clone());
    let mut without = schema;
    without["properties"]["status"] = Value::Null;
    let without = definition(without);
    let object = |status: Value| json!({"metadata": {"name": "a"}, "a": 1, "b": 2, "c": 3, "status": status});
    let old = object(json!({"n": 5}));
    for (status, wrong) in [
        (json!({"n": 3}), &[][..]),
        // It was so before.
        (json!({"n": 5, "m": 1}), &[]),
        (
            json!({"n": 4}),
            &["status.n: Invalid value: 4: n in body should be less than or equal to 3"],
        ),
        (json!({}), &["status.n: Required value"]),
        (
            json!("x"),
            &["status: Invalid value: \"string\":  in body must be of type object: \"string\""],
        ),
        (
            json!({"n": 1, "m": 4}),
            &[
                "status: Invalid value: \"\": \"m\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
    ] {
        let new = object(status);
        assert_eq!(checked(&fitting, Some(&old), &new, true), wrong, "{new}");
        assert_eq!(checked(&without, Some(&old), &new, true), [""; 0]);
    }
    let gone = json!({"metadata": {"name": "a"}});
    assert_eq!(checked(&fitting, Some(&old), &gone, true), [""; 0]);
    // Elsewhere the whole object is.
    let new = object(json!({"n": 5}));
    assert_eq!(
        checked(&fitting, Some(&old), &new, false),
        [
            "<nil>: Too many: 5: must have at most 4 items",
            "spec: Required value"
        ]
    );
}
