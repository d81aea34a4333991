//! Conditions in the form that new kinds share.
use crate::validate::shared::{one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;

/// The conditions of an object's status.
pub(super) fn check(object: &Value, path: &Path) -> ErrorList {
    each(list(object, &["status", "conditions"]), path)
}

/// A list of conditions, with one of each type.
pub(in crate::validate) fn each(conditions: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        let kind = text(condition, &["type"]);
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
        errors.extend(one(condition, &path));
    }
    errors
}

fn one(condition: &Value, path: &Path) -> ErrorList {
    let kind = text(condition, &["type"]);
    let mut errors = texts(&path.child("type"), kind, names::qualified_name(kind));
    errors.extend(one_of(
        &path.child("status"),
        at(condition, &["status"]),
        &["False", "True", "Unknown"],
    ));
    if let Some(generation) = int(condition, &["observedGeneration"]).filter(|number| *number < 0) {
        errors.push(Error::invalid(
            &path.child("observedGeneration"),
            generation,
            "must be greater than or equal to zero",
        ));
    }
    if text(condition, &["lastTransitionTime"]).is_empty() {
        errors.push(Error::required(&path.child("lastTransitionTime"), ""));
    }
    let reason = text(condition, &["reason"]);
    let own = path.child("reason");
    if reason.is_empty() {
        errors.push(Error::required(&own, ""));
    } else {
        if !is_reason(reason) {
            errors.push(Error::invalid(&own, reason, reason_message()));
        }
        if reason.len() > MAX_REASON {
            errors.push(Error::too_long(&own, MAX_REASON));
        }
    }
    if text(condition, &["message"]).len() > MAX_MESSAGE {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE));
    }
    errors
}

fn is_reason(reason: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = reason.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|byte| word(*byte))
        && bytes
            .iter()
            .all(|byte| word(*byte) || matches!(byte, b',' | b':'))
}

fn reason_message() -> String {
    names::regex_message(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &[
            "my_name",
            "MY_NAME",
            "MyName",
            "ReasonA,ReasonB",
            "ReasonA:ReasonB",
        ],
    )
}
