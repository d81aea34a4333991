//! Values that may be absent.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::EvalError;
use crate::value::Value;
use Sig::{A, Bool};

const OPTIONAL: Sig = Sig::Optional(&A);
const LIST: Sig = Sig::List(&A);

/// Marks what gives the optional value itself, not what is in it.
pub(crate) const OR: &str = "or";

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(truth) => !truth,
        Value::Int(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::Duration(duration) => duration.is_zero(),
        other => other.size() == Some(0),
    }
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "optional.of",
        function("", &[A], OPTIONAL, |_, args| Ok(Value::some(args[0].clone()))),
    ),
    (
        "optional.none",
        function("", &[], OPTIONAL, |_, _| Ok(Value::Optional(None))),
    ),
    (
        "optional.ofNonZeroValue",
        function("", &[A], OPTIONAL, |_, args| {
            Ok(if is_zero(&args[0]) {
                Value::Optional(None)
            } else {
                Value::some(args[0].clone())
            })
        }),
    ),
    (
        "hasValue",
        method("", &[OPTIONAL], Bool, |_, args| {
            Ok(Value::Bool(!matches!(args[0], Value::Optional(None))))
        }),
    ),
    (
        "value",
        method("", &[OPTIONAL], A, |_, args| match &args[0] {
            Value::Optional(Some(value)) => Ok((**value).clone()),
            _ => Err(EvalError::new("optional.none() dereference")),
        }),
    ),
    (
        "or",
        method(OR, &[OPTIONAL, OPTIONAL], OPTIONAL, |_, args| {
            Ok(match &args[0] {
                Value::Optional(None) => args[1].clone(),
                some => some.clone(),
            })
        }),
    ),
    (
        "orValue",
        method("", &[OPTIONAL, A], A, |_, args| match &args[0] {
            Value::Optional(None) => Ok(args[1].clone()),
            Value::Optional(Some(value)) => Ok((**value).clone()),
            _ => Err(no_such_overload()),
        }),
    ),
    (
        "first",
        method("", &[LIST], OPTIONAL, |_, args| {
            let list = args[0].as_list().ok_or_else(no_such_overload)?;
            Ok(Value::Optional(list.get(0).map(std::sync::Arc::new)))
        }),
    ),
    (
        "last",
        method("", &[LIST], OPTIONAL, |_, args| {
            let list = args[0].as_list().ok_or_else(no_such_overload)?;
            let last = list.len().checked_sub(1).and_then(|last| list.get(last));
            Ok(Value::Optional(last.map(std::sync::Arc::new)))
        }),
    ),
    (
        "optional.unwrap",
        function("", &[Sig::List(&OPTIONAL)], LIST, |_, args| unwrap(&args[0])),
    ),
    (
        "unwrapOpt",
        method("", &[Sig::List(&OPTIONAL)], LIST, |_, args| unwrap(&args[0])),
    ),
];

fn unwrap<'a>(list: &Value<'a>) -> Result<Value<'a>, EvalError> {
    let list = list.as_list().ok_or_else(no_such_overload)?;
    let present = list.iter().filter_map(|item| match item {
        Value::Optional(Some(value)) => Some((*value).clone()),
        _ => None,
    });
    Ok(Value::list(present.collect()))
}
