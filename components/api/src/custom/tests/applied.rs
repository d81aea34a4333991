//! How server-side apply sees custom objects.
use super::*;
use apimachinery::apply;
use apimachinery::schema::Type;

fn schema() -> Value {
    let free = json!({"x-kubernetes-preserve-unknown-fields": true});
    let keyed = json!({"type": "object", "properties": {"k": {"type": "string"}, "v": free}});
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "free": free,
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": keyed},
        "map": {"type": "object", "additionalProperties": free},
        "either": {"x-kubernetes-int-or-string": true},
        "bare": {"type": "object"},
        "closed": {"type": "object", "properties": {"a": {"type": "string"}}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "inside": {"type": "object", "properties": {"a": {"type": "string"}}},
            "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
        }},
    }}}})
}

#[test]
fn what_has_no_type_is_merged_by_its_fields() {
    let row = row(schema(), |_| {});
    let ty = Type::Struct(row.schema_id);
    for (before, applied, merged) in [
        (
            json!({"free": {"p": {"a": 1}, "l": [1]}}),
            json!({"free": {"q": 2, "p": {"b": 2}, "l": [2]}}),
            json!({"free": {"p": {"a": 1, "b": 2}, "q": 2, "l": [2]}}),
        ),
        (json!({"free": {"p": 1}}), json!({"free": 3}), json!({"free": 3})),
        (
            json!({"free": 3}),
            json!({"free": {"p": 1}}),
            json!({"free": {"p": 1}}),
        ),
        (
            json!({"keyed": [{"k": "a", "v": {"p": 1}}]}),
            json!({"keyed": [{"k": "a", "v": {"q": 1}}]}),
            json!({"keyed": [{"k": "a", "v": {"p": 1, "q": 1}}]}),
        ),
        (
            json!({"map": {"a": {"p": 1}}}),
            json!({"map": {"a": {"q": 1}}}),
            json!({"map": {"a": {"p": 1, "q": 1}}}),
        ),
    ] {
        let (mut object, applied) = (json!({"spec": before}), json!({"spec": applied}));
        let applied = apply::validate(&row.schemas, &ty, &applied).expect("may be applied");
        apply::merge(&row.schemas, &ty, &mut object, applied);
        assert_eq!(object["spec"], merged);
    }
}

#[test]
fn fields_below_what_has_no_type_are_owned_one_by_one() {
    let row = row(schema(), |_| {});
    let ty = Type::Struct(row.schema_id);
    let object = json!({"spec": {"free": {"p": {"a": 1}, "l": [{"a": 1}]}, "either": 3}});
    let owned = json!({"f:spec": {"f:either": {}, "f:free": {"f:p": {".": {}, "f:a": {}}, "f:l": {}}}});
    let fields = apply::field_set(&row.schemas, &ty, &object);
    assert_eq!(fields.to_fields_v1(), owned);
}

#[test]
fn what_is_preserved_above_may_be_applied_below() {
    let row = row(schema(), |_| {});
    let ty = Type::Struct(row.schema_id);
    for (spec, refusal) in [
        (
            json!({"open": {"x": 1, "inside": {"a": "1", "b": {"c": 1}}}}),
            None,
        ),
        (json!({"open": {"keyed": [{"k": "p", "x": {"q": null}}]}}), None),
        (json!({"bare": {"a": 1}}), None),
        // The schema's own validation refuses these.
        (json!({"either": {}}), None),
        (json!({"either": [true]}), None),
        (
            json!({"closed": {"a": "1", "b": 1}}),
            Some(".spec.closed.b: field not declared in schema"),
        ),
    ] {
        let object = json!({"spec": spec});
        let outcome = apply::validate(&row.schemas, &ty, &object).map(|_| ());
        assert_eq!(
            outcome.err().map(|error| error.to_string()).as_deref(),
            refusal,
            "{object}"
        );
    }
}
