//! A pod's status, from its spec and what was observed: pure.

mod conditions;
mod containers;
mod patch;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::members::PodView;
use super::phase::{Phase, phase};
use super::probe_state::ProbeTable;
use super::qos::qos_class;
use super::resize::Resizing;
use crate::runtime::Observed;

pub use conditions::{disrupt, is_ours, is_owned};
pub use patch::status_patch;

/// Why a container waits: reason and message.
pub type Reasons = BTreeMap<String, (String, String)>;

/// All that a status is made from.
pub struct StatusInput<'a> {
    pub pod: &'a Pod,
    /// The status last known, for times and for what others have put into it.
    pub previous: &'a PodStatus,
    pub observed: &'a Observed,
    pub probes: &'a ProbeTable,
    pub reasons: &'a Reasons,
    pub resizing: &'a Resizing,
    /// Nothing will be started any more: the pod is deleted, evicted or finished.
    pub terminal: bool,
    /// Containers that should have been observed but are gone count as lost.
    pub lost_is_ended: bool,
    /// A reason and message for the pod itself, as of an eviction; makes it Failed.
    pub failed_because: Option<(&'a str, &'a str)>,
    pub host_ips: &'a [String],
    pub runtime_name: &'a str,
    pub now: Timestamp,
}

/// Makes the status.
pub fn pod_status(input: &StatusInput<'_>) -> PodStatus {
    let pod = input.pod;
    let init = containers::init_statuses(input);
    let apps = containers::app_statuses(input);
    let ephemeral = containers::ephemeral_statuses(input);
    let previous_phase = input.previous.phase.as_deref().and_then(Phase::parse);
    let mut phase = phase(pod, &init, &apps, input.terminal);
    if input.failed_because.is_some() {
        phase = Phase::Failed;
    }
    // A terminal phase is never left.
    if let Some(terminal) = previous_phase.filter(|phase| phase.is_terminal()) {
        phase = terminal;
    }
    let pod_ips = pod_ips(input);
    let mut status = PodStatus {
        phase: Some(phase.as_str().to_owned()),
        qos_class: Some(qos_class(pod).as_str().to_owned()),
        host_ip: input.host_ips.first().cloned(),
        host_ips: non_empty(
            input
                .host_ips
                .iter()
                .map(|ip| HostIP { ip: ip.clone() })
                .collect(),
        ),
        pod_ip: pod_ips.first().cloned(),
        pod_ips: non_empty(pod_ips.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: Some(
            input
                .previous
                .start_time
                .clone()
                .unwrap_or(Time(whole_seconds(input.now))),
        ),
        observed_generation: pod.metadata.generation,
        init_container_statuses: non_empty(init),
        container_statuses: non_empty(apps),
        ephemeral_container_statuses: non_empty(ephemeral),
        reason: input
            .failed_because
            .map(|(reason, _)| reason.to_owned())
            .or_else(|| input.previous.reason.clone()),
        message: input
            .failed_because
            .map(|(_, message)| message.to_owned())
            .or_else(|| input.previous.message.clone()),
        // What the kubelet does not decide.
        nominated_node_name: input.previous.nominated_node_name.clone(),
        resource_claim_statuses: input.previous.resource_claim_statuses.clone(),
        ..PodStatus::default()
    };
    status.conditions = Some(conditions::conditions(input, &status, phase));
    status
}

/// A status for a pod that is refused or evicted without looking at its containers.
pub fn rejected_status(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> PodStatus {
    PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        qos_class: Some(qos_class(pod).as_str().to_owned()),
        start_time: Some(Time(whole_seconds(now))),
        observed_generation: pod.metadata.generation,
        ..pod.status.clone().unwrap_or_default()
    }
}

fn pod_ips(input: &StatusInput<'_>) -> Vec<String> {
    if input.pod.host_network() {
        let begun = input.observed.sandbox().is_some() || input.previous.pod_ip.is_some();
        return if begun {
            input.host_ips.to_vec()
        } else {
            Vec::new()
        };
    }
    let observed = input
        .observed
        .sandbox()
        .filter(|sandbox| sandbox.ready)
        .map(|sandbox| sandbox.ips.clone())
        .unwrap_or_default();
    if !observed.is_empty() {
        return observed;
    }
    // The address of an ended pod stays visible.
    input
        .previous
        .pod_ips
        .iter()
        .flatten()
        .map(|ip| ip.ip.clone())
        .collect()
}

/// Times in the API have no fractions of seconds.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn non_empty<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
}

#[cfg(test)]
mod tests;
