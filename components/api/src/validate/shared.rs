//! Checks that many kinds share.
pub(super) use super::amounts::*;
pub(super) use crate::value::same;
use crate::value::{is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// One error per message about a text.
pub(super) fn texts(path: &Path, value: &str, messages: Vec<String>) -> ErrorList {
    messages
        .into_iter()
        .map(|message| Error::invalid(path, value, message))
        .collect()
}

/// A number that may not be negative.
pub(super) fn non_negative(path: &Path, value: &Value) -> Option<Error> {
    value
        .as_i64()
        .filter(|number| *number < 0)
        .map(|number| Error::invalid(path, number, "must be greater than or equal to 0"))
}

/// A number in a range.
pub(super) fn within(path: &Path, value: &Value, low: i64, high: i64) -> Option<Error> {
    let number = value.as_i64()?;
    (!(low..=high).contains(&number)).then(|| {
        Error::invalid(
            path,
            number,
            format!("must be between {low} and {high}, inclusive"),
        )
    })
}

/// A port number.
pub(super) fn port(path: &Path, value: &Value) -> Option<Error> {
    within(path, &Value::from(value.as_i64().unwrap_or(0)), 1, 65535)
}

/// A port number, or the name of a port.
pub(super) fn port_or_name(path: &Path, value: &Value) -> ErrorList {
    match value {
        Value::String(name) => texts(path, name, names::port_name(name)),
        number => port(path, number).into_iter().collect(),
    }
}

/// One of the listed texts.
pub(super) fn one_of(path: &Path, value: &Value, supported: &[&str]) -> Option<Error> {
    let text = value.as_str().unwrap_or("");
    (!supported.contains(&text)).then(|| Error::not_supported(path, text, supported))
}

/// One of the listed texts, of a field that must be set.
pub(super) fn set_to_one_of(path: &Path, value: &Value, supported: &[&str]) -> Option<Error> {
    if value.as_str().unwrap_or("").is_empty() {
        Some(Error::required(path, ""))
    } else {
        one_of(path, value, supported)
    }
}

/// One of the listed texts, if it is set.
pub(super) fn maybe_one_of(path: &Path, value: &Value, supported: &[&str]) -> Option<Error> {
    if value.is_null() {
        None
    } else {
        one_of(path, value, supported)
    }
}

/// The field may not change.
pub(super) fn immutable(path: &Path, old: &Value, new: &Value) -> Option<Error> {
    let both_unset = is_zero(Some(old)) && is_zero(Some(new)) && (old.is_null() || new.is_null());
    (!both_unset && !same(old, new)).then(|| Error::invalid(path, selector_shown(new), "field is immutable"))
}

/// A value for a message: a selector is shown without what is empty in it.
pub(super) fn selector_shown(value: &Value) -> Value {
    let is_part = |key: &String| matches!(key.as_str(), "matchLabels" | "matchExpressions");
    match value {
        Value::Object(map) if !map.is_empty() && map.keys().all(is_part) => Value::Object(
            map.iter()
                .filter(|(_, value)| !is_zero(Some(value)))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// A LabelSelector object.
pub(super) fn label_selector(path: &Path, selector: &Value) -> ErrorList {
    label_selector_with(path, selector, false)
}

/// Whether a selector that is stored compares labels with what no label can have, which older servers took.
pub(super) fn has_invalid_values(selector: &Value) -> bool {
    list(selector, &["matchExpressions"])
        .iter()
        .flat_map(|requirement| list(requirement, &["values"]))
        .any(|value| !names::label_value(value.as_str().unwrap_or("")).is_empty())
}

/// A LabelSelector object whose expressions may have `any_values`, if such were stored already.
pub(super) fn label_selector_with(path: &Path, selector: &Value, any_values: bool) -> ErrorList {
    if !selector.is_object() {
        return ErrorList::new();
    }
    let mut errors = super::metadata::labels(
        crate::value::at(selector, &["matchLabels"]),
        &path.child("matchLabels"),
    );
    for (index, requirement) in list(selector, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = list(requirement, &["values"]);
        match text(requirement, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => errors.push(Error::required(
                &path.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(Error::forbidden(
                &path.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = text(requirement, &["key"]);
        errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
        for (index, value) in values.iter().enumerate().filter(|_| !any_values) {
            let value = value.as_str().unwrap_or("");
            errors.extend(texts(
                &path.child("values").index(index),
                value,
                names::label_value(value),
            ));
        }
    }
    errors
}

/// A number or a percentage.
pub(super) fn count_or_percent(path: &Path, value: &Value) -> ErrorList {
    match value {
        Value::String(text) => {
            let fits = text
                .strip_suffix('%')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
            let message = || {
                names::regex_message(
                    "a valid percent string must be a numeric string followed by an ending '%'",
                    "[0-9]+%",
                    &["1%", "93%"],
                )
            };
            if fits {
                ErrorList::new()
            } else {
                vec![Error::invalid(path, text.as_str(), message())]
            }
        }
        number => non_negative(path, number).into_iter().collect(),
    }
}

/// A percentage above 100.
pub(super) fn not_more_than_all(path: &Path, value: &Value) -> Option<Error> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let is_percent = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_percent && number_of(value) > 100)
        .then(|| Error::invalid(path, value, "must not be greater than 100%"))
}

/// The number in a percentage or plain number, the largest if it does not fit, 0 if it is neither.
pub(super) fn number_of(value: &Value) -> i64 {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().unwrap_or(if is_number { i64::MAX } else { 0 })
        }
        number => number.as_i64().unwrap_or(0),
    }
}

/// `example.com/path`.
pub(super) fn domain_prefixed_path(path: &Path, text: &str) -> ErrorList {
    if text.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = text
        .split_once('/')
        .filter(|(domain, rest)| !domain.is_empty() && !rest.is_empty())
    else {
        return vec![Error::invalid(
            path,
            text,
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        )];
    };
    let mut errors = texts(path, domain, names::dns1123_subdomain(domain));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/%:@._~!$&'()*+,;=-".contains(&byte);
    if !rest.bytes().all(plain) {
        errors.push(Error::invalid(
            path,
            rest,
            r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')",
        ));
    }
    errors
}
