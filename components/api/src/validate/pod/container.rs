use super::{handlers, repeated, security};
use crate::validate::shared::{self, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;
use std::collections::HashSet;

/// What a container is checked against.
pub(super) struct Context<'a> {
    pub(super) volumes: &'a HashSet<String>,
    pub(super) grace: Option<i64>,
    pub(super) spec: &'a Value,
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
        if repeated(&mut seen, name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        errors.extend(handlers::lifecycle(
            container,
            context.grace,
            &path.child("lifecycle"),
        ));
        errors.extend(handlers::probes(container, context.grace, &path));
        errors.extend(restart_policy(container, &path));
    }
    errors.extend(host_port_conflicts(containers, path));
    errors
}

pub(super) fn init_containers(context: &Context<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: HashSet<&str> = list(context.spec, &["containers"])
        .iter()
        .map(|container| text(container, &["name"]))
        .collect();
    for (index, container) in list(context.spec, &["initContainers"]).iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(context, container, &path));
        let name = text(container, &["name"]);
        if repeated(&mut seen, name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        if text(container, &["restartPolicy"]) == "Always" {
            errors.extend(handlers::lifecycle(
                container,
                context.grace,
                &path.child("lifecycle"),
            ));
            errors.extend(handlers::probes(container, context.grace, &path));
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
        errors.extend(restart_policy(container, &path));
    }
    errors
}

pub(super) fn ephemeral_containers(context: &Context<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, container) in list(context.spec, &["ephemeralContainers"]).iter().enumerate() {
        let path = path.index(index);
        errors.extend(common(context, container, &path));
        let target = text(container, &["targetContainerName"]);
        let known = list(context.spec, &["containers"])
            .iter()
            .chain(list(context.spec, &["initContainers"]))
            .any(|container| text(container, &["name"]) == target);
        if !target.is_empty() && !known {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        for field in [
            "ports",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
        ] {
            if !at(container, &[field]).is_null() {
                errors.push(Error::forbidden(
                    &path.child(field),
                    "cannot be set for an Ephemeral Container",
                ));
            }
        }
    }
    errors
}

fn restart_policy(container: &Value, path: &Path) -> Option<Error> {
    shared::maybe_one_of(
        &path.child("restartPolicy"),
        at(container, &["restartPolicy"]),
        &["Always", "Never", "OnFailure"],
    )
}

fn common(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(container, &["name"]);
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        errors.extend(texts(&path.child("name"), name, names::dns1123_label(name)));
    }
    let image = text(container, &["image"]);
    if image.is_empty() {
        errors.push(Error::required(&path.child("image"), ""));
    } else if image.trim() != image {
        errors.push(Error::invalid(
            &path.child("image"),
            image,
            "must not have leading or trailing whitespace",
        ));
    }
    errors.extend(one_of(
        &path.child("terminationMessagePolicy"),
        at(container, &["terminationMessagePolicy"]),
        &["FallbackToLogsOnError", "File"],
    ));
    errors.extend(ports(container, &path.child("ports")));
    errors.extend(environment(container, &path.child("env")));
    errors.extend(environment_from(container, &path.child("envFrom")));
    errors.extend(mounts(context, container, &path.child("volumeMounts")));
    errors.extend(one_of(
        &path.child("imagePullPolicy"),
        at(container, &["imagePullPolicy"]),
        &["Always", "IfNotPresent", "Never"],
    ));
    errors.extend(resources(at(container, &["resources"]), &path.child("resources")));
    errors.extend(security::container(
        at(container, &["securityContext"]),
        &path.child("securityContext"),
    ));
    errors
}

fn ports(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, port) in list(container, &["ports"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            errors.extend(texts(&path.child("name"), name, names::port_name(name)));
            if repeated(&mut seen, name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
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
        match text(port, &["protocol"]) {
            "" => errors.push(Error::required(&path.child("protocol"), "")),
            _ => errors.extend(one_of(
                &path.child("protocol"),
                at(port, &["protocol"]),
                &["SCTP", "TCP", "UDP"],
            )),
        }
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

const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn environment(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, variable) in list(container, &["env"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.extend(texts(&path.child("name"), name, names::env_var_name(name)));
        }
        let Some(from) = at(variable, &["valueFrom"]).as_object() else {
            continue;
        };
        let path = path.child("valueFrom");
        match from.len() {
            0 => {
                errors.push(Error::invalid(&path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"));
                continue;
            }
            1 if !text(variable, &["value"]).is_empty() => errors.push(Error::invalid(
                &path,
                "",
                "may not be specified when `value` is not empty",
            )),
            1 => {}
            _ => errors.push(Error::invalid(
                &path,
                "",
                "may not have more than one field specified at a time",
            )),
        }
        for (kind, source) in from {
            let path = path.child(kind);
            match kind.as_str() {
                "fieldRef" => errors.extend(field_reference(source, &path)),
                "resourceFieldRef" if text(source, &["resource"]).is_empty() => {
                    errors.push(Error::required(&path.child("resource"), ""));
                }
                "configMapKeyRef" | "secretKeyRef" => {
                    if text(source, &["name"]).is_empty() {
                        errors.push(Error::required(&path.child("name"), ""));
                    }
                    let key = text(source, &["key"]);
                    if key.is_empty() {
                        errors.push(Error::required(&path.child("key"), ""));
                    } else {
                        errors.extend(texts(&path.child("key"), key, names::config_map_key(key)));
                    }
                }
                _ => {}
            }
        }
    }
    errors
}

fn field_reference(source: &Value, path: &Path) -> Option<Error> {
    let field = text(source, &["fieldPath"]);
    if text(source, &["apiVersion"]).is_empty() {
        return Some(Error::required(&path.child("apiVersion"), ""));
    }
    if field.is_empty() {
        return Some(Error::required(&path.child("fieldPath"), ""));
    }
    let subscript = field
        .strip_prefix("metadata.labels['")
        .or_else(|| field.strip_prefix("metadata.annotations['"))
        .is_some_and(|rest| rest.ends_with("']"));
    (!subscript && !FIELDS.contains(&field)).then(|| {
        Error::invalid(
            &path.child("fieldPath"),
            field,
            format!("error converting fieldPath: field label not supported: {field}"),
        )
    })
}

fn environment_from(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, source) in list(container, &["envFrom"]).iter().enumerate() {
        let path = path.index(index);
        let prefix = text(source, &["prefix"]);
        if !prefix.is_empty() {
            errors.extend(texts(&path.child("prefix"), prefix, names::env_var_name(prefix)));
        }
        let kinds: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|kind| at(source, &[kind]).is_object())
            .collect();
        for kind in &kinds {
            let name = text(source, &[kind, "name"]);
            if name.is_empty() {
                errors.push(Error::required(&path.child(kind).child("name"), ""));
            } else {
                errors.extend(texts(
                    &path.child(kind).child("name"),
                    name,
                    names::dns1123_subdomain(name),
                ));
            }
        }
        match kinds.len() {
            0 => errors.push(Error::invalid(
                &path,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            1 => {}
            _ => errors.push(Error::invalid(
                &path,
                "",
                "may not have more than one field specified at a time",
            )),
        }
    }
    errors
}

fn mounts(context: &Context<'_>, container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, mount) in list(container, &["volumeMounts"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(mount, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        }
        if !context.volumes.contains(name) {
            errors.push(Error::not_found(&path.child("name"), name));
        }
        let place = text(mount, &["mountPath"]);
        if place.is_empty() {
            errors.push(Error::required(&path.child("mountPath"), ""));
        }
        if !seen.insert(place) {
            errors.push(Error::invalid(&path.child("mountPath"), place, "must be unique"));
        }
        for field in ["subPath", "subPathExpr"] {
            errors.extend(super::volumes::local_path(
                text(mount, &[field]),
                &path.child(field),
            ));
        }
        errors.extend(shared::maybe_one_of(
            &path.child("mountPropagation"),
            at(mount, &["mountPropagation"]),
            &["Bidirectional", "HostToContainer", "None"],
        ));
    }
    errors
}

/// Requests and limits: known names, no negative amounts, requests within limits.
pub(in crate::validate) fn resources(resources: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for kind in ["limits", "requests"] {
        for (name, quantity) in at(resources, &[kind]).as_object().into_iter().flatten() {
            let path = path.child(kind);
            errors.extend(container_resource(&path, name));
            errors.extend(shared::amount(&path.key(name), quantity));
            if kind == "limits" {
                continue;
            }
            let limit = at(resources, &["limits", name]);
            let (Ok(request), Ok(most)) = (Quantity::from_json(quantity), Quantity::from_json(limit)) else {
                continue;
            };
            if request > most {
                errors.push(Error::invalid(
                    &path,
                    request.to_string(),
                    format!("must be less than or equal to {name} limit of {most}"),
                ));
            }
        }
    }
    errors
}

fn container_resource(path: &Path, name: &str) -> ErrorList {
    let path = path.key(name);
    let errors = texts(&path, name, names::qualified_name(name));
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if !errors.is_empty() || standard || name.contains('/') {
        return errors;
    }
    vec![Error::invalid(
        &path,
        name,
        "must be a standard resource for containers",
    )]
}
