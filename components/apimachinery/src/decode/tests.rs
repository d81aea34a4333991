use super::*;
use crate::schema::ListKind;
use serde_json::json;

fn set() -> SchemaSet {
    let list = |inner| Type::List(Box::new(inner), ListKind::Atomic);
    let inner = Schema {
        name: "x.v1.Inner".into(),
        short: "Inner".into(),
        package: "v1".into(),
        fields: vec![
            Field::new("amount", Type::Quantity),
            Field {
                pointer: true,
                ..Field::new("count", Type::Int32)
            },
            Field {
                always: true,
                ..Field::new("name", Type::String)
            },
        ],
        ..Schema::default()
    };
    let outer = Schema {
        name: "x.v1.Outer".into(),
        short: "Outer".into(),
        package: "v1".into(),
        fields: vec![
            Field::new("data", Type::Map(Box::new(Type::Bytes), false)),
            Field::new("items", list(Type::Struct(0))),
            Field::new("number", Type::Int32),
            Field {
                always: true,
                ..Field::new("status", Type::Struct(0))
            },
            Field::new("texts", list(Type::String)),
        ],
        ..Schema::default()
    };
    SchemaSet::new(vec![inner, outer])
}

#[test]
fn values_become_canonical() {
    let mut value = json!({"items": [{"amount": "0.5", "count": 0, "extra": 1}, null], "number": 0, "texts": [null], "other": {}, "data": {"a": "AAEC"}});
    assert_eq!(
        fit(&set(), 1, &mut value),
        Ok(vec!["items[0].extra".to_owned(), "other".to_owned()])
    );
    assert_eq!(
        value,
        json!({"items": [{"amount": "500m", "count": 0, "name": ""}, {"name": ""}], "texts": [""], "data": {"a": "AAEC"}, "status": {"name": ""}})
    );
}

#[test]
fn errors_read_as_gos() {
    for (mut value, message) in [
        (
            json!({"items": [{"count": "x"}]}),
            "json: cannot unmarshal string into Go struct field Inner.items.count of type int32",
        ),
        (
            json!({"items": [{"count": 2.5}]}),
            "json: cannot unmarshal number 2.5 into Go struct field Inner.items.count of type int32",
        ),
        (
            json!({"items": "x"}),
            "json: cannot unmarshal string into Go struct field Outer.items of type []v1.Inner",
        ),
        (
            json!({"items": ["x"]}),
            "json: cannot unmarshal string into Go struct field Outer.items of type v1.Inner",
        ),
        (
            json!({"data": {"a": 5}}),
            "json: cannot unmarshal number into Go struct field Outer.data of type []uint8",
        ),
        (
            json!({"data": {"a": "changed"}}),
            "illegal base64 data at input byte 4",
        ),
        (
            json!({"data": {"a": "Bad_Value!"}}),
            "illegal base64 data at input byte 3",
        ),
        (
            json!({"items": [{"amount": "100x"}]}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ] {
        assert_eq!(fit(&set(), 1, &mut value).unwrap_err().0, message);
    }
}

/// Upstream's errors name the type of the field, of its list's elements or of its map's values, whichever is wrong.
#[test]
fn errors_name_types_that_have_a_name() {
    let texts = || Type::List(Box::new(Type::String), ListKind::Atomic);
    let named = |name: &str, ty, type_name: &str| Field {
        type_name: Some(type_name.to_owned()),
        ..Field::new(name, ty)
    };
    let set = SchemaSet::new(vec![Schema {
        name: "x.v1.Named".into(),
        short: "Named".into(),
        package: "v1".into(),
        fields: vec![
            named("capabilities", texts(), "[]v1.Capability"),
            named(
                "extra",
                Type::Map(Box::new(texts()), false),
                "map[string]v1.ExtraValue",
            ),
            named(
                "limits",
                Type::Map(Box::new(Type::Quantity), false),
                "v1.ResourceList",
            ),
            named("phase", Type::String, "v1.Phase"),
            named(
                "sizes",
                Type::Map(Box::new(Type::String), false),
                "map[v1.ResourceName]v1.Size",
            ),
            named("values", texts(), "v1.Values"),
        ],
        ..Schema::default()
    }]);
    for (mut value, field, found, ty) in [
        (json!({"phase": 1}), "phase", "number", "v1.Phase"),
        (
            json!({"capabilities": "x"}),
            "capabilities",
            "string",
            "[]v1.Capability",
        ),
        (
            json!({"capabilities": [1]}),
            "capabilities",
            "number",
            "v1.Capability",
        ),
        (
            json!({"extra": "x"}),
            "extra",
            "string",
            "map[string]v1.ExtraValue",
        ),
        (json!({"extra": {"a": "x"}}), "extra", "string", "v1.ExtraValue"),
        (json!({"extra": {"a": [1]}}), "extra", "number", "string"),
        (json!({"limits": []}), "limits", "array", "v1.ResourceList"),
        (
            json!({"sizes": true}),
            "sizes",
            "bool",
            "map[v1.ResourceName]v1.Size",
        ),
        (json!({"sizes": {"a": 1}}), "sizes", "number", "v1.Size"),
        (json!({"values": {}}), "values", "object", "v1.Values"),
        (json!({"values": [1]}), "values", "number", "string"),
    ] {
        let written = value.to_string();
        assert_eq!(
            fit(&set, 0, &mut value).unwrap_err().0,
            format!("json: cannot unmarshal {found} into Go struct field Named.{field} of type {ty}"),
            "{written}"
        );
    }
}

#[test]
fn amounts_in_resource_lists_are_rounded() {
    let amounts = |name: &str, type_name: Option<&str>| Field {
        type_name: type_name.map(str::to_owned),
        ..Field::new(name, Type::Map(Box::new(Type::Quantity), false))
    };
    let list = Some("v1.ResourceList");
    let fields = vec![amounts("limits", list), amounts("other", None)];
    let of = |short: &str| Schema {
        name: format!("x.v1.{short}"),
        short: short.into(),
        package: "v1".into(),
        fields: fields.clone(),
        ..Schema::default()
    };
    let set = SchemaSet::new(vec![of("Named"), of("Overhead")]);
    let given =
        json!({"a": "500u", "b": "-100n", "c": "1.0001", "d": "1.001", "e": "+1", "f": 0.0004, "g": "1Gi"});
    let exact =
        json!({"a": "500u", "b": "-100n", "c": "1000100u", "d": "1.001", "e": "+1", "f": "400u", "g": "1Gi"});
    let rounded =
        json!({"a": "1m", "b": "-1m", "c": "1001m", "d": "1.001", "e": "+1", "f": "1m", "g": "1Gi"});
    for (schema, in_limits) in [(0, &rounded), (1, &exact)] {
        let mut value = json!({"limits": given, "other": given});
        fit(&set, schema, &mut value).unwrap();
        assert_eq!(value, json!({"limits": in_limits, "other": exact}));
    }
}

#[test]
fn empty_collections_last_until_settled() {
    let mut value = json!({"items": [], "texts": [], "data": {}, "status": {"name": "a"}});
    fit(&set(), 1, &mut value).unwrap();
    assert_eq!(
        value,
        json!({"items": [], "texts": [], "data": {}, "status": {"name": "a"}})
    );
    settle(&set(), 1, &mut value);
    assert_eq!(value, json!({"status": {"name": "a"}}));
}

#[test]
fn converted_values_are_told_off_in_other_words() {
    for (mut value, message) in [
        (json!({"items": [{"count": "x"}]}), "unrecognized type: int32"),
        (
            json!({"items": [{"count": 2.5}]}),
            "cannot convert float64 to int32",
        ),
        (json!({"items": "x"}), "cannot restore slice from string"),
        (json!({"items": ["x"]}), "cannot restore struct from: string"),
        (json!({"data": "x"}), "cannot restore map from string"),
        (json!({"data": {"a": 5}}), "cannot restore slice from int64"),
        (
            json!({"data": {"a": "changed"}}),
            "error decoding from json: illegal base64 data at input byte 4",
        ),
        (json!({"texts": [5]}), "cannot convert int64 to string"),
    ] {
        assert_eq!(
            fit_unstructured(&set(), 1, &mut value, &Unchanged::default())
                .unwrap_err()
                .0,
            message
        );
    }
}

#[test]
fn a_change_is_fitted_as_the_whole_object_is() {
    let mut before =
        json!({"items": [{"name": "a", "count": 1, "amount": "1"}], "texts": ["t"], "status": {"name": "s"}});
    fit(&set(), 1, &mut before).unwrap();
    for (path, value) in [
        ("texts", json!(["u"])),
        ("texts", Value::Null),
        ("items", json!([{"amount": "1000m", "other": 1}])),
        ("items", json!("x")),
        ("status", json!({})),
        ("data", json!({"a": "QQ=="})),
        ("unknown", json!({"a": 1})),
    ] {
        let mut changed = before.clone();
        changed[path] = value;
        let mut whole = changed.clone();
        let expected = fit(&set(), 1, &mut whole);
        let stays = Unchanged::between(&before, &changed);
        assert_eq!(fit_except(&set(), 1, &mut changed, &stays), expected, "{path}");
        if expected.is_ok() {
            assert_eq!(changed, whole, "{path}");
            settle(&set(), 1, &mut whole);
            let unchanged = Unchanged::between(&before, &changed);
            assert!(
                !unchanged.has(path)
                    && ["texts", "items", "status"]
                        .iter()
                        .all(|name| unchanged.has(name) || *name == path)
            );
            settle_except(&set(), 1, &mut changed, &unchanged);
            assert_eq!(changed, whole, "{path}");
        }
    }
}
