//! From what the worker sees to the pod's status.

use std::sync::Arc;

use client::events::Type;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::Worker;
use crate::pod::members::{PodView, Role, init_role, should_restart};
use crate::pod::status::{StatusInput, disrupt, is_ours, pod_status, rejected_status};
use crate::runtime::RunState;

impl Worker {
    /// Addresses of the pod, as far as they are known.
    pub(super) fn pod_ips(&self, pod: &Pod) -> Vec<String> {
        if pod.host_network() {
            return self.context.host_ips.read().clone();
        }
        self.observed
            .sandbox()
            .map(|sandbox| sandbox.ips.clone())
            .unwrap_or_default()
    }

    /// Makes the status and hands it to the writer. `terminal` says that nothing will be started any more.
    pub(super) fn publish(&mut self, pod: &Arc<Pod>, terminal: bool) {
        self.publish_with(pod, terminal, None);
    }

    /// Makes the pod Failed for a reason of its own.
    pub(super) fn publish_failed(&mut self, pod: &Pod, reason: &str, message: &str) {
        self.publish_with(pod, false, Some((reason, message)));
    }

    /// Makes the pod Failed because the node needs back what it has.
    pub(super) fn publish_evicted(&mut self, pod: &Pod, message: &str) {
        disrupt(&mut self.status, message, Timestamp::now());
        self.publish_with(pod, false, Some(("Evicted", message)));
    }

    fn publish_with(&mut self, pod: &Pod, terminal: bool, failed_because: Option<(&str, &str)>) {
        let host_ips = self.context.host_ips.read().clone();
        // Conditions that others set come from the API's object, everything else from what was said last.
        let mut previous = self.status.clone();
        if let Some(conditions) = pod.status.as_ref().and_then(|status| status.conditions.clone()) {
            let own = previous.conditions.take().unwrap_or_default();
            let mut merged = conditions;
            for condition in own {
                match merged
                    .iter_mut()
                    .find(|existing| existing.type_ == condition.type_)
                {
                    Some(existing) if is_ours(&condition) => *existing = condition,
                    Some(_) => {}
                    None if is_ours(&condition) => merged.push(condition),
                    None => {}
                }
            }
            previous.conditions = Some(merged);
        }
        let status = pod_status(&StatusInput {
            pod,
            previous: &previous,
            observed: &self.observed,
            probes: &self.context.probes.results(&self.observed),
            reasons: &self.reasons,
            resizing: self.resizing(),
            terminal,
            lost_is_ended: terminal,
            failed_because,
            host_ips: &host_ips,
            runtime_name: &self.context.runtime_name,
            now: Timestamp::now(),
        });
        self.status = status.clone();
        self.context.status.set(pod, status);
    }

    /// The pod was not admitted.
    pub(super) fn publish_rejected(&mut self, pod: &Pod, reason: &str, message: &str) {
        if self.status.reason.as_deref() == Some(reason) {
            return;
        }
        self.context.event(pod, None, Type::Warning, reason, message);
        self.status = rejected_status(pod, reason, message, Timestamp::now());
        self.context.status.set(pod, self.status.clone());
    }

    /// Whether every container has ended for good, so that the phase may become terminal.
    pub(super) fn containers_done(&self, pod: &Pod) -> bool {
        let ended = |role: Role, container: &k8s_openapi::api::core::v1::Container| match self
            .observed
            .container(&container.name)
        {
            Some(last) => last.state == RunState::Exited && !should_restart(pod, role, container, Some(last)),
            None => false,
        };
        let failed_init = pod.init_containers().iter().any(|container| {
            init_role(container) == Role::Init
                && self.observed.container(&container.name).is_some_and(|last| {
                    last.state == RunState::Exited
                        && last.exit_code != 0
                        && !should_restart(pod, Role::Init, container, Some(last))
                })
        });
        failed_init
            || pod
                .containers()
                .iter()
                .all(|container| ended(Role::App, container))
    }

    /// Before the first look: containers that were ready when the kubelet stopped are taken to be so still.
    pub(super) fn adopt_results(&self, pod: &Pod) {
        let Some(status) = &pod.status else { return };
        for container in status
            .container_statuses
            .iter()
            .chain(&status.init_container_statuses)
            .flatten()
        {
            let Some((_, id)) = container
                .container_id
                .as_deref()
                .and_then(|id| id.split_once("://"))
            else {
                continue;
            };
            if container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
            {
                self.context
                    .probes
                    .adopt(id, container.started == Some(true), container.ready);
            }
        }
    }
}
