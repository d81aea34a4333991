//! Streams to containers, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    subresource: &'static str,
    proxy_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: u16,
}

/// Cheap to clone: a stream counts itself when it ends.
#[derive(Clone, Debug, Default)]
pub struct StreamMetrics {
    routed: Family<RouteLabels, Counter>,
    translated: Family<CodeLabels, Counter>,
    tunnelled: Family<CodeLabels, Counter>,
}

impl StreamMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "apiserver_websocket_streaming_requests",
            "WebSockets to containers, by who makes SPDY of them",
            metrics.routed.clone(),
        );
        registry.register(
            "apiserver_stream_translator_requests",
            "WebSockets of exec and attach whose channels were made streams of SPDY here, by how they ended",
            metrics.translated.clone(),
        );
        registry.register(
            "apiserver_stream_tunnel_requests",
            "WebSockets of port-forward whose messages were made the bytes of a SPDY connection here, by the answer",
            metrics.tunnelled.clone(),
        );
        metrics
    }

    /// A WebSocket to a container was asked for, which goes to the kubelet as it is or is ended here.
    pub fn routed(&self, subresource: &str, to_kubelet: bool) {
        let subresource = match subresource {
            "exec" => "exec",
            "attach" => "attach",
            _ => "portforward",
        };
        let proxy_type = match to_kubelet {
            true => "proxied_to_kubelet",
            false => "translated_at_apiserver",
        };
        let labels = RouteLabels {
            subresource,
            proxy_type,
        };
        self.routed.get_or_create(&labels).inc();
    }

    /// An exec or attach has ended: 200, also for a process that failed, or why it could not be.
    pub fn translated(&self, code: u16) {
        self.translated.get_or_create(&CodeLabels { code }).inc();
    }

    /// A port-forward was answered: 101, or why not.
    pub fn tunnelled(&self, code: u16) {
        self.tunnelled.get_or_create(&CodeLabels { code }).inc();
    }
}
