//! Lists and maps, equality, and sets.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::types::ListKind;
use crate::value::{Text, Value};
use Sig::{A, B, Bool, Int};
use std::sync::Arc;

const LIST: Sig = Sig::List(&A);
const MAP: Sig = Sig::Map(&A, &B);

fn size<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    args[0]
        .size()
        .map(|size| Value::Int(size as i64))
        .ok_or_else(no_such_overload)
}

/// Whether two values are equal: numbers by their amount, maps and lists by what is in them.
pub(crate) fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    use Value as V;
    match (a, b) {
        (V::Null, V::Null) => true,
        (V::Type(a), V::Type(b)) => {
            std::mem::discriminant(a) == std::mem::discriminant(b) && {
                // Lists and maps of any elements are of one type.
                matches!(a, crate::types::Type::List(_) | crate::types::Type::Map(..)) || a == b
            }
        }
        (V::Optional(a), V::Optional(b)) => match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => equal(a, b),
            _ => false,
        },
        (V::Opaque(a), V::Opaque(b)) => opaque_equal(a, b),
        _ => {
            if let (Some(a), Some(b)) = (a.as_list(), b.as_list()) {
                return lists_equal(a, b);
            }
            if a.is_map() && b.is_map() {
                return maps_equal(a, b);
            }
            super::numbers::compare(a, b) == Some(std::cmp::Ordering::Equal)
        }
    }
}

fn opaque_equal(a: &crate::value::Opaque<'_>, b: &crate::value::Opaque<'_>) -> bool {
    use crate::value::Opaque as O;
    match (a, b) {
        (O::Url(a), O::Url(b)) => a.to_string() == b.to_string(),
        (O::Quantity(a), O::Quantity(b)) => a == b,
        (O::Ip(a), O::Ip(b)) => a == b,
        (O::Cidr(a), O::Cidr(b)) => a == b,
        (O::Version(a), O::Version(b)) => a == b,
        (O::Format(a), O::Format(b)) => std::ptr::eq(*a, *b),
        _ => false,
    }
}

fn lists_equal(a: crate::value::ListRef<'_, '_>, b: crate::value::ListRef<'_, '_>) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match a.kind().or(b.kind()) {
        None | Some(ListKind::Atomic) => a.iter().zip(b.iter()).all(|(a, b)| equal(&a, &b)),
        // Sets and lists told apart by keys don't depend on their order.
        Some(_) => a.iter().all(|x| b.iter().any(|y| equal(&x, &y))),
    }
}

fn maps_equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    let keys = a.keys();
    keys.len() == b.keys().len()
        && keys.iter().all(|key| match (a.entry(key), b.entry(key)) {
            (Some(a), Some(b)) => equal(&a, &b),
            _ => false,
        })
}

/// `a[b]`, or its optional form.
pub(crate) fn index<'a>(
    operand: &Value<'a>,
    at: &Value<'a>,
    optional: bool,
    scratch: &mut Scratch<'_, 'a>,
) -> Result<Value<'a>, EvalError> {
    let (operand, optional) = match operand {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => (&**inner, true),
        other => (other, optional),
    };
    let found = if let Some(list) = operand.as_list() {
        let position = match at {
            Value::Int(position) => Some(*position),
            Value::Uint(position) => i64::try_from(*position).ok(),
            Value::Double(position) if position.fract() == 0.0 => Some(*position as i64),
            _ => None,
        };
        let Some(position) = position else {
            return Err(EvalError::new(format!(
                "unsupported index type '{}' in list",
                at.ty()
            )));
        };
        let found = usize::try_from(position)
            .ok()
            .and_then(|position| list.get(position));
        if found.is_none() && !optional {
            return Err(EvalError::new(format!("index out of bounds: {position}")));
        }
        found
    } else if operand.is_map() {
        operand.entry(at)
    } else if let (Value::Lazy(lazy), Some(name)) = (operand, at.as_str()) {
        lazy.field(name, scratch)?
    } else {
        return Err(no_such_overload());
    };
    match (found, optional) {
        (Some(value), true) => Ok(Value::some(value)),
        (Some(value), false) => Ok(value),
        (None, true) => Ok(Value::Optional(None)),
        (None, false) => Err(EvalError::new(format!(
            "no such key: {}",
            super::printf::plain(at)
        ))),
    }
}

/// A list with the elements of another at its end. The first is changed in place when nobody else holds it.
pub(crate) fn append<'a>(list: Value<'a>, items: &Value<'a>) -> Result<Value<'a>, EvalError> {
    let (Value::List(list), Some(items)) = (list, items.as_list()) else {
        return Err(no_such_overload());
    };
    let mut list = Arc::try_unwrap(list).unwrap_or_else(|shared| (*shared).clone());
    list.extend(items.iter());
    Ok(Value::list(list))
}

/// A map with one more entry: of (map, key, value), or of (map, map).
pub(crate) fn map_insert<'a>(args: Vec<Value<'a>>) -> Result<Value<'a>, EvalError> {
    let mut args = args.into_iter();
    let (Some(Value::Map(map)), Some(second)) = (args.next(), args.next()) else {
        return Err(no_such_overload());
    };
    let mut map = Arc::try_unwrap(map).unwrap_or_else(|shared| (*shared).clone());
    let entries: Vec<(Value<'a>, Value<'a>)> = match args.next() {
        Some(value) => vec![(second, value)],
        None => second
            .keys()
            .into_iter()
            .filter_map(|key| second.entry(&key).map(|value| (key, value)))
            .collect(),
    };
    for (key, value) in entries {
        let key = key
            .key()
            .ok_or_else(|| EvalError::new(format!("unsupported key type: {}", key.ty())))?;
        if map.entries.contains_key(&key) {
            let key = super::printf::plain(&key.to_value());
            return Err(EvalError::new(format!("insert failed: key {key} already exists")));
        }
        map.entries.insert(key, value);
    }
    Ok(Value::Map(Arc::new(map)))
}

/// `a + b`. Sets and lists told apart by keys are merged as server-side apply merges them.
fn concatenate<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let (Some(a), Some(b)) = (args[0].as_list(), args[1].as_list()) else {
        return Err(no_such_overload());
    };
    let kind = a.kind().cloned().unwrap_or_default();
    if kind == ListKind::Atomic {
        // The accumulator of a loop is dropped by its owner afterwards, so this copies handles only.
        let mut out = Vec::with_capacity(a.len() + b.len());
        out.extend(a.iter());
        out.extend(b.iter());
        return Ok(Value::list(out));
    }
    let same = |x: &Value<'a>, y: &Value<'a>| match &kind {
        ListKind::Map(keys) => keys.iter().all(|key| {
            let key = Value::text(key.as_str());
            match (x.entry(&key), y.entry(&key)) {
                (Some(x), Some(y)) => equal(&x, &y),
                (None, None) => true,
                _ => false,
            }
        }),
        _ => equal(x, y),
    };
    let mut out: Vec<Value<'a>> = a.iter().collect();
    for item in b.iter() {
        match out.iter_mut().find(|known| same(known, &item)) {
            Some(known) => *known = item,
            None => out.push(item),
        }
    }
    Ok(Value::list(out))
}

fn contains(list: &Value<'_>, item: &Value<'_>) -> Option<bool> {
    list.as_list()
        .map(|list| list.iter().any(|known| equal(&known, item)))
}

fn contains_all(list: &Value<'_>, items: &Value<'_>) -> Option<bool> {
    items
        .as_list()
        .map(|items| items.iter().all(|item| contains(list, &item) == Some(true)))
}

fn truth<'a>(found: Option<bool>) -> Result<Value<'a>, EvalError> {
    found.map(Value::Bool).ok_or_else(no_such_overload)
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    ("size", function("size", &[Sig::String], Int, size)),
    ("size", function("size", &[Sig::Bytes], Int, size)),
    ("size", function("size", &[LIST], Int, size)),
    ("size", function("size", &[MAP], Int, size)),
    ("size", method("size", &[Sig::String], Int, size)),
    ("size", method("size", &[Sig::Bytes], Int, size)),
    ("size", method("size", &[LIST], Int, size)),
    ("size", method("size", &[MAP], Int, size)),
    ("_+_", function("list", &[LIST, LIST], LIST, concatenate)),
    (
        "_+_",
        function(
            "text",
            &[Sig::String, Sig::String],
            Sig::String,
            |_, args| match (&args[0], &args[1]) {
                (Value::String(a), Value::String(b)) => {
                    let mut out = String::with_capacity(a.as_str().len() + b.as_str().len());
                    out.push_str(a.as_str());
                    out.push_str(b.as_str());
                    Ok(Value::String(Text::Shared(out.into())))
                }
                _ => Err(no_such_overload()),
            },
        ),
    ),
    (
        "_+_",
        function("text", &[Sig::Bytes, Sig::Bytes], Sig::Bytes, |_, args| {
            match (&args[0], &args[1]) {
                (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([&a[..], &b[..]].concat().into())),
                _ => Err(no_such_overload()),
            }
        }),
    ),
    (
        "@in",
        function("in_list", &[A, LIST], Bool, |_, args| {
            truth(contains(&args[1], &args[0]))
        }),
    ),
    (
        "@in",
        function("in_map", &[A, MAP], Bool, |_, args| {
            Ok(Value::Bool(args[1].entry(&args[0]).is_some()))
        }),
    ),
    (
        "sets.contains",
        function("sets", &[LIST, LIST], Bool, |_, args| {
            truth(contains_all(&args[0], &args[1]))
        }),
    ),
    (
        "sets.equivalent",
        function("sets", &[LIST, LIST], Bool, |_, args| {
            let there = contains_all(&args[0], &args[1]);
            let back = contains_all(&args[1], &args[0]);
            truth(there.zip(back).map(|(there, back)| there && back))
        }),
    ),
    (
        "sets.intersects",
        function("sets", &[LIST, LIST], Bool, |_, args| {
            truth(
                args[1]
                    .as_list()
                    .map(|items| items.iter().any(|item| contains(&args[0], &item) == Some(true))),
            )
        }),
    ),
];
