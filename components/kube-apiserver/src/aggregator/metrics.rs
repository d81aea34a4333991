//! Metrics of aggregated servers, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabels {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    name: String,
    reason: &'static str,
}

/// Unavailable APIServices.
#[derive(Clone, Debug, Default)]
pub struct AggregatorMetrics {
    unavailable: Family<NameLabels, Gauge>,
    became_unavailable: Family<ReasonLabels, Counter>,
}

impl AggregatorMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "aggregator_unavailable_apiservice",
            "Whether an APIService is unavailable",
            self.unavailable.clone(),
        );
        // The counter's suffix makes it upstream's aggregator_unavailable_apiservice_total.
        registry.register(
            "aggregator_unavailable_apiservice",
            "How often an APIService became unavailable",
            self.became_unavailable.clone(),
        );
    }

    pub fn set(&self, name: &str, available: bool) {
        let labels = NameLabels {
            name: name.to_owned(),
        };
        self.unavailable.get_or_create(&labels).set(i64::from(!available));
    }

    pub fn became_unavailable(&self, name: &str, reason: &'static str) {
        let labels = ReasonLabels {
            name: name.to_owned(),
            reason,
        };
        self.became_unavailable.get_or_create(&labels).inc();
    }

    pub fn forget(&self, name: &str) {
        self.unavailable.remove(&NameLabels {
            name: name.to_owned(),
        });
    }
}
