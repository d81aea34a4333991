//! `format()` and `strings.quote()`.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{Opaque, Value};
use Sig::String;

/// A value as texts have it, without quotes.
pub(crate) fn plain(value: &Value<'_>) -> std::string::String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => double(*number),
        Value::String(text) => text.as_str().to_owned(),
        Value::Bytes(bytes) => std::string::String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(time) => crate::time::format_timestamp(*time),
        Value::Duration(duration) => crate::time::format_duration(*duration),
        Value::Type(ty) => ty.to_string(),
        Value::Optional(None) => "optional.none()".into(),
        Value::Optional(Some(value)) => format!("optional({})", plain(value)),
        Value::Opaque(Opaque::Ip(ip)) => ip.to_string(),
        Value::Opaque(Opaque::Cidr(cidr)) => cidr.to_string(),
        Value::Opaque(Opaque::Quantity(quantity)) => quantity.to_string(),
        Value::Opaque(Opaque::Url(_, text)) => text.to_string(),
        Value::Opaque(Opaque::Version(version)) => version.to_string(),
        Value::Opaque(_) | Value::Lazy(_) => value.opaque_name().unwrap_or_default().to_owned(),
        Value::List(_) | Value::Map(_) | Value::Json(..) => nested(value),
    }
}

fn double(number: f64) -> std::string::String {
    if number.is_nan() {
        "NaN".into()
    } else if number.is_infinite() {
        if number > 0.0 {
            "+Inf".into()
        } else {
            "-Inf".into()
        }
    } else if number != 0.0 && (number.abs() < 1e-4 || number.abs() >= 1e21) {
        let text = format!("{number:e}");
        // Go writes at least two digits of the exponent, and its sign.
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        format!("{mantissa}e{sign}{digits:0>2}")
    } else {
        number.to_string()
    }
}

fn nested(value: &Value<'_>) -> std::string::String {
    if let Some(list) = value.as_list() {
        let items: Vec<_> = list.iter().map(|item| plain(&item)).collect();
        return format!("[{}]", items.join(", "));
    }
    let mut entries: Vec<_> = value
        .keys()
        .into_iter()
        .map(|key| {
            let entry = value.entry(&key).map(|entry| plain(&entry)).unwrap_or_default();
            format!("{}: {entry}", plain(&key))
        })
        .collect();
    entries.sort();
    format!("{{{}}}", entries.join(", "))
}

fn format_text<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (Some(template), Some(values)) = (args[0].as_str(), args[1].as_list()) else {
        return Err(no_such_overload());
    };
    let mut out = std::string::String::new();
    let mut chars = template.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = std::string::String::new();
            while let Some(digit) = chars.peek().filter(|c| c.is_ascii_digit()) {
                digits.push(*digit);
                chars.next();
            }
            let number: usize = digits
                .parse()
                .map_err(|_| EvalError::new("error during formatting: invalid precision"))?;
            if number > 1000 {
                return Err(EvalError::new("error during formatting: precision is too large"));
            }
            precision = Some(number);
        }
        let Some(verb) = chars.next() else {
            return Err(EvalError::new(
                "could not parse formatting clause: unexpected end of string",
            ));
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.get(next) else {
            return Err(EvalError::new(format!("index {next} out of range")));
        };
        next += 1;
        out.push_str(&clause(verb, precision, &value)?);
        if out.len() > super::strings::MAX_MADE {
            return Err(super::strings::too_long());
        }
    }
    Ok(Value::text(out))
}

fn clause(verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<std::string::String, EvalError> {
    let wrong = |kinds: &str| {
        EvalError::new(format!(
            "error during formatting: {verb} clause can only be used on {kinds}, was given {}",
            value.ty()
        ))
    };
    let number = match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    };
    let whole = match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        Value::Bool(truth) if verb == 'b' => Some(i128::from(*truth)),
        _ => None,
    };
    let signed = |digits: std::string::String| {
        if whole.is_some_and(|number| number < 0) {
            format!("-{digits}")
        } else {
            digits
        }
    };
    let magnitude = whole.map(i128::unsigned_abs);
    Ok(match verb {
        's' => plain(value),
        'd' => match (whole, value) {
            (Some(number), _) => number.to_string(),
            (None, Value::Double(number)) if !number.is_finite() => double(*number),
            _ => return Err(wrong("integers")),
        },
        'f' => format!(
            "{:.*}",
            precision.unwrap_or(6),
            number.ok_or_else(|| wrong("doubles"))?
        ),
        'e' => {
            let text = format!(
                "{:.*e}",
                precision.unwrap_or(6),
                number.ok_or_else(|| wrong("doubles"))?
            );
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        'b' => signed(format!(
            "{:b}",
            magnitude.ok_or_else(|| wrong("integers and bools"))?
        )),
        'o' => signed(format!("{:o}", magnitude.ok_or_else(|| wrong("integers"))?)),
        'x' | 'X' => {
            let text = match (magnitude, value) {
                (Some(magnitude), _) => signed(format!("{magnitude:x}")),
                (None, Value::String(text)) => hexadecimal(text.as_str().as_bytes()),
                (None, Value::Bytes(bytes)) => hexadecimal(bytes),
                _ => return Err(wrong("integers, byte buffers, and strings")),
            };
            if verb == 'X' { text.to_uppercase() } else { text }
        }
        other => {
            return Err(EvalError::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    })
}

fn hexadecimal(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "format",
        method("format", &[String, Sig::List(&Sig::Dyn)], String, format_text),
    ),
    (
        "strings.quote",
        function("quote", &[String], String, |_, args| {
            args[0]
                .as_str()
                .map(|text| Value::text(apimachinery::field::quote(text)))
                .ok_or_else(no_such_overload)
        }),
    ),
];
