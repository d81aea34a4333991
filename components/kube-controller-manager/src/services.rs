//! What the endpoint controllers have in common: which pods stand behind a service, and on which ports.

pub mod trigger;

use std::net::IpAddr;

use client::Informer;
use client::informer::{Change, Key, key_of};
use k8s_openapi::api::core::v1::{Container, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::owner::Meta as _;
use crate::selector::Selector;
use crate::workload::pods;

pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What a service selects pods by; None when others look after its endpoints.
pub fn selector(service: &Service) -> Option<Selector> {
    let labels = service
        .spec
        .as_ref()?
        .selector
        .as_ref()
        .filter(|labels| !labels.is_empty())?;
    Some(Selector::of_map(labels))
}

/// The services that select a pod as it was or as it is, if the change means anything to them.
pub fn in_front(services: &Informer<Service>, change: &Change<Pod>) -> impl Iterator<Item = Key> {
    let irrelevant = match (&change.old, &change.new) {
        (Some(old), Some(new)) => !is_relevant_change(old, new),
        _ => false,
    };
    let candidates = if irrelevant {
        Vec::new()
    } else {
        services.list_namespace(change.object().namespace())
    };
    let change = change.clone();
    candidates.into_iter().filter_map(move |service| {
        let selector = selector(&service)?;
        let pods = change.old.iter().chain(&change.new);
        let selected = pods
            .into_iter()
            .any(|pod| selector.matches(pod.metadata.labels.as_ref()));
        selected.then(|| key_of(service.as_ref()))
    })
}

pub fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

pub fn publishes_not_ready(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.publish_not_ready_addresses)
        .unwrap_or(false)
}

/// The service ports; an ExternalName service has none that matter.
pub fn ports(service: &Service) -> &[ServicePort] {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.ports.as_deref())
        .unwrap_or_default()
}

/// The pod's address of one family, when it has one.
pub fn address(pod: &Pod, ipv6: bool) -> Option<String> {
    let status = pod.status.as_ref()?;
    let listed = status.pod_ips.iter().flatten().map(|entry| entry.ip.as_str());
    listed
        .chain(status.pod_ip.as_deref())
        .find(|text| text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == ipv6))
        .map(str::to_owned)
}

/// Neither ended nor without address; one that is being deleted only where that is wanted.
pub fn belongs(pod: &Pod, include_terminating: bool) -> bool {
    let has_address = pod.status.as_ref().is_some_and(|status| {
        status.pod_ip.as_deref().is_some_and(|ip| !ip.is_empty())
            || status.pod_ips.as_ref().is_some_and(|ips| !ips.is_empty())
    });
    has_address && !pods::is_terminal(pod) && (include_terminating || !pod.is_deleting())
}

/// The port of the pod that a service port leads to; a name is looked up in the containers.
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) if name.is_empty() => Some(port.port),
        Some(IntOrString::String(name)) => {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let spec = pod.spec.as_ref()?;
            let sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
            let sidecars = spec.init_containers.iter().flatten().filter(sidecar);
            spec.containers
                .iter()
                .chain(sidecars)
                .flat_map(|container| container.ports.iter().flatten())
                .find(|candidate| {
                    candidate.name.as_deref() == Some(name)
                        && candidate.protocol.as_deref().unwrap_or("TCP") == protocol
                })
                .map(|candidate| candidate.container_port)
        }
    }
}

/// The name that DNS gives the pod below the service, when it asks for one.
pub fn host_name(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let host_name = spec.hostname.as_ref().filter(|name| !name.is_empty())?;
    let below = spec.subdomain.as_deref() == Some(service.name()) && pod.namespace() == service.namespace();
    below.then(|| host_name.clone())
}

pub fn target_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Whether a change of a pod can change anything behind a service.
pub fn is_relevant_change(old: &Pod, new: &Pod) -> bool {
    let spec = |pod: &Pod| {
        pod.spec.as_ref().map(|spec| {
            (
                spec.node_name.clone(),
                spec.hostname.clone(),
                spec.subdomain.clone(),
            )
        })
    };
    old.metadata.labels != new.metadata.labels
        || old.is_deleting() != new.is_deleting()
        || spec(old) != spec(new)
        || pods::is_ready(old) != pods::is_ready(new)
        || pods::is_terminal(old) != pods::is_terminal(new)
        || old.status.as_ref().map(|status| &status.pod_ips)
            != new.status.as_ref().map(|status| &status.pod_ips)
}
