//! Values as upstream's messages print them: the internal Go struct as JSON, with Go's field names in the order of
//! their declaration and every unset field at its zero value.
mod difference;
mod pod;
mod types;
mod volumes;

pub(super) use types::*;

use apimachinery::field::BadValue;
use serde_json::Value;

/// A field of a Go struct: its name there, its name in the API, its type.
pub(super) struct Member(pub(super) &'static str, pub(super) &'static str, pub(super) Kind);

/// The type of a field, as far as printing depends on it.
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    /// A pointer to a scalar, a list of scalars, a map: `null` when unset, else as in the API.
    Plain,
    Struct(&'static [Member]),
    /// A pointer to a struct.
    Pointer(&'static [Member]),
    /// A list of structs.
    List(&'static [Member]),
    /// ObjectMeta, embedded: its own fields, by their names in the API.
    Metadata,
    /// A struct that is embedded: its fields stand among those of the one that has it.
    Embedded(&'static [Member]),
    /// A pointer to a struct of the API itself: these of its fields, by their names in the API, and only where set.
    Tagged(&'static [&'static str]),
}

/// What changes between two values of the Go struct of these members, as a unified diff of their JSON.
pub(super) fn difference(members: &'static [Member], old: &Value, new: &Value) -> String {
    let text = |value| {
        let mut out = String::new();
        structure(members, value, &mut out);
        out
    };
    difference::of(&text(old), &text(new))
}

/// A value as the Go struct of these members.
pub(super) fn shown(members: &'static [Member], value: &Value) -> BadValue {
    let mut out = String::new();
    structure(members, value, &mut out);
    BadValue::Raw(out)
}

/// A value as a pointer to the Go struct of these members.
pub(super) fn shown_pointer(members: &'static [Member], value: &Value) -> BadValue {
    if value.is_object() {
        shown(members, value)
    } else {
        BadValue::Raw("null".to_owned())
    }
}

/// A value as a list of Go structs of these members.
pub(super) fn shown_list(members: &'static [Member], value: &Value) -> BadValue {
    let mut out = String::new();
    list(members, value, &mut out);
    BadValue::Raw(out)
}

fn structure(members: &'static [Member], value: &Value, out: &mut String) {
    out.push('{');
    fields(members, value, &mut true, out);
    out.push('}');
}

fn fields(members: &'static [Member], value: &Value, first: &mut bool, out: &mut String) {
    for Member(go, name, kind) in members {
        match kind {
            Kind::Metadata => metadata(&value[*name], first, out),
            Kind::Embedded(members) => fields(members, value, first, out),
            _ => {
                separate(first, out);
                out.push_str(&format!("\"{go}\":"));
                field(kind, &value[*name], out);
            }
        }
    }
}

fn separate(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn list(members: &'static [Member], value: &Value, out: &mut String) {
    let Some(items) = value.as_array() else {
        return out.push_str("null");
    };
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        structure(members, item, out);
    }
    out.push(']');
}

fn field(kind: &Kind, value: &Value, out: &mut String) {
    match kind {
        Kind::Text if value.is_null() => out.push_str("\"\""),
        Kind::Number if value.is_null() => out.push('0'),
        Kind::Flag if value.is_null() => out.push_str("false"),
        Kind::Text | Kind::Number | Kind::Flag | Kind::Plain => out.push_str(&value.to_string()),
        Kind::Pointer(_) if !value.is_object() => out.push_str("null"),
        Kind::Struct(members) | Kind::Pointer(members) => structure(members, value, out),
        Kind::List(members) => list(members, value, out),
        Kind::Tagged(_) if !value.is_object() => out.push_str("null"),
        Kind::Tagged(names) => tagged(names, value, out),
        Kind::Metadata | Kind::Embedded(_) => {}
    }
}

fn tagged(names: &[&str], value: &Value, out: &mut String) {
    out.push('{');
    let mut first = true;
    for name in names.iter().filter(|name| is_set(&value[**name])) {
        separate(&mut first, out);
        out.push_str(&format!("\"{name}\":{}", value[*name]));
    }
    out.push('}');
}

/// Whether Go writes a field that is left out when empty.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn metadata(value: &Value, first: &mut bool, out: &mut String) {
    const ORDER: &[&str] = &[
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
    ];
    for name in ORDER.iter().filter(|name| is_set(&value[**name])) {
        separate(first, out);
        out.push_str(&format!("\"{name}\":"));
        match value[*name].as_array().filter(|_| *name == "ownerReferences") {
            None => out.push_str(&value[*name].to_string()),
            Some(list) => out.push_str(&owners(list)),
        }
    }
}

/// Owner references in the order of their declaration.
pub(super) fn owners(list: &[Value]) -> String {
    const FIELDS: [&str; 6] = [
        "apiVersion",
        "kind",
        "name",
        "uid",
        "controller",
        "blockOwnerDeletion",
    ];
    let one = |owner: &Value| {
        let given = FIELDS
            .iter()
            .filter_map(|field| owner.get(*field).map(|value| format!("\"{field}\":{value}")));
        format!("{{{}}}", given.collect::<Vec<_>>().join(","))
    };
    format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_are_printed_as_go_has_them() {
        for (shown, text) in [
            (
                shown(ROLE_REF, &json!({"kind": "Role", "name": "a"})),
                r#"{"APIGroup":"","Kind":"Role","Name":"a"}"#,
            ),
            (
                shown(CLAIM_SPEC, &json!({"devices": {"requests": [{"name": "a"}]}})),
                r#"{"Devices":{"Requests":[{"Name":"a","Exactly":null,"FirstAvailable":null}],"Constraints":null,"Config":null}}"#,
            ),
            (
                shown(CLAIM_SPEC, &json!({"devices": {"requests": []}})),
                r#"{"Devices":{"Requests":[],"Constraints":null,"Config":null}}"#,
            ),
            (shown_pointer(PARENT_REF, &Value::Null), "null"),
            (
                shown_list(NODE_TERM, &json!([{}])),
                r#"[{"MatchExpressions":null,"MatchFields":null}]"#,
            ),
            (
                shown(TAINT, &json!({"key": "a", "effect": "NoExecute"})),
                r#"{"Key":"a","Value":"","Effect":"NoExecute","TimeAdded":null}"#,
            ),
        ] {
            assert_eq!(shown, BadValue::Raw(text.to_owned()));
        }
    }

    #[test]
    fn embedded_metadata_stands_between_the_fields() {
        let BadValue::Raw(text) = shown(
            POD_TEMPLATE,
            &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never"}}),
        ) else {
            panic!("raw")
        };
        assert!(
            text.starts_with(r#"{"labels":{"a":"b"},"Spec":{"Volumes":null,"InitContainers":null,"#),
            "{text}"
        );
        assert!(
            text.contains(r#""RestartPolicy":"Never","TerminationGracePeriodSeconds":null,"#),
            "{text}"
        );
    }
}
