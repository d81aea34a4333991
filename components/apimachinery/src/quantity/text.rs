//! The text that objects have of a quantity. It is found from the digits, so that no amount is too large for it.
use super::parse::{self, Base, Parts, cut};
use super::{Format, ParseQuantityError, Precision};
use crate::quantity::format::{LARGEST_SUFFIX, write_suffix};
use std::borrow::Cow;

/// What a text is written as. Upstream doesn't write one anew that it takes for canonical: one of few digits, the last not
/// zeros, whose suffix it has (`+5` and `1E3` stay).
pub fn canonical(text: &str, precision: Precision) -> Result<Cow<'_, str>, ParseQuantityError> {
    let parts = parse::parts(text)?;
    if parts.are_kept(precision) {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(match parts.quantity() {
        Some(quantity) => quantity.rounded_up(precision).to_string(),
        None => parts.decimal_text(precision),
    }))
}

impl Parts<'_> {
    fn are_kept(&self, precision: Precision) -> bool {
        /// As many digits surely fit 64 bits.
        const DIGITS: usize = 18;
        let digits = self.whole.len().max(1) + self.fraction.len();
        match self.unit.base {
            Base::Ten => {
                let exponent = i64::from(self.unit.exponent) - self.fraction.len() as i64;
                let mut last = self
                    .fraction
                    .bytes()
                    .rev()
                    .chain(self.whole.bytes().rev())
                    .take(3);
                digits <= DIGITS
                    && exponent >= precision.exponent()
                    && exponent % 3 == 0
                    && !self.whole.is_empty()
                    && (digits < 3 || last.any(|digit| digit != b'0'))
            }
            // So many digits, shifted, surely fit 64 bits.
            Base::Two => {
                let room = 14 - self.unit.exponent * 3 / 10;
                let last = self.whole.bytes().last().unwrap_or(b'0');
                self.fraction.is_empty()
                    && usize::try_from(room).is_ok_and(|room| digits <= room)
                    && !self.is_multiple_of_eight(last)
            }
        }
    }

    /// Of a whole number with this last digit.
    fn is_multiple_of_eight(&self, last: u8) -> bool {
        last.is_multiple_of(2) && self.whole.parse::<u64>().map_or(0, |number| number % 8) == 0
    }

    /// The canonical text of a decimal number other than zero, of any size.
    fn decimal_text(&self, precision: Precision) -> String {
        let all = format!("{}{}", self.whole, self.fraction);
        let mut exponent = i64::from(self.unit.exponent) - self.fraction.len() as i64;
        let beyond = (precision.exponent() - exponent).max(0);
        let (kept, finer) = cut(all.trim_start_matches('0'), beyond.unsigned_abs());
        exponent += beyond;
        let mut number = kept.to_owned();
        if finer {
            number = successor(&number);
        }
        let zeros = number.len() - number.trim_end_matches('0').len();
        number.truncate(number.len() - zeros);
        exponent += zeros as i64;
        let mut short = exponent.rem_euclid(3);
        // Upstream leaves the suffix out where there is none large enough, which makes it another amount.
        if self.unit.format == Format::DecimalSi {
            short = short.max(exponent - LARGEST_SUFFIX);
        }
        number.extend(std::iter::repeat_n('0', usize::try_from(short).unwrap_or(0)));
        let mut text = if self.negative { "-" } else { "" }.to_owned();
        text.push_str(&number);
        // Writing to a text doesn't fail.
        let _ = write_suffix(&mut text, self.unit.format, exponent - short);
        text
    }
}

/// The next whole number.
fn successor(digits: &str) -> String {
    let nines = digits.len() - digits.trim_end_matches('9').len();
    let (head, last) = digits[..digits.len() - nines].split_at((digits.len() - nines).saturating_sub(1));
    let next = last.parse::<u8>().unwrap_or(0) + 1;
    format!("{head}{next}{}", "0".repeat(nines))
}
