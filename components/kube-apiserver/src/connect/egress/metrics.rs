//! Connections that proxies were asked for, under upstream's names.

use daemon::metrics::PlainCounter;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Instant;

const BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 2.5, 12.5];

/// How a proxy is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Dial {
    protocol: &'static str,
    transport: &'static str,
}

impl Dial {
    pub fn new(protocol: &'static str, transport: &'static str) -> Self {
        Self { protocol, transport }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    protocol: &'static str,
    transport: &'static str,
    stage: &'static str,
}

/// How far a connection came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// To the proxy.
    #[default]
    Connect,
    /// From there on.
    Proxy,
}

/// What all proxies of one file count.
#[derive(Clone, Debug)]
pub struct EgressMetrics {
    starts: Family<Dial, Counter>,
    durations: Family<Dial, Histogram>,
    // Upstream's counter without `_total` at the end of its name.
    failures: Family<Failed, PlainCounter>,
}

impl Default for EgressMetrics {
    fn default() -> Self {
        Self {
            starts: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            failures: Family::default(),
        }
    }
}

/// A connection that is being made.
pub(super) struct Dialing<'a> {
    metrics: &'a EgressMetrics,
    labels: Dial,
    begun: Instant,
}

impl EgressMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let under = registry.sub_registry_with_prefix("apiserver_egress_dialer");
        under.register(
            "dial_start",
            "Connections that proxies were asked for",
            self.starts.clone(),
        );
        under.register(
            "dial_duration_seconds",
            "Time until a proxy had connected",
            self.durations.clone(),
        );
        under.register(
            "dial_failure_count",
            "Connections that were not made, by how far they came",
            self.failures.clone(),
        );
    }

    pub(super) fn begin(&self, labels: Dial) -> Dialing<'_> {
        self.starts.get_or_create(&labels).inc();
        Dialing {
            metrics: self,
            labels,
            begun: Instant::now(),
        }
    }
}

impl Dialing<'_> {
    /// With the stage at which it failed, if it did: only the times of others are told.
    pub fn end(self, failed: Option<Stage>) {
        let Dial { protocol, transport } = self.labels;
        let Some(stage) = failed else {
            let elapsed = self.begun.elapsed().as_secs_f64();
            self.metrics
                .durations
                .get_or_create(&self.labels)
                .observe(elapsed);
            return;
        };
        let stage = match stage {
            Stage::Connect => "connect",
            Stage::Proxy => "proxy",
        };
        let labels = Failed {
            protocol,
            transport,
            stage,
        };
        self.metrics.failures.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let metrics = EgressMetrics::default();
        let dial = || metrics.begin(Dial::new("grpc", "uds"));
        dial().end(None);
        dial().end(Some(Stage::Connect));
        dial().end(Some(Stage::Proxy));
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "apiserver_egress_dialer_dial_start_total{protocol=\"grpc\",transport=\"uds\"} 3",
            "apiserver_egress_dialer_dial_duration_seconds_count{protocol=\"grpc\",transport=\"uds\"} 1",
            "apiserver_egress_dialer_dial_failure_count{protocol=\"grpc\",transport=\"uds\",stage=\"connect\"} 1",
            "apiserver_egress_dialer_dial_failure_count{protocol=\"grpc\",transport=\"uds\",stage=\"proxy\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
