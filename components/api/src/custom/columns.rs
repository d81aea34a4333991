//! Cells of the columns that a definition adds, found by JSON paths.
use super::json_path::JsonPath;
use apimachinery::{go, time};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A column's cell: the first value, in the form of the column's type; null when there is none.
pub(crate) fn cell(path: &JsonPath, ty: &str, object: &Value, now: Timestamp) -> Value {
    let found = path.find(object).unwrap_or_default();
    let Some(value) = found.first() else {
        return Value::Null;
    };
    match (ty, &**value) {
        ("string", Value::Null) => json!("<no value>"),
        ("string", value @ (Value::Array(_) | Value::Object(_))) => json!(go::json(value)),
        ("string", value) => json!(go::print(value)),
        ("integer", Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64))
            .map_or(Value::Null, Value::from),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone().into_owned(),
        ("date", Value::String(text)) => json!(since(text, now)),
        _ => Value::Null,
    }
}

/// How long ago that was.
fn since(text: &str, now: Timestamp) -> String {
    // What upstream takes for no time.
    if matches!(text, "" | "null") {
        return "<unknown>".into();
    }
    match time::parse_time(text) {
        Ok(then) => time::human_duration(now.as_second() - then.to_unix().0),
        Err(_) => "<invalid>".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What kubectl 1.36 prints of the same paths with `-o jsonpath`, of which a cell has the first.
    #[test]
    fn cells_are_found() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "data": {"k1": "v1", "k2": "v2", "t": "tt"},
            "list": [{"t": "a", "n": 1}, {"t": "b", "n": 2.5, "nul": null}, {"t": "c", "n": 1}],
            "spec": {"size": 5, "list": ["a", "b"], "free": {"k": "<1>"}},
            "f": [1234567.5, 0.00001],
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, want) in [
            (".spec.size", json!("5")),
            (".spec.list[1]", json!("b")),
            (".spec.list", json!(r#"["a","b"]"#)),
            (".spec.free", json!(r#"{"k":"\u003c1\u003e"}"#)),
            (".metadata.labels.a\\.b/c", json!("x")),
            (r".metadata.labels['a\.b/c']", json!("x")),
            (".metadata.labels['a.b/c']", Value::Null),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("True")),
            (".status.conditions[?( @.type == 'Ready' )].status", json!("True")),
            (".status.conditions[*].type", json!("Other")),
            (".status.conditions[-1:].type", json!("Ready")),
            (".nothing.here", Value::Null),
            (".list.[0].t", Value::Null),
            (".list[1:3].t", json!("b")),
            (".list[1::2].t", json!("b")),
            (".list[2,0].t", json!("c")),
            (".data['k2','k1']", json!("v2")),
            (".list[].t", json!("a")),
            ("..t", json!("tt")),
            (".list..n", json!("1")),
            (".list[?(@.n==1)].t", Value::Null),
            (".list[?(@.nul)].t", json!("b")),
            (r#".list[?(@.t>"a")].t"#, json!("b")),
            (".f[0]", json!("1.2345675e+06")),
            (".f[1]", json!("1e-05")),
            (".list[5].t", Value::Null),
            (".list[-1].t", json!("c")),
            (".list[-5].t", Value::Null),
            (".list[3:].t", Value::Null),
            (".list[2:1].t", Value::Null),
            (".list[0:2:0].t", Value::Null),
            (".data.*", json!("v1")),
            ("foo", Value::Null),
            (r#""a\tb""#, json!("a\tb")),
            ("-5.5", json!("-5.5")),
            ("$.data.k1", json!("v1")),
            (".data .k1", json!("v1")),
            ("data.k1", Value::Null),
            (".list[?(@[0])].t", json!("a")),
            (".data..k1", json!("v1")),
            (".list[1].nul", json!("<no value>")),
            (r#".list[?(@.t in "b")].t"#, json!("a")),
            (".data[*]", Value::Null),
            ("true", json!("true")),
            (".list[?(@.t==@.t)].t", json!("a")),
            (".list[?(@.zz==1)].t", Value::Null),
            (r#".list[?(@.t=="b)")].t"#, Value::Null),
            (".list[?(@['t']=='b')].t", json!("b")),
            (".list[?(@.t===1)].t", Value::Null),
            (".data.k1}{.data.k2", json!("v1")),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(
                cell(&parsed, "string", &object, Timestamp::UNIX_EPOCH),
                want,
                "{path}"
            );
        }
        for path in [
            ".data,k1",
            "....t",
            r#".list[0]["t"]"#,
            r#".list[?(@.t=="a"||@.t=="b")].t"#,
            ".list[ 0 ].t",
            ".list[0:1:1:1].t",
            ".list[?(@.t==)].t",
            r#".list[?(@.t=="b"]"#,
            ".list[0",
            "..*",
            ".list[+1].t",
            ".list[--1].t",
            ".list[-].t",
            "1.2.3",
            ".list[99999999999999999999].t",
            ".data[k1]",
            ".a{.b",
        ] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }

    #[test]
    fn cells_have_their_columns_type() {
        let object = json!({"n": 2.5, "t": "x", "then": "1970-01-01T00:00:00Z", "none": "", "odd": "1970"});
        for (path, ty, want) in [
            (".n", "integer", json!(2)),
            (".n", "number", json!(2.5)),
            (".t", "integer", Value::Null),
            (".t", "boolean", Value::Null),
            (".then", "date", json!("60s")),
            (".none", "date", json!("<unknown>")),
            (".odd", "date", json!("<invalid>")),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_default();
            let now = Timestamp::from_second(60).unwrap();
            assert_eq!(cell(&parsed, ty, &object, now), want, "{path}");
        }
    }
}
