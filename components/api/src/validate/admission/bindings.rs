//! Bindings of policies of both kinds.
use super::params;
use super::rules::{constraints, mutable_operations};
use crate::validate::shared::{one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// The spec of a binding.
pub(super) fn binding(validating: bool, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = text(spec, &["policyName"]);
    if policy.is_empty() {
        errors.push(Error::required(&path.child("policyName"), ""));
    } else {
        errors.extend(texts(
            &path.child("policyName"),
            policy,
            names::dns1123_subdomain(policy),
        ));
    }
    errors.extend(params::reference(
        at(spec, &["paramRef"]),
        &path.child("paramRef"),
    ));
    let (matched, path_of_matched) = (at(spec, &["matchResources"]), path.child("matchResources"));
    if matched.is_object() {
        errors.extend(constraints(matched, &path_of_matched));
    }
    if validating {
        errors.extend(actions(
            list(spec, &["validationActions"]),
            &path.child("validationActions"),
        ));
    } else {
        errors.extend(mutable_operations(matched, &path_of_matched));
    }
    errors
}

/// What becomes of a request that a validation is against.
fn actions(actions: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, action) in actions.iter().enumerate() {
        let path = path.index(index);
        errors.extend(one_of(&path, action, &["Audit", "Deny", "Warn"]));
        if !seen.insert(action.as_str()) {
            errors.push(Error::duplicate(&path, action));
        }
    }
    if seen.contains(&Some("Deny")) && seen.contains(&Some("Warn")) {
        errors.push(Error::invalid(path, Value::from(actions), "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"));
    }
    if actions.is_empty() {
        errors.push(Error::required(
            path,
            "at least one validation action is required",
        ));
    }
    errors
}
