use crate::validate::shared::{label_selector, maybe_one_of, one_of};
use crate::value::{at, list};
use apimachinery::field::{Error, ErrorList, Path};
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
    for field in ["apiGroups", "apiVersions", "resources"] {
        let values = list(rule, &[field]);
        let path = path.child(field);
        if values.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") && field != "resources" {
            errors.push(Error::invalid(
                &path,
                Value::from(values),
                format!(
                    "if '*' is present, must not specify other {}",
                    if field == "apiGroups" {
                        "API groups"
                    } else {
                        "API versions"
                    }
                ),
            ));
        }
        if field != "apiGroups" {
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
    let (mut whole, mut everywhere) = (HashSet::new(), HashSet::new());
    for (index, shown) in resources.iter().filter_map(Value::as_str).enumerate() {
        let Some((resource, sub)) = shown.split_once('/') else {
            continue;
        };
        let path = path.index(index);
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
    let plain = |resource: &Value| {
        resource
            .as_str()
            .is_some_and(|resource| resource != "*" && !resource.contains('/'))
    };
    if resources.iter().any(|resource| resource == "*") && resources.iter().any(plain) {
        errors.push(Error::invalid(
            path,
            all,
            "if '*' is present, must not specify other resources without subresources",
        ));
    }
    errors
}

/// Which objects a policy or binding is for.
pub(super) fn constraints(constraints: &Value, rules_required: bool, path: &Path) -> ErrorList {
    let mut errors: ErrorList = match at(constraints, &["matchPolicy"]) {
        Value::Null => vec![Error::required(&path.child("matchPolicy"), "")],
        policy => one_of(&path.child("matchPolicy"), policy, &["Equivalent", "Exact"])
            .into_iter()
            .collect(),
    };
    for field in ["namespaceSelector", "objectSelector"] {
        errors.extend(label_selector(&path.child(field), at(constraints, &[field])));
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(constraints, &[field]).iter().enumerate() {
            errors.extend(self::rule(rule, &path.child(field).index(index)));
        }
    }
    if rules_required && list(constraints, &["resourceRules"]).is_empty() {
        errors.push(Error::required(&path.child("resourceRules"), ""));
    }
    errors
}
