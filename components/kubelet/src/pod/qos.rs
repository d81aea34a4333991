//! Quality-of-service classes and what follows from them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::members::{PodView, Role, init_role};
use super::resources::{bytes, milli};

/// A pod's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Qos {
    pub fn as_str(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

type Amounts = Option<BTreeMap<String, Quantity>>;

/// Requests for something, limits for something, equal limits for both cpu and memory everywhere.
pub fn qos_class(pod: &Pod) -> Qos {
    let amount = |amounts: &Amounts, name: &str| {
        amounts
            .as_ref()
            .and_then(|amounts| amounts.get(name))
            .map(milli)
            .unwrap_or(0)
    };
    let mut any = false;
    let mut guaranteed = true;
    let pod_level = pod.view().resources.iter().cloned();
    let has_pod_level = pod
        .view()
        .resources
        .as_ref()
        .is_some_and(|r| r.limits.is_some() || r.requests.is_some());
    let of_containers = pod
        .init_containers()
        .iter()
        .chain(pod.containers())
        .map(|container| container.resources.clone().unwrap_or_default());
    let all: Vec<_> = if has_pod_level {
        pod_level.collect()
    } else {
        of_containers.collect()
    };
    for resources in all {
        for name in ["cpu", "memory"] {
            let limit = amount(&resources.limits, name);
            // The API server defaults requests to limits; a static pod's may be missing.
            let request = match resources
                .requests
                .as_ref()
                .and_then(|requests| requests.get(name))
            {
                Some(request) => milli(request),
                None => limit,
            };
            any |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// How readily the kernel kills a container's processes when memory runs out.
pub fn oom_score_adj(pod: &Pod, role: Role, container: &Container, memory_capacity: i64) -> i64 {
    if pod
        .view()
        .priority
        .is_some_and(|priority| priority >= 2_000_000_000)
    {
        return -997;
    }
    match qos_class(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let own = memory_request(container);
            let score = 1000 - (1000 * i128::from(own) / i128::from(memory_capacity.max(1))) as i64;
            // A sidecar is never killed before the app containers it serves.
            let score = if role == Role::Sidecar {
                let least = pod
                    .containers()
                    .iter()
                    .map(|app| {
                        1000 - (1000 * i128::from(memory_request(app)) / i128::from(memory_capacity.max(1)))
                            as i64
                    })
                    .min();
                least.map_or(score, |least| score.min(least))
            } else {
                score
            };
            score.clamp(3, 999)
        }
    }
}

fn memory_request(container: &Container) -> i64 {
    let resources = container.resources.clone().unwrap_or_default();
    let find = |amounts: &Amounts| {
        amounts
            .as_ref()
            .and_then(|amounts| amounts.get("memory"))
            .map(bytes)
    };
    find(&resources.requests)
        .or_else(|| find(&resources.limits))
        .unwrap_or(0)
}

/// Whether the pod has sidecars.
pub fn has_sidecars(pod: &Pod) -> bool {
    pod.init_containers()
        .iter()
        .any(|container| init_role(container) == Role::Sidecar)
}
