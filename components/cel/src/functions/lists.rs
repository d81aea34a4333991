//! Kubernetes' functions over lists.
use super::numbers::{bounded, compare};
use super::{Overload, Sig, equal, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::Value;
use Sig::{A, Bool, Double, Duration, Int, Timestamp, Uint};
use std::cmp::Ordering;

type Answer<'a> = Result<Value<'a>, EvalError>;

fn is_sorted<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let mut previous: Option<Value<'a>> = None;
    for item in list.iter() {
        if previous.is_some_and(|previous| compare(&previous, &item) == Some(Ordering::Greater)) {
            return Ok(Value::Bool(false));
        }
        previous = Some(item);
    }
    Ok(Value::Bool(true))
}

fn extreme<'a>(args: &[Value<'a>], wanted: Ordering, name: &str) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        let better = match &best {
            None => true,
            // What is no number is neither more nor less.
            Some(best) => compare(&item, best) == Some(wanted),
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(|| EvalError::new(format!("{name} called on empty list")))
}

fn sum<'a>(zero: Value<'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let mut total = zero;
    for item in list.iter() {
        total = match (total, item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(
                a.checked_add(b)
                    .ok_or_else(|| EvalError::new("integer overflow"))?,
            ),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(
                a.checked_add(b)
                    .ok_or_else(|| EvalError::new("unsigned integer overflow"))?,
            ),
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => bounded(a.checked_add(b))?,
            _ => return Err(no_such_overload()),
        };
    }
    Ok(total)
}

macro_rules! ordered {
    ($name:literal, $result:ident, $run:expr) => {
        [
            (
                $name,
                method("list", &[Sig::List(&Int)], pick!($result, Int), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Uint)], pick!($result, Uint), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Double)], pick!($result, Double), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Bool)], pick!($result, Bool), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Sig::String)], pick!($result, String), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Sig::Bytes)], pick!($result, Bytes), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Timestamp)], pick!($result, Timestamp), $run),
            ),
            (
                $name,
                method("list", &[Sig::List(&Duration)], pick!($result, Duration), $run),
            ),
        ]
    };
}

macro_rules! pick {
    (bool, $item:ident) => {
        Sig::Bool
    };
    (item, $item:ident) => {
        Sig::$item
    };
}

type Row = (&'static str, Overload);

static SORTED: [Row; 8] = ordered!("isSorted", bool, is_sorted);
static MIN: [Row; 8] = ordered!("min", item, |_, args| extreme(args, Ordering::Less, "min"));
static MAX: [Row; 8] = ordered!("max", item, |_, args| extreme(args, Ordering::Greater, "max"));
static OTHERS: [Row; 6] = [
    (
        "sum",
        method("list", &[Sig::List(&Int)], Int, |_, args| {
            sum(Value::Int(0), args)
        }),
    ),
    (
        "sum",
        method("list", &[Sig::List(&Uint)], Uint, |_, args| {
            sum(Value::Uint(0), args)
        }),
    ),
    (
        "sum",
        method("list", &[Sig::List(&Double)], Double, |_, args| {
            sum(Value::Double(0.0), args)
        }),
    ),
    (
        "sum",
        method("list", &[Sig::List(&Duration)], Duration, |_, args| {
            sum(Value::Duration(jiff::SignedDuration::ZERO), args)
        }),
    ),
    (
        "indexOf",
        method("list", &[Sig::List(&A), A], Int, |_, args| {
            let list = args[0].as_list().ok_or_else(no_such_overload)?;
            let found = list.iter().position(|item| equal(&item, &args[1]));
            Ok(Value::Int(found.map_or(-1, |found| found as i64)))
        }),
    ),
    (
        "lastIndexOf",
        method("list", &[Sig::List(&A), A], Int, |_, args| {
            let list = args[0].as_list().ok_or_else(no_such_overload)?;
            let found = (0..list.len())
                .rev()
                .find(|index| list.get(*index).is_some_and(|item| equal(&item, &args[1])));
            Ok(Value::Int(found.map_or(-1, |found| found as i64)))
        }),
    ),
];

/// All of them, in groups.
pub(super) static GROUPS: [&[Row]; 4] = [&SORTED, &MIN, &MAX, &OTHERS];
