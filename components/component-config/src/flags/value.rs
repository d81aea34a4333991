//! Values of flags as pflag reads them, for flags that are ignored: what upstream refuses to start with is a mistake here
//! as well.

use super::parse_duration;
use std::num::IntErrorKind;

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    /// A whole number.
    Int,
    /// One that isn't below zero.
    Uint,
    Duration,
    /// A duration that isn't negative.
    Timeout,
    /// An amount such as `64Ki`.
    Quantity,
    Text,
}

/// Why a value is none of its kind, in the words of Go's libraries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    #[error("strconv.{function}: parsing {value:?}: {reason}")]
    Number {
        function: &'static str,
        value: String,
        reason: &'static str,
    },
    #[error("time: invalid duration {0:?}")]
    Duration(String),
    #[error("it can not be negative value")]
    Negative,
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Quantity,
}

const BOOLEANS: &[&str] = &[
    "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False",
];

const UNITS: &[&str] = &[
    "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
];

impl Kind {
    /// What the flag means without a value; nothing if it needs one.
    pub(super) fn bare(self) -> Option<&'static str> {
        (self == Self::Bool).then_some("true")
    }

    pub(super) fn check(self, value: &str) -> Result<(), BadValue> {
        let number = |function, reason| BadValue::Number {
            function,
            value: value.to_owned(),
            reason,
        };
        match self {
            Self::Text => Ok(()),
            Self::Bool if BOOLEANS.contains(&value) => Ok(()),
            Self::Bool => Err(number("ParseBool", "invalid syntax")),
            Self::Int => {
                let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
                whole(digits, i64::MAX.unsigned_abs()).map_err(|reason| number("ParseInt", reason))
            }
            Self::Uint => whole(value, u64::MAX).map_err(|reason| number("ParseUint", reason)),
            Self::Duration => {
                let length = value.strip_prefix(['-', '+']).unwrap_or(value);
                let read = parse_duration(length);
                read.map(drop).map_err(|_| BadValue::Duration(value.to_owned()))
            }
            Self::Timeout => {
                Self::Duration.check(value)?;
                let is_negative =
                    value.starts_with('-') && value.contains(|digit| ('1'..='9').contains(&digit));
                if is_negative {
                    Err(BadValue::Negative)
                } else {
                    Ok(())
                }
            }
            Self::Quantity if is_quantity(value) => Ok(()),
            Self::Quantity => Err(BadValue::Quantity),
        }
    }
}

/// Digits in the base that their prefix says.
fn whole(digits: &str, largest: u64) -> Result<(), &'static str> {
    let prefixes = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let prefixed = prefixes
        .iter()
        .find_map(|(prefix, base)| Some((digits.strip_prefix(prefix)?, *base)));
    let (digits, base) = match prefixed {
        Some(found) => found,
        None if digits.starts_with('0') && digits.len() > 1 => (&digits[1..], 8),
        None => (digits, 10),
    };
    match u64::from_str_radix(digits, base) {
        _ if digits.starts_with('+') => Err("invalid syntax"),
        Ok(number) if number <= largest => Ok(()),
        Ok(_) => Err("value out of range"),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err("value out of range"),
        Err(_) => Err("invalid syntax"),
    }
}

fn is_quantity(value: &str) -> bool {
    let number = value.strip_prefix(['-', '+']).unwrap_or(value);
    let end = number
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(number.len());
    let (number, unit) = number.split_at(end);
    let exponent = unit
        .strip_prefix(['e', 'E'])
        .is_some_and(|power| power.parse::<i32>().is_ok());
    number.parse::<f64>().is_ok() && (exponent || UNITS.contains(&unit))
}
