//! Value to JSON text. Written here because most of an object is short plain texts, which a general writer looks at byte
//! by byte.
use super::{FIELDS_DEPTH, MANAGED_FIELDS_DEPTH, leads_to_fields, plain_length};
use crate::go;
use serde_json::Value;
use std::ops::Range;

/// Most objects fit without growing the buffer.
const USUAL_LENGTH: usize = 16 * 1024;

/// Shorter maps and lists are passed as quickly without.
const WORTH_NOTING: usize = 64;
/// Members of the object, and members of those.
const NOTED_DEPTH: Range<usize> = 1..3;

/// The value as JSON without white space.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    Writer::write(value, false).out
}

/// An object as it was written, with what spares its readers work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub bytes: Vec<u8>,
    /// Where its larger maps and lists are, in order: who looks for a field needn't read what is on the way.
    pub spans: Vec<Range<u32>>,
    /// Lengths of the texts in its managedFields, in order; none when there is also something else than texts.
    pub field_sets: Vec<u32>,
}

/// The same of an object in its compact form, which is written as if it weren't.
pub(crate) fn compact_to_bytes(object: &Value) -> Written {
    let Writer {
        out: bytes,
        mut spans,
        field_sets,
    } = Writer::write(object, true);
    spans.sort_unstable_by_key(|span| span.start);
    Written {
        bytes,
        spans,
        field_sets: field_sets.unwrap_or_default(),
    }
}

struct Writer {
    out: Vec<u8>,
    spans: Vec<Range<u32>>,
    field_sets: Option<Vec<u32>>,
}

impl Writer {
    fn write(value: &Value, is_compact: bool) -> Self {
        let mut writer = Self {
            out: Vec::with_capacity(USUAL_LENGTH),
            spans: Vec::new(),
            field_sets: Some(Vec::new()),
        };
        writer.value(value, 0, is_compact);
        writer
    }

    fn note(&mut self, depth: usize, start: usize) {
        let end = self.out.len();
        if NOTED_DEPTH.contains(&depth)
            && end - start >= WORTH_NOTING
            && let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end))
        {
            self.spans.push(start..end);
        }
    }

    /// `depth` and `on_way` are as the parser has them.
    fn value(&mut self, value: &Value, depth: usize, on_way: bool) {
        let out = &mut self.out;
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
                None => out.extend_from_slice(go::json_number(number).as_bytes()),
            },
            Value::String(text) if on_way && depth == FIELDS_DEPTH => {
                out.extend_from_slice(text.as_bytes());
                match (&mut self.field_sets, u32::try_from(text.len())) {
                    (Some(lengths), Ok(length)) => lengths.push(length),
                    _ => self.field_sets = None,
                }
            }
            Value::String(text) => write_string(out, text),
            Value::Array(items) if on_way && depth == FIELDS_DEPTH => {
                items.iter().for_each(|kept| self.value(kept, depth, false));
                self.field_sets = None;
            }
            Value::Array(items) => {
                let start = out.len();
                let on_way = on_way && depth == MANAGED_FIELDS_DEPTH;
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        self.out.push(b',');
                    }
                    self.value(item, depth + 1, on_way);
                }
                self.out.push(b']');
                self.note(depth, start);
            }
            Value::Object(map) => {
                let start = out.len();
                out.push(b'{');
                for (position, (key, item)) in map.iter().enumerate() {
                    if position > 0 {
                        self.out.push(b',');
                    }
                    write_string(&mut self.out, key);
                    self.out.push(b':');
                    self.value(item, depth + 1, on_way && leads_to_fields(depth, key));
                }
                self.out.push(b'}');
                self.note(depth, start);
            }
        }
    }
}

pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_length(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(byte) = rest.get(plain) else {
            break;
        };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                out.extend_from_slice(b"\\u00");
                for digit in [other >> 4, other & 15] {
                    out.push(b"0123456789abcdef"[usize::from(digit)]);
                }
            }
        }
        rest = &rest[plain + 1..];
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn values_are_written_as_serde_writes_them(texts in proptest::collection::vec(any::<String>(), 0..4), number in any::<i64>()) {
            let value = json!({"t": texts, "n": [number, null, true, false], "o": {"": {}, "\u{1}\"\\/\n\u{7f}": []}});
            prop_assert_eq!(String::from_utf8(to_bytes(&value)).unwrap(), value.to_string());
        }

        #[test]
        fn fractions_keep_their_value(real in any::<f64>(), large in any::<u64>()) {
            for value in [json!(real), json!(large)] {
                let written = String::from_utf8(to_bytes(&value)).unwrap();
                prop_assert_eq!(written.parse().ok(), value.as_f64());
            }
        }

        #[test]
        fn spans_are_those_of_the_larger_members(texts in proptest::collection::vec(".{0,70}", 0..6)) {
            let below = json!({"texts": texts, "text": texts.concat(), "deep": {"deeper": texts}});
            let object = json!({"a": below, "b": texts, "metadata": {"labels": below, "managedFields": [{"fieldsV1": r#"{"f:a":{}}"#}, below]}});
            let Written { bytes, spans, .. } = compact_to_bytes(&object);
            let members = |value: &Value| -> Vec<Value> {
                value.as_object().into_iter().flat_map(|map| map.values().cloned()).collect()
            };
            let inner: Vec<Value> = members(&object).iter().flat_map(|member| std::iter::once(member.clone()).chain(members(member))).collect();
            let whole = |value: &Value| value.to_string().replace(r#""{\"f:a\":{}}""#, r#"{"f:a":{}}"#);
            let large: Vec<String> = inner.iter().filter(|value| value.is_object() || value.is_array()).map(whole).filter(|text| text.len() >= WORTH_NOTING).collect();
            let found: Vec<String> = spans.iter().map(|span| String::from_utf8(bytes[span.start as usize..span.end as usize].to_vec()).unwrap()).collect();
            prop_assert_eq!(found, large);
        }
    }
}
