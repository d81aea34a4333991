//! Numbers read from texts as Go's `strconv` reads them.

/// `ParseInt` of base 10.
pub fn int(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `ParseUint` of base 10, which takes no sign.
pub fn uint(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// `ParseFloat`: also hexadecimal, with underscores between digits, and by name. What is too large is no number.
pub fn double(text: &str) -> Option<f64> {
    if let Some(named) = named(text) {
        return Some(named);
    }
    if !separated(text) {
        return None;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => hexadecimal(digits)?,
        // Other readers know more names and signs.
        None if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => digits.parse().ok()?,
        None => return None,
    };
    number
        .is_finite()
        .then_some(if negative { -number } else { number })
}

/// Infinity may have a sign, what is no number has none.
fn named(text: &str) -> Option<f64> {
    let (sign, name) = match text.strip_prefix('-') {
        Some(name) => (-1.0, name),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    text.eq_ignore_ascii_case("nan").then_some(f64::NAN)
}

/// Whether underscores stand between digits, or between a prefix and a digit.
fn separated(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (rest, is_hexadecimal) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], true),
        Some("0b" | "0B" | "0o" | "0O") => (&digits[2..], false),
        _ => (digits, false),
    };
    let mut after_digit = rest.len() < digits.len();
    let mut after_underscore = false;
    for c in rest.chars() {
        let is_digit = c.is_ascii_digit() || is_hexadecimal && c.is_ascii_hexdigit();
        if c == '_' && !after_digit || after_underscore && !is_digit {
            return false;
        }
        after_digit = is_digit;
        after_underscore = c == '_';
    }
    !after_underscore
}

/// Hexadecimal digits with a point, and an exponent of two that has to be there.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = text.split_once(['p', 'P'])?;
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Further digits make no difference.
    const FAR: i64 = 1 << 40;
    let size = exponent_digits.parse().unwrap_or(FAR).min(FAR);
    let mut exponent = if exponent.starts_with('-') { -size } else { size };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa: u128 = 0;
    let mut more = false;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u128::from(digit.to_digit(16)?);
        let in_fraction = index >= whole.len();
        if mantissa >> 120 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if in_fraction { 4 } else { 0 };
        } else {
            more |= digit != 0;
            exponent += if in_fraction { 0 } else { 4 };
        }
    }
    // What was left out decides only between equals.
    Some(scaled(mantissa << 1 | u128::from(more), exponent - 1))
}

/// `mantissa` times a power of two, rounded to the nearest, of equals to the even one.
fn scaled(mantissa: u128, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = i64::from(128 - mantissa.leading_zeros());
    let top = exponent + bits - 1;
    if top > 1023 {
        return f64::INFINITY;
    }
    // Numbers below the least exponent have fewer digits.
    let kept = 53.min(top + 1075);
    if kept < 0 {
        return 0.0;
    }
    let cut = bits - kept;
    let (mantissa, exponent) = if cut > 0 {
        let rest = mantissa & ((1 << cut) - 1);
        let half = 1u128 << (cut - 1);
        let whole = mantissa >> cut;
        let up = rest > half || rest == half && whole & 1 == 1;
        (whole + u128::from(up), exponent + cut)
    } else {
        (mantissa, exponent)
    };
    // Both factors are exact, and so is their product unless it is too large.
    let half = exponent / 2;
    mantissa as f64 * power(half) * power(exponent - half)
}

/// A power of two whose exponent a normal number can have.
fn power(exponent: i64) -> f64 {
    u64::try_from(exponent + 1023).map_or(0.0, |biased| f64::from_bits(biased << 52))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("7", Some(7)),
            ("+7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1_000", None),
            ("0x10", None),
            (" 1", None),
            ("", None),
        ] {
            assert_eq!(int(text), expected, "{text}");
        }
        for (text, expected) in [
            ("7", Some(7)),
            ("+7", None),
            ("-7", None),
            ("18446744073709551615", Some(u64::MAX)),
        ] {
            assert_eq!(uint(text), expected, "{text}");
        }
    }

    #[test]
    fn doubles() {
        for (text, expected) in [
            ("1.5", 1.5),
            ("+1.5", 1.5),
            ("-.5", -0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1e-400", 0.0),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("0x1p-2", 0.25),
            ("0X1.8P1", 3.0),
            ("-0x.8p0", -0.5),
            ("0x_1_2.3_4_5p+1_2", 74565.0),
            ("0x1.fffffffffffffp1023", f64::MAX),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.00000000000008p0", 1.0),
            (
                "0x1.000000000000080000000000000000000001p0",
                1.000_000_000_000_000_2,
            ),
            ("0x1.00000000000018p0", 1.000_000_000_000_000_4),
            ("0x0p99999999999999999999", 0.0),
            ("iNf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(double(text), Some(expected), "{text}");
        }
        assert!(double("NaN").is_some_and(f64::is_nan));
        for text in [
            "", ".", "e5", "1e", "1e400", "-1e400", "0x1p1024", "0x1", "0xp1", "0x1p", "0x1p+", "+nan",
            "infin", "1__2", "_1", "1_", "1_.5", "1._5", "1e_5", "1 ", "--1", "+-1", "0b1", "1d",
        ] {
            assert_eq!(double(text), None, "{text}");
        }
    }
}
