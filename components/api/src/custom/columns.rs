//! Cells of the columns that a definition adds, found by JSON paths.
use super::paths::shown;
use serde_json::{Value, json};

/// A step of a JSON path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Wildcard,
    /// Elements whose value at a path compares so.
    Filter(Vec<Step>, String, Option<Value>),
}

/// A parsed JSON path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    pub fn parse(text: &str) -> Option<Self> {
        let (steps, rest) = steps(text)?;
        rest.is_empty().then_some(Self(steps))
    }

    /// All values there, in order.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        find(&self.0, value)
    }
}

fn steps(text: &str) -> Option<(Vec<Step>, &str)> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix('.') {
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let (name, after) = name(after)?;
            if name == "*" {
                out.push(Step::Wildcard);
            } else if !name.is_empty() {
                out.push(Step::Field(name));
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after)?;
            out.push(step);
            rest = after;
        } else {
            return Some((out, rest));
        }
    }
}

/// A name up to the next step; a backslash keeps the character after it.
fn name(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            '.' | '[' | ' ' | '=' | '!' | '<' | '>' | ')' => return Some((out, &text[at..])),
            c => out.push(c),
        }
    }
    Some((out, ""))
}

fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(condition) = text.strip_prefix("?(@") {
        let (path, rest) = steps(condition)?;
        let rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(")]") {
            return Some((Step::Filter(path, String::new(), None), after));
        }
        let operator = ["==", "!=", "<=", ">=", "<", ">"]
            .into_iter()
            .find(|operator| rest.starts_with(operator))?;
        let rest = rest[operator.len()..].trim_start();
        let (wanted, after) = literal(rest)?;
        let after = after.trim_start().strip_prefix(")]")?;
        return Some((Step::Filter(path, operator.to_owned(), Some(wanted)), after));
    }
    let (inside, after) = if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (name, after) = text[1..].split_once(quote)?;
        return Some((Step::Field(name.to_owned()), after.strip_prefix(']')?));
    } else {
        text.split_once(']')?
    };
    match inside {
        "*" => Some((Step::Wildcard, after)),
        number => number.parse().ok().map(|number| (Step::Index(number), after)),
    }
}

fn literal(text: &str) -> Option<(Value, &str)> {
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (inside, after) = text[1..].split_once(quote)?;
        return Some((json!(inside), after));
    }
    let end = text.find([')', ' ']).unwrap_or(text.len());
    let value = serde_json::from_str(&text[..end]).ok()?;
    Some((value, &text[end..]))
}

fn find<'v>(steps: &[Step], value: &'v Value) -> Vec<&'v Value> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![value];
    };
    let next: Vec<&Value> = match (step, value) {
        (Step::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let at = if *index < 0 {
                items.len() as i64 + index
            } else {
                *index
            };
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .into_iter()
                .collect()
        }
        (Step::Wildcard, Value::Array(items)) => items.iter().collect(),
        (Step::Wildcard, Value::Object(map)) => map.values().collect(),
        (Step::Filter(path, operator, wanted), Value::Array(items)) => items
            .iter()
            .filter(|item| passes(path, operator, wanted.as_ref(), item))
            .collect(),
        _ => Vec::new(),
    };
    next.into_iter().flat_map(|value| find(rest, value)).collect()
}

fn passes(path: &[Step], operator: &str, wanted: Option<&Value>, item: &Value) -> bool {
    let found = find(path, item);
    let (Some(found), Some(wanted)) = (found.first(), wanted) else {
        return !found.is_empty() && wanted.is_none();
    };
    let order = match (found, wanted) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if *a == b => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match operator {
        "==" => order.is_some_and(std::cmp::Ordering::is_eq),
        "!=" => !order.is_some_and(std::cmp::Ordering::is_eq),
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        _ => false,
    }
}

/// A column's cell: the first value, in the form of the column's type; null when there is none.
pub(crate) fn cell(path: &JsonPath, ty: &str, object: &Value, now: jiff::Timestamp) -> Value {
    let found = path.find(object);
    let Some(value) = found.first() else {
        return Value::Null;
    };
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        ("string", Value::Array(_) | Value::Object(_)) => json!(value.to_string()),
        ("string", value) => json!(shown(value)),
        ("integer", Value::Number(number)) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64))
            .map_or(Value::Null, Value::from),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => (*value).clone(),
        ("date", Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(then) => json!(apimachinery::time::human_duration(
                now.as_second() - then.as_second()
            )),
            Err(_) => json!("<invalid>"),
        },
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found() {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "spec": {"size": 5, "list": ["a", "b"], "free": {"k": 1}},
            "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        for (path, ty, want) in [
            (".spec.size", "integer", json!(5)),
            (".spec.size", "string", json!("5")),
            (".spec.list[1]", "string", json!("b")),
            (".spec.list", "string", json!(r#"["a","b"]"#)),
            (".spec.free", "string", json!(r#"{"k":1}"#)),
            (".metadata.labels['a.b/c']", "string", json!("x")),
            (".metadata.labels.a\\.b/c", "string", json!("x")),
            (
                r#".status.conditions[?(@.type=="Ready")].status"#,
                "string",
                json!("True"),
            ),
            (
                ".status.conditions[?(@.type == 'Ready')].status",
                "string",
                json!("True"),
            ),
            (".status.conditions[*].type", "string", json!("Other")),
            (".nothing.here", "string", Value::Null),
            (".spec.list", "integer", Value::Null),
        ] {
            let parsed = JsonPath::parse(path).unwrap_or_default();
            assert_eq!(
                cell(&parsed, ty, &object, jiff::Timestamp::UNIX_EPOCH),
                want,
                "{path}"
            );
        }
    }
}
