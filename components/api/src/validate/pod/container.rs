use super::allowed::restarts_to_resize;
use super::{Allowed, devices, environment, handlers, resources, security};
use crate::validate::internal;
use crate::validate::shared::{self, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// What a container is checked against.
pub(super) struct Context<'a> {
    pub(super) volumes: &'a devices::Volumes<'a>,
    /// Names of claims for devices.
    pub(super) claims: &'a [&'a str],
    pub(super) grace: Option<i64>,
    pub(super) spec: &'a Value,
    pub(super) allowed: Allowed,
}

pub(super) fn containers(context: &Context<'_>, path: &Path) -> ErrorList {
    let containers = list(context.spec, &["containers"]);
    if containers.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(context, container, &path));
        let name = text(container, &["name"]);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        errors.extend(handlers::of_container(context, container, &path));
        if context.allowed.restart_rules {
            errors.extend(restart_rules(container, context.allowed, &path));
        } else if !at(container, &["restartPolicy"]).is_null() {
            errors.push(Error::forbidden(
                &path.child("restartPolicy"),
                "may not be set for non-init containers",
            ));
        }
    }
    errors.extend(host_port_conflicts(containers, path));
    errors
}

pub(super) fn init_containers(context: &Context<'_>, path: &Path) -> ErrorList {
    let whole = path;
    let mut errors = ErrorList::new();
    let mut seen: HashSet<&str> = list(context.spec, &["containers"])
        .iter()
        .map(|container| text(container, &["name"]))
        .collect();
    for (index, container) in list(context.spec, &["initContainers"]).iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(context, container, &path));
        errors.extend(initial_restart_rules(container, context.allowed, &path));
        let name = text(container, &["name"]);
        if seen.contains(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        } else if !name.is_empty() {
            seen.insert(name);
        }
        // Initial containers run one by one, so each may use the port of another. Upstream's paths name the first.
        errors.extend(host_port_conflicts(std::slice::from_ref(container), whole));
        let sidecar = text(container, &["restartPolicy"]) == "Always";
        if sidecar {
            errors.extend(handlers::of_container(context, container, &path));
        } else {
            for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if !at(container, &[field]).is_null() {
                    errors.push(Error::forbidden(
                        &path.child(field),
                        "may not be set for init containers without restartPolicy=Always",
                    ));
                }
            }
        }
        let policies = list(container, &["resizePolicy"]);
        let own = path.child("resizePolicy");
        if !policies.is_empty() && !context.allowed.sidecar_resize_policy {
            errors.push(Error::invalid(
                &own,
                internal::shown_list(internal::RESIZE_POLICY, at(container, &["resizePolicy"])),
                "must not be set for init containers",
            ));
        }
        if !sidecar && !context.allowed.initial_resize_by_restart && restarts_to_resize(container) {
            for (index, _) in policies
                .iter()
                .enumerate()
                .filter(|(_, policy)| text(policy, &["restartPolicy"]) == "RestartContainer")
            {
                errors.push(Error::invalid(
                    &own.index(index).child("restartPolicy"),
                    "RestartContainer",
                    "must not be set to 'RestartContainer' for non-sidecar initContainers",
                ));
            }
        }
    }
    errors
}

/// When an initial container is started again: a sidecar whenever it ends, another by its own policy.
fn initial_restart_rules(container: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let (policy, rules) = (
        at(container, &["restartPolicy"]).as_str(),
        list(container, &["restartPolicyRules"]),
    );
    match policy {
        None if rules.is_empty() => ErrorList::new(),
        None => vec![Error::required(
            &path.child("restartPolicy"),
            "must specify restartPolicy when restart rules are used",
        )],
        Some("Always") if !allowed.restart_rules => ErrorList::new(),
        Some(other) if !allowed.restart_rules => {
            vec![Error::not_supported(
                &path.child("restartPolicy"),
                other,
                &["Always"],
            )]
        }
        Some("Always") if !allowed.restart_all => (!rules.is_empty())
            .then(|| {
                Error::forbidden(
                    &path.child("restartPolicyRules"),
                    "restartPolicyRules are not allowed for init containers with restart policy Always",
                )
            })
            .into_iter()
            .collect(),
        Some(_) => restart_rules(container, allowed, path),
    }
}

pub(super) fn ephemeral_containers(context: &Context<'_>, path: &Path) -> ErrorList {
    const WHY: &str = "cannot be set for an Ephemeral Container";
    const UNFIT: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let mut errors = ErrorList::new();
    let others: HashSet<&str> = list(context.spec, &["containers"])
        .iter()
        .chain(list(context.spec, &["initContainers"]))
        .map(|container| text(container, &["name"]))
        .collect();
    let mut seen = others.clone();
    for (index, container) in list(context.spec, &["ephemeralContainers"]).iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(context, container, &path));
        errors.extend(trimmed_image(container, || path.clone()));
        let name = text(container, &["name"]);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let target = text(container, &["targetContainerName"]);
        if !target.is_empty() && !others.contains(target) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        for field in UNFIT.iter().filter(|field| is_given(at(container, &[field]))) {
            errors.push(Error::forbidden(&path.child(field), WHY));
        }
        for (index, mount) in list(container, &["volumeMounts"]).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, &[field]).is_empty() {
                    let path = path.child("volumeMounts").index(index);
                    errors.push(Error::forbidden(&path.child(field), WHY));
                }
            }
        }
    }
    errors
}

/// What is always written, such as resources, is not given while it is empty.
fn is_given(value: &Value) -> bool {
    !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty())
}

/// The image of a container that is to run now.
pub(super) fn trimmed_image(container: &Value, path: impl FnOnce() -> Path) -> Option<Error> {
    let image = text(container, &["image"]);
    (image.trim() != image).then(|| {
        Error::invalid(
            &path().child("image"),
            image,
            "must not have leading or trailing whitespace",
        )
    })
}

/// Rules and exit codes of one container.
const MAX_RESTART_RULES: usize = 20;
const MAX_EXIT_CODES: usize = 255;

/// When a container is started again, whatever holds for its pod.
fn restart_rules(container: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let (policy, rules) = (
        at(container, &["restartPolicy"]),
        list(container, &["restartPolicyRules"]),
    );
    let mut errors = ErrorList::new();
    let own = || path.child("restartPolicy");
    if !policy.is_null() {
        errors.extend(one_of(&own(), policy, &["Always", "Never", "OnFailure"]));
    } else if !rules.is_empty() {
        errors.push(Error::required(
            &own(),
            "must specify restartPolicy when restart rules are used",
        ));
    }
    let actions: &[&str] = if allowed.restart_all {
        &["Restart", "RestartAllContainers"]
    } else {
        &["Restart"]
    };
    let path = path.child("restartPolicyRules");
    if rules.len() > MAX_RESTART_RULES {
        errors.push(Error::too_many(&path, rules.len(), MAX_RESTART_RULES));
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        errors.extend(one_of(&path.child("action"), at(rule, &["action"]), actions));
        let (codes, path) = (at(rule, &["exitCodes"]), path.child("exitCodes"));
        if !codes.is_object() {
            errors.push(Error::required(&path, "must be specified"));
            continue;
        }
        errors.extend(one_of(
            &path.child("operator"),
            at(codes, &["operator"]),
            &["In", "NotIn"],
        ));
        let values = list(codes, &["values"]).len();
        if values > MAX_EXIT_CODES {
            errors.push(Error::too_many(&path.child("values"), values, MAX_EXIT_CODES));
        }
    }
    errors
}

fn common(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(container, &["name"]);
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
    }
    if text(container, &["image"]).is_empty() {
        errors.push(Error::required(&path.child("image"), ""));
    }
    errors.extend(shared::set_to_one_of(
        &path.child("terminationMessagePolicy"),
        at(container, &["terminationMessagePolicy"]),
        &["File", "FallbackToLogsOnError"],
    ));
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(environment::variables(container, &path.child("env")));
    errors.extend(environment::sources(container, &path.child("envFrom")));
    errors.extend(devices::mounts(
        context.volumes,
        container,
        &path.child("volumeMounts"),
    ));
    errors.extend(devices::devices(
        context.volumes,
        container,
        &path.child("volumeDevices"),
    ));
    errors.extend(shared::set_to_one_of(
        &path.child("imagePullPolicy"),
        at(container, &["imagePullPolicy"]),
        &["Always", "IfNotPresent", "Never"],
    ));
    errors.extend(resources::requirements(
        at(container, &["resources"]),
        context.claims,
        context.allowed,
        &path.child("resources"),
    ));
    errors.extend(resize_policy(context, container, &path.child("resizePolicy")));
    errors.extend(security::container(
        context.spec,
        at(container, &["securityContext"]),
        &path.child("securityContext"),
    ));
    errors
}

/// Which resources can be changed without a restart. Upstream's paths have no index.
fn resize_policy(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, policy) in list(container, &["resizePolicy"]).iter().enumerate() {
        let (name, restart) = (text(policy, &["resourceName"]), text(policy, &["restartPolicy"]));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.index(index), name));
        }
        for (value, known) in [
            (name, &["cpu", "memory"]),
            (restart, &["NotRequired", "RestartContainer"]),
        ] {
            if value.is_empty() {
                errors.push(Error::required(path, ""));
            } else if !known.contains(&value) {
                errors.push(Error::not_supported(path, value, known));
            }
        }
        if text(context.spec, &["restartPolicy"]) == "Never" && restart != "NotRequired" {
            errors.push(Error::invalid(
                path,
                restart,
                "must be 'NotRequired' when pod `restartPolicy` is 'Never'",
            ));
        }
    }
    errors
}

fn ports(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, port) in list(container, &["ports"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            let wrong = texts(&path.child("name"), name, names::port_name(name));
            if wrong.is_empty() && !seen.insert(name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            errors.extend(wrong);
        }
        match at(port, &["containerPort"]).as_i64().unwrap_or(0) {
            0 => errors.push(Error::required(&path.child("containerPort"), "")),
            _ => errors.extend(shared::port(
                &path.child("containerPort"),
                at(port, &["containerPort"]),
            )),
        }
        if at(port, &["hostPort"]).as_i64().unwrap_or(0) != 0 {
            errors.extend(shared::port(&path.child("hostPort"), at(port, &["hostPort"])));
        }
        errors.extend(shared::set_to_one_of(
            &path.child("protocol"),
            at(port, &["protocol"]),
            &["SCTP", "TCP", "UDP"],
        ));
    }
    errors
}

fn host_port_conflicts(containers: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (port_index, port) in list(container, &["ports"]).iter().enumerate() {
            let host = at(port, &["hostPort"]).as_i64().unwrap_or(0);
            if host == 0 {
                continue;
            }
            let shown = format!("{}/{}/{host}", text(port, &["protocol"]), text(port, &["hostIP"]));
            if !seen.insert(shown.clone()) {
                errors.push(Error::duplicate(
                    &path
                        .index(index)
                        .child("ports")
                        .index(port_index)
                        .child("hostPort"),
                    shown,
                ));
            }
        }
    }
    errors
}
