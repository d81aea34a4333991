//! JSON paths of definitions: the simple ones of fields, and those of columns.
use super::schema::{Additional, Schema};
use apimachinery::field::Path;
use apimachinery::go;
use serde_json::Value;

/// `.spec.replicas`: names joined by dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimplePath {
    text: String,
    names: Vec<String>,
}

impl SimplePath {
    /// Reads a path; a leading dot is dropped. Names may be quoted in brackets: `.metadata.annotations['a.b/c']`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut names = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix("['") {
                let (name, after) = quoted.split_once("']")?;
                names.push(name.to_owned());
                rest = after;
                continue;
            }
            rest = rest.strip_prefix('.')?;
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end > 0 {
                names.push(rest[..end].to_owned());
            } else if !rest.starts_with('[') {
                return None;
            }
            rest = &rest[end..];
        }
        (!names.is_empty()).then(|| Self {
            text: text.to_owned(),
            names,
        })
    }

    /// Reads a path whose names are all that stands between dots, as upstream reads those of scales.
    pub fn dotted(text: &str) -> Option<Self> {
        let names = text.strip_prefix('.')?.split('.').map(str::to_owned);
        Some(Self {
            text: text.to_owned(),
            names: names.collect(),
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The value there. Fails, in upstream's words, when something on the way is no object.
    pub fn get<'v>(&self, value: &'v Value) -> Result<Option<&'v Value>, String> {
        let mut at = value;
        for name in &self.names {
            let Some(map) = at.as_object() else {
                return Err(format!(
                    "{} accessor error: {} is of the type {}, expected map[string]interface{{}}",
                    self.text,
                    go::print(at),
                    go::type_of(at)
                ));
            };
            match map.get(name) {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Sets the value there, making objects on the way.
    pub fn set(&self, value: &mut Value, wanted: Value) {
        let mut at = value;
        for name in &self.names {
            if !at.is_object() {
                *at = Value::Object(serde_json::Map::new());
            }
            at = &mut at[name];
        }
        *at = wanted;
    }
}

/// The field of a schema to which a path of rules or selectable fields leads, which may name keys of maps; `quotes` allows names
/// in brackets. Fails in upstream's words (apiextensions-apiserver, schema/cel, ValidFieldPath).
pub(crate) fn field_path<'s>(
    text: &str,
    schema: &'s Schema,
    quotes: bool,
) -> Result<(Path, &'s Schema), String> {
    const END: &str = "unexpected end of JSON path";
    let missing = || "does not refer to a valid field".to_owned();
    let (mut at, mut path, mut rest) = (schema, Path::root(), text);
    while let Some(token) = token(&mut rest) {
        let name = match token {
            "[" if !quotes => return Err("array notation is not allowed".to_owned()),
            "[" => {
                let quoted = self::token(&mut rest).ok_or(END)?;
                let inner = quoted
                    .strip_prefix('\'')
                    .and_then(|inner| inner.strip_suffix('\''))
                    .ok_or_else(|| format!("expected single quoted string but got {quoted}"))?;
                let name = unescaped(inner)?;
                match self::token(&mut rest).ok_or(END)? {
                    "]" => name,
                    other => return Err(format!("expected ] but got {other}")),
                }
            }
            "." => self::token(&mut rest).ok_or(END)?.to_owned(),
            other => return Err(format!("expected [ or . but got: {other}")),
        };
        (at, path) = if !at.properties.is_empty() {
            (at.properties.get(&name).ok_or_else(missing)?, path.child(&name))
        } else if let Additional::Schema(below) = &at.additional {
            (&**below, path.key(&name))
        } else {
            return Err(missing());
        };
    }
    Ok((path, at))
}

/// The next dot, bracket, text in single quotes, or name up to one of them.
fn token<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let first = rest.chars().next()?;
    let end = match first {
        '.' | '[' | ']' => 1,
        '\'' => {
            let mut escaped = false;
            let close = rest.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '\'' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            });
            close.map_or(rest.len(), |(index, _)| index + 1)
        }
        _ => rest.find(['.', '[', ']']).unwrap_or(rest.len()),
    };
    let (token, after) = rest.split_at(end);
    *rest = after;
    Some(token)
}

/// A text between quotes, in which a backslash stands before quotes, backslashes and letters for what can't be written.
fn unescaped(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some(c @ ('\\' | '\'')) => c,
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(other) => return Err(format!("invalid string literal: invalid escape char \\{other}")),
                None => '\\',
            }),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_of_rules_lead_to_fields_of_the_schema() {
        let text = json!({"type": "string"});
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": text, "a.b": text, "it's": text, "b\u{7}l": text,
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": text}}},
        }}));
        for (path, wanted) in [
            (".a", Ok("a")),
            ("['a.b']", Ok("a.b")),
            ("['it\\'s']", Ok("it's")),
            ("['b\\al']", Ok("b\u{7}l")),
            (".m.key.x", Ok("m[key].x")),
            (".m['k.y'].x", Ok("m[k.y].x")),
            ("", Ok("")),
            (".", Err("unexpected end of JSON path")),
            (".a.b", Err("does not refer to a valid field")),
            (".z", Err("does not refer to a valid field")),
            ("[a]", Err("expected single quoted string but got a")),
            ("['a'", Err("unexpected end of JSON path")),
            ("['a'.", Err("expected ] but got .")),
            ("['a", Err("expected single quoted string but got 'a")),
            ("['\\x']", Err("invalid string literal: invalid escape char \\x")),
            ("a", Err("expected [ or . but got: a")),
            ("€.a", Err("expected [ or . but got: €")),
        ] {
            let found = field_path(path, &schema, true).map(|(path, _)| path.as_str().to_owned());
            assert_eq!(found, wanted.map(str::to_owned).map_err(str::to_owned), "{path}");
        }
        assert!(field_path("['a']", &schema, false).is_err());
    }

    #[test]
    fn paths_of_scales_are_split_at_dots_alone() {
        let path = SimplePath::dotted(".spec.a[0]").unwrap();
        assert_eq!(path.names(), ["spec", "a[0]"]);
        assert_eq!(path.get(&json!({"spec": {"a[0]": 3}})), Ok(Some(&json!(3))));
        assert_eq!(SimplePath::dotted("spec"), None);
    }
}
