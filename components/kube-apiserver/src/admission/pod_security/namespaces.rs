//! Namespaces whose labels say what holds for their pods.

use super::checks::{Level, violations};
use super::configuration::LevelVersion;
use super::policy::Policy;
use crate::admission::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, meta};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most pods that are looked at; upstream's limit as well.
const MOST_PODS: usize = 3000;

/// Labels must be understood; pods that a stricter level would refuse are named.
pub fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if !attributes.subresource.is_empty() {
        return Ok(());
    }
    let configuration = &server.admission.configuration.pod_security;
    let (policy, problems) = Policy::of(meta::labels(object), configuration);
    let before = old.filter(|_| attributes.operation == Operation::Update);
    let (earlier, known) = Policy::of(before.and_then(meta::labels), configuration);
    let texts = |problems: &[super::policy::Problem]| -> Vec<String> {
        problems.iter().map(super::policy::Problem::message).collect()
    };
    if !problems.is_empty() && (before.is_none() || texts(&problems) != texts(&known)) {
        let errors: Vec<_> = problems.into_iter().map(super::policy::Problem::error).collect();
        return Err(ApiError::invalid(
            &attributes.row.gvk,
            meta::name(object),
            &errors,
        ));
    }
    let relaxed =
        policy.enforce.version == earlier.enforce.version && policy.enforce.level <= earlier.enforce.level;
    let name = meta::name(object);
    if before.is_none()
        || policy.enforce.level == Level::Privileged
        || relaxed
        || configuration.namespaces.iter().any(|exempt| exempt == name)
    {
        return Ok(());
    }
    let pods = server.stores.cached_list("", "pods", Some(name));
    for warning in existing(
        name,
        &policy.enforce,
        pods.iter().map(AsRef::as_ref).take(MOST_PODS),
    ) {
        attributes.request.warn(warning);
    }
    Ok(())
}

/// Warnings about pods that are there already; those with the same reasons together.
fn existing<'a>(namespace: &str, level: &LevelVersion, pods: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods {
        let found = violations(level.level, level.minor(), &pod["spec"], meta::annotations(pod));
        if !found.is_empty() {
            // The short form: rules without what in the pod breaks them.
            let rules: Vec<&str> = found
                .iter()
                .map(|rule| rule.split_once(" (").map_or(rule.as_str(), |(rule, _)| rule))
                .collect();
            by_reason
                .entry(rules.join(", "))
                .or_default()
                .push(meta::name(pod));
        }
    }
    if by_reason.is_empty() {
        return Vec::new();
    }
    let mut warnings = vec![format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{}:{}\"",
        level.level.name(),
        level.version
    )];
    let mut lines: Vec<String> = by_reason
        .into_iter()
        .map(|(reasons, mut names)| {
            names.sort_unstable();
            match names.as_slice() {
                [only] => format!("{only}: {reasons}"),
                [first, _] => format!("{first} (and 1 other pod): {reasons}"),
                [first, rest @ ..] => format!("{first} (and {} other pods): {reasons}", rest.len()),
                [] => reasons,
            }
        })
        .collect();
    lines.sort_unstable();
    warnings.extend(lines);
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_with_the_same_reasons_are_told_together() {
        let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostNetwork": true}});
        let pods = [pod("b"), pod("a"), pod("c")];
        let level = LevelVersion {
            level: Level::Baseline,
            version: "latest".to_owned(),
        };
        assert_eq!(
            existing("n", &level, pods.iter()),
            [
                "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
                "a (and 2 other pods): host namespaces",
            ]
        );
    }
}
