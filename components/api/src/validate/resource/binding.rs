//! What must hold before a pod is bound to a node for a device: conditions that its driver reports.
use super::lists::{each, itself};
use super::names::label_key;
use crate::value::{at, list};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

/// Conditions of each kind.
const MAX_CONDITIONS: usize = 4;

/// `bindingConditions` and `bindingFailureConditions` of a device, or of its allocation: both or none, all different.
pub(super) fn conditions(device: &Value, path: &Path) -> ErrorList {
    let (fine, failed) = (
        list(device, &["bindingConditions"]),
        list(device, &["bindingFailureConditions"]),
    );
    if fine.is_empty() && failed.is_empty() {
        return ErrorList::new();
    }
    let (of_fine, of_failed) = (
        path.child("bindingConditions"),
        path.child("bindingFailureConditions"),
    );
    let mut errors = names(fine, &of_fine);
    errors.extend(names(failed, &of_failed));
    let mut wanted = HashSet::new();
    for (index, name) in fine.iter().map(itself).enumerate() {
        if !wanted.insert(name) {
            errors.push(Error::duplicate(&of_fine.index(index), name));
        }
    }
    let mut seen = HashSet::new();
    for (index, name) in failed.iter().map(itself).enumerate() {
        if !seen.insert(name) {
            errors.push(Error::duplicate(&of_failed.index(index), name));
        }
        if wanted.contains(name) {
            errors.push(Error::invalid(
                &of_failed.index(index),
                name,
                "bindingFailureConditions must not overlap with bindingConditions",
            ));
        }
    }
    if fine.is_empty() {
        errors.push(Error::invalid(
            &of_fine,
            at(device, &["bindingConditions"]),
            "bindingConditions are required to use bindingFailureConditions",
        ));
    }
    if failed.is_empty() {
        errors.push(Error::invalid(
            &of_failed,
            at(device, &["bindingFailureConditions"]),
            "bindingFailureConditions are required to use bindingConditions",
        ));
    }
    errors
}

fn names(conditions: &[Value], path: &Path) -> ErrorList {
    each(conditions, MAX_CONDITIONS, path, |name, path| {
        label_key(itself(name), path)
    })
}
