//! The series of all stores, under upstream's names.

use super::{AtomicHistogram, Count, LEASES, Operation, ResourceMetrics};
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

/// Families of plain counters: name, help, and where the number is.
type Number = fn(&ResourceMetrics) -> &Count;

const COUNTERS: [(&str, &str, Number); 12] = [
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
        |metrics| &metrics.told,
    ),
    (
        "apiserver_storage_decode_errors",
        "Stored values that could not be read",
        |metrics| &metrics.undecodable,
    ),
    (
        "apiserver_terminated_watchers",
        "Watches that were ended because their clients fell behind",
        |metrics| &metrics.left_behind,
    ),
    (
        "apiserver_init_events",
        "Objects that watches were sent when they began",
        |metrics| &metrics.initial,
    ),
];

impl Collector for StorageMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let stores = self.0.stores();
        for (name, help, number) in COUNTERS {
            let told = stores
                .iter()
                .map(|store| (Resource::of(store), number(store.metrics())));
            counters(&mut encoder, name, help, told)?;
        }
        let progressed = stores
            .iter()
            .filter(|store| store.cache().is_ready())
            .map(|store| (Resource::of(store), store.progressed()));
        let help = "Reports of etcd that a cache has seen everything up to a revision";
        counters(&mut encoder, "etcd_bookmark", help, progressed)?;
        databases(&mut encoder, &self.0)?;
        operations(&mut encoder, &stores)?;
        cache(&mut encoder, &stores)?;
        let waits = stores
            .iter()
            .map(|store| (Resource::of(store), &store.metrics().waits));
        let help = "Time that consistent reads waited for the cache";
        histograms(
            &mut encoder,
            "apiserver_watch_cache_read_wait_seconds",
            help,
            waits,
        )
    }
}

/// A family of counters. Zeros are not told.
fn counters<'m, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    told: impl Iterator<Item = (L, &'m Count)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in told.filter(|(_, count)| count.get() > 0) {
        ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A family of histograms. Empty ones are not told.
fn histograms<'m, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    told: impl Iterator<Item = (L, &'m AtomicHistogram)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, histogram) in told.filter(|(_, histogram)| !histogram.is_empty()) {
        histogram.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// What the backend was asked for.
fn operations(encoder: &mut DescriptorEncoder, stores: &[Store]) -> Result<(), Error> {
    let asked = || {
        stores.iter().flat_map(|store| {
            Operation::ALL.map(|operation| {
                let labels = OperationLabels {
                    operation: operation.name(),
                    resource: Resource::of(store),
                };
                (labels, &store.metrics().asked[operation as usize])
            })
        })
    };
    let counts = asked().map(|(labels, asked)| (labels, &asked.count));
    counters(encoder, "etcd_requests", "Requests to the backend", counts)?;
    let errors = asked().map(|(labels, asked)| (labels, &asked.errors));
    let help = "Requests that the backend failed";
    counters(encoder, "etcd_request_errors", help, errors)?;
    let durations = asked().map(|(labels, asked)| (labels, &asked.durations));
    let help = "Time until the backend answered";
    histograms(encoder, "etcd_request_duration_seconds", help, durations)
}

/// What is known of the databases themselves.
fn databases(encoder: &mut DescriptorEncoder, storage: &Storage) -> Result<(), Error> {
    let help = "Bytes of the storage's database on its disk";
    let name = "apiserver_storage_size_bytes";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (index, size) in storage.sizes().into_iter().enumerate() {
        let labels = [("storage_cluster_id", format!("etcd-{index}"))];
        if let Some(size) = size {
            ConstGauge::new(i64::try_from(size).unwrap_or(i64::MAX))
                .encode(family.encode_family(&labels)?)?;
        }
    }
    let leases = AtomicHistogram::new(&LEASES);
    for hub in storage.hubs() {
        if let Some(metrics) = hub.backend().metrics() {
            leases.add(&metrics.leases);
        }
    }
    let help = "Objects that shared a lease of etcd";
    let family = encoder.encode_descriptor("etcd_lease_object_counts", help, None, MetricType::Histogram)?;
    if !leases.is_empty() {
        leases.encode(family)?;
    }
    Ok(())
}

fn cache(encoder: &mut DescriptorEncoder, stores: &[Store]) -> Result<(), Error> {
    // The cache is in the order of its keys and has no other index.
    let labels = |store: &Store| IndexLabels {
        index: "",
        resource: Resource::of(store),
    };
    let lists = stores
        .iter()
        .map(|store| (labels(store), &store.metrics().cache_lists.count));
    counters(
        encoder,
        "apiserver_cache_list",
        "Lists read from the cache",
        lists,
    )?;
    let fetched = stores
        .iter()
        .map(|store| (labels(store), &store.metrics().cache_lists.fetched));
    let help = "Objects read for lists from the cache";
    counters(encoder, "apiserver_cache_list_fetched_objects", help, fetched)?;
    let reads = stores.iter().flat_map(|store| {
        let metrics = store.metrics();
        [(&metrics.consistent, "false"), (&metrics.fallbacks, "true")].map(|(count, fallback)| {
            let labels = OutcomeLabels {
                success: "true",
                fallback,
                resource: Resource::of(store),
            };
            (labels, count)
        })
    });
    let help = "Consistent reads, by whether the cache could serve them";
    counters(encoder, "apiserver_watch_cache_consistent_read", help, reads)?;
    let help = "Revision of the newest change in the cache";
    let name = "apiserver_watch_cache_resource_version";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for store in stores.iter().filter(|store| store.cache().is_ready()) {
        // The last digits, as upstream tells it: floats hold no more of them.
        let revision = store.cache().view().revision.value() % 1_000_000_000_000_000;
        ConstGauge::new(revision).encode(family.encode_family(&Resource::of(store))?)?;
    }
    Ok(())
}
