//! Values as Go prints and writes them.
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Number, Value};
use std::io;

/// `%v` of a value decoded into an `interface{}`.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number),
        Value::Array(items) => format!("[{}]", items.iter().map(print).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            format!(
                "map[{}]",
                entries
                    .into_iter()
                    .map(|(key, value)| format!("{key}:{}", print(value)))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        }
        other => other.to_string(),
    }
}

/// `%v` of a number: fractions with an exponent if that is below -4 or above 5.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() => float_text(float),
        _ => number.to_string(),
    }
}

/// As few digits as tell the number from others, as `strconv.FormatFloat` gives them in the format `g`.
pub fn float_text(float: f64) -> String {
    match Decimal::shortest(float) {
        None if float.is_nan() => "NaN".to_owned(),
        None => format!("{}Inf", if float > 0.0 { '+' } else { '-' }),
        Some(decimal) if (-4..6).contains(&decimal.exponent) => decimal.plain(),
        Some(decimal) => decimal.scientific(2),
    }
}

/// `-d.ddd` times a power of ten.
struct Decimal {
    is_negative: bool,
    /// Without zeros at either end, but for the one of zero.
    digits: String,
    exponent: i32,
}

impl Decimal {
    /// As few digits as tell the number from others. Where two have as few and are as near, the even one, as in Go; the
    /// standard library here takes the larger. `None` for what is no number.
    fn shortest(float: f64) -> Option<Self> {
        let text = Number::from_f64(float)?.to_string();
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text.as_str()),
        };
        let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let significant = all.trim_start_matches('0');
        if significant.is_empty() {
            let (digits, exponent) = ("0".to_owned(), 0);
            return Some(Self {
                is_negative,
                digits,
                exponent,
            });
        }
        let point = i32::try_from(whole.len()).ok()? - i32::try_from(all.len() - significant.len()).ok()?;
        Some(Self {
            is_negative,
            digits: significant.trim_end_matches('0').to_owned(),
            exponent: point - 1 + power.parse::<i32>().ok()?,
        })
    }

    fn sign(&self) -> &'static str {
        if self.is_negative { "-" } else { "" }
    }

    fn plain(&self) -> String {
        let (sign, digits) = (self.sign(), self.digits.as_str());
        let Ok(last) = usize::try_from(self.exponent) else {
            let zeros = self.exponent.unsigned_abs() as usize - 1;
            return format!("{sign}0.{}{digits}", "0".repeat(zeros));
        };
        match digits.split_at_checked(last + 1) {
            Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
            _ => format!("{sign}{digits:0<width$}", width = last + 1),
        }
    }

    /// With at least so many digits of the exponent.
    fn scientific(&self, least: usize) -> String {
        let (first, rest) = self.digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let direction = if self.exponent < 0 { '-' } else { '+' };
        let exponent = self.exponent.unsigned_abs();
        format!(
            "{}{first}{point}{rest}e{direction}{exponent:0least$}",
            self.sign()
        )
    }
}

/// `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_print(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{7f}' => false,
        // Rust escapes the same when it prints a text for debugging, but for marks without a letter before them.
        c => ['a', c].iter().collect::<String>().escape_debug().nth(1) == Some(c),
    }
}

/// `%#v` of a value decoded into an `interface{}`: as a Go program would have it.
pub fn syntax(value: &Value) -> String {
    let joined = |all: Vec<String>| all.join(", ");
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!(
            "[]interface {{}}{{{}}}",
            joined(items.iter().map(syntax).collect())
        ),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", syntax(value)));
            format!("map[string]interface {{}}{{{}}}", joined(entries.collect()))
        }
        other => other.to_string(),
    }
}

/// `%T` of a value decoded into an `interface{}`.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
        Value::Null => "<nil>",
    }
}

/// JSON as Go writes it: what browsers might take for markup is escaped.
pub fn json(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Numbers);
    // Writing what is made of texts and numbers can't fail.
    let _ = value.serialize(&mut serializer);
    let mut text = String::from_utf8(text).unwrap_or_default();
    for (plain, code) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        if text.contains(plain) {
            text = text.replace(plain, code);
        }
    }
    text
}

/// JSON without white space and with Go's numbers.
struct Numbers;

impl Formatter for Numbers {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(json_float(value).as_bytes())
    }

    fn write_u64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        writer.write_all(json_number(&value.into()).as_bytes())
    }
}

/// A number as Go writes it in JSON: one without a fraction has no point, and what an `int64` doesn't hold is a `float64`.
pub(crate) fn json_number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if !number.is_i64() => json_float(float),
        _ => number.to_string(),
    }
}

fn json_float(float: f64) -> String {
    match Decimal::shortest(float) {
        None => float.to_string(),
        Some(decimal) if (-6..21).contains(&decimal.exponent) => decimal.plain(),
        Some(decimal) => decimal.scientific(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_letter_sign_or_space_is_not_printed() {
        for (c, expected) in [
            ('a', true),
            (' ', true),
            ('~', true),
            ('\u{f6}', true),
            ('\u{301}', true),
            ('\u{1f600}', true),
            ('\u{fffd}', true),
            ('\0', false),
            ('\u{7f}', false),
            ('\u{85}', false),
            ('\u{a0}', false),
            ('\u{200b}', false),
            ('\u{2028}', false),
            ('\u{e000}', false),
            ('\u{10ffff}', false),
        ] {
            assert_eq!(is_print(c), expected, "{c:?}");
        }
    }

    #[test]
    fn numbers_are_texts() {
        for (number, printed, written) in [
            (json!(5), "5", "5"),
            (json!(1.0), "1", "1"),
            (json!(1.10), "1.1", "1.1"),
            (json!(-0.0), "-0", "-0"),
            (json!(123456.5), "123456.5", "123456.5"),
            (json!(1234567.5), "1.2345675e+06", "1234567.5"),
            (json!(0.0001), "0.0001", "0.0001"),
            (json!(0.00001), "1e-05", "0.00001"),
            (json!(1e-7), "1e-07", "1e-7"),
            (json!(1e20), "1e+20", "100000000000000000000"),
            (json!(1e21), "1e+21", "1e+21"),
            (json!(-1.5e300), "-1.5e+300", "-1.5e+300"),
            (json!(0.0), "0", "0"),
            (json!(1e-6), "1e-06", "0.000001"),
            (json!(9.5e-7), "9.5e-07", "9.5e-7"),
            (json!(100.0), "100", "100"),
            // As near to ...13, but that is odd.
            (
                json!(1.0 + 2f64.powi(-17)),
                "1.0000076293945312",
                "1.0000076293945312",
            ),
            (json!(u64::MAX), "1.8446744073709552e+19", "18446744073709552000"),
        ] {
            assert_eq!(print(&number), printed);
            assert_eq!(super::json(&number), written);
        }
    }

    #[test]
    fn what_is_no_number_has_a_name() {
        for (float, expected) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float_text(float), expected);
        }
    }

    proptest::proptest! {
        /// The standard library takes other digits now and then, never more of them.
        #[test]
        fn digits_are_the_fewest_that_tell_the_number(float in proptest::num::f64::NORMAL) {
            let written = json_float(float);
            proptest::prop_assert_eq!(written.parse(), Ok(float));
            let digits = |text: &str| {
                let mantissa = text.split('e').next().unwrap_or(text).replace(['-', '.'], "");
                mantissa.trim_matches('0').len()
            };
            proptest::prop_assert_eq!(digits(&written), digits(&format!("{float:e}")));
        }
    }
}
