use super::*;
use crate::{Registry, Resource, discovery, openapi, validate};
use apimachinery::GroupVersion;
use serde_json::json;
use std::sync::Arc;

mod applied;
mod rules;

/// The row of a definition of one version with such a schema and a status endpoint, otherwise changed as wanted.
fn row(schema: Value, change: impl FnOnce(&mut Value)) -> Resource {
    let names = json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"});
    let mut definition = json!({
        "metadata": {"name": "as.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": schema},
        }]},
        "status": {"acceptedNames": names},
    });
    change(&mut definition);
    rows(&definition, &mut || 0)
        .into_iter()
        .next()
        .expect("a served version")
}

/// What such a definition says of its objects.
fn definition(schema: Value) -> Arc<Definition> {
    row(schema, |_| {}).custom.expect("a custom kind")
}

fn checked(definition: &Definition, old: Option<&Value>, new: &Value, status: bool) -> Vec<String> {
    told(&check(
        definition,
        old,
        new,
        status,
        ErrorList::new(),
        &mut Vec::new(),
    ))
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

#[test]
fn discovery_shows_no_writing_while_objects_are_being_deleted() {
    let shown = |condition: Value| {
        let row = row(json!({"type": "object"}), |definition| {
            definition["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            definition["status"]["conditions"] = json!([condition]);
        });
        assert!(row.has_verb("update"));
        let mut registry = Registry::clone(&Registry::built_in());
        registry.insert(row);
        let version = GroupVersion::new("example.com", "v1");
        let list = discovery::resource_list(&registry, &version).expect("a served version");
        let groups = discovery::aggregated(&registry, false);
        let group = groups["items"].as_array().into_iter().flatten();
        let group = group.filter(|group| group["metadata"]["name"] == "example.com");
        let aggregated: Vec<&Value> = group
            .map(|group| &group["versions"][0]["resources"][0]["verbs"])
            .collect();
        assert_eq!(aggregated, [&list["resources"][0]["verbs"]]);
        assert_eq!(
            list["resources"][1]["verbs"],
            json!(["get", "patch", "update"]),
            "of the status"
        );
        list["resources"][0]["verbs"].clone()
    };
    assert_eq!(
        shown(json!({"type": "Terminating", "status": "True"})),
        json!(["delete", "deletecollection", "get", "list", "watch"])
    );
    let all = json!([
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "create",
        "update",
        "watch"
    ]);
    assert_eq!(shown(json!({"type": "Terminating", "status": "False"})), all);
    assert_eq!(shown(json!({"type": "Established", "status": "True"})), all);
}

#[test]
fn definitions_that_preserve_everything_drop_nothing() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {}, "o": {"type": "object", "properties": {"x": {"type": "string"}}}, "n": {"type": "string"},
    }}}});
    let value = json!({
        "apiVersion": "example.com/v1", "kind": "A", "metadata": {"name": "a", "generation": 2},
        "spec": {"a": {"deep": 1}, "o": {"y": 1, "x": null}, "list": [{"z": null}], "n": null}, "other": [1],
    });
    let preserving = row(schema.clone(), |definition| {
        definition["spec"]["preserveUnknownFields"] = json!(true);
    });
    let preserving = preserving.custom.expect("a custom kind");
    let mut fitted = value.clone();
    assert_eq!(fit(&preserving, &mut fitted), Ok(Vec::new()));
    default(&preserving, &mut fitted);
    fit_stored(&preserving, &mut fitted);
    assert_eq!(fitted, value);
    let mut fitted = value;
    let dropped = fit(&definition(schema), &mut fitted);
    assert_eq!(
        dropped,
        Ok(["other", "spec.a.deep", "spec.list", "spec.o.y"]
            .map(str::to_owned)
            .to_vec())
    );
}

#[test]
fn stored_objects_have_a_generation() {
    let definition = definition(json!({"type": "object"}));
    for (stored, read) in [
        (json!({"name": "a"}), 1),
        (json!({"name": "a", "generation": null}), 1),
        (json!({"name": "a", "generation": "x"}), 1),
        (json!({"name": "a", "generation": 5}), 5),
    ] {
        let mut object = json!({"metadata": stored});
        fit_stored(&definition, &mut object);
        assert_eq!(object["metadata"]["generation"], read, "{stored}");
    }
}

#[test]
fn objects_of_other_kinds_are_refused() {
    let row = row(json!({"type": "object"}), |_| {});
    for (version, kind, refusal) in [
        ("example.com/v1", "A", None),
        (
            "example.com/v1",
            "B",
            Some(r#"B.example.com "x" is invalid: kind: Invalid value: "B": must be A"#),
        ),
        (
            "example.com/v2",
            "A",
            Some(
                r#"A.example.com "x" is invalid: apiVersion: Invalid value: "example.com/v2": must be example.com/v1"#,
            ),
        ),
        (
            "v1",
            "Pod",
            Some(
                r#"Pod "x" is invalid: [kind: Invalid value: "Pod": must be A, apiVersion: Invalid value: "v1": must be example.com/v1]"#,
            ),
        ),
    ] {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "d", "resourceVersion": "1"}});
        let refused = |outcome: Result<(), apimachinery::ApiError>| {
            outcome
                .err()
                .map(|error| (error.code(), error.message().to_owned()))
        };
        let refusal = refusal.map(|text| (422, text.to_owned()));
        assert_eq!(refused(validate::create(&row, &object)), refusal);
        let unchanged = apimachinery::decode::Unchanged::default();
        assert_eq!(
            refused(validate::update(&row, "", &object, &object, &unchanged)),
            refusal
        );
    }
}

#[test]
fn documents_tell_of_the_forms_of_custom_objects() {
    let mut registry = Registry::clone(&Registry::built_in());
    registry.insert(row(json!({"type": "object"}), |_| {}));
    let third = openapi::v3_document(&registry, "apis/example.com/v1").expect("a document");
    let path = "/apis/example.com/v1/namespaces/{namespace}/as";
    let forms = |place: &Value| {
        let content = place["content"].as_object().into_iter().flatten();
        content.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let texts = ["application/json", "application/yaml"];
    for (path, method) in [
        (path.to_owned(), "get"),
        (path.to_owned(), "post"),
        (format!("{path}/{{name}}/status"), "put"),
    ] {
        let operation = &third["paths"][&path][method];
        assert_eq!(forms(&operation["responses"]["200"]), texts, "{method} {path}");
        if method != "get" {
            assert_eq!(forms(&operation["requestBody"]), texts, "{method} {path}");
        }
    }
}
