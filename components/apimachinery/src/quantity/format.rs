use super::{Format, NANO, Quantity};
use std::fmt;

const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

pub(super) fn write(quantity: &Quantity, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if quantity.is_zero() {
        return f.write_str("0");
    }
    let format = match quantity.format {
        // Less than a Ki, or with a fraction, a binary quantity is written in decimal.
        Format::BinarySi if quantity.nanos.abs() < 1024 * NANO || quantity.nanos % NANO != 0 => {
            Format::DecimalSi
        }
        format => format,
    };
    if format == Format::BinarySi {
        let mut number = quantity.nanos / NANO;
        let mut power = 0;
        while number % 1024 == 0 && power + 1 < BINARY.len() {
            number /= 1024;
            power += 1;
        }
        return write!(f, "{number}{}", BINARY[power]);
    }
    let mut number = quantity.nanos;
    let mut exponent = -9;
    while number % 1000 == 0 && (format == Format::DecimalExponent || exponent < LARGEST_SUFFIX) {
        number /= 1000;
        exponent += 3;
    }
    write!(f, "{number}")?;
    write_suffix(f, format, exponent)
}

/// The exponent of `E`.
pub(super) const LARGEST_SUFFIX: i64 = 18;

/// The suffix of a decimal number. The exponent is a multiple of three, and none that there is no suffix for.
pub(super) fn write_suffix(out: &mut dyn fmt::Write, format: Format, exponent: i64) -> fmt::Result {
    match format {
        Format::DecimalExponent if exponent == 0 => Ok(()),
        Format::DecimalExponent => write!(out, "e{exponent}"),
        _ => {
            let index = usize::try_from(exponent / 3 + 3).ok();
            out.write_str(
                index
                    .and_then(|index| DECIMAL.get(index))
                    .copied()
                    .unwrap_or_default(),
            )
        }
    }
}
