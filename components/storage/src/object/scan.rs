//! One pass over the bytes of a stored object: finds what is indexed without building a document.

use std::borrow::Cow;
use std::ops::Range;

/// Why bytes are not an object that can be stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{what} at byte {at}")]
pub(crate) struct ScanError {
    pub what: &'static str,
    pub at: usize,
}

/// Where the first `"` or `\` is. Most strings are a few bytes long, for which a call of a general search costs more
/// than the search; eight bytes are looked at together.
fn quote_or_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES * 0x80;
    /// The highest bit of each byte that is zero, and perhaps of some after it.
    fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(position * 8 + (found.trailing_zeros() / 8) as usize);
        }
    }
    let found = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(words.len() * 8 + found)
}

/// Cursor over JSON text. Structure is checked as far as it is walked; it never panics on any input.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    pos: usize,
    /// Values whose ends are known, from the cursor on.
    spans: &'a [Range<u32>],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(bytes: &'a [u8], spans: &'a [Range<u32>]) -> Self {
        Scanner { bytes, pos: 0, spans }
    }

    /// Moves past the value at the cursor if its end is known.
    fn pass(&mut self) -> bool {
        while let [span, rest @ ..] = self.spans
            && (span.start as usize) <= self.pos
        {
            self.spans = rest;
            let end = span.end as usize;
            if span.start as usize == self.pos && end > self.pos && end <= self.bytes.len() {
                self.pos = end;
                return true;
            }
        }
        false
    }

    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    fn error<T>(&self, what: &'static str) -> Result<T, ScanError> {
        Err(ScanError { what, at: self.pos })
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.pos) {
            self.pos += 1;
        }
    }

    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.bytes.get(self.pos).copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.pos += 1;
        }
        found
    }

    /// Consumes `{`; false when the value is something else.
    pub(crate) fn enter_object(&mut self) -> bool {
        self.eat(b'{')
    }

    /// Consumes `[`; false when the value is something else.
    pub(crate) fn enter_array(&mut self) -> bool {
        self.eat(b'[')
    }

    /// The next key of the object entered, up to and including its colon; None consumes the closing brace.
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, ScanError> {
        if self.eat(b'}') {
            return Ok(None);
        }
        if !std::mem::take(first) && !self.eat(b',') {
            return self.error("expected a comma or the end of an object");
        }
        let key = self.string()?;
        if !self.eat(b':') {
            return self.error("expected a colon");
        }
        self.skip_space();
        Ok(Some(key))
    }

    /// Where the next key of the object entered begins.
    pub(crate) fn member_start(&mut self, first: bool) -> usize {
        if !first && self.peek() == Some(b',') {
            let mut ahead = Scanner {
                bytes: self.bytes,
                pos: self.pos + 1,
                spans: &[],
            };
            ahead.skip_space();
            return ahead.pos;
        }
        self.skip_space();
        self.pos
    }

    /// Whether the array entered has another element; false consumes the closing bracket.
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool, ScanError> {
        if self.eat(b']') {
            return Ok(false);
        }
        if !std::mem::take(first) && !self.eat(b',') {
            return self.error("expected a comma or the end of an array");
        }
        self.skip_space();
        Ok(true)
    }

    fn skip_string(&mut self) -> Result<(usize, usize, bool), ScanError> {
        if self.bytes.get(self.pos) != Some(&b'"') && self.peek() != Some(b'"') {
            return self.error("expected a string");
        }
        self.pos += 1;
        let start = self.pos;
        let mut escaped = false;
        loop {
            let Some(found) = quote_or_escape(&self.bytes[self.pos.min(self.bytes.len())..]) else {
                return self.error("string without end");
            };
            self.pos += found;
            if self.bytes[self.pos] == b'"' {
                let end = self.pos;
                self.pos += 1;
                return Ok((start, end, escaped));
            }
            escaped = true;
            self.pos += 2;
        }
    }

    /// The string at the cursor, unescaped.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, ScanError> {
        let (start, end, escaped) = self.skip_string()?;
        if escaped {
            match serde_json::from_slice::<String>(&self.bytes[start - 1..end + 1]) {
                Ok(text) => Ok(Cow::Owned(text)),
                Err(_) => Err(ScanError {
                    what: "bad escape in a string",
                    at: start,
                }),
            }
        } else {
            match std::str::from_utf8(&self.bytes[start..end]) {
                Ok(text) => Ok(Cow::Borrowed(text)),
                Err(_) => Err(ScanError {
                    what: "string is not UTF-8",
                    at: start,
                }),
            }
        }
    }

    /// The scalar at the cursor as selectors compare it; null, objects and arrays are empty.
    pub(crate) fn scalar(&mut self) -> Result<Cow<'a, str>, ScanError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{' | b'[') => {
                self.skip_value()?;
                Ok(Cow::Borrowed(""))
            }
            _ => {
                let start = self.pos;
                self.skip_value()?;
                let text = std::str::from_utf8(&self.bytes[start..self.pos]).unwrap_or_default();
                Ok(Cow::Borrowed(if text == "null" { "" } else { text }))
            }
        }
    }

    /// Moves past the value at the cursor, however deep, without recursion.
    pub(crate) fn skip_value(&mut self) -> Result<(), ScanError> {
        if self.pass() {
            return Ok(());
        }
        let bytes = self.bytes;
        let mut depth = 0usize;
        let mut at = self.pos;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.pos = at;
                    self.skip_string()?;
                    at = self.pos;
                }
                Some(b',' | b':') if depth > 0 => {
                    at += 1;
                    continue;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    at += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    at += 1;
                }
                Some(b' ' | b'\n' | b'\r' | b'\t') => {
                    at += 1;
                    continue;
                }
                Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                    while let Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E') = bytes.get(at) {
                        at += 1;
                    }
                }
                _ => {
                    self.pos = at;
                    return self.error("expected a value");
                }
            }
            if depth == 0 {
                self.pos = at;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_end_where_a_byte_by_byte_search_says(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'#'), Just(b'\\'), Just(b']')], 0..40)) {
            let slow = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_escape(&bytes), slow);
        }
    }
}
