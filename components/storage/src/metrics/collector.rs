//! The series of all stores, under upstream's names.

use super::{AtomicHistogram, Count, Operation, ResourceMetrics};
use crate::storage::Storage;
use crate::store::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt::Error;

/// Told when somebody asks; counted where things happen.
pub struct StorageMetrics(Storage);

impl StorageMetrics {
    pub fn of(storage: &Storage) -> Self {
        Self(storage.clone())
    }
}

impl std::fmt::Debug for StorageMetrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("StorageMetrics")
    }
}

#[derive(Clone, Debug, EncodeLabelSet)]
struct Resource {
    group: String,
    resource: String,
}

#[derive(Debug, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
    #[prometheus(flatten)]
    resource: Resource,
}

#[derive(Debug, EncodeLabelSet)]
struct IndexLabels {
    index: &'static str,
    #[prometheus(flatten)]
    resource: Resource,
}

#[derive(Debug, EncodeLabelSet)]
struct OutcomeLabels {
    success: &'static str,
    fallback: &'static str,
    #[prometheus(flatten)]
    resource: Resource,
}

impl Resource {
    fn of(store: &Store) -> Self {
        let name = &store.resource().name;
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
        }
    }
}

/// Families of plain counters: name, help, and where the number is. Zeros are not told.
type Number = fn(&ResourceMetrics) -> &Count;

const COUNTERS: [(&str, &str, Number); 11] = [
    (
        "apiserver_storage_list",
        "Lists read from the backend",
        |metrics| &metrics.backend_lists.count,
    ),
    (
        "apiserver_storage_list_fetched_objects",
        "Objects read for lists from the backend",
        |metrics| &metrics.backend_lists.fetched,
    ),
    (
        "apiserver_storage_list_evaluated_objects",
        "Objects tested for lists from the backend",
        |metrics| &metrics.backend_lists.evaluated,
    ),
    (
        "apiserver_storage_list_returned_objects",
        "Objects returned of lists from the backend",
        |metrics| &metrics.backend_lists.returned,
    ),
    (
        "apiserver_cache_list_returned_objects",
        "Objects returned of lists from the cache",
        |metrics| &metrics.cache_lists.returned,
    ),
    (
        "apiserver_watch_cache_initializations",
        "First lists of the cache, and lists after history was lost",
        |metrics| &metrics.initializations,
    ),
    (
        "apiserver_watch_cache_events_received",
        "Changes that the cache took in",
        |metrics| &metrics.received,
    ),
    (
        "apiserver_watch_cache_events_dispatched",
        "Changes that the cache gave to its watchers",
        |metrics| &metrics.dispatched,
    ),
    (
        "apiserver_storage_events_received",
        "Changes that the backend told",
        |metrics| &metrics.received,
    ),
    (
        "apiserver_init_events",
        "Objects that watches were sent when they began",
        |metrics| &metrics.initial,
    ),
    (
        "apiserver_watch_events",
        "Events sent to clients that watch",
        |metrics| &metrics.sent,
    ),
];

impl Collector for StorageMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let stores = self.0.stores();
        for (name, help, number) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for store in &stores {
                let count = number(store.metrics()).get();
                if count > 0 {
                    ConstCounter::new(count).encode(family.encode_family(&Resource::of(store))?)?;
                }
            }
        }
        operations(&mut encoder, &stores)?;
        cache(&mut encoder, &stores)?;
        let help = "Bytes of events sent to clients that watch";
        let name = "apiserver_watch_events_sizes";
        histograms(&mut encoder, &stores, name, help, |metrics| &metrics.sizes)?;
        let help = "Time that consistent reads waited for the cache";
        let name = "apiserver_watch_cache_read_wait_seconds";
        histograms(&mut encoder, &stores, name, help, |metrics| &metrics.waits)
    }
}

fn histograms(
    encoder: &mut DescriptorEncoder,
    stores: &[Store],
    name: &str,
    help: &str,
    of: fn(&ResourceMetrics) -> &AtomicHistogram,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for store in stores {
        let histogram = of(store.metrics());
        if !histogram.is_empty() {
            histogram.encode(family.encode_family(&Resource::of(store))?)?;
        }
    }
    Ok(())
}

fn operations(encoder: &mut DescriptorEncoder, stores: &[Store]) -> Result<(), Error> {
    let labels = |store: &Store, operation: Operation| OperationLabels {
        operation: operation.name(),
        resource: Resource::of(store),
    };
    let counters: [(&str, &str, fn(&super::Asked) -> u64); 2] = [
        ("etcd_requests", "Requests to the backend", |asked| {
            asked.count.get()
        }),
        (
            "etcd_request_errors",
            "Requests that the backend failed",
            |asked| asked.errors.get(),
        ),
    ];
    for (name, help, number) in counters {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for store in stores {
            for operation in Operation::ALL {
                let count = number(&store.metrics().asked[operation as usize]);
                if count > 0 {
                    ConstCounter::new(count).encode(family.encode_family(&labels(store, operation))?)?;
                }
            }
        }
    }
    let help = "Time until the backend answered";
    let name = "etcd_request_duration_seconds";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for store in stores {
        for operation in Operation::ALL {
            let durations = &store.metrics().asked[operation as usize].durations;
            if !durations.is_empty() {
                durations.encode(family.encode_family(&labels(store, operation))?)?;
            }
        }
    }
    Ok(())
}

fn cache(encoder: &mut DescriptorEncoder, stores: &[Store]) -> Result<(), Error> {
    let lists: [(&str, &str, Number); 2] = [
        ("apiserver_cache_list", "Lists read from the cache", |metrics| {
            &metrics.cache_lists.count
        }),
        (
            "apiserver_cache_list_fetched_objects",
            "Objects read for lists from the cache",
            |metrics| &metrics.cache_lists.fetched,
        ),
    ];
    for (name, help, number) in lists {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for store in stores {
            let count = number(store.metrics()).get();
            // The cache is in the order of its keys and has no other index.
            let labels = IndexLabels {
                index: "",
                resource: Resource::of(store),
            };
            if count > 0 {
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let help = "Consistent reads, by whether the cache could serve them";
    let name = "apiserver_watch_cache_consistent_read";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for store in stores {
        let metrics = store.metrics();
        for (count, success, fallback) in [
            (&metrics.consistent, "true", "false"),
            (&metrics.fallbacks, "true", "true"),
        ] {
            let labels = OutcomeLabels {
                success,
                fallback,
                resource: Resource::of(store),
            };
            if count.get() > 0 {
                ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let help = "Revision of the newest change in the cache";
    let name = "apiserver_watch_cache_resource_version";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for store in stores {
        if store.cache().is_ready() {
            let revision = store.cache().view().revision.value();
            ConstGauge::new(revision).encode(family.encode_family(&Resource::of(store))?)?;
        }
    }
    Ok(())
}
