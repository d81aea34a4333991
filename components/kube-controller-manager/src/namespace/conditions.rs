//! The conditions that say how the deletion of a namespace is going.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NamespaceCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What one round of deletion has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    pub discovery_failures: Vec<String>,
    pub deletion_failures: Vec<String>,
    /// Instances by resource.
    pub instances: BTreeMap<String, usize>,
    /// Instances by finalizer.
    pub finalizers: BTreeMap<String, usize>,
    /// Seconds until it is worth to look again.
    pub estimate: u64,
}

impl Remaining {
    pub fn is_done(&self) -> bool {
        self.discovery_failures.is_empty() && self.deletion_failures.is_empty() && self.instances.is_empty()
    }
}

/// The five conditions; a condition whose status stays keeps its transition time.
pub fn conditions(
    old: &[NamespaceCondition],
    remaining: &Remaining,
    now: Timestamp,
) -> Vec<NamespaceCondition> {
    let mut all = old.to_vec();
    let failures = |list: &[String]| (!list.is_empty()).then(|| list.join("; "));
    let instances: Vec<_> = remaining
        .instances
        .iter()
        .map(|(resource, count)| format!("{resource} has {count} resource instances"))
        .collect();
    let finalizers: Vec<_> = remaining
        .finalizers
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    let table = [
        (
            "NamespaceDeletionDiscoveryFailure",
            failures(&remaining.discovery_failures).map(|list| {
                (
                    "DiscoveryFailed",
                    format!(
                        "Discovery failed for some groups, {} failing: {list}",
                        remaining.discovery_failures.len()
                    ),
                )
            }),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            failures(&remaining.deletion_failures).map(|list| {
                (
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types, {} remaining: {list}",
                        remaining.deletion_failures.len()
                    ),
                )
            }),
            (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        (
            "NamespaceContentRemaining",
            (!instances.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {}", instances.join(", ")),
                )
            }),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        finalizers.join(", ")
                    ),
                )
            }),
            (
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ),
    ];
    for (kind, problem, fine) in table {
        let (status, reason, message) = match problem {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", fine.0, fine.1.to_owned()),
        };
        let at = all.iter().position(|condition| condition.type_ == kind);
        let before = at
            .and_then(|at| (all[at].status == status).then(|| all[at].last_transition_time.clone()))
            .flatten();
        let condition = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: before.or(Some(Time(now))),
        };
        match at {
            Some(at) => all[at] = condition,
            None => all.push(condition),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_and_settled_conditions_keep_their_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut remaining = Remaining::default();
        remaining.instances.insert("pods.".to_owned(), 3);
        remaining.finalizers.insert("example.com/f".to_owned(), 1);
        let first = conditions(&[], &remaining, at(1));
        assert_eq!(first.len(), 5);
        let second = conditions(&first, &Remaining::default(), at(2));
        let get = |list: &[NamespaceCondition], kind: &str| {
            list.iter()
                .find(|condition| condition.type_ == kind)
                .cloned()
                .unwrap()
        };
        assert_eq!(
            get(&first, "NamespaceContentRemaining").message.unwrap(),
            "Some resources are remaining: pods. has 3 resource instances"
        );
        assert_eq!(
            get(&second, "NamespaceContentRemaining").last_transition_time,
            Some(Time(at(2)))
        );
        assert_eq!(
            get(&second, "NamespaceDeletionDiscoveryFailure").last_transition_time,
            Some(Time(at(1)))
        );
    }
}
