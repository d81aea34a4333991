//! What a ResourceQuota counts. Admission counts an object before it is stored, the controller counts again what is
//! stored; both by these rules, which are those of upstream's `pkg/quota/v1/evaluator/core`.

mod claims;
mod device_claims;
mod pods;
pub mod scopes;
mod services;
mod totals;

use apimachinery::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

pub use device_claims::{Devices, extended_owner};
pub use scopes::Requirement;
pub use totals::{amounts, pod_total, spec_total};

/// Amounts by the names that a quota's `hard` has for them.
pub type Usage = BTreeMap<String, Quantity>;

/// Kinds whose plain name is a quota's too.
const ALIASED: [&str; 4] = [
    "configmaps",
    "resourcequotas",
    "replicationcontrollers",
    "secrets",
];
/// What isn't stored, and events, which never were counted: group and plural.
const IGNORED: [(&str, &str); 10] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("events.k8s.io", "events"),
];

/// What counting an object depends on besides the object.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// Whether pods have resources as a whole: the gate PodLevelResources.
    pub pod_level: bool,
    /// Device classes and whose claims are whose; only with the gate DRAExtendedResource.
    pub devices: Option<&'a dyn Devices>,
}

/// How objects of one kind are counted.
#[derive(Clone, Copy)]
pub struct Counter<'a> {
    pub group: &'a str,
    pub plural: &'a str,
    pub surroundings: Surroundings<'a>,
}

/// The name under which the objects of a resource are counted, whatever they are.
pub fn object_count(group: &str, plural: &str) -> String {
    if group.is_empty() {
        format!("count/{plural}")
    } else {
        format!("count/{plural}.{group}")
    }
}

/// Whether no quota is ever asked about a resource.
pub fn is_ignored(group: &str, plural: &str) -> bool {
    IGNORED.contains(&(group, plural))
}

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

fn count(number: usize) -> Quantity {
    Quantity::new(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Counter<'_> {
    /// What an object uses. Amounts may be zero, and negative for objects that nobody validated.
    pub fn usage(&self, object: &Value) -> Usage {
        let mut usage = match (self.group, self.plural) {
            ("", "pods") => pods::usage(object, &self.surroundings),
            ("", "services") => services::usage(object),
            ("", "persistentvolumeclaims") => claims::usage(object),
            ("resource.k8s.io", "resourceclaims") => device_claims::usage(object, &self.surroundings),
            ("", plural) if ALIASED.contains(&plural) => Usage::from([(plural.to_owned(), count(1))]),
            _ => Usage::new(),
        };
        usage.insert(object_count(self.group, self.plural), count(1));
        usage
    }

    /// Whether a name in a quota is about objects of this kind.
    pub fn covers(&self, name: &str) -> bool {
        if let Some(counted) = name.strip_prefix("count/") {
            let (plural, group) = counted.split_once('.').unwrap_or((counted, ""));
            return plural == self.plural && group == self.group;
        }
        match (self.group, self.plural) {
            ("", "pods") => pods::covers(name),
            ("", "services") => services::covers(name),
            ("", "persistentvolumeclaims") => claims::covers(name),
            ("resource.k8s.io", "resourceclaims") => device_claims::covers(name, &self.surroundings),
            ("", plural) => name == plural && ALIASED.contains(&plural),
            _ => false,
        }
    }

    /// Whether an object meets what a scope of a quota requires. Kinds without scopes meet none.
    pub fn meets(&self, requirement: &Requirement<'_>, object: &Value) -> bool {
        match (self.group, self.plural) {
            ("", "pods") => scopes::pod(requirement, object),
            ("", "persistentvolumeclaims") => scopes::claim(requirement, object),
            _ => false,
        }
    }

    /// Whether scopes mean anything for this kind.
    pub fn has_scopes(&self) -> bool {
        self.group.is_empty() && matches!(self.plural, "pods" | "persistentvolumeclaims")
    }

    /// Whether an object is within all scopes of a quota.
    pub fn in_scope(&self, quota: &Value, object: &Value) -> bool {
        scopes::of(quota).all(|requirement| self.meets(&requirement, object))
    }

    /// Whether another state of an object can use another amount, where only an update is looked at.
    pub fn may_differ(&self, subresource: &str, old: &Value, new: &Value) -> bool {
        match (self.group, self.plural, subresource) {
            ("", "pods", "") => scopes::has_deadline(old) != scopes::has_deadline(new),
            ("", "pods", "resize") | ("", "services" | "persistentvolumeclaims", "") => true,
            ("resource.k8s.io", "resourceclaims", "") => true,
            ("", "persistentvolumeclaims", "status") => claims::status_differs(old, new),
            _ => false,
        }
    }

    /// What an object would have to say for a quota on `names`, but does not.
    pub fn unsaid<'q>(&self, names: impl Iterator<Item = &'q str>, object: &Value) -> Option<String> {
        match (self.group, self.plural) {
            ("", "pods") => pods::unsaid(names, object, &self.surroundings),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
