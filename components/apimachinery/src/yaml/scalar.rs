//! What a plain scalar stands for.
use serde_json::{Number, Value};

/// A scalar that is no text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(Number),
    Float(f64),
    /// `<<`, whose value's entries are taken over.
    Merge,
}

impl Scalar {
    /// What a plain scalar stands for; `None` for a text.
    pub(super) fn of(text: &str) -> Option<Self> {
        let Some(first) = text.bytes().next() else {
            return Some(Self::Null);
        };
        // Most texts are told from everything else by how they begin.
        match first {
            b'+' | b'-' | b'0'..=b'9' | b'.' => special(text).or_else(|| number(text)),
            b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' | b'<' => {
                special(text)
            }
            _ => None,
        }
    }

    /// As JSON has it. Infinity and what is no number have no form there.
    pub(super) fn into_value(self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(number) => Value::Number(number),
            Self::Float(value) => of_float(value)?,
            Self::Merge => Value::String("<<".to_owned()),
        })
    }
}

/// Go writes floats that are whole without a point, so that they are read as integers.
fn of_float(value: f64) -> Option<Value> {
    // Below this all whole floats are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return Some(Value::from(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}

fn special(text: &str) -> Option<Scalar> {
    Some(match text {
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Scalar::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Scalar::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        "<<" => Scalar::Merge,
        _ => return None,
    })
}

fn number(text: &str) -> Option<Scalar> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes() {
        [b'-', ..] => (true, &plain[1..]),
        [b'+', ..] => (false, &plain[1..]),
        _ => (false, &plain[..]),
    };
    if let Some(magnitude) = magnitude(digits) {
        let number = if negative {
            i64::try_from(-i128::from(magnitude)).ok().map(Number::from)
        } else {
            Some(Number::from(magnitude))
        };
        if let Some(number) = number {
            return Some(Scalar::Int(number));
        }
    }
    is_float(digits)
        .then(|| plain.parse().ok())
        .flatten()
        .filter(|value: &f64| value.is_finite())
        .map(Scalar::Float)
}

/// An integer as Go writes them: a leading zero makes it octal.
fn magnitude(digits: &str) -> Option<u64> {
    let in_base = |digits: &str, base: u32| {
        let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
        plain.then(|| u64::from_str_radix(digits, base).ok()).flatten()
    };
    match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => in_base(&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => in_base(&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => in_base(&digits[2..], 2),
        [b'0', _, ..] => in_base(&digits[1..], 8),
        _ => in_base(digits, 10),
    }
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?`, or the same beginning with the point.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa = all_digits(whole) && all_digits(part) && !(whole.is_empty() && part.is_empty());
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa && exponent
}

/// Whether it looks like a number of base 60, which version 1.1 has and Go's reader doesn't.
pub(super) fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |byte: u8| byte.is_ascii_digit();
    let Some((first, rest)) = body.split_once(':') else {
        return false;
    };
    let starts = first.bytes().next().is_some_and(digits);
    let place = |place: &str| {
        let (whole, part) = place.split_once('.').unwrap_or((place, ""));
        (1..=2).contains(&whole.len())
            && whole.bytes().all(digits)
            && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    };
    starts && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') && rest.split(':').all(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_are_those_of_version_1_1() {
        let value = |text: &str| Scalar::of(text).map(|scalar| scalar.into_value().unwrap());
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("y", json!(true)),
            ("off", json!(false)),
            ("N", json!(false)),
            ("0", json!(0)),
            ("0644", json!(420)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("-0b11", json!(-3)),
            ("+12", json!(12)),
            ("1_000", json!(1000)),
            ("18446744073709551615", json!(18446744073709551615u64)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551616", json!(18446744073709551616f64)),
            ("08", json!(8)),
            ("1.5", json!(1.5)),
            ("1.0", json!(1)),
            ("1e3", json!(1000)),
            (".5", json!(0.5)),
            ("-.5e-1", json!(-0.05)),
        ] {
            assert_eq!(value(text), Some(expected), "{text:?}");
        }
        for text in [
            "a",
            "yess",
            "nO",
            "oN",
            "tRUE",
            "1.2.3",
            "12:30:45",
            "1e",
            "0x",
            "0b2",
            "1e400",
            "-",
            "+",
            ".",
            "..",
            "2026-01-01",
            "10m",
            "1Gi",
            "0.0.0.0",
            "e3",
            "inf",
            "nan",
            "0xg",
            "--1",
            "+-1",
            "_",
            "_1",
        ] {
            assert_eq!(Scalar::of(text), None, "{text:?}");
        }
        assert_eq!(Scalar::of(".inf").unwrap().into_value(), None);
        assert_eq!(Scalar::of("<<"), Some(Scalar::Merge));
    }

    #[test]
    fn numbers_of_base_60_are_known() {
        for (text, expected) in [
            ("12:30:45", true),
            ("1:2.5", true),
            ("-1:23", true),
            ("a:1", false),
            ("12", false),
            ("1:234", false),
            ("1:", false),
        ] {
            assert_eq!(is_base_60(text), expected, "{text}");
        }
    }
}
