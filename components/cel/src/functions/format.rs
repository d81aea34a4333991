//! `format()` of version 2 of cel-go's library of texts, in its locale: English.
use super::printf::{plain, quoted};
use super::{Overload, Sig, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::types::Type;
use crate::value::Value;
use Sig::String;
use std::string::String as Owned;

/// Digits after the point where nothing else is said.
const PRECISION: usize = 6;
/// More digits than this are refused.
const MOST_DIGITS: usize = 1000;

/// A part of a template.
pub(crate) enum Piece<'t> {
    Text(&'t str),
    /// One value, or why the clause says nothing.
    Clause(Result<Clause, Owned>),
    /// A percent sign with nothing behind it.
    End,
}

/// How a value is written.
#[derive(Clone, Copy)]
pub(crate) struct Clause {
    verb: Verb,
    precision: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Plain,
    Decimal,
    Fixed,
    Scientific,
    Binary,
    Octal,
    Hexadecimal { upper: bool },
}

/// The parts of a template, as far as it can be read.
pub(crate) fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        let Some(behind) = rest.strip_prefix('%') else {
            if rest.is_empty() {
                return None;
            }
            let (text, further) = rest.split_at(rest.find('%').unwrap_or(rest.len()));
            rest = further;
            return Some(Piece::Text(text));
        };
        if let Some(further) = behind.strip_prefix('%') {
            rest = further;
            return Some(Piece::Text("%"));
        }
        rest = "";
        if behind.is_empty() {
            return Some(Piece::End);
        }
        Some(Piece::Clause(clause(behind).map(|(clause, further)| {
            rest = further;
            clause
        })))
    })
}

fn clause(text: &str) -> Result<(Clause, &str), Owned> {
    let wrong = |why: &str| Err(format!("could not parse formatting clause: {why}"));
    let (precision, text) = match text.strip_prefix('.') {
        None => (None, text),
        Some(behind) => {
            let Some(end) = behind.find(|c: char| !c.is_ascii_digit()) else {
                return wrong("error while parsing precision: could not find end of precision specifier");
            };
            let (digits, behind) = behind.split_at(end);
            let Ok(precision) = digits.parse() else {
                return wrong(&format!(
                    "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing {digits:?}: invalid syntax"
                ));
            };
            (Some(precision), behind)
        }
    };
    let Some(letter) = text.chars().next() else {
        return wrong("unrecognized formatting clause \"\"");
    };
    let verb = match letter {
        's' => Verb::Plain,
        'd' => Verb::Decimal,
        'f' => Verb::Fixed,
        'e' => Verb::Scientific,
        'b' => Verb::Binary,
        'o' => Verb::Octal,
        'x' | 'X' => Verb::Hexadecimal { upper: letter == 'X' },
        other => return wrong(&format!("unrecognized formatting clause \"{other}\"")),
    };
    Ok((Clause { verb, precision }, &text[letter.len_utf8()..]))
}

impl Clause {
    /// Whether values of a type can be written so; for [`Verb::Plain`] what is in lists and maps is looked at by the caller.
    pub fn takes(self, ty: &Type) -> bool {
        use Type as T;
        matches!(ty, T::Dyn | T::Var(_))
            || match self.verb {
                Verb::Plain => !matches!(ty, T::Object(_) | T::Optional(_) | T::Opaque(_)),
                Verb::Decimal | Verb::Octal => matches!(ty, T::Int | T::Uint),
                // Some numbers are named by texts.
                Verb::Fixed | Verb::Scientific => matches!(ty, T::Double | T::String),
                Verb::Binary => matches!(ty, T::Int | T::Uint | T::Bool),
                Verb::Hexadecimal { .. } => matches!(ty, T::Int | T::Uint | T::String | T::Bytes),
            }
    }

    pub fn is_plain(self) -> bool {
        self.verb == Verb::Plain
    }

    /// Why a type can't be written so.
    pub fn mismatch(self, ty: &Type) -> Owned {
        let rule = match self.verb {
            Verb::Plain => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
            }
            Verb::Decimal => "decimal clause can only be used on integers",
            Verb::Fixed => "fixed-point clause can only be used on doubles",
            Verb::Scientific => "scientific clause can only be used on doubles",
            Verb::Binary => "only integers and bools can be formatted as binary",
            Verb::Octal => "octal clause can only be used on integers",
            Verb::Hexadecimal { .. } => "only integers, byte buffers, and strings can be formatted as hex",
        };
        format!("error during formatting: {rule}, was given {}", ty.name())
    }

    fn write(self, value: &Value<'_>) -> Result<Owned, EvalError> {
        let mismatch = || EvalError::new(self.mismatch(&value.ty()));
        let based = |digits: fn(u128) -> Owned| {
            let whole = match value {
                Value::Int(number) => i128::from(*number),
                Value::Uint(number) => i128::from(*number),
                Value::Bool(truth) if self.verb == Verb::Binary => i128::from(*truth),
                _ => return Err(mismatch()),
            };
            let sign = if whole < 0 { "-" } else { "" };
            Ok(format!("{sign}{}", digits(whole.unsigned_abs())))
        };
        match self.verb {
            Verb::Plain if self.takes(&value.ty()) => top(value),
            Verb::Plain => Err(mismatch()),
            Verb::Decimal => based(|number| number.to_string()),
            Verb::Binary => based(|number| format!("{number:b}")),
            Verb::Octal => based(|number| format!("{number:o}")),
            Verb::Hexadecimal { upper } => {
                let text = match value {
                    Value::String(text) => hexadecimal(text.as_str().as_bytes()),
                    Value::Bytes(bytes) => hexadecimal(bytes),
                    _ => based(|number| format!("{number:x}"))?,
                };
                Ok(if upper { text.to_uppercase() } else { text })
            }
            Verb::Fixed | Verb::Scientific => {
                let number = match value {
                    Value::Double(number) => *number,
                    Value::String(text) => match text.as_str() {
                        "NaN" => f64::NAN,
                        "Infinity" => f64::INFINITY,
                        "-Infinity" => f64::NEG_INFINITY,
                        _ => return Err(mismatch()),
                    },
                    _ => return Err(mismatch()),
                };
                let precision = self.precision.unwrap_or(PRECISION);
                if precision > MOST_DIGITS {
                    return Err(EvalError::new("error during formatting: precision is too large"));
                }
                Ok(if !number.is_finite() {
                    infinite(number)
                } else if self.verb == Verb::Fixed {
                    grouped(&format!("{number:.precision$}"))
                } else {
                    // Upstream takes the precision for a width.
                    format!("{:>precision$}", scientific(number))
                })
            }
        }
    }
}

fn infinite(number: f64) -> Owned {
    if number.is_nan() {
        "NaN".into()
    } else if number > 0.0 {
        "∞".into()
    } else {
        "-∞".into()
    }
}

/// Commas between thousands.
fn grouped(text: &str) -> Owned {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut out = Owned::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// `1.052033 × 10⁰³`
fn scientific(number: f64) -> Owned {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let text = format!("{number:.PRECISION$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { "⁻" } else { "" };
    let exponent: Owned = format!("{:02}", exponent.unsigned_abs())
        .bytes()
        .map(|digit| DIGITS[usize::from(digit - b'0')])
        .collect();
    format!("{mantissa}\u{202f}×\u{202f}10{sign}{exponent}")
}

fn hexadecimal(bytes: &[u8]) -> Owned {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn top(value: &Value<'_>) -> Result<Owned, EvalError> {
    match value {
        _ if value.as_list().is_some() || value.is_map() => nested(value),
        Value::Bytes(bytes) if std::str::from_utf8(bytes).is_err() => Err(EvalError::new(
            "error during formatting: could not convert argument \"invalid UTF-8 in bytes, cannot convert to string\" to string",
        )),
        _ => Ok(plain(value)),
    }
}

/// A value in a list or map: as an expression would have it.
fn nested(value: &Value<'_>) -> Result<Owned, EvalError> {
    if let Some(list) = value.as_list() {
        let items: Vec<_> = list.iter().map(|item| nested(&item)).collect::<Result<_, _>>()?;
        return Ok(format!("[{}]", items.join(", ")));
    }
    Ok(match value {
        Value::Double(number) if !number.is_finite() => quoted(&plain(value)),
        Value::Double(number) => format!("{number:.PRECISION$}"),
        Value::String(text) => quoted(text.as_str()),
        Value::Bytes(_) => format!("b{}", quoted(&top(value)?)),
        Value::Timestamp(_) => format!("timestamp({})", quoted(&plain(value))),
        Value::Duration(_) => format!("duration({})", quoted(&plain(value))),
        _ if matches!(value.ty(), Type::Map(..)) => {
            let mut entries = Vec::new();
            for key in value.keys() {
                let entry = value.entry(&key).ok_or_else(no_such_overload)?;
                entries.push((nested(&key)?, nested(&entry)?));
            }
            entries.sort();
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, entry)| format!("{key}:{entry}"))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Type(_) => plain(value),
        other => {
            return Err(EvalError::new(format!(
                "error during formatting: no formatting function for {}",
                other.ty().name()
            )));
        }
    })
}

fn format_text<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (Some(template), Some(values)) = (args[0].as_str(), args[1].as_list()) else {
        return Err(no_such_overload());
    };
    let mut out = Owned::new();
    let mut values = values.iter().enumerate();
    let mut next = 0;
    for piece in pieces(template) {
        let clause = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Clause(clause) => Some(clause),
            Piece::End => None,
        };
        let Some((index, value)) = values.next() else {
            return Err(EvalError::new(format!("index {next} out of range")));
        };
        next = index + 1;
        let clause = clause.ok_or_else(|| EvalError::new("unexpected end of string"))?;
        out.push_str(&clause.map_err(EvalError::new)?.write(&value)?);
        if out.len() > super::strings::MAX_MADE {
            return Err(super::strings::too_long());
        }
    }
    Ok(Value::text(out))
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[(
    "format",
    method("format", &[String, Sig::List(&Sig::Dyn)], String, format_text),
)];
