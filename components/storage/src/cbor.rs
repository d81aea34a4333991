//! Objects that an API server with the CBORServingAndStorage gate has stored. Without the gate upstream reads them as well, and
//! writes them as JSON when they are changed next.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Number, Value};

/// The tag "self-described CBOR", with which all stored values begin. No JSON and no envelope does.
const MAGIC: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Deeper values are refused before they use up the stack.
const MAX_DEPTH: usize = 500;

/// Why a value can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CborError {
    #[error("CBOR: the value ends too early")]
    Truncated,
    #[error("CBOR: {0} bytes after the value")]
    Trailing(usize),
    #[error("CBOR: {what} at byte {at}")]
    Unusable { what: &'static str, at: usize },
}

/// The value as JSON, if it is CBOR.
pub(crate) fn to_json(bytes: &[u8]) -> Option<Result<Value, CborError>> {
    let content = bytes.strip_prefix(&MAGIC)?;
    let mut reader = Reader {
        bytes: content,
        at: 0,
    };
    let value = reader.value(0).and_then(|value| match content.len() - reader.at {
        0 => Ok(value),
        rest => Err(CborError::Trailing(rest)),
    });
    Some(value)
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// How long a text, list or map is.
enum Length {
    Known(usize),
    /// It goes on until a break.
    Open,
}

impl<'b> Reader<'b> {
    fn unusable(&self, what: &'static str) -> CborError {
        CborError::Unusable {
            what,
            at: MAGIC.len() + self.at,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], CborError> {
        let end = self.at.checked_add(count).ok_or(CborError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(CborError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, CborError> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The major type, and the five bits beside it.
    fn head(&mut self) -> Result<(u8, u8), CborError> {
        let first = self.number(1)? as u8;
        Ok((first >> 5, first & 0x1f))
    }

    fn argument(&mut self, low: u8) -> Result<u64, CborError> {
        match low {
            0..24 => Ok(u64::from(low)),
            24..28 => self.number(1 << (low - 24)),
            _ => Err(self.unusable("a head that is not well-formed")),
        }
    }

    fn length(&mut self, low: u8) -> Result<Length, CborError> {
        if low == 31 {
            return Ok(Length::Open);
        }
        let length = usize::try_from(self.argument(low)?).map_err(|_| CborError::Truncated)?;
        Ok(Length::Known(length))
    }

    /// Whether there is another element after `read` ones. A break is passed.
    fn goes_on(&mut self, length: &Length, read: usize) -> Result<bool, CborError> {
        match length {
            Length::Known(length) => Ok(read < *length),
            Length::Open => {
                let next = self.bytes.get(self.at).ok_or(CborError::Truncated)?;
                let ends = *next == 0xff;
                self.at += usize::from(ends);
                Ok(!ends)
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, CborError> {
        if depth > MAX_DEPTH {
            return Err(self.unusable("a value that is nested too deeply"));
        }
        let (major, low) = self.head()?;
        let whole = |reader: &mut Self| {
            let number = i64::try_from(reader.argument(low)?);
            number.map_err(|_| reader.unusable("an integer of more than 64 bits"))
        };
        Ok(match major {
            0 => whole(self)?.into(),
            1 => (-1 - whole(self)?).into(),
            2 | 3 => self.text(major, low)?.into(),
            4 => {
                let length = self.length(low)?;
                let mut items = Vec::new();
                while self.goes_on(&length, items.len())? {
                    items.push(self.value(depth + 1)?);
                }
                Value::Array(items)
            }
            5 => {
                let length = self.length(low)?;
                let mut members = Map::new();
                while self.goes_on(&length, members.len())? {
                    let (major, low) = self.head()?;
                    if !matches!(major, 2 | 3) {
                        return Err(self.unusable("a key that is no text"));
                    }
                    let key = self.text(major, low)?;
                    let value = self.value(depth + 1)?;
                    if members.insert(key, value).is_some() {
                        return Err(self.unusable("a key that is there twice"));
                    }
                }
                Value::Object(members)
            }
            6 => self.tagged(low, depth)?,
            _ => self.simple(low)?,
        })
    }

    fn bytes_of(&mut self, major: u8, low: u8) -> Result<Vec<u8>, CborError> {
        let length = self.length(low)?;
        if let Length::Known(length) = length {
            return self.take(length).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while self.goes_on(&length, 0)? {
            let (part, low) = self.head()?;
            if part != major || low == 31 {
                return Err(self.unusable("a part of a text that is none"));
            }
            let length = usize::try_from(self.argument(low)?).map_err(|_| CborError::Truncated)?;
            whole.extend_from_slice(self.take(length)?);
        }
        Ok(whole)
    }

    /// A text, or bytes that stand for one.
    fn text(&mut self, major: u8, low: u8) -> Result<String, CborError> {
        let bytes = self.bytes_of(major, low)?;
        String::from_utf8(bytes).map_err(|_| self.unusable("a text that is not UTF-8"))
    }

    /// What a tag says of its content counts for numbers that JSON has no place for, for times and for bytes to be encoded.
    fn tagged(&mut self, low: u8, depth: usize) -> Result<Value, CborError> {
        let encode: fn(&[u8]) -> String = match self.argument(low)? {
            1..=3 => return Err(self.unusable("a number that JSON has no place for")),
            21 => |bytes| URL_SAFE.encode(bytes),
            22 => |bytes| STANDARD.encode(bytes),
            23 => |bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => return self.value(depth + 1),
        };
        match self.head()? {
            (2, low) => Ok(encode(&self.bytes_of(2, low)?).into()),
            _ => Err(self.unusable("a tag for bytes before something else")),
        }
    }

    fn simple(&mut self, low: u8) -> Result<Value, CborError> {
        let float = match low {
            20 => return Ok(false.into()),
            21 => return Ok(true.into()),
            22 => return Ok(Value::Null),
            25 => half(self.number(2)? as u16),
            26 => f32::from_bits(self.number(4)? as u32).into(),
            27 => f64::from_bits(self.number(8)?),
            _ => return Err(self.unusable("a simple value that JSON doesn't have")),
        };
        self.float(float)
    }

    /// Go writes numbers without a fraction like integers.
    fn float(&self, float: f64) -> Result<Value, CborError> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if float.fract() == 0.0 && float.abs() <= EXACT {
            return Ok(Value::from(float as i64));
        }
        let number = Number::from_f64(float);
        number
            .map(Value::Number)
            .ok_or_else(|| self.unusable("a number that is not finite"))
    }
}

/// A number of half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(hex: &str) -> Result<Value, CborError> {
        let digits = format!("d9d9f7{}", hex.replace(' ', ""));
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        to_json(&bytes).expect("CBOR")
    }

    #[test]
    fn json_is_left_to_others() {
        assert_eq!(to_json(b"{}"), None);
        assert_eq!(to_json(b"k8s\0"), None);
        assert_eq!(to_json(&[0xd9, 0xd9]), None);
    }

    /// Examples of RFC 8949, and what upstream writes.
    #[test]
    fn values_are_those_of_json() {
        for (hex, value) in [
            ("00", json!(0)),
            ("1864", json!(100)),
            ("1903e8", json!(1000)),
            ("1b7fffffffffffffff", json!(i64::MAX)),
            ("3903e7", json!(-1000)),
            ("3b7fffffffffffffff", json!(i64::MIN)),
            ("f93e00", json!(1.5)),
            ("f90001", json!(5.960_464_477_539_063e-8)),
            ("f9c400", json!(-4)),
            ("fa47c35000", json!(100_000)),
            ("fb3ff199999999999a", json!(1.1)),
            ("fb7e37e43c8800759c", json!(1.0e300)),
            ("f4", json!(false)),
            ("f5", json!(true)),
            ("f6", json!(null)),
            ("62c3bc", json!("ü")),
            ("43616263", json!("abc")),
            ("7f657374726561646d696e67ff", json!("streaming")),
            ("d64401020304", json!("AQIDBA==")),
            ("d74401020304", json!("01020304")),
            (
                "c074323031332d30332d32315432303a30343a30305a",
                json!("2013-03-21T20:04:00Z"),
            ),
            ("83010203", json!([1, 2, 3])),
            ("9f018202039f0405ffff", json!([1, [2, 3], [4, 5]])),
            ("a26161016162820203", json!({"a": 1, "b": [2, 3]})),
            ("a2416101416202", json!({"a": 1, "b": 2})),
            ("bf61610161629f0203ffff", json!({"a": 1, "b": [2, 3]})),
        ] {
            assert_eq!(read(hex), Ok(value), "{hex}");
        }
    }

    #[test]
    fn what_json_has_no_place_for_is_refused() {
        let unusable = |what, at| Err(CborError::Unusable { what, at });
        for (hex, wrong) in [
            ("", Err(CborError::Truncated)),
            ("62c3", Err(CborError::Truncated)),
            ("9bffffffffffffffff", Err(CborError::Truncated)),
            ("9f01", Err(CborError::Truncated)),
            ("0000", Err(CborError::Trailing(1))),
            (
                "1bffffffffffffffff",
                unusable("an integer of more than 64 bits", 12),
            ),
            (
                "c249010000000000000000",
                unusable("a number that JSON has no place for", 4),
            ),
            ("f97e00", unusable("a number that is not finite", 6)),
            ("f7", unusable("a simple value that JSON doesn't have", 4)),
            ("a10001", unusable("a key that is no text", 5)),
            ("a2616101616102", unusable("a key that is there twice", 10)),
            ("61ff", unusable("a text that is not UTF-8", 5)),
            ("1c", unusable("a head that is not well-formed", 4)),
        ] {
            assert_eq!(read(hex), wrong, "{hex}");
        }
        let deep = "81".repeat(MAX_DEPTH + 2);
        assert!(matches!(read(&deep), Err(CborError::Unusable { .. })));
    }
}
