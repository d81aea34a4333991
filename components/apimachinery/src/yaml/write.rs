//! From a value to YAML, in the form that Go's writer gives it.
use super::scalar::{Scalar, is_base_60};
use serde_json::{Map, Value};
use std::fmt::Write;

/// The value as a YAML document. Texts that readers of version 1.1 would take for something else are quoted.
#[must_use]
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => mapping(&mut out, map, 0, false),
        Value::Array(list) if !list.is_empty() => sequence(&mut out, list, 0, false),
        other => {
            scalar(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Entries, each on lines of its own; the first stands where the line is already, if it is `begun`.
fn mapping(out: &mut String, map: &Map<String, Value>, depth: usize, begun: bool) {
    for (position, (key, value)) in map.iter().enumerate() {
        if position > 0 || !begun {
            indent(out, depth);
        }
        text(out, key, None);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(out, map, depth + 1, false);
            }
            // Items stand below their key.
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                sequence(out, list, depth, false);
            }
            value => {
                out.push(' ');
                scalar(out, value, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn sequence(out: &mut String, list: &[Value], depth: usize, begun: bool) {
    for (position, item) in list.iter().enumerate() {
        if position > 0 || !begun {
            indent(out, depth);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => mapping(out, map, depth + 1, true),
            Value::Array(list) if !list.is_empty() => sequence(out, list, depth + 1, true),
            value => {
                scalar(out, value, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(value) => text(out, value, Some(depth)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// A text; as a block below a depth if it has several lines and may be one.
fn text(out: &mut String, value: &str, depth: Option<usize>) {
    let printable = value.chars().all(is_printable);
    let breaks = value.contains('\n');
    if let (true, true, Some(depth)) = (breaks, printable && may_be_block(value), depth) {
        return block(out, value, depth);
    }
    let ambiguous = Scalar::of(value).is_some() || is_base_60(value) || is_date(value);
    if breaks || ambiguous || !printable {
        double_quoted(out, value);
    } else if is_plain(value) {
        out.push_str(value);
    } else {
        out.push('\'');
        out.push_str(&value.replace('\'', "''"));
        out.push('\'');
    }
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}')
}

/// Lines that end with spaces would lose them in the eyes of those who read them, and the last its end.
fn may_be_block(value: &str) -> bool {
    !value.contains(" \n") && !value.ends_with(' ')
}

fn block(out: &mut String, value: &str, depth: usize) {
    // A document that is nothing but a text is indented too.
    let depth = depth.max(1);
    out.push('|');
    if value.starts_with([' ', '\n']) {
        out.push('2');
    }
    let body = value.strip_suffix('\n');
    match body {
        None => out.push('-'),
        Some(body) if body.is_empty() || body.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    let lines = body.unwrap_or(value).split('\n');
    for line in lines {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
}

/// What looks like a date is one to readers of version 1.1.
fn is_date(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = |from: usize, to: usize| bytes[from..to].iter().all(u8::is_ascii_digit);
    bytes.len() >= 8 && digits(0, 4) && bytes[4] == b'-' && bytes[5].is_ascii_digit()
}

fn is_plain(value: &str) -> bool {
    let bytes = value.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let next_is_blank = bytes.get(1).is_none_or(|next| *next == b' ');
    let begins = match first {
        b' ' | b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"'
        | b'%' | b'@' | b'`' => false,
        b'-' | b'?' | b':' => !next_is_blank,
        _ => true,
    };
    begins
        && !matches!(last, b' ' | b':')
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.starts_with("---")
        && !value.starts_with("...")
}

fn double_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => {
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            c if u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn objects_are_written_as_go_writes_them() {
        let object = json!({
            "apiVersion": "v1",
            "data": {"a.conf": "x=1\ny=2\n", "empty": "", "end": "a\nb", "lead": "  a\nb\n", "more": "a\n\n", "tail": "a \nb"},
            "items": [{"a": 1, "b": [1, [2, 3], []]}, "text", {}],
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"on": "yes", "v": "1.0"}, "name": "a"},
            "n": null, "odd": "a: b", "star": "*", "t": "12:30:45", "tab": "a\tb", "x": 1.5,
        });
        let text = "apiVersion: v1\ndata:\n  a.conf: |\n    x=1\n    y=2\n  empty: \"\"\n  end: |-\n    a\n    b\n  lead: |2\n      a\n    b\n  more: |+\n    a\n\n  tail: \"a \\nb\"\nitems:\n- a: 1\n  b:\n  - 1\n  - - 2\n    - 3\n  - []\n- text\n- {}\nmetadata:\n  creationTimestamp: \"2026-01-01T00:00:00Z\"\n  labels:\n    \"on\": \"yes\"\n    v: \"1.0\"\n  name: a\n\"n\": null\nodd: 'a: b'\nstar: '*'\nt: \"12:30:45\"\ntab: \"a\\tb\"\nx: 1.5\n";
        assert_eq!(to_string(&object), text);
        assert_eq!(parse(text.as_bytes()).unwrap(), object);
        assert_eq!(to_string(&json!([])), "[]\n");
        assert_eq!(to_string(&json!("yes")), "\"yes\"\n");
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~\n]{0,12}",
            "\\PC{0,8}",
            Just("yes".to_owned()),
            Just("0644".to_owned()),
            Just("- a".to_owned()),
            Just("\n".to_owned()),
            Just(" \n a".to_owned()),
            Just("---".to_owned()),
            Just("\u{85}\u{2028}".to_owned()),
            any::<String>(),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 32, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(value in values()) {
            let text = to_string(&value);
            prop_assert_eq!(parse(text.as_bytes()).map_err(|error| error.to_string()), Ok(value), "{}", text);
        }

        #[test]
        fn nothing_panics(text in "[\\[\\]{}:,&*a!|>\"'\\-? \n#<~0-9]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
