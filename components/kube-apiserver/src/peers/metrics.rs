//! Metrics of other API servers, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SentOn {
    pub code: u16,
    pub group: String,
    pub version: String,
    pub resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Failed {
    pub r#type: &'static str,
    pub group: String,
    pub version: String,
    pub resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NotRead {
    pub r#type: &'static str,
}

/// Requests sent to others, and documents made of theirs.
#[derive(Clone, Debug, Default)]
pub struct PeerMetrics {
    pub(super) sent_on: Family<SentOn, Counter>,
    pub(super) failed: Family<Failed, Counter>,
    pub(super) not_read: Family<NotRead, Counter>,
    pub(super) from_cache: Counter,
    pub(super) made: Counter,
    pub(super) alone: Counter,
}

impl PeerMetrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_rerouted_request",
            "Requests sent on to another API server of the cluster, since only that serves their resource; without a resource: for its discovery",
            self.sent_on.clone(),
        );
        registry.register(
            "apiserver_peer_proxy_errors",
            "Requests that could not be sent on to another API server",
            self.failed.clone(),
        );
        registry.register(
            "apiserver_peer_discovery_sync_errors",
            "Failed attempts to learn what another API server serves",
            self.not_read.clone(),
        );
        registry.register(
            "aggregator_discovery_peer_aggregated_cache_hits",
            "How often discovery of all API servers was there already",
            self.from_cache.clone(),
        );
        registry.register(
            "aggregator_discovery_peer_aggregated_cache_misses",
            "How often discovery of all API servers was made",
            self.made.clone(),
        );
        registry.register(
            "aggregator_discovery_nopeer_requests",
            "How often discovery of this API server alone was asked for",
            self.alone.clone(),
        );
    }
}
