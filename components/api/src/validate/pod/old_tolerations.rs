//! The annotation in which pods once had their tolerations. Upstream still reads it, into a type whose fields have no names in JSON.
use apimachinery::decode::noun;
use apimachinery::json;
use serde_json::{Map, Value};

/// Fields, and the types that Go's errors name.
const FIELDS: &[(&str, &str)] = &[
    ("key", "string"),
    ("operator", "core.TolerationOperator"),
    ("value", "string"),
    ("effect", "core.TaintEffect"),
    ("tolerationSeconds", "int64"),
];

/// The tolerations in a text as Go reads them, or what Go says. After a wrong type it goes on, and tells the first.
pub(super) fn read(text: &str) -> Result<Vec<Value>, String> {
    let items = match json::parse(text.as_bytes())
        .map_err(|error| error.to_string())?
        .value
    {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        other => return Err(unreadable(noun(&other), "value of type []core.Toleration")),
    };
    items.into_iter().map(toleration).collect()
}

fn unreadable(what: &str, target: &str) -> String {
    format!("json: cannot unmarshal {what} into Go {target}")
}

fn toleration(value: Value) -> Result<Value, String> {
    let given = match value {
        Value::Null => Map::new(),
        Value::Object(given) => given,
        other => return Err(unreadable(noun(&other), "value of type core.Toleration")),
    };
    let mut read = Map::new();
    for (key, value) in given.into_iter().filter(|(_, value)| !value.is_null()) {
        // Names are compared without regard to case.
        let known = FIELDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key));
        let Some((name, ty)) = known else { continue };
        let fits = match *ty {
            "int64" => value.is_i64(),
            _ => value.is_string(),
        };
        if !fits {
            let what = match &value {
                Value::Number(number) if *ty == "int64" => format!("number {number}"),
                other => noun(other).to_owned(),
            };
            let field = name[..1].to_uppercase() + &name[1..];
            return Err(unreadable(
                &what,
                &format!("struct field Toleration.{field} of type {ty}"),
            ));
        }
        read.insert((*name).to_owned(), value);
    }
    Ok(read.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("null", Ok(json!([]))),
            ("[]", Ok(json!([]))),
            (
                r#"[{"Key":"a","operator":"Exists","more":1},null]"#,
                Ok(json!([{"key": "a", "operator": "Exists"}, {}])),
            ),
            (
                r#"[{"tolerationSeconds":5,"key":null}]"#,
                Ok(json!([{"tolerationSeconds": 5}])),
            ),
            ("x", Err("invalid character 'x' looking for beginning of value")),
            (
                r#"[{"key":"a",}]"#,
                Err("invalid character '}' looking for beginning of object key string"),
            ),
            (
                "{}",
                Err("json: cannot unmarshal object into Go value of type []core.Toleration"),
            ),
            (
                "[5]",
                Err("json: cannot unmarshal number into Go value of type core.Toleration"),
            ),
            (
                r#"[{"key":5}]"#,
                Err("json: cannot unmarshal number into Go struct field Toleration.Key of type string"),
            ),
            (
                r#"[{"effect":[]}]"#,
                Err(
                    "json: cannot unmarshal array into Go struct field Toleration.Effect of type core.TaintEffect",
                ),
            ),
            (
                r#"[{"tolerationSeconds":1.5}]"#,
                Err(
                    "json: cannot unmarshal number 1.5 into Go struct field Toleration.TolerationSeconds of type int64",
                ),
            ),
        ] {
            let wanted = wanted.map_err(str::to_owned);
            assert_eq!(read(text).map(Value::from), wanted, "{text}");
        }
    }
}
