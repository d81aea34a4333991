//! Quantities as whole numbers of a unit; fractions round up, as everywhere in Kubernetes.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in units of one; what cannot be read counts as nothing.
pub fn value(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 0).unwrap_or(0)
}

/// The quantity in thousandths.
pub fn milli_value(quantity: &Quantity) -> i64 {
    scaled(&quantity.0, 3).unwrap_or(0)
}

/// `text` times ten to the power of `scale`, rounded away from zero and saturated.
fn scaled(text: &str, scale: i32) -> Option<i64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = body
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(body.len());
    let (number, suffix) = body.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (binary, exponent) = match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?),
    };
    let fraction = &fraction[..fraction.len().min(18)];
    let mut digits: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        digits = digits.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let mut ten = exponent
        .checked_add(scale)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    digits = digits
        .checked_mul(1i128.checked_shl(binary)?)
        .unwrap_or(i128::MAX);
    while ten > 0 {
        digits = digits.saturating_mul(10);
        ten -= 1;
        if digits > i128::from(i64::MAX) || digits == 0 {
            break;
        }
    }
    while ten < 0 {
        digits = digits / 10 + i128::from(digits % 10 != 0);
        ten += 1;
        if digits == 0 || (digits == 1 && ten < 0) {
            break;
        }
    }
    let value = i64::try_from(digits).unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_in_units_and_thousandths() {
        for (text, units, thousandths) in [
            ("1", 1, 1000),
            ("100m", 1, 100),
            ("1500m", 2, 1500),
            ("0.5", 1, 500),
            ("1Gi", 1 << 30, (1 << 30) * 1000),
            ("1.5Ki", 1536, 1_536_000),
            ("2k", 2000, 2_000_000),
            ("1e3", 1000, 1_000_000),
            ("12E", i64::MAX, i64::MAX),
            ("1n", 1, 1),
            ("-3", -3, -3000),
            ("0", 0, 0),
            ("", 0, 0),
            ("x", 0, 0),
            ("1.2.3", 0, 0),
        ] {
            let quantity = Quantity(text.to_owned());
            assert_eq!(
                (value(&quantity), milli_value(&quantity)),
                (units, thousandths),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-+0-9.eEkKmMGiTPnu]{0,24}") {
            let quantity = Quantity(text);
            let _ = (value(&quantity), milli_value(&quantity));
        }
    }
}
