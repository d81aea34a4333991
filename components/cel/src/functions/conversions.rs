//! `int()`, `string()` and the like.
use super::{Overload, Sig, function, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::types::Type;
use crate::value::{Opaque, Value};
use Sig::{Bool, Bytes, Double, Duration, Dyn, Int, Timestamp, Uint};

const RANGE: &str = "integer overflow";

type Answer<'a> = Result<Value<'a>, EvalError>;

fn int<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let number = match &args[0] {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) => (*number > -9.223_372_036_854_775e18 && *number < 9.223_372_036_854_775e18)
            .then_some(*number as i64),
        Value::String(text) => {
            return text
                .as_str()
                .parse()
                .map(Value::Int)
                .map_err(|_| not_parsed("int", text.as_str()));
        }
        Value::Timestamp(time) => Some(time.as_second()),
        Value::Duration(duration) => i64::try_from(duration.as_nanos()).ok(),
        _ => return Err(no_such_overload()),
    };
    number.map(Value::Int).ok_or_else(|| EvalError::new(RANGE))
}

fn not_parsed(what: &str, text: &str) -> EvalError {
    EvalError::new(format!("cannot convert '{text}' to {what}"))
}

fn uint<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let number = match &args[0] {
        Value::Uint(number) => Some(*number),
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Double(number) => {
            (*number >= 0.0 && *number < 1.844_674_407_370_955e19).then_some(*number as u64)
        }
        Value::String(text) => {
            return text
                .as_str()
                .parse()
                .map(Value::Uint)
                .map_err(|_| not_parsed("uint", text.as_str()));
        }
        _ => return Err(no_such_overload()),
    };
    number
        .map(Value::Uint)
        .ok_or_else(|| EvalError::new("unsigned integer overflow"))
}

fn double<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::Double(match &args[0] {
        Value::Double(number) => *number,
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::String(text) => text
            .as_str()
            .parse()
            .map_err(|_| not_parsed("double", text.as_str()))?,
        _ => return Err(no_such_overload()),
    }))
}

fn string<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(match &args[0] {
        Value::String(_) => args[0].clone(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return Err(EvalError::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Opaque(Opaque::Ip(ip)) => Value::text(ip.to_string()),
        Value::Opaque(Opaque::Cidr(cidr)) => Value::text(cidr.to_string()),
        Value::Opaque(Opaque::Quantity(quantity)) => Value::text(quantity.to_string()),
        other => Value::text(super::printf::plain(other)),
    })
}

fn boolean<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Bool(_) => Ok(args[0].clone()),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(not_parsed("bool", other)),
        },
        _ => Err(no_such_overload()),
    }
}

fn bytes<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Bytes(_) => Ok(args[0].clone()),
        Value::String(text) => Ok(Value::Bytes(text.as_str().as_bytes().into())),
        _ => Err(no_such_overload()),
    }
}

fn timestamp<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Timestamp(_) => Ok(args[0].clone()),
        Value::String(text) => apimachinery::time::parse_time(text.as_str())
            .ok()
            .and_then(apimachinery::time::Moment::timestamp)
            .map(Value::Timestamp)
            .ok_or_else(|| {
                EvalError::new(format!(
                    "cannot convert '{}' to google.protobuf.Timestamp",
                    text.as_str()
                ))
            }),
        Value::Int(seconds) => jiff::Timestamp::from_second(*seconds)
            .map(Value::Timestamp)
            .map_err(|_| EvalError::new("timestamp overflow")),
        _ => Err(no_such_overload()),
    }
}

fn duration<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Duration(_) => Ok(args[0].clone()),
        Value::String(text) => crate::time::parse_duration(text.as_str())
            .map(Value::Duration)
            .ok_or_else(|| {
                EvalError::new(format!(
                    "cannot convert '{}' to google.protobuf.Duration",
                    text.as_str()
                ))
            }),
        Value::Int(nanos) => Ok(Value::Duration(jiff::SignedDuration::from_nanos(*nanos))),
        _ => Err(no_such_overload()),
    }
}

fn same<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(args[0].clone())
}

/// The type as a value. Texts of a type are told by [`Type`]'s own form.
fn type_of<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    Ok(Value::Type(match args[0].ty() {
        Type::Object(object) => Type::Object(object),
        other => other,
    }))
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    ("int", function("", &[Int], Int, int)),
    ("int", function("", &[Uint], Int, int)),
    ("int", function("", &[Double], Int, int)),
    ("int", function("", &[Sig::String], Int, int)),
    ("int", function("", &[Timestamp], Int, int)),
    ("int", function("", &[Duration], Int, int)),
    ("uint", function("", &[Uint], Uint, uint)),
    ("uint", function("", &[Int], Uint, uint)),
    ("uint", function("", &[Double], Uint, uint)),
    ("uint", function("", &[Sig::String], Uint, uint)),
    ("double", function("", &[Double], Double, double)),
    ("double", function("", &[Int], Double, double)),
    ("double", function("", &[Uint], Double, double)),
    ("double", function("", &[Sig::String], Double, double)),
    ("string", function("", &[Sig::String], Sig::String, string)),
    ("string", function("scalar", &[Bool], Sig::String, string)),
    ("string", function("scalar", &[Int], Sig::String, string)),
    ("string", function("scalar", &[Uint], Sig::String, string)),
    ("string", function("scalar", &[Double], Sig::String, string)),
    (
        "string",
        function("bytes_to_string", &[Bytes], Sig::String, string),
    ),
    ("string", function("scalar", &[Timestamp], Sig::String, string)),
    ("string", function("scalar", &[Duration], Sig::String, string)),
    (
        "string",
        function("scalar", &[Sig::Opaque("net.IP")], Sig::String, string),
    ),
    (
        "string",
        function("scalar", &[Sig::Opaque("net.CIDR")], Sig::String, string),
    ),
    ("bool", function("", &[Bool], Bool, boolean)),
    ("bool", function("", &[Sig::String], Bool, boolean)),
    ("bytes", function("", &[Bytes], Bytes, bytes)),
    ("bytes", function("string_to_bytes", &[Sig::String], Bytes, bytes)),
    ("timestamp", function("", &[Timestamp], Timestamp, timestamp)),
    ("timestamp", function("", &[Sig::String], Timestamp, timestamp)),
    ("timestamp", function("", &[Int], Timestamp, timestamp)),
    ("duration", function("", &[Duration], Duration, duration)),
    ("duration", function("", &[Sig::String], Duration, duration)),
    ("duration", function("", &[Int], Duration, duration)),
    ("dyn", function("", &[Sig::A], Dyn, same)),
    ("type", function("", &[Sig::A], Sig::Type, type_of)),
];
