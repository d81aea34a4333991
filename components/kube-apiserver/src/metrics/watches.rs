//! What is sent to clients that watch, by the version that they watch.

use super::timed::Timed;
use api::Resource;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use storage::metrics::AtomicHistogram;

/// From 1 KiB to 128 KiB.
const SIZES: [f64; 8] = [
    1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0, 131_072.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WatchLabels {
    group: String,
    version: String,
    resource: String,
}

/// Events and their bytes.
#[derive(Clone, Debug)]
pub struct WatchMetrics(Timed<WatchLabels>);

/// Those of one resource. A watch holds them, since an event is counted for each of those who watch.
#[derive(Debug)]
pub struct SentEvents {
    count: Counter,
    sizes: AtomicHistogram,
}

impl SentEvents {
    pub fn sent(&self, bytes: usize) {
        self.count.inc();
        self.sizes.observe(bytes as f64);
    }
}

impl WatchMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Timed::new(|| AtomicHistogram::new(&SIZES));
        registry.register(
            "apiserver_watch_events",
            "Events sent to clients that watch",
            metrics.counts.clone(),
        );
        registry.register(
            "apiserver_watch_events_sizes",
            "Bytes of events sent to clients that watch",
            metrics.durations.clone(),
        );
        Self(metrics)
    }

    pub fn of(&self, row: &Resource) -> SentEvents {
        let labels = WatchLabels {
            group: row.gvk.group.clone(),
            version: row.gvk.version.clone(),
            resource: row.plural.clone(),
        };
        SentEvents {
            count: self.0.counts.get_or_create_owned(&labels),
            sizes: self.0.durations.get_or_create_owned(&labels),
        }
    }
}
