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
    let mut power = 0;
    while number % 1000 == 0 && power + 1 < DECIMAL.len() {
        number /= 1000;
        power += 1;
    }
    match format {
        Format::DecimalExponent if power == 3 => write!(f, "{number}"),
        Format::DecimalExponent => write!(f, "{number}e{}", (power as i64 - 3) * 3),
        _ => write!(f, "{number}{}", DECIMAL[power]),
    }
}
