//! The kubelet's metrics, under upstream's names.

mod runtime;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use daemon::metrics::Metrics;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub use runtime::{Measured, RuntimeMetrics};

use crate::pod::members::Role;
use crate::pod::probe_state::ProbeKind;

/// Handles to the metrics; clones share them.
#[derive(Clone)]
pub struct KubeletMetrics {
    /// What `/metrics` shows.
    pub page: Metrics,
    pub probes: ProbeMetrics,
    pub runtime: RuntimeMetrics,
    started_pods: Counter,
    failed_pods: Counter,
    started_containers: Family<ContainerLabels, Counter>,
    failed_containers: Family<FailureLabels, Counter>,
    /// By signal. A name that does not end in `_total` is no counter to the library.
    evictions: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ContainerLabels {
    container_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    code: &'static str,
    container_type: &'static str,
}

impl Default for KubeletMetrics {
    fn default() -> Self {
        let made = Self {
            page: Metrics::new(),
            probes: ProbeMetrics::new(),
            runtime: RuntimeMetrics::default(),
            started_pods: Counter::default(),
            failed_pods: Counter::default(),
            started_containers: Family::default(),
            failed_containers: Family::default(),
            evictions: Arc::default(),
        };
        made.page.register(|registry| {
            registry.register(
                "kubelet_started_pods",
                "Cumulative number of pods started",
                made.started_pods.clone(),
            );
            registry.register(
                "kubelet_started_pods_errors",
                "Cumulative number of errors when starting pods",
                made.failed_pods.clone(),
            );
            registry.register(
                "kubelet_started_containers",
                "Cumulative number of containers started",
                made.started_containers.clone(),
            );
            registry.register(
                "kubelet_started_containers_errors",
                "Cumulative number of errors when starting containers",
                made.failed_containers.clone(),
            );
            made.runtime.register(registry);
        });
        made
    }
}

impl KubeletMetrics {
    /// A sandbox was made, or could not be.
    pub fn pod_started(&self, success: bool) {
        let counter = if success {
            &self.started_pods
        } else {
            &self.failed_pods
        };
        counter.inc();
    }

    /// A container was to be started; `failure` is the reason that its status shows.
    pub fn container_started(&self, role: Role, failure: Option<&'static str>) {
        let container_type = container_type(role);
        self.started_containers
            .get_or_create(&ContainerLabels { container_type })
            .inc();
        if let Some(code) = failure {
            self.failed_containers
                .get_or_create(&FailureLabels { code, container_type })
                .inc();
        }
    }

    /// A pod has to go because of `signal`.
    pub fn evicted(&self, signal: &'static str) {
        *self.evictions.lock().entry(signal).or_default() += 1;
    }

    /// Evictions so far, by signal.
    pub fn evictions(&self) -> BTreeMap<&'static str, u64> {
        self.evictions.lock().clone()
    }
}

fn container_type(role: Role) -> &'static str {
    match role {
        Role::Init | Role::Sidecar => "init_container",
        Role::App => "container",
        Role::Ephemeral => "ephemeral_container",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabels {
    container: String,
    namespace: String,
    pod: String,
    pod_uid: String,
    probe_type: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeTimeLabels {
    container: String,
    namespace: String,
    pod: String,
    probe_type: &'static str,
}

/// Whose probe it is.
#[derive(Clone, Copy, Debug)]
pub struct Probed<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub uid: &'a str,
    pub container: &'a str,
    pub kind: ProbeKind,
}

/// Results of probes; clones share them.
#[derive(Clone)]
pub struct ProbeMetrics {
    registry: Arc<Registry>,
    total: Family<ProbeLabels, Counter>,
    seconds: Family<ProbeTimeLabels, Histogram>,
    /// By pod, so that they go with it.
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

#[derive(Default)]
struct Seen {
    total: HashSet<ProbeLabels>,
    seconds: HashSet<ProbeTimeLabels>,
}

impl ProbeMetrics {
    fn new() -> Self {
        const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let total = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        let mut registry = Registry::default();
        registry.register(
            "prober_probe",
            "Cumulative number of a liveness, readiness or startup probe for a container by result",
            total.clone(),
        );
        registry.register(
            "prober_probe_duration_seconds",
            "Duration in seconds for a probe response",
            seconds.clone(),
        );
        Self {
            registry: Arc::new(registry),
            total,
            seconds,
            seen: Arc::default(),
        }
    }

    pub fn count(&self, probed: Probed<'_>, success: bool, took: Duration) {
        let labels = ProbeLabels {
            container: probed.container.to_owned(),
            namespace: probed.namespace.to_owned(),
            pod: probed.pod.to_owned(),
            pod_uid: probed.uid.to_owned(),
            probe_type: probed.kind.word(),
            result: if success { "successful" } else { "failed" },
        };
        let time_labels = ProbeTimeLabels {
            container: labels.container.clone(),
            namespace: labels.namespace.clone(),
            pod: labels.pod.clone(),
            probe_type: labels.probe_type,
        };
        // Held until both are counted: a pod that is forgotten in between would come back.
        let mut seen = self.seen.lock();
        self.total.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&time_labels)
            .observe(took.as_secs_f64());
        let seen = seen.entry(probed.uid.to_owned()).or_default();
        seen.total.insert(labels);
        seen.seconds.insert(time_labels);
    }

    /// The pod is gone, and so is what was counted of it.
    pub fn forget(&self, uid: &str) {
        let Some(seen) = self.seen.lock().remove(uid) else {
            return;
        };
        for labels in &seen.total {
            self.total.remove(labels);
        }
        for labels in &seen.seconds {
            self.seconds.remove(labels);
        }
    }

    /// The page `/metrics/probes`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_probes_found_goes_with_their_pod() {
        let metrics = ProbeMetrics::new();
        let probed = |uid| Probed {
            namespace: "n",
            pod: "p",
            uid,
            container: "c",
            kind: ProbeKind::Liveness,
        };
        for success in [true, true, false] {
            metrics.count(probed("u"), success, Duration::from_millis(20));
        }
        let text = metrics.encode().unwrap();
        let line = |result: &str, count: u32| {
            format!(
                "prober_probe_total{{container=\"c\",namespace=\"n\",pod=\"p\",pod_uid=\"u\",probe_type=\"Liveness\",result=\"{result}\"}} {count}\n"
            )
        };
        assert!(text.contains(&line("successful", 2)), "{text}");
        assert!(text.contains(&line("failed", 1)), "{text}");
        assert!(text.contains("prober_probe_duration_seconds_count{container=\"c\",namespace=\"n\",pod=\"p\",probe_type=\"Liveness\"} 3\n"), "{text}");
        metrics.forget("u");
        assert!(!metrics.encode().unwrap().contains("pod=\"p\""));
    }

    #[test]
    fn starts_are_counted_by_kind_and_reason() {
        let metrics = KubeletMetrics::default();
        metrics.container_started(Role::App, None);
        metrics.container_started(Role::Sidecar, Some("ErrImagePull"));
        let text = metrics.page.encode().unwrap();
        for line in [
            "kubelet_started_containers_total{container_type=\"container\"} 1\n",
            "kubelet_started_containers_total{container_type=\"init_container\"} 1\n",
            "kubelet_started_containers_errors_total{code=\"ErrImagePull\",container_type=\"init_container\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
