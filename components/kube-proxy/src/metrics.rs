//! Metrics with upstream's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Metrics of the proxy.
#[derive(Clone)]
pub struct ProxyMetrics {
    pub sync_duration: Histogram,
    pub full_sync_duration: Histogram,
    pub partial_sync_duration: Histogram,
    pub last_sync: Gauge,
    pub last_queued: Gauge,
    pub failures: Counter,
    pub service_changes: Counter,
    pub endpoint_changes: Counter,
    pub changes_pending: Gauge,
}

impl ProxyMetrics {
    pub fn register(metrics: &daemon::metrics::Metrics) -> ProxyMetrics {
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let created = ProxyMetrics {
            sync_duration: histogram(),
            full_sync_duration: histogram(),
            partial_sync_duration: histogram(),
            last_sync: Gauge::default(),
            last_queued: Gauge::default(),
            failures: Counter::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            changes_pending: Gauge::default(),
        };
        let all = created.clone();
        metrics.register(|registry| {
            let rules = |name: &str| format!("kubeproxy_sync_proxy_rules_{name}");
            registry.register(
                rules("duration_seconds"),
                "Time to bring the rules up to date",
                all.sync_duration,
            );
            registry.register(
                rules("full_duration_seconds"),
                "Time to make all rules anew",
                all.full_sync_duration,
            );
            registry.register(
                rules("partial_duration_seconds"),
                "Time to change some rules",
                all.partial_sync_duration,
            );
            registry.register(
                rules("last_timestamp_seconds"),
                "Time of the last success",
                all.last_sync,
            );
            registry.register(
                rules("last_queued_timestamp_seconds"),
                "Time of the last change",
                all.last_queued,
            );
            registry.register(rules("failures"), "Attempts that failed", all.failures);
            registry.register(
                rules("service_changes"),
                "Changes of Services",
                all.service_changes,
            );
            registry.register(
                rules("endpoint_changes"),
                "Changes of EndpointSlices",
                all.endpoint_changes,
            );
            registry.register(
                rules("service_changes_pending"),
                "Services that wait",
                all.changes_pending,
            );
        });
        created
    }
}
