//! cel-go's functions over lists, in its third version: Kubernetes has them since v1.34.
use super::numbers::compare;
use super::{Overload, Sig, equal, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::Value;
use Sig::{A, Int};
use std::cmp::Ordering;

/// The minor of version 1 that they came with.
const SINCE: u32 = 34;
/// A list that is made has at most this many elements.
const MOST: usize = 10_000_000;

type Answer<'a> = Result<Value<'a>, EvalError>;
type Row = (&'static str, Overload);

const LIST: Sig = Sig::List(&A);

const fn row(name: &'static str, overload: Overload) -> Row {
    let overload = Overload {
        since: SINCE,
        ..overload
    };
    (name, overload)
}

fn number(value: &Value<'_>) -> Result<i64, EvalError> {
    match value {
        Value::Int(number) => Ok(*number),
        _ => Err(no_such_overload()),
    }
}

fn slice<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let (start, end) = (number(&args[1])?, number(&args[2])?);
    let wrong = |why: String| Err(EvalError::new(format!("cannot slice({start}, {end}), {why}")));
    let (Ok(first), Ok(last)) = (usize::try_from(start), usize::try_from(end)) else {
        return wrong("negative indexes not supported".into());
    };
    if first > last {
        return wrong("start index must be less than or equal to end index".into());
    }
    if last > list.len() {
        return wrong(format!("list is length {}", list.len()));
    }
    Ok(Value::list(
        (first..last).filter_map(|index| list.get(index)).collect(),
    ))
}

/// Nested lists may be the same one many times, so that looking through them is not bounded by what was paid for them: `left` are
/// the elements that may be looked at.
fn flatten_into<'a>(
    out: &mut Vec<Value<'a>>,
    left: &mut usize,
    list: &Value<'a>,
    depth: i64,
) -> Result<(), EvalError> {
    for item in list.as_list().ok_or_else(no_such_overload)?.iter() {
        *left = left.checked_sub(1).ok_or_else(EvalError::budget)?;
        if depth > 0 && item.as_list().is_some() {
            flatten_into(out, left, &item, depth - 1)?;
        } else {
            out.push(item);
        }
    }
    Ok(())
}

fn flatten<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let depth = args.get(1).map_or(Ok(1), number)?;
    if depth < 0 {
        return Err(EvalError::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    flatten_into(&mut out, &mut affordable(scratch), &args[0], depth)?;
    Ok(Value::list(out))
}

fn affordable(scratch: &Scratch<'_, '_>) -> usize {
    usize::try_from(scratch.left()).unwrap_or(MOST).min(MOST)
}

/// Everything is compared with everything, which is paid for before it is done.
fn distinct<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    if (list.len() as u64).saturating_mul(list.len() as u64) > scratch.left() {
        return Err(EvalError::budget());
    }
    let mut out: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        if !out.iter().any(|other| equal(other, &item)) {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}

fn reverse<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let items = (0..list.len()).rev().filter_map(|index| list.get(index));
    Ok(Value::list(items.collect()))
}

fn range<'a>(scratch: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let size = number(&args[0])?;
    let count = usize::try_from(size)
        .map_err(|_| EvalError::new(format!("lists.range: size must be non-negative, got {size}")))?;
    if count > MOST {
        return Err(EvalError::new(format!(
            "lists.range: size {size} exceeds maximum allowed ({MOST})"
        )));
    }
    if count > affordable(scratch) {
        return Err(EvalError::budget());
    }
    Ok(Value::list((0..size).map(Value::Int).collect()))
}

/// The elements of the first list in the order of the second's.
fn sort<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let list = args[0].as_list().ok_or_else(no_such_overload)?;
    let keys = args
        .last()
        .and_then(Value::as_list)
        .ok_or_else(no_such_overload)?;
    if list.len() != keys.len() {
        return Err(EvalError::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements \
             respectively",
            list.len(),
            keys.len()
        )));
    }
    let Some(first) = keys.get(0) else {
        return Ok(args[0].clone());
    };
    let mut items = Vec::with_capacity(list.len());
    for (item, key) in list.iter().zip(keys.iter()) {
        if compare(&key, &key).is_none() && !matches!(key, Value::Double(_)) {
            return Err(EvalError::new("list elements must be comparable"));
        }
        if key.ty() != first.ty() {
            return Err(EvalError::new("list elements must have the same type"));
        }
        items.push((key, item));
    }
    items.sort_by(|(one, _), (other, _)| in_order(one, other));
    Ok(Value::list(items.into_iter().map(|(_, item)| item).collect()))
}

/// What is no number has a place among the numbers, too: sorting needs one for everything.
fn in_order(one: &Value<'_>, other: &Value<'_>) -> Ordering {
    match (compare(one, other), one, other) {
        (Some(ordering), ..) => ordering,
        (None, Value::Double(one), Value::Double(other)) => one.total_cmp(other),
        (None, ..) => Ordering::Equal,
    }
}

/// For each type that has an order.
macro_rules! ordered {
    ($($ty:ident $id:literal),*) => {
        /// Sorting by the elements themselves.
        static SORT: [Row; 8] = [$(row("sort", method($id, &[Sig::List(&Sig::$ty)], Sig::List(&Sig::$ty), sort))),*];
        /// What `sortBy` stands for.
        static SORT_BY: [Row; 8] =
            [$(row("@sortByAssociatedKeys", method($id, &[LIST, Sig::List(&Sig::$ty)], LIST, sort))),*];
    };
}

ordered!(
    Int "list", Uint "list", Double "list", Bool "list", Duration "list", Timestamp "list", String "list_text",
    Bytes "list_text"
);

static OTHERS: [Row; 6] = [
    row("slice", method("list", &[LIST, Int, Int], LIST, slice)),
    row("flatten", method("list", &[Sig::List(&LIST)], LIST, flatten)),
    row(
        "flatten",
        method(
            "deep",
            &[Sig::List(&Sig::Dyn), Int],
            Sig::List(&Sig::Dyn),
            flatten,
        ),
    ),
    row("distinct", method("list", &[LIST], LIST, distinct)),
    row("reverse", method("list", &[LIST], LIST, reverse)),
    row("lists.range", function("list", &[Int], Sig::List(&Int), range)),
];

/// All of them, in groups.
pub(super) static GROUPS: [&[Row]; 3] = [&SORT, &SORT_BY, &OTHERS];
