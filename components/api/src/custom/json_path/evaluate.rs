//! Following steps through a value.
use super::{End, Filter, Slice, Step};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

type Values<'v> = Vec<Cow<'v, Value>>;

/// What the steps lead to; `None` where they can't be followed.
pub fn all<'v>(from: Values<'v>, steps: &'v [Step]) -> Option<Values<'v>> {
    steps.iter().try_fold(from, |values, step| one(values, step))
}

fn one<'v>(values: Values<'v>, step: &'v Step) -> Option<Values<'v>> {
    let mut out = Vec::new();
    match step {
        Step::Literal(value) => {
            // Upstream has a text once and a number for each value, and only the first is shown.
            out.push(Cow::Borrowed(value));
        }
        Step::Word => return None,
        Step::Union(paths) => {
            for path in paths {
                out.extend(all(values.clone(), path)?);
            }
        }
        Step::Field(name) => {
            for value in values {
                out.extend(field(value, name));
            }
        }
        Step::Wildcard => values.into_iter().for_each(|value| out.extend(children(value))),
        Step::Recursive => values.into_iter().for_each(|value| descend(value, &mut out)),
        Step::Slice(slice) => {
            for value in values.into_iter().filter(|value| !value.is_null()) {
                out.extend(slice.of(items(value)?)?);
            }
        }
        Step::Filter(filter) => {
            for value in values {
                for item in items(value)? {
                    if filter.passes(&item)? {
                        out.push(item);
                    }
                }
            }
        }
    }
    Some(out)
}

fn field<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.as_object()?.get(name).map(Cow::Borrowed),
        Cow::Owned(mut value) => value.as_object_mut()?.remove(name).map(Cow::Owned),
    }
}

fn items(value: Cow<'_, Value>) -> Option<Values<'_>> {
    value.is_array().then(|| children(value))
}

fn children(value: Cow<'_, Value>) -> Values<'_> {
    match value {
        Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(map)) => map.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// The value, if it holds anything, and what is below it.
fn descend<'v>(value: Cow<'v, Value>, out: &mut Values<'v>) {
    let below = children(value.clone());
    if !below.is_empty() || value.as_str().is_some_and(|text| !text.is_empty()) {
        out.push(value);
        below.into_iter().for_each(|value| descend(value, out));
    }
}

impl Slice {
    /// `None` if one of its ends is outside the list.
    fn of<'v>(&self, items: Values<'v>) -> Option<Values<'v>> {
        let length = i64::try_from(items.len()).ok()?;
        let at = |index: i64| if index < 0 { index + length } else { index };
        let from = at(self.from.unwrap_or(0));
        let to = match self.to {
            End::OneOn => from.checked_add(1)?,
            End::At(index) => at(index),
            End::Last => length,
        };
        if from == to {
            return Some(Vec::new());
        }
        let inside = 0 <= from && from < to && to <= length;
        let step = usize::try_from(self.step.unwrap_or(1)).ok()?;
        if !inside || step == 0 {
            return None;
        }
        let (from, count) = (usize::try_from(from).ok()?, usize::try_from(to - from).ok()?);
        Some(items.into_iter().skip(from).take(count).step_by(step).collect())
    }
}

impl Filter {
    /// `None` if what is compared can't be.
    fn passes(&self, item: &Value) -> Option<bool> {
        let side = |steps| all(vec![Cow::Borrowed(item)], steps);
        let left = side(&self.left);
        let Some((operator, right)) = &self.comparison else {
            // A path that can't be followed counts as one that leads somewhere.
            return Some(left.is_none_or(|found| !found.is_empty()));
        };
        let left = left?;
        if left.is_empty() {
            return Some(false);
        }
        let right = side(right)?;
        match (left.as_slice(), right.as_slice()) {
            (_, []) => Some(false),
            ([left], [right]) => compare(left, operator, right),
            _ => None,
        }
    }
}

/// As Go's templates compare: only what is of one type.
fn compare(left: &Value, operator: &str, right: &Value) -> Option<bool> {
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
            _ => return None,
        },
        (Value::Bool(left), Value::Bool(right)) => {
            return match operator {
                "==" => Some(left == right),
                "!=" => Some(left != right),
                _ => None,
            };
        }
        _ => return None,
    };
    let is = |test: fn(Ordering) -> bool| Some(order.is_some_and(test));
    match operator {
        "==" => is(Ordering::is_eq),
        "!=" => Some(!order.is_some_and(Ordering::is_eq)),
        "<" => is(Ordering::is_lt),
        "<=" => is(Ordering::is_le),
        ">" => is(Ordering::is_gt),
        ">=" => is(Ordering::is_ge),
        _ => None,
    }
}
