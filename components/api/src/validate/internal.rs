//! Values as upstream's messages print them: the internal Go struct as JSON, with Go's field names in the order of
//! their declaration and every unset field at its zero value.
mod pod;
mod types;

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
    let mut first = true;
    for Member(go, name, kind) in members {
        if matches!(kind, Kind::Metadata) {
            metadata(&value[*name], &mut first, out);
            continue;
        }
        separate(&mut first, out);
        out.push_str(&format!("\"{go}\":"));
        field(kind, &value[*name], out);
    }
    out.push('}');
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
        Kind::Metadata => {}
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
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
    ];
    for name in ORDER.iter().filter(|name| !value[**name].is_null()) {
        separate(first, out);
        out.push_str(&format!("\"{name}\":{}", value[*name]));
    }
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
