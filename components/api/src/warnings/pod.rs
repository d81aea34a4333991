//! Pods, and templates of pods (pkg/api/pod/warnings.go).
use super::{addresses, containers, labels, volumes};
use crate::value::{at, int, list, object, text};
use apimachinery::field::quote;
use serde_json::Value;
use std::collections::HashSet;

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// About a template that stands at `path`.
pub(super) fn template(template: &Value, path: &str) -> Vec<String> {
    whole(template, &format!("{path}."), true)
}

/// About a pod.
pub(super) fn pod(pod: &Value) -> Vec<String> {
    whole(pod, "", false)
}

/// `path` ends with a dot, if it isn't empty.
fn whole(holder: &Value, path: &str, is_template: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = at(holder, &["spec"]);
    let own = format!("{path}spec");
    nodes(spec, &own, &mut warnings);
    annotations(holder, path, &mut warnings);
    volumes::check(spec, &own, &mut warnings);
    names(spec, &own, &mut warnings);
    containers::fractions(
        at(spec, &["overhead"]),
        || format!("{own}.overhead"),
        &mut warnings,
    );
    let profile = at(spec, &["securityContext", "seccompProfile"]);
    if profile.is_null() && annotation(holder, SECCOMP) {
        warnings.push(format!(
            r#"{path}metadata.annotations[{SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead"#
        ));
    }
    containers::check(holder, path, is_template, &mut warnings);
    if int(spec, &["terminationGracePeriodSeconds"]).is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{own}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        affinity(
            at(spec, &["affinity", kind]),
            || format!("{own}.affinity.{kind}"),
            &mut warnings,
        );
    }
    let servers = list(spec, &["dnsConfig", "nameservers"])
        .iter()
        .filter_map(Value::as_str);
    for (index, server) in servers.enumerate() {
        let path = || format!("{own}.dnsConfig.nameservers[{index}]");
        warnings.extend(addresses::ip(path, server));
    }
    for (index, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let path = || format!("{own}.hostAliases[{index}].ip");
        warnings.extend(addresses::ip(path, text(alias, &["ip"])));
    }
    warnings
}

fn annotation(holder: &Value, key: &str) -> bool {
    object(holder, &["metadata", "annotations"]).is_some_and(|all| all.contains_key(key))
}

fn annotations(holder: &Value, path: &str, warnings: &mut Vec<String>) {
    for (key, message) in ANNOTATIONS {
        if annotation(holder, key) {
            warnings.push(format!("{path}metadata.annotations[{key}]: {message}"));
        }
    }
}

/// Which nodes are wanted.
fn nodes(spec: &Value, path: &str, warnings: &mut Vec<String>) {
    for (key, message) in labels::keys(spec, &["nodeSelector"]) {
        warnings.push(format!("{path}.nodeSelector[{key}]: {message}"));
    }
    let affinity = at(spec, &["affinity", "nodeAffinity"]);
    for (index, term) in list(affinity, &[REQUIRED, "nodeSelectorTerms"])
        .iter()
        .enumerate()
    {
        let path = format!("{path}.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[{index}]");
        labels::term(term, false, &path, warnings);
    }
    for (index, term) in list(affinity, &[PREFERRED]).iter().enumerate() {
        let path = format!("{path}.affinity.nodeAffinity.{PREFERRED}[{index}].preference");
        labels::term(at(term, &["preference"]), true, &path, warnings);
    }
    for (index, spread) in list(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let path = format!("{path}.topologySpreadConstraints[{index}]");
        let key = text(spread, &["topologyKey"]);
        if let Some(message) = labels::deprecated(key) {
            warnings.push(format!("{path}.topologyKey: {key} is {message}"));
        }
        no_selector(spread, || format!("{path}.labelSelector"), warnings);
    }
}

fn no_selector(holder: &Value, path: impl FnOnce() -> String, warnings: &mut Vec<String>) {
    if at(holder, &["labelSelector"]).is_null() {
        warnings.push(format!(
            "{}: a null labelSelector results in matching no pod",
            path()
        ));
    }
}

fn affinity(affinity: &Value, path: impl Fn() -> String, warnings: &mut Vec<String>) {
    for (index, term) in list(affinity, &[REQUIRED]).iter().enumerate() {
        no_selector(
            term,
            || format!("{}.{REQUIRED}[{index}].labelSelector", path()),
            warnings,
        );
    }
    for (index, term) in list(affinity, &[PREFERRED]).iter().enumerate() {
        let path = || format!("{}.{PREFERRED}[{index}].podAffinityTerm.labelSelector", path());
        no_selector(at(term, &["podAffinityTerm"]), path, warnings);
    }
}

/// What stands in a list twice, or without a name.
fn names(spec: &Value, path: &str, warnings: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (index, alias) in list(spec, &["hostAliases"]).iter().enumerate() {
        let ip = text(alias, &["ip"]);
        if !seen.insert(ip) {
            warnings.push(format!(
                "{path}.hostAliases[{index}].ip: duplicate ip {}",
                quote(ip)
            ));
        }
    }
    let secrets = list(spec, &["imagePullSecrets"]);
    let mut seen = HashSet::new();
    for (index, secret) in secrets.iter().enumerate() {
        let name = text(secret, &["name"]);
        if !seen.insert(name) {
            warnings.push(format!(
                "{path}.imagePullSecrets[{index}].name: duplicate name {}",
                quote(name)
            ));
        }
    }
    for (index, _) in secrets
        .iter()
        .enumerate()
        .filter(|(_, secret)| text(secret, &["name"]).is_empty())
    {
        warnings.push(format!(
            "{path}.imagePullSecrets[{index}].name: invalid empty name \"\""
        ));
    }
}
