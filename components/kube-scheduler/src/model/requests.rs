//! What a pod asks of a node's resources.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::{milli_value, value};

/// What a container without a request counts as when nodes are scored, so that many such pods spread.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts of cpu in thousandths, memory and ephemeral storage in bytes, and of everything else by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, sorted by name.
    pub scalars: Vec<(String, i64)>,
}

impl Requests {
    pub fn of(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let mut requests = Self::default();
        for (name, quantity) in list.into_iter().flatten() {
            match name.as_str() {
                "cpu" => requests.milli_cpu = milli_value(quantity),
                "memory" => requests.memory = value(quantity),
                "ephemeral-storage" => requests.ephemeral_storage = value(quantity),
                "pods" => {}
                _ => requests.scalars.push((name.clone(), value(quantity))),
            }
        }
        requests
    }

    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars
            .binary_search_by(|(one, _)| one.as_str().cmp(name))
            .map_or(0, |at| self.scalars[at].1)
    }

    /// The amount of a resource by its Kubernetes name; cpu in thousandths.
    pub fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self.scalar(name),
        }
    }

    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.scalars.iter().all(|(_, amount)| *amount == 0)
    }

    fn combine(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalars {
            match self.scalars.binary_search_by(|(one, _)| one.cmp(name)) {
                Ok(at) => self.scalars[at].1 = with(self.scalars[at].1, *amount),
                Err(at) => self.scalars.insert(at, (name.clone(), with(0, *amount))),
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }
}

/// A pod's requests twice: as they are, and with containers that ask for no cpu or memory counted at a
/// default, which is what scores go by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    pub actual: Requests,
    pub nonzero_milli_cpu: i64,
    pub nonzero_memory: i64,
}

/// The requests of a pod: the larger of what its containers with its sidecars need and what any init
/// container needs beside the sidecars started before it, and the overhead. Requests of the pod as a whole
/// take the place of the sum. A container that is being resized counts with the larger of what is wanted
/// and what it has.
pub fn pod_requests(spec: &PodSpec, status: Option<&PodStatus>) -> PodRequests {
    let actual = total(spec, status, |requests| requests);
    let nonzero = total(spec, status, |mut requests| {
        if requests.milli_cpu == 0 {
            requests.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if requests.memory == 0 {
            requests.memory = DEFAULT_MEMORY;
        }
        requests
    });
    PodRequests {
        actual,
        nonzero_milli_cpu: nonzero.milli_cpu,
        nonzero_memory: nonzero.memory,
    }
}

fn total(spec: &PodSpec, status: Option<&PodStatus>, adjust: impl Fn(Requests) -> Requests) -> Requests {
    let infeasible = status.is_some_and(resize_is_infeasible);
    let statuses = status
        .and_then(|status| status.container_statuses.as_deref())
        .unwrap_or_default();
    let init_statuses = status
        .and_then(|status| status.init_container_statuses.as_deref())
        .unwrap_or_default();
    let of = |container: &Container, statuses: &[ContainerStatus]| {
        let status = statuses.iter().find(|status| status.name == container.name);
        adjust(container_requests(container, status, infeasible))
    };
    let mut sum = Requests::default();
    for container in &spec.containers {
        sum.add(&of(container, statuses));
    }
    let mut sidecars = Requests::default();
    let mut peak = Requests::default();
    for container in spec.init_containers.iter().flatten() {
        let mut needed = of(container, init_statuses);
        if container.restart_policy.as_deref() == Some("Always") {
            sum.add(&needed);
            sidecars.add(&needed);
            needed = sidecars.clone();
        } else {
            needed.add(&sidecars);
        }
        peak.raise_to(&needed);
    }
    sum.raise_to(&peak);
    if let Some(requests) = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref())
    {
        let whole = Requests::of(Some(requests));
        for name in requests.keys() {
            match name.as_str() {
                "cpu" => sum.milli_cpu = whole.milli_cpu,
                "memory" => sum.memory = whole.memory,
                _ if name.starts_with("hugepages-") => {
                    let amount = whole.scalar(name);
                    match sum.scalars.binary_search_by(|(one, _)| one.cmp(name)) {
                        Ok(at) => sum.scalars[at].1 = amount,
                        Err(at) => sum.scalars.insert(at, (name.clone(), amount)),
                    }
                }
                _ => {}
            }
        }
    }
    sum.add(&Requests::of(spec.overhead.as_ref()));
    sum
}

fn container_requests(container: &Container, status: Option<&ContainerStatus>, infeasible: bool) -> Requests {
    fn requests(resources: Option<&ResourceRequirements>) -> Option<&BTreeMap<String, Quantity>> {
        resources.and_then(|resources| resources.requests.as_ref())
    }
    let wanted = Requests::of(requests(container.resources.as_ref()));
    let Some(status) = status else { return wanted };
    let mut held = Requests::of(requests(status.resources.as_ref()));
    held.raise_to(&Requests::of(status.allocated_resources.as_ref()));
    if infeasible && !held.is_zero() {
        return held;
    }
    held.raise_to(&wanted);
    held
}

fn resize_is_infeasible(status: &PodStatus) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|one| one.type_ == "PodResizePending" && one.reason.as_deref() == Some("Infeasible"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(json: serde_json::Value) -> PodRequests {
        pod_requests(&serde_json::from_value(json).expect("a pod spec"), None)
    }

    #[test]
    fn init_containers_and_sidecars() {
        let container = |name: &str, cpu: &str| serde_json::json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        let sidecar = serde_json::json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "300m"}}});
        for (spec, milli_cpu) in [
            (
                serde_json::json!({"containers": [container("a", "1"), container("b", "500m")]}),
                1500,
            ),
            (
                serde_json::json!({"containers": [container("a", "1")], "initContainers": [container("i", "2")]}),
                2000,
            ),
            (
                serde_json::json!({"containers": [container("a", "1")], "initContainers": [sidecar, container("i", "2")]}),
                2300,
            ),
            (
                serde_json::json!({"containers": [container("a", "1")], "initContainers": [container("i", "1200m"), sidecar]}),
                1300,
            ),
            (
                serde_json::json!({"containers": [container("a", "1")], "overhead": {"cpu": "50m"}}),
                1050,
            ),
            (
                serde_json::json!({"containers": [container("a", "1")], "resources": {"requests": {"cpu": "3"}}}),
                3000,
            ),
        ] {
            assert_eq!(requests(spec.clone()).actual.milli_cpu, milli_cpu, "{spec}");
        }
    }

    #[test]
    fn containers_without_requests_count_at_a_default_for_scores_only() {
        let got = requests(
            serde_json::json!({"containers": [{"name": "a"}, {"name": "b", "resources": {"requests": {"cpu": "1"}}}]}),
        );
        assert_eq!(got.actual.milli_cpu, 1000);
        assert_eq!(
            (got.nonzero_milli_cpu, got.nonzero_memory),
            (1100, 2 * DEFAULT_MEMORY)
        );
    }

    #[test]
    fn a_resize_counts_the_larger_amount_until_it_is_done() {
        let spec =
            serde_json::json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
        let status = serde_json::json!({"containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "1"}}]});
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod spec");
        let status: PodStatus = serde_json::from_value(status).expect("a pod status");
        assert_eq!(pod_requests(&spec, Some(&status)).actual.milli_cpu, 2000);
    }
}
