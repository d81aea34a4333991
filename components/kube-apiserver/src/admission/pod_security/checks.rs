//! The checks of the Pod Security Standards, pure: which there are, since when, and in which order they are told.

mod baseline;
mod host;
mod profiles;
mod restricted;

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A standard; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A rule that a pod breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The short form, by which pods are told together.
    pub reason: &'static str,
    /// What in the pod breaks it.
    pub detail: String,
}

impl Violation {
    fn new(reason: &'static str, detail: String) -> Option<Self> {
        Some(Self { reason, detail })
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.reason, self.detail)
    }
}

/// What a check looks at.
#[derive(Clone, Copy)]
struct Pod<'p> {
    spec: &'p Value,
    annotations: Option<&'p Map<String, Value>>,
    /// The rules are those of this minor version of Kubernetes.
    minor: u32,
}

impl Pod<'_> {
    /// In a user namespace root is nobody outside of it.
    fn has_own_users(&self) -> bool {
        self.minor >= 35 && self.spec["hostUsers"] == false
    }

    /// Before 1.25 a pod didn't say its system, and all were asked the same.
    fn is_windows(&self) -> bool {
        self.minor >= 25 && self.spec["os"]["name"] == "windows"
    }

    fn context(&self) -> &Value {
        &self.spec["securityContext"]
    }
}

struct Check {
    check: fn(Pod<'_>) -> Option<Violation>,
    since: u32,
    /// The restricted level has a stricter check instead, since this minor version.
    replaced: Option<u32>,
}

const fn check(check: fn(Pod<'_>) -> Option<Violation>, since: u32) -> Check {
    Check {
        check,
        since,
        replaced: None,
    }
}

const fn replaced(by_restricted_since: u32, check: fn(Pod<'_>) -> Option<Violation>) -> Check {
    Check {
        check,
        since: 0,
        replaced: Some(by_restricted_since),
    }
}

/// By upstream's identifiers of them, as they are told.
const BASELINE: [Check; 12] = [
    check(profiles::app_armor, 0),
    replaced(22, baseline::capabilities),
    check(host::namespaces, 0),
    replaced(0, host::path_volumes),
    check(host::ports, 0),
    check(host::handlers, 34),
    check(baseline::privileged, 0),
    replaced(35, baseline::proc_mount),
    check(profiles::selinux, 0),
    replaced(19, profiles::seccomp),
    check(profiles::sysctls, 0),
    check(host::windows_process, 0),
];
const RESTRICTED: [Check; 7] = [
    check(restricted::privilege_escalation, 8),
    check(restricted::capabilities, 22),
    check(baseline::any_proc_mount, 35),
    check(restricted::volumes, 0),
    check(restricted::non_root, 0),
    check(restricted::user, 23),
    check(restricted::seccomp, 19),
];

/// Everything in a pod that the level forbids, as it was in the minor version `minor` of Kubernetes; `u32::MAX` is the
/// newest.
pub fn violations(
    level: Level,
    minor: u32,
    spec: &Value,
    annotations: Option<&Map<String, Value>>,
) -> Vec<Violation> {
    let restricted = level == Level::Restricted;
    let baseline = BASELINE.iter().filter(|check| {
        level >= Level::Baseline && !(restricted && check.replaced.is_some_and(|since| minor >= since))
    });
    let pod = Pod {
        spec,
        annotations,
        minor,
    };
    baseline
        .chain(RESTRICTED.iter().filter(|_| restricted))
        .filter(|check| minor >= check.since)
        .filter_map(|check| (check.check)(pod))
        .collect()
}

/// The violations in one text.
pub fn told(violations: &[Violation]) -> String {
    let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn texts<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    items(value, field).iter().filter_map(Value::as_str)
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| items(spec, list))
}

fn name(container: &Value) -> &str {
    container["name"].as_str().unwrap_or("")
}

/// The names of the containers that a test fails.
fn failing(spec: &Value, fails: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(spec)
        .filter(|container| fails(container))
        .map(name)
        .collect()
}

fn quoted<'t>(names: impl IntoIterator<Item = &'t str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

fn plural<'t>(one: &'t str, many: &'t str, count: usize) -> &'t str {
    if count == 1 { one } else { many }
}

/// `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    let noun = plural("container", "containers", names.len());
    format!("{noun} {}", quoted(names.iter().copied()))
}

/// Who sets something bad: the pod for all its containers, or some of them.
fn setters(pod: bool, containers: &[&str]) -> Option<String> {
    match (pod, containers) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, some) => Some(named(some)),
        (true, some) => Some(format!("pod and {}", named(some))),
    }
}

/// Something in the security contexts of the pod and its containers that must not be: who sets it, and the values.
fn bad_values<'p>(
    pod: Pod<'p>,
    bad: impl Fn(&'p Value) -> Option<&'p str>,
) -> (bool, Vec<&'p str>, BTreeSet<&'p str>) {
    let of_pod = bad(&pod.spec["securityContext"]);
    let mut values: BTreeSet<&str> = of_pod.into_iter().collect();
    let mut names = Vec::new();
    for container in containers(pod.spec) {
        if let Some(value) = bad(&container["securityContext"]) {
            names.push(name(container));
            values.insert(value);
        }
    }
    (of_pod.is_some(), names, values)
}

#[cfg(test)]
mod tests;
