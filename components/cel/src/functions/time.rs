//! Parts of timestamps and durations.
use super::{Overload, Sig, method, no_such_overload};
use crate::evaluate::EvalError;
use crate::value::Value;
use Sig::{Duration, Int, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

fn zone(name: &str) -> Result<TimeZone, EvalError> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return TimeZone::get(name).map_err(|_| EvalError::new(format!("unknown time zone {name}")));
    };
    let number = |text: &str| {
        text.parse::<i32>().map_err(|_| {
            let text = apimachinery::field::quote(text);
            EvalError::new(format!("strconv.Atoi: parsing {text}: invalid syntax"))
        })
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minutes = if name.starts_with('-') { -minutes } else { minutes };
    let seconds = hours
        .saturating_mul(3600)
        .saturating_add(minutes.saturating_mul(60));
    Offset::from_seconds(seconds)
        .map(TimeZone::fixed)
        .map_err(|_| EvalError::new(format!("unknown time zone {name}")))
}

fn part<'a>(args: &[Value<'a>], read: fn(&DateTime) -> i64) -> Result<Value<'a>, EvalError> {
    let Value::Timestamp(time) = args[0] else {
        return Err(no_such_overload());
    };
    let zone = zone(args.get(1).and_then(Value::as_str).unwrap_or(""))?;
    let local = time
        .in_zone(&zone)
        .ok_or_else(|| EvalError::new("timestamp overflow"))?;
    Ok(Value::Int(read(&local)))
}

fn total<'a>(args: &[Value<'a>], nanos: i128) -> Result<Value<'a>, EvalError> {
    match args[0] {
        Value::Duration(duration) => Ok(Value::Int((duration.as_nanos() / nanos) as i64)),
        _ => Err(no_such_overload()),
    }
}

macro_rules! part {
    ($name:literal, $read:expr) => {
        ($name, method("", &[Timestamp], Int, |_, args| part(args, $read)))
    };
    ($name:literal, zone, $read:expr) => {
        (
            $name,
            method("", &[Timestamp, Sig::String], Int, |_, args| part(args, $read)),
        )
    };
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    part!("getFullYear", |at| i64::from(at.year())),
    part!("getFullYear", zone, |at| i64::from(at.year())),
    part!("getMonth", |at| i64::from(at.month()) - 1),
    part!("getMonth", zone, |at| i64::from(at.month()) - 1),
    part!("getDate", |at| i64::from(at.day())),
    part!("getDate", zone, |at| i64::from(at.day())),
    part!("getDayOfMonth", |at| i64::from(at.day()) - 1),
    part!("getDayOfMonth", zone, |at| i64::from(at.day()) - 1),
    part!("getDayOfWeek", |at| i64::from(
        at.weekday().to_sunday_zero_offset()
    )),
    part!("getDayOfWeek", zone, |at| i64::from(
        at.weekday().to_sunday_zero_offset()
    )),
    part!("getDayOfYear", |at| i64::from(at.day_of_year()) - 1),
    part!("getDayOfYear", zone, |at| i64::from(at.day_of_year()) - 1),
    part!("getHours", |at| i64::from(at.hour())),
    part!("getHours", zone, |at| i64::from(at.hour())),
    part!("getMinutes", |at| i64::from(at.minute())),
    part!("getMinutes", zone, |at| i64::from(at.minute())),
    part!("getSeconds", |at| i64::from(at.second())),
    part!("getSeconds", zone, |at| i64::from(at.second())),
    part!("getMilliseconds", |at| i64::from(at.millisecond())),
    part!("getMilliseconds", zone, |at| i64::from(at.millisecond())),
    (
        "getHours",
        method("", &[Duration], Int, |_, args| total(args, 3_600_000_000_000)),
    ),
    (
        "getMinutes",
        method("", &[Duration], Int, |_, args| total(args, 60_000_000_000)),
    ),
    (
        "getSeconds",
        method("", &[Duration], Int, |_, args| total(args, 1_000_000_000)),
    ),
    (
        "getMilliseconds",
        method("", &[Duration], Int, |_, args| total(args, 1_000_000)),
    ),
];
