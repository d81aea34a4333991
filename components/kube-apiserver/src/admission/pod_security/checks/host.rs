//! What reaches into the node.

use super::{Pod, Violation, containers, failing, items, name, named, plural, quoted, setters};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn namespaces(pod: Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| pod.spec[*field] == true)
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() {
        return None;
    }
    Violation::new("host namespaces", shared.join(", "))
}

pub(super) fn path_volumes(pod: Pod<'_>) -> Option<Violation> {
    let volumes: Vec<&str> = items(pod.spec, "volumes")
        .iter()
        .filter(|volume| volume["hostPath"].is_object())
        .map(name)
        .collect();
    if volumes.is_empty() {
        return None;
    }
    let noun = plural("volume", "volumes", volumes.len());
    Violation::new("hostPath volumes", format!("{noun} {}", quoted(volumes)))
}

fn host_ports(container: &Value) -> impl Iterator<Item = i64> {
    items(container, "ports")
        .iter()
        .filter_map(|port| port["hostPort"].as_i64())
        .filter(|port| *port != 0)
}

pub(super) fn ports(pod: Pod<'_>) -> Option<Violation> {
    let names = failing(pod.spec, |container| host_ports(container).next().is_some());
    if names.is_empty() {
        return None;
    }
    // Sorted as texts.
    let ports: BTreeSet<String> = containers(pod.spec)
        .flat_map(host_ports)
        .map(|port| port.to_string())
        .collect();
    let detail = format!(
        "{} {} {} {}",
        named(&names),
        plural("uses", "use", names.len()),
        plural("hostPort", "hostPorts", ports.len()),
        ports.into_iter().collect::<Vec<_>>().join(", ")
    );
    Violation::new("hostPort", detail)
}

/// Hosts that a container's probes and hooks name: the kubelet would reach them from where it is.
fn hosts(container: &Value) -> impl Iterator<Item = &str> {
    let probes = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
    let hooks = ["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]);
    probes
        .into_iter()
        .chain(hooks)
        .flat_map(|handler| ["httpGet", "tcpSocket"].map(|action| handler[action]["host"].as_str()))
        .flatten()
        .filter(|host| !host.is_empty())
}

pub(super) fn handlers(pod: Pod<'_>) -> Option<Violation> {
    let names: BTreeSet<&str> = failing(pod.spec, |container| hosts(container).next().is_some())
        .into_iter()
        .collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let all: BTreeSet<&str> = containers(pod.spec).flat_map(hosts).collect();
    let detail = format!(
        "{} {} {} {}",
        named(&names),
        plural("uses", "use", names.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", all.len()),
        quoted(all)
    );
    Violation::new("probe or lifecycle host", detail)
}

pub(super) fn windows_process(pod: Pod<'_>) -> Option<Violation> {
    let set = |context: &Value| context["windowsOptions"]["hostProcess"] == true;
    let names = failing(pod.spec, |container| set(&container["securityContext"]));
    let setters = setters(set(pod.context()), &names)?;
    Violation::new(
        "hostProcess",
        format!("{setters} must not set securityContext.windowsOptions.hostProcess=true"),
    )
}
