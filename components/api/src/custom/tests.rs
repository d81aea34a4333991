use super::*;
use crate::{Registry, Resource, discovery, openapi, validate};
use apimachinery::GroupVersion;
use serde_json::json;
use std::sync::Arc;

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

/// What is said of an update: what is wrong, and what is warned of.
fn ratcheted(definition: &Definition, old: &Value, new: &Value) -> (Vec<String>, Vec<String>) {
    let mut warnings = Vec::new();
    let errors = check(definition, Some(old), new, false, ErrorList::new(), &mut warnings);
    (told(&errors), warnings)
}

#[test]
fn rules_are_not_held_against_what_stays_as_it_was() {
    let rule = |rule: &str| json!([{"rule": rule, "message": "bad"}]);
    let item = |rules: &Value| {
        json!({"type": "object", "x-kubernetes-validations": rules, "properties": {
            "k": {"type": "string"}, "v": {"type": "integer"},
        }})
    };
    let bad = rule("self.v < 0");
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item(&bad)});
    let definition = definition(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "other": {"type": "integer"},
            "n": {"type": "integer", "x-kubernetes-validations": rule("self < 0")},
            "broken": {"type": "integer", "x-kubernetes-validations": rule("1 / self == 1")},
            "change": {"type": "integer", "x-kubernetes-validations": rule("self > oldSelf")},
            "atomic": {"type": "array", "items": item(&bad)},
            "set": {"type": "array", "x-kubernetes-list-type": "set",
                "items": {"type": "string", "x-kubernetes-validations": rule("size(self) > 3")}},
            "keyed": keyed,
            "lists": {"type": "array", "items": {"type": "object", "properties": {"keyed": keyed}}},
            "map": {"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": rule("self < 0")}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"v": {"type": "integer"}},
                "x-kubernetes-validations": bad},
        }}}}),
    );
    let object = |spec: &Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let (a1, b1, b2) = (
        json!({"k": "a", "v": 1}),
        json!({"k": "b", "v": 1}),
        json!({"k": "b", "v": 2}),
    );
    for (old, new, errors, warnings) in [
        (
            json!({"n": 5}),
            json!({"n": 5}),
            &[][..],
            &["spec.n: Invalid value: 5: bad"][..],
        ),
        (
            json!({"n": 5}),
            json!({"n": 6}),
            &["spec.n: Invalid value: 6: bad"],
            &[],
        ),
        (
            json!({}),
            json!({"n": 6}),
            &["spec.n: Invalid value: 6: bad"],
            &[],
        ),
        // A rule that can't be evaluated fails whatever was before.
        (
            json!({"broken": 0}),
            json!({"broken": 0}),
            &["spec.broken: Invalid value: \"integer\": division by zero evaluating rule: bad"],
            &[],
        ),
        (
            json!({"change": 5}),
            json!({"change": 5}),
            &["spec.change: Invalid value: 5: bad"],
            &[],
        ),
        (json!({"change": null}), json!({"change": 5}), &[], &[]),
        // The items of a list without keys are as before if the list is.
        (
            json!({"atomic": [a1, b1]}),
            json!({"atomic": [a1, b1]}),
            &[],
            &[
                "spec.atomic[0]: Invalid value: bad",
                "spec.atomic[1]: Invalid value: bad",
            ],
        ),
        (
            json!({"atomic": [a1, b1]}),
            json!({"atomic": [a1]}),
            &["spec.atomic[0]: Invalid value: bad"],
            &[],
        ),
        (
            json!({"set": ["a"]}),
            json!({"set": ["a"]}),
            &[],
            &["spec.set[0]: Invalid value: \"a\": bad"],
        ),
        (
            json!({"set": ["a"]}),
            json!({"set": ["a", "b"]}),
            &[
                "spec.set[0]: Invalid value: \"a\": bad",
                "spec.set[1]: Invalid value: \"b\": bad",
            ],
            &[],
        ),
        (
            json!({"keyed": [a1, b1]}),
            json!({"keyed": [b2, a1]}),
            &["spec.keyed[0]: Invalid value: bad"],
            &["spec.keyed[1]: Invalid value: bad"],
        ),
        // What is new in a list with keys is new, though it stands in one without.
        (
            json!({"lists": [{"keyed": [a1]}]}),
            json!({"lists": [{"keyed": [a1]}, {"keyed": []}]}),
            &["spec.lists[0].keyed[0]: Invalid value: bad"],
            &[],
        ),
        (
            json!({"lists": [{"keyed": [a1]}]}),
            json!({"lists": [{"keyed": [a1]}]}),
            &[],
            &["spec.lists[0].keyed[0]: Invalid value: bad"],
        ),
        (
            json!({"map": {"x": 1}}),
            json!({"map": {"x": 1, "y": 2}}),
            &["spec.map[y]: Invalid value: 2: bad"],
            &["spec.map[x]: Invalid value: 1: bad"],
        ),
        (
            json!({"free": {"v": 1}}),
            json!({"free": {"v": 1}}),
            &[],
            &["spec.free: Invalid value: bad"],
        ),
        // Nobody can tell what unknown fields were.
        (
            json!({"free": {"v": 1, "x": 1}}),
            json!({"free": {"v": 1, "x": 1}}),
            &["spec.free: Invalid value: bad"],
            &[],
        ),
    ] {
        let mut changed = new.clone();
        changed["other"] = json!(1);
        let told = ratcheted(&definition, &object(&old), &object(&changed));
        let wanted = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told, (wanted(errors), wanted(warnings)), "{old} {new}");
    }
}

#[test]
fn many_items_of_a_list_that_stays_are_compared_once() {
    let definition = definition(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "other": {"type": "integer"},
            "list": {"type": "array", "maxItems": 20_000, "items":
                {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 0"}]}},
        }}}}),
    );
    let list: Value = (0..20_000).collect();
    let object = |other: i64| json!({"metadata": {"name": "a"}, "spec": {"list": list, "other": other}});
    let began = std::time::Instant::now();
    let (errors, warnings) = ratcheted(&definition, &object(1), &object(2));
    assert_eq!((errors.len(), warnings.len()), (0, 20_000));
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn failed_rules_show_what_is_small() {
    let schema = |validation: Value, part: &str| {
        let mut parts = json!({
            "n": {"type": "integer"}, "s": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true},
            "list": {"type": "array", "items": {"type": "integer"}}, "o": {"type": "object", "properties": {"a": {"type": "string"}}},
        });
        parts[part]["x-kubernetes-validations"] = json!([validation]);
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": parts}}})
    };
    let value = json!({"n": 8, "s": "x", "port": "aa", "list": [5], "o": {"a": "y"}});
    let long = "x".repeat(5 * 1024);
    for (part, validation, wrong) in [
        (
            "n",
            json!({"rule": "self < 0"}),
            "spec.n: Invalid value: 8: failed rule: self < 0",
        ),
        (
            "s",
            json!({"rule": "self == 'z'", "message": " bad "}),
            "spec.s: Invalid value: \"x\": bad",
        ),
        (
            "port",
            json!({"rule": "type(self) == int", "message": "bad"}),
            "spec.port: Invalid value: \"aa\": bad",
        ),
        (
            "list",
            json!({"rule": "size(self) > 5", "message": "bad"}),
            "spec.list: Invalid value: bad",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad"}),
            "spec.o: Invalid value: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "reason": "FieldValueDuplicate"}),
            "spec.n: Duplicate value: 8",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad", "reason": "FieldValueDuplicate"}),
            "spec.o: Duplicate value",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad", "reason": "FieldValueRequired", "fieldPath": ".a"}),
            "spec.o.a: Required value: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "reason": "FieldValueForbidden"}),
            "spec.n: Forbidden: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "messageExpression": "'is ' + string(self)"}),
            "spec.n: Invalid value: 8: is 8",
        ),
        // Messages that are none: of more than 5120 bytes, empty, of two lines, or not made.
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": format!("'{long}y'")}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'  '"}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'a\\nb'"}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'x'.substring(5)"}),
            "spec.n: Invalid value: 8: bad",
        ),
        // What a rule can't be evaluated over shows its type alone.
        (
            "o",
            json!({"rule": "1 / size(self.b) == 1"}),
            "spec.o: Invalid value: \"object\": rule compile error: ",
        ),
        (
            "list",
            json!({"rule": "self[3] == 1", "message": "bad"}),
            "spec.list: Invalid value: \"array\": index out of bounds: 3 evaluating rule: bad",
        ),
        (
            "port",
            json!({"rule": "self + 1 == 2"}),
            "spec.port: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self + 1 == 2",
        ),
    ] {
        let definition = definition(schema(validation.clone(), part));
        let object = json!({"metadata": {"name": "a"}, "spec": value});
        let told = checked(&definition, None, &object, false);
        assert_eq!(told.len(), 1, "{validation}: {told:?}");
        assert!(told[0].starts_with(wrong), "{validation}: {told:?}");
        if !wrong.ends_with(": ") {
            assert_eq!(told[0], wrong);
        }
    }
    // The longest message that there may be.
    let validation = json!({"rule": "self < 0", "messageExpression": format!("'{long}'")});
    let definition = definition(schema(validation, "n"));
    let told = checked(&definition, None, &json!({"spec": {"n": 8}}), false);
    assert_eq!(told, [format!("spec.n: Invalid value: 8: {long}")]);
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
