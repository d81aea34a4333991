//! Exact decimal quantities: `500m`, `1Gi`, `1e3`.
mod format;
mod parse;
mod text;

pub use text::canonical;

use serde_json::Value;
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// How a quantity is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// `1Ki`.
    BinarySi,
    /// `1k`.
    #[default]
    DecimalSi,
    /// `1e3`.
    DecimalExponent,
}

/// An amount of something, exact to a nano. It saturates at some 10²⁹, which is larger than any real resource; the
/// text of what is larger stays what it is (see [`canonical`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// The text is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    FormatWrong,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;

/// The largest amount, in nanos: a whole number.
const MAX: i128 = i128::MAX / NANO * NANO;

/// How fine a quantity may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Nano,
    /// That of resource lists.
    Milli,
    Whole,
}

impl Precision {
    /// As a power of ten.
    fn exponent(self) -> i64 {
        match self {
            Self::Nano => -9,
            Self::Milli => -3,
            Self::Whole => 0,
        }
    }

    fn nanos(self) -> i128 {
        match self {
            Self::Nano => 1,
            Self::Milli => 1_000_000,
            Self::Whole => NANO,
        }
    }
}

impl Quantity {
    /// A whole number.
    pub const fn new(value: i64) -> Self {
        Self {
            nanos: value as i128 * NANO,
            format: Format::DecimalSi,
        }
    }

    /// A number of thousandths.
    pub const fn from_millis(millis: i64) -> Self {
        Self {
            nanos: millis as i128 * 1_000_000,
            format: Format::DecimalSi,
        }
    }

    /// A number of bytes, written in binary units.
    pub const fn from_bytes(bytes: i64) -> Self {
        Self {
            nanos: bytes as i128 * NANO,
            format: Format::BinarySi,
        }
    }

    /// The same amount, written in another way.
    pub const fn with_format(self, format: Format) -> Self {
        Self {
            nanos: self.nanos,
            format,
        }
    }

    /// Reads a quantity out of JSON: a text, or a number.
    pub fn from_json(value: &Value) -> Result<Self, ParseQuantityError> {
        match value {
            Value::String(text) => text.trim().parse(),
            Value::Number(number) => number.to_string().parse(),
            _ => Err(ParseQuantityError::FormatWrong),
        }
    }

    /// The amount rounded away from zero to a whole number.
    pub fn value(&self) -> i64 {
        self.scaled(Precision::Whole)
    }

    /// The amount in thousandths, rounded away from zero.
    pub fn millis(&self) -> i64 {
        self.scaled(Precision::Milli)
    }

    /// The nearest double.
    pub fn approximate(&self) -> f64 {
        // Digits and an exponent are always read as a number.
        format!("{}e-9", self.nanos).parse().unwrap_or(f64::NAN)
    }

    /// The next amount away from zero that isn't finer, written in the same way.
    pub fn rounded_up(self, precision: Precision) -> Self {
        let unit = precision.nanos();
        Self {
            nanos: away_from_zero(self.nanos, unit).saturating_mul(unit),
            format: self.format,
        }
    }

    fn scaled(&self, precision: Precision) -> i64 {
        let whole = away_from_zero(self.nanos, precision.nanos());
        i64::try_from(whole).unwrap_or(if whole < 0 { i64::MIN } else { i64::MAX })
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether there is a part smaller than `1 / per_unit`, which must divide 10⁹.
    pub fn is_finer_than(&self, per_unit: i64) -> bool {
        self.nanos % (NANO / i128::from(per_unit)) != 0
    }
}

fn away_from_zero(number: i128, unit: i128) -> i128 {
    let rest = number % unit;
    number / unit + rest.signum()
}

/// So that a sum that is too large is a whole number.
fn within(nanos: i128) -> i128 {
    nanos.clamp(-MAX, MAX)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}
impl Add for Quantity {
    type Output = Self;
    /// The format of a zero gives way to the other's.
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self {
            nanos: within(self.nanos.saturating_add(other.nanos)),
            format,
        }
    }
}
impl Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
impl Neg for Quantity {
    type Output = Self;
    fn neg(self) -> Self {
        Self {
            nanos: -self.nanos,
            format: self.format,
        }
    }
}
impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), Add::add)
    }
}
impl std::str::FromStr for Quantity {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::quantity(text)
    }
}
impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that allows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        format::write(self, f)
    }
}

#[cfg(test)]
mod tests;
