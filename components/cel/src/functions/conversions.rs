//! `int()`, `string()` and the like.
use super::{Overload, Sig, function, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::go_numbers;
use crate::instant::Instant;
use crate::types::Type;
use crate::value::{Opaque, Value};
use Sig::{Bool, Bytes, Double, Duration, Dyn, Int, Timestamp, Uint};

const RANGE: &str = "integer overflow";

/// The first number that is no signed integer.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

type Answer<'a> = Result<Value<'a>, EvalError>;

fn int<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let number = match &args[0] {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) => (*number > -TWO_TO_63 && *number < TWO_TO_63).then_some(*number as i64),
        Value::String(text) => {
            let read = go_numbers::int(text.as_str());
            return read.map(Value::Int).ok_or_else(|| not_parsed("int"));
        }
        Value::Timestamp(time) => Some(time.as_second()),
        Value::Duration(duration) => i64::try_from(duration.as_nanos()).ok(),
        _ => return Err(no_such_overload()),
    };
    number.map(Value::Int).ok_or_else(|| EvalError::new(RANGE))
}

/// A text is not what is wanted.
fn not_parsed(what: &str) -> EvalError {
    EvalError::new(format!("type conversion error from 'string' to '{what}'"))
}

fn uint<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let number = match &args[0] {
        Value::Uint(number) => Some(*number),
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Double(number) => (*number >= 0.0 && *number < 2.0 * TWO_TO_63).then_some(*number as u64),
        Value::String(text) => {
            let read = go_numbers::uint(text.as_str());
            return read.map(Value::Uint).ok_or_else(|| not_parsed("uint"));
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
        Value::String(text) => go_numbers::double(text.as_str()).ok_or_else(|| not_parsed("double"))?,
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
            _ => Err(not_parsed("bool")),
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

fn timestamp_overflow() -> EvalError {
    EvalError::new("timestamp overflow")
}

fn timestamp<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Timestamp(_) => Ok(args[0].clone()),
        Value::String(text) => Instant::parse(text.as_str())
            .map_err(|_| not_parsed("google.protobuf.Timestamp"))?
            .map(Value::Timestamp)
            .ok_or_else(timestamp_overflow),
        Value::Int(seconds) => Instant::from_unix(*seconds, 0)
            .map(Value::Timestamp)
            .ok_or_else(timestamp_overflow),
        _ => Err(no_such_overload()),
    }
}

fn duration<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    match &args[0] {
        Value::Duration(_) => Ok(args[0].clone()),
        Value::String(text) => crate::time::parse_duration(text.as_str())
            .map(Value::Duration)
            .ok_or_else(|| not_parsed("google.protobuf.Duration")),
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
