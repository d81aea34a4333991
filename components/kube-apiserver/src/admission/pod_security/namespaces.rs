//! Namespaces whose labels say what holds for their pods.

use super::PREFIX;
use super::checks::{Level, violations};
use super::configuration::{LevelVersion, PodSecurityConfiguration};
use super::policy::Policy;
use crate::admission::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, meta};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// Most pods that are looked at, and for how long; upstream's limits as well.
const MOST_PODS: usize = 3000;
const LONGEST: Duration = Duration::from_secs(1);

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
    if before.is_some() && (policy.enforce.level == Level::Privileged || relaxed) {
        return Ok(());
    }
    if configuration.namespaces.iter().any(|exempt| exempt == name) {
        let warning = ignored(object, &policy, configuration);
        warning
            .into_iter()
            .for_each(|warning| attributes.request.warn(warning));
        return Ok(());
    }
    if before.is_none() {
        return Ok(());
    }
    let pods = server.stores.cached_list("", "pods", Some(name));
    let pods = pods.iter().map(AsRef::as_ref);
    let until = Instant::now() + LONGEST;
    let emulated = server.flags.version.emulated.minor;
    for warning in existing(name, (&policy.enforce, emulated), pods, configuration, || {
        Instant::now() >= until
    }) {
        attributes.request.warn(warning);
    }
    Ok(())
}

/// That what the labels of an exempt namespace ask for doesn't matter.
fn ignored(namespace: &Value, policy: &Policy, defaults: &PodSecurityConfiguration) -> Option<String> {
    let (default, _) = Policy::of(None, defaults);
    if policy.is_privileged() || *policy == default {
        return None;
    }
    let labels = meta::labels(namespace);
    let said = |mode: &str| {
        let has =
            |suffix: &str| labels.is_some_and(|all| all.contains_key(&format!("{PREFIX}{mode}{suffix}")));
        has("") || has("-version")
    };
    let modes: Vec<String> = [
        ("enforce", &policy.enforce),
        ("audit", &policy.audit),
        ("warn", &policy.warn),
    ]
    .into_iter()
    .filter(|(mode, level)| level.level != Level::Privileged && said(mode))
    .map(|(mode, level)| format!("{mode}={level}"))
    .collect();
    Some(format!(
        "namespace \"{}\" is exempt from Pod Security, and the policy ({}) will be ignored",
        meta::name(namespace),
        modes.join(", ")
    ))
}

/// The pods in the order in which they are looked at: one of each controller first, as its others are the same.
fn by_interest<'a>(
    pods: impl Iterator<Item = &'a Value>,
    configuration: &PodSecurityConfiguration,
) -> Vec<&'a Value> {
    let mut controllers = HashSet::new();
    let (mut first, mut alike) = (Vec::new(), Vec::new());
    for pod in pods {
        if configuration.exempts_class(&pod["spec"]) {
            continue;
        }
        match meta::controller_of(pod).and_then(|owner| owner["uid"].as_str()) {
            Some(uid) if !controllers.insert(uid) => alike.push(pod),
            _ => first.push(pod),
        }
    }
    first.extend(alike);
    first
}

/// Warnings about pods that are there already; those with the same reasons together. `over` says that time is up.
fn existing<'a>(
    namespace: &str,
    (level, emulated): (&LevelVersion, u32),
    pods: impl Iterator<Item = &'a Value>,
    configuration: &PodSecurityConfiguration,
    over: impl Fn() -> bool,
) -> Vec<String> {
    let pods = by_interest(pods, configuration);
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut checked = 0;
    for pod in pods.iter().take(MOST_PODS) {
        let found = violations(
            level.level,
            level.known_minor(emulated),
            &pod["spec"],
            meta::annotations(pod),
        );
        if !found.is_empty() {
            let reasons: Vec<&str> = found.iter().map(|violation| violation.reason).collect();
            by_reason
                .entry(reasons.join(", "))
                .or_default()
                .push(meta::name(pod));
        }
        checked += 1;
        if over() {
            break;
        }
    }
    let mut warnings = Vec::new();
    if checked < pods.len() {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {checked} of {} existing pods",
            pods.len()
        ));
    }
    if by_reason.is_empty() {
        return warnings;
    }
    warnings.push(format!(
        "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{level}\""
    ));
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

    fn baseline() -> LevelVersion {
        LevelVersion {
            level: Level::Baseline,
            version: "latest".to_owned(),
        }
    }

    #[test]
    fn pods_with_the_same_reasons_are_told_together() {
        let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"hostNetwork": true}});
        let mut exempt = pod("d");
        exempt["spec"]["runtimeClassName"] = json!("kata");
        let pods = [pod("b"), pod("a"), pod("c"), exempt];
        let configuration = PodSecurityConfiguration {
            runtime_classes: vec!["kata".to_owned()],
            ..PodSecurityConfiguration::default()
        };
        let warnings = |over| existing("n", (&baseline(), u32::MAX), pods.iter(), &configuration, || over);
        let head =
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"";
        assert_eq!(warnings(false), [head, "a (and 2 other pods): host namespaces"]);
        assert_eq!(
            warnings(true),
            [
                "new PodSecurity enforce level only checked against the first 1 of 3 existing pods",
                head,
                "b: host namespaces"
            ]
        );
    }

    #[test]
    fn one_pod_of_each_controller_is_looked_at_first() {
        let pod = |name: &str, uid: Value| json!({"metadata": {"name": name, "ownerReferences": [{"controller": true, "uid": uid}]}});
        let pods = [
            pod("a", json!("x")),
            pod("b", json!("x")),
            pod("c", json!("y")),
            json!({"metadata": {"name": "d"}}),
        ];
        let ordered = by_interest(pods.iter(), &PodSecurityConfiguration::default());
        let names: Vec<&str> = ordered.into_iter().map(meta::name).collect();
        assert_eq!(names, ["a", "c", "d", "b"]);
    }

    #[test]
    fn labels_of_exempt_namespaces_are_ignored() {
        let namespace = |labels: Value| json!({"metadata": {"name": "n", "labels": labels}});
        let defaults = PodSecurityConfiguration::default();
        for (labels, expected) in [
            (json!({}), None),
            (json!({"pod-security.kubernetes.io/enforce": "privileged"}), None),
            (
                json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn-version": "v1.30", "pod-security.kubernetes.io/audit": "restricted"}),
                Some("enforce=baseline:latest, audit=restricted:latest, warn=baseline:v1.30"),
            ),
            (
                json!({"pod-security.kubernetes.io/enforce": "restricted"}),
                Some("enforce=restricted:latest"),
            ),
        ] {
            let namespace = namespace(labels);
            let (policy, _) = Policy::of(meta::labels(&namespace), &defaults);
            let expected = expected.map(|modes| {
                format!(
                    "namespace \"n\" is exempt from Pod Security, and the policy ({modes}) will be ignored"
                )
            });
            assert_eq!(ignored(&namespace, &policy, &defaults), expected, "{namespace}");
        }
    }
}
