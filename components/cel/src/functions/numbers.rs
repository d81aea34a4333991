//! Arithmetic and comparison.
use super::{Overload, Sig, equal, function, no_such_overload};
use crate::evaluate::EvalError;
use crate::value::Value;
use Sig::{A, Bool, Double, Duration, Int, Timestamp, Uint};
use std::cmp::Ordering;

type Row = (&'static str, Overload);

fn overflow(what: &'static str) -> EvalError {
    EvalError::new(match what {
        "int" => "integer overflow",
        "uint" => "unsigned integer overflow",
        "timestamp" => "timestamp overflow",
        // Durations are integers.
        _ => "integer overflow",
    })
}

macro_rules! whole {
    ($function:literal, $checked:ident, $zero:expr) => {
        [
            (
                $function,
                function("int", &[Int, Int], Int, |_, args| match (&args[0], &args[1]) {
                    (_, Value::Int(0)) if $zero.is_some() => Err(EvalError::new($zero.unwrap_or_default())),
                    (Value::Int(a), Value::Int(b)) => {
                        a.$checked(*b).map(Value::Int).ok_or_else(|| overflow("int"))
                    }
                    _ => Err(no_such_overload()),
                }),
            ),
            (
                $function,
                function("uint", &[Uint, Uint], Uint, |_, args| {
                    match (&args[0], &args[1]) {
                        (_, Value::Uint(0)) if $zero.is_some() => {
                            Err(EvalError::new($zero.unwrap_or_default()))
                        }
                        (Value::Uint(a), Value::Uint(b)) => {
                            a.$checked(*b).map(Value::Uint).ok_or_else(|| overflow("uint"))
                        }
                        _ => Err(no_such_overload()),
                    }
                }),
            ),
        ]
    };
}

macro_rules! double {
    ($function:literal, $operator:tt) => {
        (
            $function,
            function("double", &[Double, Double], Double, |_, args| match (&args[0], &args[1]) {
                (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a $operator b)),
                _ => Err(no_such_overload()),
            }),
        )
    };
}

const NO_ZERO: Option<&str> = None;
static ADD: [Row; 2] = whole!("_+_", checked_add, NO_ZERO);
static SUBTRACT: [Row; 2] = whole!("_-_", checked_sub, NO_ZERO);
static MULTIPLY: [Row; 2] = whole!("_*_", checked_mul, NO_ZERO);
static DIVIDE: [Row; 2] = whole!("_/_", checked_div, Some("division by zero"));
static MODULO: [Row; 2] = whole!("_%_", checked_rem, Some("modulus by zero"));

macro_rules! comparison {
    ($function:literal, $test:expr) => {
        [
            compared($function, "number", &[Int, Int], $test),
            compared($function, "number", &[Int, Double], $test),
            compared($function, "number", &[Int, Uint], $test),
            compared($function, "number", &[Uint, Uint], $test),
            compared($function, "number", &[Uint, Double], $test),
            compared($function, "number", &[Uint, Int], $test),
            compared($function, "number", &[Double, Double], $test),
            compared($function, "number", &[Double, Int], $test),
            compared($function, "number", &[Double, Uint], $test),
            compared($function, "bool", &[Bool, Bool], $test),
            compared($function, "text", &[Sig::String, Sig::String], $test),
            compared($function, "text", &[Sig::Bytes, Sig::Bytes], $test),
            compared($function, "time", &[Timestamp, Timestamp], $test),
            compared($function, "time", &[Duration, Duration], $test),
        ]
    };
}

const fn compared(
    name: &'static str,
    id: &'static str,
    params: &'static [Sig],
    run: super::Implementation,
) -> Row {
    (name, function(id, params, Bool, run))
}

/// The order of two values; `None` when they have none, as with NaN.
pub(crate) fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Uint(a), Value::Double(b)) => (*a as f64).partial_cmp(b),
        (Value::Double(a), Value::Uint(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b.as_str())),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

static LESS: [Row; 14] = comparison!("_<_", |_, args| Ok(Value::Bool(
    compare(&args[0], &args[1]) == Some(Ordering::Less)
)));
static LESS_EQUAL: [Row; 14] = comparison!("_<=_", |_, args| Ok(Value::Bool(
    compare(&args[0], &args[1]).is_some_and(Ordering::is_le)
)));
static GREATER: [Row; 14] = comparison!("_>_", |_, args| Ok(Value::Bool(
    compare(&args[0], &args[1]) == Some(Ordering::Greater)
)));
static GREATER_EQUAL: [Row; 14] = comparison!("_>=_", |_, args| Ok(Value::Bool(
    compare(&args[0], &args[1]).is_some_and(Ordering::is_ge)
)));

static OTHERS: [Row; 15] = [
    double!("_+_", +),
    double!("_-_", -),
    double!("_*_", *),
    double!("_/_", /),
    (
        "_==_",
        function("equals", &[A, A], Bool, |_, args| {
            Ok(Value::Bool(equal(&args[0], &args[1])))
        }),
    ),
    (
        "_!=_",
        function("not_equals", &[A, A], Bool, |_, args| {
            Ok(Value::Bool(!equal(&args[0], &args[1])))
        }),
    ),
    (
        "!_",
        function("not", &[Bool], Bool, |_, args| match args[0] {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            _ => Err(no_such_overload()),
        }),
    ),
    (
        "-_",
        function("int", &[Int], Int, |_, args| match args[0] {
            Value::Int(number) => number
                .checked_neg()
                .map(Value::Int)
                .ok_or_else(|| overflow("int")),
            _ => Err(no_such_overload()),
        }),
    ),
    (
        "-_",
        function("double", &[Double], Double, |_, args| match args[0] {
            Value::Double(number) => Ok(Value::Double(-number)),
            _ => Err(no_such_overload()),
        }),
    ),
    (
        "_+_",
        function("time", &[Timestamp, Duration], Timestamp, |_, args| {
            shifted(&args[0], &args[1], 1)
        }),
    ),
    (
        "_+_",
        function("time", &[Duration, Timestamp], Timestamp, |_, args| {
            shifted(&args[1], &args[0], 1)
        }),
    ),
    (
        "_+_",
        function("time", &[Duration, Duration], Duration, |_, args| {
            match (&args[0], &args[1]) {
                (Value::Duration(a), Value::Duration(b)) => bounded(a.checked_add(*b)),
                _ => Err(no_such_overload()),
            }
        }),
    ),
    (
        "_-_",
        function("time", &[Timestamp, Duration], Timestamp, |_, args| {
            shifted(&args[0], &args[1], -1)
        }),
    ),
    (
        "_-_",
        function("time", &[Duration, Duration], Duration, |_, args| {
            match (&args[0], &args[1]) {
                (Value::Duration(a), Value::Duration(b)) => bounded(a.checked_sub(*b)),
                _ => Err(no_such_overload()),
            }
        }),
    ),
    (
        "_-_",
        function("time", &[Timestamp, Timestamp], Duration, |_, args| {
            match (&args[0], &args[1]) {
                (Value::Timestamp(a), Value::Timestamp(b)) => bounded(Some(a.duration_since(*b))),
                _ => Err(no_such_overload()),
            }
        }),
    ),
];

/// A duration has to fit 64 bits of nanoseconds.
pub(super) fn bounded<'a>(duration: Option<jiff::SignedDuration>) -> Result<Value<'a>, EvalError> {
    duration
        .filter(|duration| i64::try_from(duration.as_nanos()).is_ok())
        .map(Value::Duration)
        .ok_or_else(|| overflow("duration"))
}

fn shifted<'a>(time: &Value<'a>, by: &Value<'a>, sign: i32) -> Result<Value<'a>, EvalError> {
    let (Value::Timestamp(time), Value::Duration(by)) = (time, by) else {
        return Err(no_such_overload());
    };
    let by = if sign < 0 { by.checked_neg() } else { Some(*by) };
    by.and_then(|by| time.checked_add(by))
        .map(Value::Timestamp)
        .ok_or_else(|| overflow("timestamp"))
}

/// All of them, in groups.
pub(super) static GROUPS: [&[Row]; 10] = [
    &ADD,
    &SUBTRACT,
    &MULTIPLY,
    &DIVIDE,
    &MODULO,
    &LESS,
    &LESS_EQUAL,
    &GREATER,
    &GREATER_EQUAL,
    &OTHERS,
];
