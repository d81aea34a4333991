//! Which pods are measured, and which are left out of the measurement or guessed at: pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::owner::Meta as _;
use crate::workload::pods;

/// One pod's measurement: thousandths of the metric's unit, over `window` until `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodMetric {
    pub value: i64,
    pub at: Timestamp,
    pub window: Duration,
}

pub type PodMetrics = BTreeMap<String, PodMetric>;

/// How long after its start a pod's CPU says little about its load.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    pub cpu_initialization: Duration,
    pub initial_readiness: Duration,
}

/// The pods by what is known of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Groups {
    pub ready: usize,
    pub unready: Vec<String>,
    pub missing: Vec<String>,
    pub ignored: Vec<String>,
}

/// Sorts the pods. `cpu` says that it is CPU that was measured, which start-up distorts.
pub fn group(pods: &[Arc<Pod>], metrics: &PodMetrics, cpu: bool, delays: Delays, now: Timestamp) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = pod.name().to_owned();
        if pod.is_deleting() || pods::phase(pod) == "Failed" {
            groups.ignored.push(name);
        } else if pods::phase(pod) == "Pending" {
            groups.unready.push(name);
        } else if let Some(metric) = metrics.get(&name) {
            if cpu && is_unready(pod, metric, delays, now) {
                groups.unready.push(name);
            } else {
                groups.ready += 1;
            }
        } else {
            groups.missing.push(name);
        }
    }
    groups
}

fn is_unready(pod: &Pod, metric: &PodMetric, delays: Delays, now: Timestamp) -> bool {
    let condition = pods::condition(pod, "Ready");
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let (Some(condition), Some(start)) = (condition, start) else {
        return true;
    };
    let after = |time: Timestamp, delay: Duration| time.saturating_add(delay).unwrap_or(time);
    let changed = condition
        .last_transition_time
        .as_ref()
        .map_or(start.0, |time| time.0);
    if after(start.0, delays.cpu_initialization) > now {
        // In this phase only a measurement taken wholly while it was ready counts.
        condition.status == "False" || metric.at < after(changed, metric.window)
    } else {
        // Never ready since it started: it is not ready because it is still starting.
        condition.status == "False" && after(start.0, delays.initial_readiness) > changed
    }
}
