//! What the endpoints for a part of an object let through: statuses, finalizers, approvals.
mod conditions;
mod counts;

pub(super) use conditions::each as conditions;

use super::{admission, batch, certificates, core, pod, resource, shared, storage};
use crate::features::Features;
use crate::value::{at, list, object, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// A change through the endpoint of a kind, which has taken over nothing else; `None` where the whole is to be checked.
pub(super) fn check(
    kind: &str,
    subresource: &str,
    old: &Value,
    new: &Value,
    features: Features,
) -> Option<ErrorList> {
    Some(match (kind, subresource) {
        ("Pod", "status") => pod::status(old, new, features),
        ("Pod", "resize") => pod::resize(old, new, features),
        ("Pod", "ephemeralcontainers") => pod::ephemeral_containers(old, new, features),
        ("Namespace", "finalize") => core::finalizers(new, |index| Path::new("spec.finalizers").index(index)),
        ("CertificateSigningRequest", "status" | "approval") => {
            certificates::check(subresource, Some(old), new)
        }
        ("VolumeAttachment", "status") => return None,
        (kind, "status") => status(kind, old, new, features),
        _ => return None,
    })
}

fn status(kind: &str, old: &Value, new: &Value, features: Features) -> ErrorList {
    let path = Path::new("status");
    match kind {
        "Deployment"
        | "ReplicaSet"
        | "ReplicationController"
        | "StatefulSet"
        | "DaemonSet"
        | "HorizontalPodAutoscaler"
        | "PodDisruptionBudget" => {
            let mut errors = ErrorList::new();
            if kind == "PodDisruptionBudget" {
                errors.extend(conditions::check(new, &path.child("conditions")));
            }
            errors.extend(counts::check(kind, old, new));
            errors
        }
        "Job" => batch::job_status(old, new, features),
        "Service" => core::balancer_status(old, new, true, features),
        "Ingress" => core::balancer_status(old, new, false, features),
        "Node" => core::node_change(old, new),
        "Namespace" => phase(new).into_iter().collect(),
        "ResourceQuota" => {
            let mut errors = versioned(new);
            for field in ["hard", "used"] {
                errors.extend(core::quota_amounts(
                    at(new, &["status", field]),
                    &path.child(field),
                ));
            }
            errors
        }
        "PersistentVolume" => versioned(new),
        "PersistentVolumeClaim" => {
            let mut errors = versioned(new);
            errors.extend(storage::claim_status(old, new, features));
            errors
        }
        "APIService" => condition_statuses(new, &path.child("conditions")),
        "FlowSchema" | "PriorityLevelConfiguration" => named_conditions(new, &path.child("conditions")),
        "ValidatingAdmissionPolicy" => {
            let mut errors = admission::type_checking(new, &path);
            errors.extend(conditions::check(new, &path.child("conditions")));
            errors
        }
        "ResourceClaim" => resource::claim_status(old, new),
        _ => ErrorList::new(),
    }
}

fn versioned(object: &Value) -> ErrorList {
    if meta::resource_version(object).is_empty() {
        vec![Error::required(&Path::new("resourceVersion"), "")]
    } else {
        ErrorList::new()
    }
}

fn phase(namespace: &Value) -> Option<Error> {
    let (wanted, empty) = if meta::deletion_timestamp(namespace).is_none() {
        ("Active", "empty")
    } else {
        ("Terminating", "not empty")
    };
    let phase = text(namespace, &["status", "phase"]);
    (phase != wanted).then(|| {
        Error::invalid(
            &Path::new("status.Phase"),
            phase,
            format!("may only be '{wanted}' if `deletionTimestamp` is {empty}"),
        )
    })
}

/// Conditions that say yes, no, or that it isn't known.
fn condition_statuses(object: &Value, path: &Path) -> ErrorList {
    let conditions = list(object, &["status", "conditions"]).iter().enumerate();
    conditions
        .filter_map(|(index, condition)| {
            shared::one_of(
                &path.index(index).child("status"),
                at(condition, &["status"]),
                &["True", "False", "Unknown"],
            )
        })
        .collect()
}

/// Conditions that have a name, and each only once.
fn named_conditions(object: &Value, path: &Path) -> ErrorList {
    let conditions = list(object, &["status", "conditions"]);
    let mut errors = ErrorList::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index).child("type");
        let kind = text(condition, &["type"]);
        if conditions[..index]
            .iter()
            .any(|other| text(other, &["type"]) == kind)
        {
            errors.push(Error::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, "must not be empty"));
        }
    }
    errors
}

/// Amounts that are there, not negative.
pub(super) fn capacities(object: &Value, field: &[&str], path: &Path) -> ErrorList {
    self::object(object, field)
        .into_iter()
        .flatten()
        .filter_map(|(name, quantity)| {
            let amount = apimachinery::Quantity::from_json(quantity).ok()?;
            (amount.value() < 0).then(|| {
                Error::invalid(
                    &path.key(name),
                    amount.value(),
                    "must be a valid resource quantity",
                )
            })
        })
        .collect()
}

fn non_negative(object: &Value, fields: &[&str]) -> ErrorList {
    let path = Path::new("status");
    fields
        .iter()
        .filter_map(|field| shared::non_negative(&path.child(field), at(object, &["status", field])))
        .collect()
}

#[cfg(test)]
mod tests;
