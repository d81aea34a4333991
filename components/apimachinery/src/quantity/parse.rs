use super::{Format, NANO, ParseQuantityError, Quantity};

/// Parses `<sign><digits><suffix>`. What is finer than a nano is rounded away from zero, what is too large is capped.
pub(super) fn quantity(text: &str) -> Result<Quantity, ParseQuantityError> {
    let (negative, rest) = match text.as_bytes().first() {
        None => return Err(ParseQuantityError::FormatWrong),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (whole, rest) = rest.split_at(end);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if !suffix_shape(suffix) {
        return Err(ParseQuantityError::FormatWrong);
    }
    if whole.is_empty() && fraction.is_empty() {
        return Err(ParseQuantityError::FormatWrong);
    }
    let (factor, exponent, format) = unit(suffix)?;
    let signed = |nanos: i128| Quantity {
        nanos: if negative { -nanos } else { nanos },
        format,
    };
    // Nearly all quantities are whole numbers of something.
    if fraction.is_empty()
        && let Ok(number) = whole.parse::<u32>()
        && let Some(power) = POWERS_OF_TEN.get(usize::try_from(exponent + 9).unwrap_or(usize::MAX))
    {
        return Ok(signed((i128::from(number) * factor * power).min(CAP)));
    }
    let digits = format!("{whole}{fraction}");
    let nanos = scale(
        digits.trim_start_matches('0'),
        exponent - fraction.len() as i64 + 9,
        factor,
    );
    Ok(signed(nanos))
}

/// For suffixes up to `G`, larger ones are rare. The product of one of these, a 32-bit number and a factor fits 128 bits.
const POWERS_OF_TEN: [i128; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `[eEinumkKMGTP]*[-+]?[0-9]*`
fn suffix_shape(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// Binary factor and decimal exponent of a suffix.
fn unit(suffix: &str) -> Result<(i128, i64, Format), ParseQuantityError> {
    let binary = |power: u32| Ok((1i128 << (10 * power), 0, Format::BinarySi));
    let decimal = |exponent: i64| Ok((1, exponent, Format::DecimalSi));
    match suffix {
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
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
            let exponent = suffix.strip_prefix(['e', 'E']).and_then(|text| text.parse().ok());
            exponent
                .map(|exponent: i64| (1, exponent.clamp(-1000, 1000), Format::DecimalExponent))
                .ok_or(ParseQuantityError::Suffix)
        }
    }
}

/// Beyond this many nanos upstream caps a quantity (2⁶³-1 units).
const CAP: i128 = i64::MAX as i128 * NANO;

fn scale(digits: &str, exponent: i64, factor: i128) -> i128 {
    if digits.is_empty() {
        return 0;
    }
    // More digits than a nano needs only decide the rounding.
    let kept = if exponent < 0 {
        (digits.len() as i64 + exponent + 20).clamp(0, digits.len() as i64) as usize
    } else {
        digits.len()
    };
    let (head, tail) = digits.split_at(kept);
    let Ok(mut number) = (if head.is_empty() {
        Ok(0)
    } else {
        head.parse::<i128>()
    }) else {
        return CAP;
    };
    let exponent = exponent + tail.len() as i64;
    let mut rest = tail.bytes().any(|byte| byte != b'0');
    let Some(scaled) = number.checked_mul(factor) else {
        return CAP;
    };
    number = scaled;
    if exponent >= 0 {
        for _ in 0..exponent {
            match number.checked_mul(10) {
                Some(next) if next <= CAP => number = next,
                _ => return CAP,
            }
        }
    } else {
        for _ in exponent..0 {
            rest |= number % 10 != 0;
            number /= 10;
        }
    }
    (number + i128::from(rest)).min(CAP)
}
