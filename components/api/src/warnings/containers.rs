//! Containers of pods: variables and ports that are defined twice, amounts that can't be, annotations that do nothing.
use crate::strategy::app_armor;
use crate::value::{at, int, list, object, text};
use apimachinery::Quantity;
use apimachinery::field::quote;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;

const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// A container of a spec, of any kind.
#[derive(Clone, Copy)]
struct Container<'a> {
    kind: &'static str,
    index: usize,
    value: &'a Value,
}

fn all(spec: &Value) -> impl Iterator<Item = Container<'_>> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|kind| {
            let containers = list(spec, &[kind]).iter().enumerate();
            containers.map(move |(index, value)| Container { kind, index, value })
        })
}

/// About the containers of a pod or, with a path, of a template.
pub(super) fn check(holder: &Value, path: &str, is_template: bool, warnings: &mut Vec<String>) {
    let spec = at(holder, &["spec"]);
    let annotations = object(holder, &["metadata", "annotations"]);
    for container in all(spec) {
        let own = || format!("{path}spec.{}[{}]", container.kind, container.index);
        if let Some(annotations) = annotations {
            let name = text(container.value, &["name"]);
            annotated(
                spec,
                container.value,
                name,
                annotations,
                path,
                is_template,
                warnings,
            );
        }
        for amounts in ["limits", "requests"] {
            let holder = at(container.value, &["resources", amounts]);
            fractions(holder, || format!("{}.resources.{amounts}", own()), warnings);
        }
        variables(list(container.value, &["env"]), own, warnings);
    }
    let each: Vec<Port> = each_port(spec, path).collect();
    ports(&each, warnings);
    port_names(&each, warnings);
}

/// Profiles that stand in annotations, which nobody reads any more.
fn annotated(
    spec: &Value,
    container: &Value,
    name: &str,
    annotations: &Map<String, Value>,
    path: &str,
    is_template: bool,
    warnings: &mut Vec<String>,
) {
    if at(container, &["securityContext", "seccompProfile"]).is_null()
        && annotated_for(annotations, SECCOMP, name).is_some()
    {
        warnings.push(format!(
            r#"{path}metadata.annotations[{SECCOMP}{name}]: non-functional in v1.27+; use the "seccompProfile" field instead"#
        ));
    }
    // A pod is told of it when its annotation becomes its field.
    if !is_template || !at(container, &["securityContext", "appArmorProfile"]).is_null() {
        return;
    }
    let profile = annotated_for(annotations, app_armor::ANNOTATION, name);
    let Some(profile) = profile.and_then(Value::as_str) else {
        return;
    };
    let of_pod = at(spec, &["securityContext", "appArmorProfile"]);
    if app_armor::field_for(profile).as_ref() != Some(of_pod) {
        warnings.push(format!(
            r#"{path}metadata.annotations[{}{name}]: deprecated since v1.30; use the "appArmorProfile" field instead"#,
            app_armor::ANNOTATION
        ));
    }
}

/// What an annotation says whose key is a prefix and a container's name.
fn annotated_for<'a>(annotations: &'a Map<String, Value>, prefix: &str, name: &str) -> Option<&'a Value> {
    let mut prefixed = annotations
        .iter()
        .filter(|(key, _)| key.strip_prefix(prefix) == Some(name));
    prefixed.next().map(|(_, value)| value)
}

/// Parts of bytes.
pub(super) fn fractions(amounts: &Value, path: impl Fn() -> String, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        fraction(amounts, name, &path, warnings);
    }
}

/// Parts of the bytes of one resource.
pub(super) fn fraction(amounts: &Value, name: &str, path: impl Fn() -> String, warnings: &mut Vec<String>) {
    let Some(amount) = amounts
        .get(name)
        .and_then(|amount| Quantity::from_json(amount).ok())
    else {
        return;
    };
    if amount.millis() % 1000 != 0 {
        warnings.push(format!(
            "{}[{name}]: fractional byte value {} is invalid, must be an integer",
            path(),
            quote(&amount.to_string())
        ));
    }
}

fn variables(variables: &[Value], path: impl Fn() -> String, warnings: &mut Vec<String>) {
    if variables.len() < 2 {
        return;
    }
    let mut seen = std::collections::HashSet::new();
    for (index, variable) in variables.iter().enumerate() {
        let name = text(variable, &["name"]);
        if seen.insert(name) {
            continue;
        }
        // A value that is made of the one before needs both.
        let (value, before) = (text(variable, &["value"]), format!("$({name})"));
        if !at(variable, &["valueFrom"]).is_null() || value == before || !value.contains(&before) {
            warnings.push(format!(
                "{}.env[{index}]: hides previous definition of {}, which may be dropped when using apply",
                path(),
                quote(name)
            ));
        }
    }
}

/// A port of a container, and where it stands. Shown as its path, which is needed for a warning only.
struct Port<'a> {
    holder: &'a str,
    container: Container<'a>,
    index: usize,
    value: &'a Value,
}

impl fmt::Display for Port<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Container { kind, index, .. } = self.container;
        write!(
            formatter,
            "{}spec.{kind}[{index}].ports[{}]",
            self.holder, self.index
        )
    }
}

fn each_port<'a>(spec: &'a Value, holder: &'a str) -> impl Iterator<Item = Port<'a>> {
    all(spec).flat_map(move |container| {
        let ports = list(container.value, &["ports"]).iter().enumerate();
        ports.map(move |(index, value)| Port {
            holder,
            container,
            index,
            value,
        })
    })
}

fn ports(ports: &[Port<'_>], warnings: &mut Vec<String>) {
    let number = |port: &Value, field| int(port, &[field]).unwrap_or(0);
    let mut all: HashMap<(i64, &str), Vec<&Port<'_>>> = HashMap::new();
    for own in ports {
        let port = own.value;
        let (host, ip) = (number(port, "hostPort"), text(port, &["hostIP"]));
        let (inside, protocol) = (number(port, "containerPort"), text(port, &["protocol"]));
        if !ip.is_empty() && host == 0 {
            let name = text(port, &["name"]);
            warnings.push(format!(
                "{own}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{inside} Protocol:{protocol} HostIP:{ip}}}"
            ));
        }
        let others = all.entry((inside, protocol)).or_default();
        for other in others.iter() {
            let before = other.value;
            let (other_host, other_ip) = (number(before, "hostPort"), text(before, &["hostIP"]));
            let how = if (host, ip) == (other_host, other_ip) {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            warnings.push(format!("{own}: {how} port definition with {other}"));
        }
        others.push(own);
    }
}

fn port_names(ports: &[Port<'_>], warnings: &mut Vec<String>) {
    let mut names: HashMap<&str, &Port<'_>> = HashMap::new();
    for own in ports {
        let name = text(own.value, &["name"]);
        if name.is_empty() {
            continue;
        }
        match names.get(name) {
            Some(other) => warnings.push(format!(
                "{own}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}",
                quote(name)
            )),
            None => {
                names.insert(name, own);
            }
        }
    }
}
