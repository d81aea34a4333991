//! JSON text to value: duplicate keys are reported, depth is bounded, errors read as Go's. And back.
mod fractions;
mod problems;
mod write;

pub use fractions::{Fraction, Place};
pub use problems::{listed, problems};
pub use write::{Written, to_bytes};
pub(crate) use write::{compact_to_bytes, write_string};

use crate::fieldset::written_length;
use crate::managed_fields::hold;
use serde_json::{Map, Number, Value};

/// Deeper nesting than this is refused; no kind comes near it.
const MAX_DEPTH: usize = 256;

/// A parsed document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    pub value: Value,
    /// Paths of keys that were given more than once; the last value counts.
    pub duplicates: Vec<String>,
    /// Numbers of which the value has not all that the text says.
    pub fractions: Vec<Fraction>,
}

/// The text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub String);

/// Parses one JSON value that fills the whole text.
pub fn parse(text: &[u8]) -> Result<Document, SyntaxError> {
    Parser::new(text).document(false)
}

/// Parses an object of a kind into its [`crate::managed_fields::Compact`] form.
pub(crate) fn parse_compact(text: &[u8]) -> Result<Document, SyntaxError> {
    Parser::new(text).document(true)
}

/// The same for what was written here before. The lengths of its field sets may be known; they are not checked again then.
/// Its numbers aren't told.
pub(crate) fn parse_written(text: &[u8], field_sets: &[u32]) -> Result<Document, SyntaxError> {
    let parser = Parser {
        field_sets,
        most_fractions: 0,
        ..Parser::new(text)
    };
    parser.document(true)
}

/// The highest bit of each of eight bytes that doesn't stand for itself, and perhaps of some after it: a quote, an escape or
/// a control character.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS;
    let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
    let escapes = below(word ^ (ONES * u64::from(b'\\')), 1);
    quotes | escapes | below(word, 0x20)
}

/// How many bytes stand for themselves before a quote, an escape or a control character. Eight are looked at together; what
/// is left of a longer text is looked at with bytes before it.
fn plain_length(bytes: &[u8]) -> usize {
    let first = |found: u64| (found.trailing_zeros() / 8) as usize;
    let (words, rest) = bytes.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return position * 8 + first(found);
        }
    }
    if rest.is_empty() {
        return bytes.len();
    }
    if let Some(last) = bytes.last_chunk() {
        let found = special(u64::from_le_bytes(*last));
        return bytes.len() - 8 + if found == 0 { 8 } else { first(found) };
    }
    if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (start, end) = (u32::from_le_bytes(*start), u32::from_le_bytes(*end));
        if special(u64::from(start) | u64::from(end) << 32) == 0 {
            return bytes.len();
        }
    }
    bytes
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
        .unwrap_or(bytes.len())
}

/// Where the string that begins here ends, behind its quote.
pub(crate) fn skip_string(text: &[u8], start: usize) -> Option<usize> {
    if text.get(start) != Some(&b'"') {
        return None;
    }
    let mut at = start + 1;
    loop {
        at += plain_length(text.get(at..)?);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

/// Whether the member of this name, with so many lists and maps around its map, is on the way to
/// `metadata.managedFields[*].fieldsV1`.
fn leads_to_fields(depth: usize, key: &str) -> bool {
    matches!(
        (depth, key),
        (0, "metadata") | (1, "managedFields") | (3, "fieldsV1")
    )
}

/// How many lists and maps are around `metadata.managedFields`, and around a `fieldsV1` in it.
const MANAGED_FIELDS_DEPTH: usize = 2;
const FIELDS_DEPTH: usize = 4;

/// One step of the way to a value; written out only when a duplicate is found.
#[derive(Clone, Copy)]
enum Step {
    /// Where the key's string begins in the text.
    Key(usize),
    Index(usize),
}

struct Parser<'a> {
    text: &'a [u8],
    /// The same, if all of it is UTF-8, as it nearly always is: then no string of it has to be looked at again.
    utf8: Option<&'a str>,
    at: usize,
    path: Vec<Step>,
    duplicates: Vec<String>,
    /// The ways to such numbers, and where they begin and end in the text.
    fractions: Vec<(Vec<Step>, std::ops::Range<usize>)>,
    /// The last string that had escapes: room for the next.
    unescaped: Vec<u8>,
    /// Lengths of the field sets to come, as far as they are known.
    field_sets: &'a [u32],
    most_fractions: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self::at(text, std::str::from_utf8(text).ok(), 0)
    }

    fn at(text: &'a [u8], utf8: Option<&'a str>, at: usize) -> Self {
        Self {
            text,
            utf8,
            at,
            path: Vec::new(),
            duplicates: Vec::new(),
            fractions: Vec::new(),
            unescaped: Vec::new(),
            field_sets: &[],
            most_fractions: fractions::MOST,
        }
    }

    /// The value that fills the whole text.
    fn document(mut self, compact: bool) -> Result<Document, SyntaxError> {
        let value = self.value(0, compact)?;
        self.space();
        if self.at < self.text.len() {
            return Err(self.unexpected("after top-level value"));
        }
        Ok(Document {
            value,
            fractions: self.told_fractions(),
            duplicates: self.duplicates,
        })
    }

    /// The way to the value at hand, as strict decoding names it.
    fn shown_path(&self) -> String {
        let mut shown = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => shown.push_str(&format!("[{index}]")),
                Step::Key(at) => {
                    if !shown.is_empty() {
                        shown.push('.');
                    }
                    shown.push_str(&self.key(*at));
                }
            }
        }
        shown
    }

    /// The key at that place, which was read before.
    fn key(&self, at: usize) -> String {
        Parser::at(self.text, self.utf8, at).string().unwrap_or_default()
    }

    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, context: &str) -> SyntaxError {
        let Some(byte) = self.text.get(self.at) else {
            return SyntaxError("unexpected end of JSON input".into());
        };
        let shown = match byte {
            b'\'' => "'\\''".to_owned(),
            b'"' => "'\"'".to_owned(),
            b'\n' => "'\\n'".to_owned(),
            b'\t' => "'\\t'".to_owned(),
            b'\r' => "'\\r'".to_owned(),
            0x20..=0x7e => format!("'{}'", char::from(*byte)),
            // Go takes the byte for a character of that number, and shows it unless it has no form.
            0xa1..=0xac | 0xae..=0xff => format!("'{}'", char::from(*byte)),
            0x80..=0xff => format!("'\\u{byte:04x}'"),
            _ => format!("'\\x{byte:02x}'"),
        };
        SyntaxError(format!("invalid character {shown} {context}"))
    }

    /// The value at hand with so many others around. It is `on_way` when the text is read compact and the value is one
    /// on the way to `fieldsV1`, or is that.
    fn value(&mut self, depth: usize, on_way: bool) -> Result<Value, SyntaxError> {
        self.space();
        if on_way && depth == FIELDS_DEPTH {
            return self.fields(depth);
        }
        if depth > MAX_DEPTH {
            return Err(self.unexpected("exceeded max depth"));
        }
        match self.text.get(self.at) {
            Some(b'{') => self.object(depth, on_way),
            Some(b'[') => self.array(depth, on_way && depth == MANAGED_FIELDS_DEPTH),
            Some(b'"') => self.string().map(Value::String),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        for (index, wanted) in word.bytes().enumerate() {
            if self.text.get(self.at) != Some(&wanted) {
                return Err(self.unexpected(&format!(
                    "in literal {word} (expecting '{}')",
                    &word[index..=index]
                )));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        self.at += usize::from(self.text[self.at] == b'-');
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut whole = true;
        if self.text.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            if !self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.text.get(self.at), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            if !self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.digits();
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or("0");
        if whole {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(Value::from(number));
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(Value::from(number));
            }
        }
        let number = text.parse::<f64>().ok().and_then(Number::from_f64);
        if self.fractions.len() < self.most_fractions {
            self.fractions.push((self.path.clone(), start..self.at));
        }
        number.map(Value::Number).ok_or_else(|| {
            SyntaxError(format!(
                "cannot unmarshal number {text} into Go value of type float64"
            ))
        })
    }

    fn digits(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let start = self.at;
        self.plain();
        if self.text.get(self.at) == Some(&b'"') {
            let end = self.at;
            self.at += 1;
            return Ok(match self.utf8 {
                Some(whole) => whole[start..end].to_owned(),
                None => text(&self.text[start..end]),
            });
        }
        let mut out = std::mem::take(&mut self.unescaped);
        out.clear();
        out.extend_from_slice(&self.text[start..self.at]);
        loop {
            match self.text.get(self.at) {
                None => return Err(self.unexpected("")),
                Some(b'"') => {
                    self.at += 1;
                    let whole = text(&out);
                    self.unescaped = out;
                    return Ok(whole);
                }
                Some(0..0x20) => return Err(self.unexpected("in string literal")),
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                Some(_) => {
                    let start = self.at;
                    self.plain();
                    out.extend_from_slice(&self.text[start..self.at]);
                }
            }
        }
    }

    /// Moves past what stands for itself in a string.
    fn plain(&mut self) {
        self.at += plain_length(self.text.get(self.at..).unwrap_or_default());
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let plain = match self.text.get(self.at) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let character = self.unicode()?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        out.push(plain);
        self.at += 1;
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                return Ok(
                    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                        .unwrap_or('\u{fffd}'),
                );
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .text
                .get(self.at)
                .and_then(|byte| char::from(*byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }

    /// A `fieldsV1` as compact objects have it.
    fn fields(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        let rest = self.utf8.and_then(|whole| whole.get(self.at..));
        if let Some(rest) = rest
            && let Some(length) = self.known_length(rest).or_else(|| written_length(rest))
        {
            self.at += length;
            return Ok(Value::from(&rest[..length]));
        }
        let mut value = self.value(depth, false)?;
        hold(&mut value);
        Ok(value)
    }

    /// The length of the field set at hand if it is known from when it was written. A text that doesn't end where it
    /// should is another one than was written.
    fn known_length(&mut self, rest: &str) -> Option<usize> {
        let (length, others) = self.field_sets.split_first().filter(|_| rest.starts_with('{'))?;
        self.field_sets = others;
        let length = *length as usize;
        let ends = rest.get(..length)?.ends_with('}') && rest[length..].starts_with([',', '}']);
        ends.then_some(length)
    }

    fn array(&mut self, depth: usize, on_way: bool) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.text.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.path.push(Step::Index(items.len()));
            items.push(self.value(depth + 1, on_way)?);
            self.path.pop();
            self.space();
            match self.text.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn object(&mut self, depth: usize, on_way: bool) -> Result<Value, SyntaxError> {
        self.at += 1;
        let mut map = Map::new();
        self.space();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.space();
            if self.text.get(self.at) != Some(&b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            self.path.push(Step::Key(self.at));
            let key = self.string()?;
            self.space();
            if self.text.get(self.at) != Some(&b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            let value = self.value(depth + 1, on_way && leads_to_fields(depth, &key))?;
            if map.insert(key, value).is_some() {
                self.duplicates.push(self.shown_path());
            }
            self.path.pop();
            self.space();
            match self.text.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(map));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }
}

/// Bytes as text; Go replaces what isn't UTF-8 as well.
fn text(bytes: &[u8]) -> String {
    // Looking for what isn't takes longer.
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn documents_parse() {
        let document =
            parse(br#" {"a":[1,-2.5,"x\n\u00e9\ud83d\ude00",{"b":1,"b":null}],"c":true} "#).unwrap();
        assert_eq!(
            document.value,
            json!({"a": [1, -2.5, "x\né😀", {"b": null}], "c": true})
        );
        assert_eq!(document.duplicates, ["a[3].b"]);
    }

    #[test]
    fn errors_read_as_gos() {
        for (text, message) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("<a/>", "invalid character '<' looking for beginning of value"),
            ("{} x", "invalid character 'x' after top-level value"),
            (
                "{a}",
                "invalid character 'a' looking for beginning of object key string",
            ),
            ("[1 2]", "invalid character '2' after array element"),
            ("nulx", "invalid character 'x' in literal null (expecting 'l')"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message, "{text}");
        }
        assert_eq!(
            parse(&[b'['; 100_000]).unwrap_err().to_string(),
            "invalid character '[' exceeded max depth"
        );
    }

    proptest! {
        #[test]
        fn strings_end_where_a_byte_by_byte_search_says(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(0x1f), Just(0x20), Just(b'\\'), Just(0xff)], 0..40)) {
            let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_length(&bytes), slow.unwrap_or(bytes.len()));
        }

        #[test]
        fn agrees_with_serde(text in r#"[\[\]{}",:0-9a-z.eE+\\ -]{0,40}"#) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(parse(text.as_bytes()).map(|document| document.value), Ok(value));
            }
        }
    }
}
