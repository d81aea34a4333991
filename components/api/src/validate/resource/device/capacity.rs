//! How much a device has of something, and how much of it a request may get.
use super::names;
use crate::validate::resource::lists::set;
use crate::value::{at, flag, list, object};
use apimachinery::Quantity;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Amounts of which a request may get one.
const MAX_OPTIONS: usize = 10;

/// The capacities of a device. Only of one that several may have at the same time do they get parts.
pub(super) fn check(device: &Value, path: &Path) -> ErrorList {
    let shared = flag(device, &["allowMultipleAllocations"]);
    let mut errors = ErrorList::new();
    for (name, capacity) in object(device, &["capacity"]).into_iter().flatten() {
        errors.extend(names::qualified(name, path));
        let policy = at(capacity, &["requestPolicy"]);
        if policy.is_null() {
            continue;
        }
        let path = names::key(path, name).child("requestPolicy");
        if shared {
            errors.extend(parts(amount(at(capacity, &["value"])), policy, &path));
        } else {
            errors.push(Error::forbidden(&path, "allowMultipleAllocations must be true"));
        }
    }
    errors
}

/// An amount; what isn't one was refused when it was read.
fn amount(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or_default()
}

fn given(value: &Value, field: &str) -> Option<Quantity> {
    Some(at(value, &[field]))
        .filter(|value| !value.is_null())
        .map(amount)
}

/// The amounts that requests may get, and that which they get without asking.
fn parts(capacity: Quantity, policy: &Value, path: &Path) -> ErrorList {
    let (options, range) = (list(policy, &["validValues"]), at(policy, &["validRange"]));
    let default = given(policy, "default");
    let needs_default = |what: &str| {
        vec![Error::required(
            &path.child("default"),
            format!("required when {what} is defined"),
        )]
    };
    match (options.is_empty(), range.is_null(), default) {
        (true, true, _) => ErrorList::new(),
        (false, false, _) => vec![Error::forbidden(
            path,
            "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
        )],
        (false, true, None) => needs_default("validValues"),
        (true, false, None) => needs_default("validRange"),
        (false, true, Some(default)) => one_of(default, capacity, options, &path.child("validValues")),
        (true, false, Some(default)) => within(default, capacity, range, &path.child("validRange")),
    }
}

/// Amounts in ascending order, of which the default is one.
fn one_of(default: Quantity, capacity: Quantity, options: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, pair) in options.windows(2).enumerate() {
        let next = amount(&pair[1]);
        if amount(&pair[0]) > next {
            errors.push(Error::invalid(
                &path.index(index + 1),
                next.to_string(),
                "values must be sorted in ascending order",
            ));
        }
    }
    errors.extend(set(
        options,
        MAX_OPTIONS,
        path,
        |option| amount(option).value().to_string(),
        |option, path| {
            let option = amount(option);
            if option <= capacity {
                return ErrorList::new();
            }
            vec![Error::invalid(
                path,
                option.to_string(),
                format!("option is larger than capacity value: {capacity}"),
            )]
        },
    ));
    let known = options.len() <= MAX_OPTIONS && options.iter().any(|option| amount(option) == default);
    if !known {
        errors.push(Error::invalid(
            path,
            default.to_string(),
            "default value is not valid according to the requestPolicy",
        ));
    }
    errors
}

/// Amounts between two others, in steps or not.
fn within(default: Quantity, capacity: Quantity, range: &Value, path: &Path) -> ErrorList {
    let Some(min) = given(range, "min") else {
        return vec![Error::required(
            &path.child("min"),
            "required when validRange is defined",
        )];
    };
    let mut errors = ErrorList::new();
    let mut wrong = |is: bool, field: &str, shown: Quantity, why: String| {
        if is {
            errors.push(Error::invalid(&path.child(field), shown.to_string(), why));
        }
    };
    wrong(
        min > capacity,
        "min",
        min,
        format!("min is larger than capacity value: {capacity}"),
    );
    wrong(
        default < min,
        "min",
        default,
        format!("default is less than min: {min}"),
    );
    let max = given(range, "max");
    if let Some(max) = max {
        wrong(min > max, "max", min, format!("min is larger than max: {max}"));
        wrong(
            max > capacity,
            "max",
            max,
            format!("max is larger than capacity value: {capacity}"),
        );
        wrong(
            default > max,
            "max",
            default,
            format!("default is more than max: {max}"),
        );
    }
    let Some(step) = given(range, "step") else {
        return errors;
    };
    if step.sign() <= 0 {
        wrong(true, "step", step, "must be greater than zero".to_owned());
        return errors;
    }
    let first = min + step;
    wrong(
        first > capacity,
        "step",
        step,
        format!("one step {first} is larger than capacity value: {capacity}"),
    );
    for value in std::iter::once(default).chain(max) {
        // Whole numbers, as the scheduler counts them; a step above zero is at least one.
        let apart = i128::from(value.value()) - i128::from(min.value());
        wrong(
            apart % i128::from(step.value()) != 0,
            "step",
            value,
            format!("value is not a multiple of a given step ({step}) from ({min})"),
        );
    }
    errors
}
