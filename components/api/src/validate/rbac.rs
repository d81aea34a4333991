//! Validation of roles and bindings.
use super::internal;
use super::shared::{label_selector, label_selector_with};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// RBAC kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    Some(match kind {
        "Role" | "ClusterRole" => role(kind, old, new),
        "RoleBinding" | "ClusterRoleBinding" => binding(kind, old, new),
        _ => return None,
    })
}

fn selectors(role: &Value) -> &[Value] {
    list(role, &["aggregationRule", "clusterRoleSelectors"])
}

fn role(kind: &str, old: Option<&Value>, role: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, rule) in list(role, &["rules"]).iter().enumerate() {
        errors.extend(self::rule(rule, kind == "Role", &Path::new("rules").index(index)));
    }
    if at(role, &["aggregationRule"]).is_object() {
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = selectors(role);
        // Values that are no labels' are told only once where they were before.
        let any_values = old.is_some_and(|old| {
            let odd = |selector| !label_selector(&Path::root(), selector).is_empty();
            self::selectors(old).iter().any(odd)
        });
        if selectors.is_empty() {
            errors.push(Error::required(
                &path,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (index, selector) in selectors.iter().enumerate() {
            errors.extend(label_selector_with(&path.index(index), selector, any_values));
            if !label_selector(&path.index(index), selector).is_empty() {
                errors.push(Error::invalid(
                    &path.index(index),
                    Value::Null,
                    "invalid label selector.",
                ));
            }
        }
    }
    errors
}

fn rule(rule: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let some = |field: &str| !list(rule, &[field]).is_empty();
    if !some("verbs") {
        errors.push(Error::required(
            &path.child("verbs"),
            "verbs must contain at least one value",
        ));
    }
    if some("nonResourceURLs") {
        if namespaced {
            errors.push(Error::invalid(
                &path.child("nonResourceURLs"),
                at(rule, &["nonResourceURLs"]),
                "namespaced rules cannot apply to non-resource URLs",
            ));
        }
        if some("apiGroups") || some("resources") || some("resourceNames") {
            errors.push(Error::invalid(
                &path.child("nonResourceURLs"),
                at(rule, &["nonResourceURLs"]),
                "rules cannot apply to both regular resources and non-resource URLs",
            ));
        }
        return errors;
    }
    if !some("apiGroups") {
        errors.push(Error::required(
            &path.child("apiGroups"),
            "resource rules must supply at least one api group",
        ));
    }
    if !some("resources") {
        errors.push(Error::required(
            &path.child("resources"),
            "resource rules must supply at least one resource",
        ));
    }
    errors
}

fn binding(kind: &str, old: Option<&Value>, binding: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("roleRef");
    let reference = at(binding, &["roleRef"]);
    let group = text(reference, &["apiGroup"]);
    if group != GROUP {
        errors.push(Error::not_supported(&path.child("apiGroup"), group, &[GROUP]));
    }
    let role = text(reference, &["kind"]);
    let kinds: &[&str] = if kind == "RoleBinding" {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&role) {
        errors.push(Error::not_supported(&path.child("kind"), role, kinds));
    }
    let name = text(reference, &["name"]);
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        errors.extend(super::shared::texts(
            &path.child("name"),
            name,
            apimachinery::names::path_segment_name(name),
        ));
    }
    for (index, subject) in list(binding, &["subjects"]).iter().enumerate() {
        errors.extend(self::subject(
            subject,
            kind == "RoleBinding",
            &Path::new("subjects").index(index),
        ));
    }
    if old.is_some_and(|old| at(old, &["roleRef"]) != reference) {
        errors.push(Error::invalid(
            &path,
            internal::shown(internal::ROLE_REF, reference),
            "cannot change roleRef",
        ));
    }
    errors
}

fn subject(subject: &Value, namespaced: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (name, group) = (text(subject, &["name"]), text(subject, &["apiGroup"]));
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    match text(subject, &["kind"]) {
        "ServiceAccount" => {
            if !name.is_empty() {
                errors.extend(super::shared::texts(
                    &path.child("name"),
                    name,
                    apimachinery::names::dns1123_subdomain(name),
                ));
            }
            if !group.is_empty() {
                errors.push(Error::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, &["namespace"]).is_empty() {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" if group != GROUP => {
            errors.push(Error::not_supported(&path.child("apiGroup"), group, &[GROUP]))
        }
        "User" | "Group" => {}
        kind => errors.push(Error::not_supported(
            &path.child("kind"),
            kind,
            &["ServiceAccount", "User", "Group"],
        )),
    }
    errors
}

#[cfg(test)]
mod tests;
