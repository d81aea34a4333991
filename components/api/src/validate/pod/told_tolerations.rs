//! Tolerations that stand in annotations, which upstream reads with Go's own decoder.
use apimachinery::decode::noun;
use apimachinery::json;
use serde_json::{Map, Value};

/// Fields, and the types that Go's errors name, which are those of a package where they are none of Go's own.
const FIELDS: &[(&str, &str)] = &[
    ("key", "string"),
    ("operator", "TolerationOperator"),
    ("value", "string"),
    ("effect", "TaintEffect"),
    ("tolerationSeconds", "int64"),
];

/// The type that a text is read into.
#[derive(Clone, Copy)]
enum Target {
    /// Fields have no names in JSON.
    Internal,
    V1,
}

impl Target {
    fn package(self) -> &'static str {
        match self {
            Self::Internal => "core",
            Self::V1 => "v1",
        }
    }

    fn field(self, name: &str) -> String {
        match self {
            Self::Internal => name[..1].to_uppercase() + &name[1..],
            Self::V1 => name.to_owned(),
        }
    }

    fn of_field(self, ty: &str) -> String {
        match ty {
            "string" | "int64" => ty.to_owned(),
            _ => format!("{}.{ty}", self.package()),
        }
    }

    /// After a wrong type Go goes on, and tells the first.
    fn read(self, text: &str) -> Result<Vec<Value>, String> {
        let document = json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        match document.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => items.into_iter().map(|item| self.toleration(item)).collect(),
            other => Err(self.unreadable(noun(&other), "[]")),
        }
    }

    fn unreadable(self, what: &str, many: &str) -> String {
        let package = self.package();
        format!("json: cannot unmarshal {what} into Go value of type {many}{package}.Toleration")
    }

    fn toleration(self, value: Value) -> Result<Value, String> {
        let given = match value {
            Value::Null => Map::new(),
            Value::Object(given) => given,
            other => return Err(self.unreadable(noun(&other), "")),
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
                return Err(format!(
                    "json: cannot unmarshal {what} into Go struct field Toleration.{} of type {}",
                    self.field(name),
                    self.of_field(ty)
                ));
            }
            read.insert((*name).to_owned(), value);
        }
        Ok(read.into())
    }
}

/// The tolerations that pods once had in an annotation, or what Go says.
pub(super) fn of_pod(text: &str) -> Result<Vec<Value>, String> {
    Target::Internal.read(text)
}

/// The tolerations in an annotation of a namespace, or what Go says.
pub fn of_namespace(text: &str) -> Result<Vec<Value>, String> {
    Target::V1.read(text)
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
            assert_eq!(of_pod(text).map(Value::from), wanted, "{text}");
        }
    }

    #[test]
    fn those_of_namespaces_have_names_in_json() {
        for (text, wanted) in [
            (r#"[{"KEY":"a","more":1},null]"#, Ok(json!([{"key": "a"}, {}]))),
            (
                "5",
                Err("json: cannot unmarshal number into Go value of type []v1.Toleration"),
            ),
            (
                r#"["a"]"#,
                Err("json: cannot unmarshal string into Go value of type v1.Toleration"),
            ),
            (
                r#"[{"operator":5}]"#,
                Err(
                    "json: cannot unmarshal number into Go struct field Toleration.operator of type v1.TolerationOperator",
                ),
            ),
            (
                r#"[{"tolerationSeconds":"5"}]"#,
                Err(
                    "json: cannot unmarshal string into Go struct field Toleration.tolerationSeconds of type int64",
                ),
            ),
            (
                "[{]",
                Err("invalid character ']' looking for beginning of object key string"),
            ),
        ] {
            let wanted = wanted.map_err(str::to_owned);
            assert_eq!(of_namespace(text).map(Value::from), wanted, "{text}");
        }
    }
}
