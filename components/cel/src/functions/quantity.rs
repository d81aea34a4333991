//! Resource quantities.
use super::{Overload, Sig, function, method, no_such_overload};
use crate::evaluate::EvalError;
use crate::value::{Opaque, Value};
use Sig::{Bool, Double, Int, String};
use apimachinery::Quantity;

const QUANTITY: Sig = Sig::Opaque("kubernetes.Quantity");

fn parse(text: &str) -> Result<Quantity, EvalError> {
    text.parse()
        .map_err(|error: apimachinery::quantity::ParseQuantityError| EvalError::new(error.to_string()))
}

fn made<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Opaque::Quantity(quantity))
}

fn one(value: &Value<'_>) -> Result<Quantity, EvalError> {
    match value {
        Value::Opaque(Opaque::Quantity(quantity)) => Ok(*quantity),
        Value::Int(number) => Ok(Quantity::new(*number)),
        _ => Err(no_such_overload()),
    }
}

fn two(args: &[Value<'_>]) -> Result<(Quantity, Quantity), EvalError> {
    Ok((one(&args[0])?, one(&args[1])?))
}

fn is_integer(quantity: Quantity) -> bool {
    !quantity.is_finer_than(1) && quantity == Quantity::new(quantity.value())
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "quantity",
        function("", &[String], QUANTITY, |_, args| {
            parse(args[0].as_str().ok_or_else(no_such_overload)?).map(made)
        }),
    ),
    (
        "isQuantity",
        function("", &[String], Bool, |_, args| {
            Ok(Value::Bool(
                args[0].as_str().is_some_and(|text| parse(text).is_ok()),
            ))
        }),
    ),
    (
        "sign",
        method("", &[QUANTITY], Int, |_, args| {
            Ok(Value::Int(i64::from(one(&args[0])?.sign())))
        }),
    ),
    (
        "isInteger",
        method("", &[QUANTITY], Bool, |_, args| {
            Ok(Value::Bool(is_integer(one(&args[0])?)))
        }),
    ),
    (
        "asInteger",
        method("", &[QUANTITY], Int, |_, args| {
            let quantity = one(&args[0])?;
            if is_integer(quantity) {
                Ok(Value::Int(quantity.value()))
            } else {
                Err(EvalError::new("cannot convert value to integer"))
            }
        }),
    ),
    (
        "asApproximateFloat",
        method("", &[QUANTITY], Double, |_, args| {
            Ok(Value::Double(one(&args[0])?.approximate()))
        }),
    ),
    (
        "add",
        method("", &[QUANTITY, QUANTITY], QUANTITY, |_, args| {
            two(args).map(|(a, b)| made(a + b))
        }),
    ),
    (
        "add",
        method("", &[QUANTITY, Int], QUANTITY, |_, args| {
            two(args).map(|(a, b)| made(a + b))
        }),
    ),
    (
        "sub",
        method("", &[QUANTITY, QUANTITY], QUANTITY, |_, args| {
            two(args).map(|(a, b)| made(a - b))
        }),
    ),
    (
        "sub",
        method("", &[QUANTITY, Int], QUANTITY, |_, args| {
            two(args).map(|(a, b)| made(a - b))
        }),
    ),
    (
        "isLessThan",
        method("", &[QUANTITY, QUANTITY], Bool, |_, args| {
            two(args).map(|(a, b)| Value::Bool(a < b))
        }),
    ),
    (
        "isGreaterThan",
        method("", &[QUANTITY, QUANTITY], Bool, |_, args| {
            two(args).map(|(a, b)| Value::Bool(a > b))
        }),
    ),
    (
        "compareTo",
        method("", &[QUANTITY, QUANTITY], Int, |_, args| {
            two(args).map(|(a, b)| Value::Int(a.cmp(&b) as i64))
        }),
    ),
];
