use crate::validate::shared::{label_selector, maybe_one_of, one_of, texts};
use crate::value::{at, list};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

/// Which requests a webhook or policy is for.
pub(super) fn rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let operations = list(rule, &["operations"]);
    if operations.is_empty() {
        errors.push(Error::required(&path.child("operations"), ""));
    }
    if operations.len() > 1 && operations.iter().any(|operation| operation == "*") {
        errors.push(Error::invalid(
            &path.child("operations"),
            Value::from(operations),
            "if '*' is present, must not specify other operations",
        ));
    }
    errors.extend(operations.iter().enumerate().filter_map(|(index, operation)| {
        one_of(&path.child("operations").index(index), operation, OPERATIONS)
    }));
    for (field, noun) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        let (values, path) = (list(rule, &[field]), path.child(field));
        if values.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") {
            errors.push(Error::invalid(
                &path,
                Value::from(values),
                format!("if '*' is present, must not specify other {noun}"),
            ));
        }
        // The group of the oldest kinds is empty.
        if field == "apiVersions" {
            errors.extend(
                values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| *value == "")
                    .map(|(index, _)| Error::required(&path.index(index), "")),
            );
        }
    }
    errors.extend(covered_resources(
        list(rule, &["resources"]),
        &path.child("resources"),
    ));
    errors.extend(maybe_one_of(
        &path.child("scope"),
        at(rule, &["scope"]),
        &["*", "Cluster", "Namespaced"],
    ));
    errors
}

/// No resource may be named that another entry covers already.
fn covered_resources(resources: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if resources.is_empty() {
        errors.push(Error::required(path, ""));
    }
    let (mut whole, mut everywhere) = (HashSet::new(), HashSet::new());
    let (mut every, mut last_is_plain) = (false, false);
    for (index, shown) in resources.iter().filter_map(Value::as_str).enumerate() {
        let path = path.index(index);
        if shown.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        every |= shown == "*";
        let Some((resource, sub)) = shown.split_once('/') else {
            // Upstream remembers only the last of those without a subresource.
            last_is_plain = shown != "*";
            continue;
        };
        if whole.contains(resource) {
            errors.push(Error::invalid(
                &path,
                shown,
                format!("if '{resource}/*' is present, must not specify {shown}"),
            ));
        }
        if everywhere.contains(sub) {
            errors.push(Error::invalid(
                &path,
                shown,
                format!("if '*/{sub}' is present, must not specify {shown}"),
            ));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(sub);
        }
    }
    let all = Value::from(resources);
    if resources.len() > 1 && resources.iter().any(|resource| resource == "*/*") {
        errors.push(Error::invalid(
            path,
            all.clone(),
            "if '*/*' is present, must not specify other resources",
        ));
    }
    if every && last_is_plain {
        errors.push(Error::invalid(
            path,
            all,
            "if '*' is present, must not specify other resources without subresources",
        ));
    }
    errors
}

/// A rule that may also say which objects it is for.
fn named_rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, name) in list(rule, &["resourceNames"]).iter().enumerate() {
        let (name, path) = (
            name.as_str().unwrap_or(""),
            path.child("resourceNames").index(index),
        );
        errors.extend(texts(&path, name, names::path_segment_name(name)));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
    }
    errors.extend(self::rule(rule, path));
    errors
}

/// Which objects a policy or binding is for.
pub(super) fn constraints(constraints: &Value, path: &Path) -> ErrorList {
    let policy = at(constraints, &["matchPolicy"]);
    let mut errors: ErrorList = required_one_of(&path.child("matchPolicy"), policy, &["Equivalent", "Exact"])
        .into_iter()
        .collect();
    for field in ["namespaceSelector", "objectSelector"] {
        if at(constraints, &[field]).is_null() {
            errors.push(Error::required(&path.child(field), ""));
        }
        errors.extend(label_selector(&path.child(field), at(constraints, &[field])));
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(constraints, &[field]).iter().enumerate() {
            errors.extend(named_rule(rule, &path.child(field).index(index)));
        }
    }
    errors
}

/// Nothing can be changed in an object that goes away.
pub(super) fn mutable_operations(constraints: &Value, path: &Path) -> ErrorList {
    let operations = list(constraints, &["resourceRules"])
        .iter()
        .flat_map(|rule| list(rule, &["operations"]));
    operations
        .filter_map(|operation| {
            one_of(
                &path.child("resourceRules.operations"),
                operation,
                &["*", "CONNECT", "CREATE", "UPDATE"],
            )
        })
        .collect()
}

/// One of the listed texts, which must be there.
pub(super) fn required_one_of(path: &Path, value: &Value, supported: &[&str]) -> Option<Error> {
    if value.is_null() {
        Some(Error::required(path, ""))
    } else {
        one_of(path, value, supported)
    }
}
