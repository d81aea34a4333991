use crate::validate::internal;
use crate::validate::shared::{is_counted as counts, is_huge_page, resource_amount, resource_name};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::BTreeSet;

const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// Scopes that no object can have at once.
const CONFLICTS: &[(&str, &str)] = &[("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

/// A ResourceQuota.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = amounts(at(spec, &["hard"]), &path.child("hard"));
    errors.extend(scopes(spec, &path.child("scopes")));
    errors.extend(selector(spec, &path.child("scopeSelector.matchExpressions")));
    if let Some(old) = old {
        let set = |quota: &Value| -> BTreeSet<String> {
            let scopes = list(quota, &["spec", "scopes"]).iter();
            scopes.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        if set(old) != set(new) {
            errors.push(Error::invalid(
                &path.child("scopes"),
                at(spec, &["scopes"]),
                "field is immutable",
            ));
        }
    }
    errors
}

/// Amounts by the names of what is counted, of a spec or a status.
pub(in crate::validate) fn amounts(hard: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (name, quantity) in hard.as_object().into_iter().flatten() {
        let path = path.key(name);
        errors.extend(resource_name(&path, name));
        if !name.contains('/') && !is_standard(name) {
            errors.push(Error::invalid(
                &path,
                name.as_str(),
                "must be a standard resource for quota",
            ));
        }
        errors.extend(resource_amount(&path, name, quantity));
    }
    errors
}

/// Whether quotas know the resource by this name.
fn is_standard(name: &str) -> bool {
    let computed = computes(name) && !name.starts_with("limits.hugepages-");
    counts(name) || computed || name == "requests.storage"
}

fn computes(name: &str) -> bool {
    let bare = name
        .strip_prefix("requests.")
        .or_else(|| name.strip_prefix("limits."))
        .unwrap_or(name);
    matches!(bare, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(bare)
}

/// Pods, by what they may use at most or ask for.
const OF_PODS: &[&str] = &[
    "pods",
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
];

/// Whether a quota of that scope can count that resource. Resources of others are not known here.
fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        _ if !is_standard(resource) => true,
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => OF_PODS.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

fn hard(spec: &Value) -> impl Iterator<Item = &String> {
    at(spec, &["hard"])
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
}

fn scopes(spec: &Value, path: &Path) -> ErrorList {
    let shown = at(spec, &["scopes"]);
    let scopes: Vec<&str> = list(spec, &["scopes"]).iter().filter_map(Value::as_str).collect();
    let mut errors = ErrorList::new();
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            errors.push(Error::invalid(path, shown, "unsupported scope"));
        }
        errors.extend(
            hard(spec)
                .filter(|name| !applies(scope, name))
                .map(|_| Error::invalid(path, shown, "unsupported scope applied to resource")),
        );
    }
    errors.extend(conflicts(&scopes).map(|_| Error::invalid(path, shown, "conflicting scopes")));
    errors
}

fn conflicts(scopes: &[&str]) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    CONFLICTS
        .iter()
        .filter(|(one, other)| scopes.contains(one) && scopes.contains(other))
}

fn selector(spec: &Value, path: &Path) -> ErrorList {
    const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    let mut errors = ErrorList::new();
    let mut seen = Vec::new();
    for expression in list(spec, &["scopeSelector", "matchExpressions"]) {
        let scope = text(expression, &["scopeName"]);
        if !SCOPES.contains(&scope) {
            errors.push(Error::invalid(
                &path.child("scopeName"),
                scope,
                "unsupported scope",
            ));
        }
        errors.extend(hard(spec).filter(|name| !applies(scope, name)).map(|_| {
            Error::invalid(
                path,
                internal::shown(internal::SCOPE_SELECTOR, at(spec, &["scopeSelector"])),
                "unsupported scope applied to resource",
            )
        }));
        let (operator, values) = (text(expression, &["operator"]), list(expression, &["values"]));
        if matches!(
            scope,
            "BestEffort" | "NotBestEffort" | "Terminating" | "NotTerminating" | "CrossNamespacePodAffinity"
        ) && operator != "Exists"
        {
            errors.push(Error::invalid(&path.child("operator"), operator, ONLY_EXISTS));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(Error::required(
                &path.child("values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(Error::invalid(
                &path.child("values"),
                Value::from(values),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(Error::invalid(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
        seen.push(scope);
    }
    // Upstream shows the scopes here, which the selector is not.
    errors
        .extend(conflicts(&seen).map(|_| Error::invalid(path, at(spec, &["scopes"]), "conflicting scopes")));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scopes_are_known_and_fit_what_is_counted() {
        for (spec, wrong) in [
            (
                json!({"hard": {"pods": "3"}, "scopes": ["NotTerminating"]}),
                vec![],
            ),
            (
                json!({"hard": {"pods": "3"}, "scopes": ["Odd"]}),
                vec!["spec.scopes: Invalid value: [\"Odd\"]: unsupported scope"],
            ),
            (
                json!({"hard": {"services": "3"}, "scopes": ["BestEffort"]}),
                vec!["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"],
            ),
            (
                json!({"hard": {"count/jobs.batch": "3"}, "scopes": ["BestEffort"]}),
                vec![],
            ),
            (
                json!({"scopes": ["Terminating", "NotTerminating"]}),
                vec!["spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"],
            ),
            (
                json!({"hard": {"requests.ephemeral-storage": "1Gi"}, "scopes": ["NotTerminating"]}),
                vec![
                    "spec.scopes: Invalid value: [\"NotTerminating\"]: unsupported scope applied to resource",
                ],
            ),
            (
                json!({"hard": {"services": "1"}, "scopeSelector": {"matchExpressions": [
                    {"scopeName": "BestEffort", "operator": "Exists"},
                    {"scopeName": "NotBestEffort", "operator": "In"},
                ]}}),
                vec![
                    "spec.scopeSelector.matchExpressions: Invalid value: {\"MatchExpressions\":[{\"ScopeName\":\"BestEffort\",\"Operator\":\"Exists\",\"Values\":null},{\"ScopeName\":\"NotBestEffort\",\"Operator\":\"In\",\"Values\":null}]}: unsupported scope applied to resource",
                    "spec.scopeSelector.matchExpressions: Invalid value: {\"MatchExpressions\":[{\"ScopeName\":\"BestEffort\",\"Operator\":\"Exists\",\"Values\":null},{\"ScopeName\":\"NotBestEffort\",\"Operator\":\"In\",\"Values\":null}]}: unsupported scope applied to resource",
                    "spec.scopeSelector.matchExpressions.operator: Invalid value: \"In\": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
                    "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                    "spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes",
                ],
            ),
            (
                json!({"hard": {"pods": "500m"}}),
                vec!["spec.hard[pods]: Invalid value: \"500m\": must be an integer"],
            ),
        ] {
            let found: Vec<String> = check(None, &json!({"spec": spec}))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, wrong);
        }
    }
}
