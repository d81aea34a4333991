//! Value to JSON text. Written here because most of an object is short plain texts, which a general writer looks at byte
//! by byte.
use super::{FIELDS_DEPTH, MANAGED_FIELDS_DEPTH, leads_to_fields, plain_length};
use serde_json::Value;

/// Most objects fit without growing the buffer.
const USUAL_LENGTH: usize = 16 * 1024;

/// The value as JSON without white space.
pub fn to_bytes(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    write(&mut bytes, value, 0, false);
    bytes
}

/// The same of an object in its compact form, which is written as if it weren't.
pub(crate) fn compact_to_bytes(object: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    write(&mut bytes, object, 0, true);
    bytes
}

/// `depth` and `on_way` are as the parser has them.
fn write(out: &mut Vec<u8>, value: &Value, depth: usize, on_way: bool) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
            None => out.extend_from_slice(number.to_string().as_bytes()),
        },
        Value::String(text) if on_way && depth == FIELDS_DEPTH => out.extend_from_slice(text.as_bytes()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) if on_way && depth == FIELDS_DEPTH => {
            items.iter().for_each(|kept| write(out, kept, depth, false));
        }
        Value::Array(items) => {
            let on_way = on_way && depth == MANAGED_FIELDS_DEPTH;
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1, on_way);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            out.push(b'{');
            for (position, (key, item)) in map.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write(out, item, depth + 1, on_way && leads_to_fields(depth, key));
            }
            out.push(b'}');
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
        fn values_are_written_as_serde_writes_them(texts in proptest::collection::vec(any::<String>(), 0..4), number in any::<i64>(), large in any::<u64>(), real in any::<f64>()) {
            let value = json!({"t": texts, "n": [number, large, real, null, true, false], "o": {"": {}, "\u{1}\"\\/\n\u{7f}": []}});
            prop_assert_eq!(String::from_utf8(to_bytes(&value)).unwrap(), value.to_string());
        }
    }
}
