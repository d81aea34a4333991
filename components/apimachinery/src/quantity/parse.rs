use super::{Format, MAX, NANO, ParseQuantityError, Quantity};

/// A text taken apart.
pub(super) struct Parts<'a> {
    pub(super) negative: bool,
    /// Without leading zeros.
    pub(super) whole: &'a str,
    pub(super) fraction: &'a str,
    pub(super) unit: Unit,
}

/// What a suffix multiplies with.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) base: Base,
    pub(super) exponent: i32,
    pub(super) format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Two,
    Ten,
}

/// Parses `<sign><digits><suffix>`. What is finer than a nano is rounded away from zero, what is too large is capped.
pub(super) fn quantity(text: &str) -> Result<Quantity, ParseQuantityError> {
    let parts = parts(text)?;
    Ok(parts.quantity().unwrap_or(Quantity {
        nanos: if parts.negative { -MAX } else { MAX },
        format: parts.unit.format,
    }))
}

/// All that looks like a quantity is one: a part that isn't there is zero, as upstream has it.
pub(super) fn parts(text: &str) -> Result<Parts<'_>, ParseQuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        None => return Err(ParseQuantityError::FormatWrong),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let (whole, rest) = digits(rest.trim_start_matches('0'));
    let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), digits);
    if !suffix_shape(suffix) {
        return Err(ParseQuantityError::FormatWrong);
    }
    Ok(Parts {
        negative,
        whole,
        fraction,
        unit: unit(suffix)?,
    })
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn suffix_shape(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn unit(suffix: &str) -> Result<Unit, ParseQuantityError> {
    let of = |base, exponent, format| {
        Ok(Unit {
            base,
            exponent,
            format,
        })
    };
    let binary = |exponent| of(Base::Two, exponent, Format::BinarySi);
    let decimal = |exponent| of(Base::Ten, exponent, Format::DecimalSi);
    match suffix {
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']);
            let exponent: Option<i64> = exponent.and_then(|text| text.parse().ok());
            // Upstream too keeps the lower bits of what is beyond 32.
            exponent.map_or(Err(ParseQuantityError::Suffix), |exponent| {
                of(Base::Ten, exponent as i32, Format::DecimalExponent)
            })
        }
    }
}

impl Parts<'_> {
    /// `None` for what has more digits than amounts have.
    pub(super) fn quantity(&self) -> Option<Quantity> {
        let nanos = match self.unit.base {
            Base::Ten => self.decimal_nanos()?,
            Base::Two => self.binary_nanos(),
        };
        let format = match self.unit.format {
            Format::BinarySi if (1..NANO).contains(&nanos) => Format::DecimalSi,
            format => format,
        };
        Some(Quantity {
            nanos: if self.negative { -nanos } else { nanos },
            format,
        })
    }

    fn decimal_nanos(&self) -> Option<i128> {
        // Nearly all quantities are whole numbers of something.
        if self.fraction.is_empty()
            && let Ok(number) = self.whole.parse::<u32>()
            && let Some(power) = usize::try_from(i64::from(self.unit.exponent) + 9)
                .ok()
                .and_then(|exponent| POWERS_OF_TEN.get(exponent))
        {
            return Some(i128::from(number) * power);
        }
        let all = format!("{}{}", self.whole, self.fraction);
        let exponent = i64::from(self.unit.exponent) - self.fraction.len() as i64 + 9;
        let (kept, finer) = cut(&all, exponent.min(0).unsigned_abs());
        let kept = kept.trim_start_matches('0');
        let number = if kept.is_empty() {
            0
        } else {
            kept.parse::<i128>().ok()?
        };
        let number = number + i128::from(finer);
        if number == 0 || exponent <= 0 {
            return Some(number).filter(|nanos| *nanos <= MAX);
        }
        10i128
            .checked_pow(u32::try_from(exponent).ok()?)
            .and_then(|power| number.checked_mul(power))
            .filter(|nanos| *nanos <= MAX)
    }

    /// Those are capped by upstream too.
    fn binary_nanos(&self) -> i128 {
        const CAP: i128 = i64::MAX as i128;
        let shift = self.unit.exponent;
        let whole = if self.whole.is_empty() {
            0
        } else {
            self.whole.parse::<i64>().map_or(CAP, i128::from)
        };
        // The fraction is multiplied as on paper, however long it is: from its last digit.
        let mut carry = 0;
        let mut nanos = 0;
        let mut finer = false;
        for (place, digit) in self.fraction.bytes().enumerate().rev() {
            let product = (i128::from(digit - b'0') << shift) + carry;
            carry = product / 10;
            match 8usize.checked_sub(place) {
                Some(power) => nanos += product % 10 * POWERS_OF_TEN[power],
                None => finer |= product % 10 != 0,
            }
        }
        let whole = ((whole << shift) + carry).min(CAP);
        (whole * NANO + nanos + i128::from(finer)).min(CAP * NANO)
    }
}

/// Digits without their last so many, and whether one of those counts.
pub(super) fn cut(digits: &str, last: u64) -> (&str, bool) {
    let last = usize::try_from(last).unwrap_or(usize::MAX);
    let (kept, rest) = digits.split_at(digits.len().saturating_sub(last));
    (kept, rest.bytes().any(|digit| digit != b'0'))
}

/// For suffixes up to `G`, larger ones are rare. The product of one of these and a 32-bit number fits 128 bits.
const POWERS_OF_TEN: [i128; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};
