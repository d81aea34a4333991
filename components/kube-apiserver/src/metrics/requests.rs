//! Requests by verb, resource and answer. A finished request finds its series by borrowed words, without a lock, and
//! counts in atomics: this is on the way of every request.

pub mod labels;
mod series;

use super::timed::Durations;
use crate::audit::Record;
use crate::request_info::RequestInfo;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use ahash::RandomState;
use arc_swap::ArcSwap;
use futures::StreamExt;
use hashbrown::HashMap;
use http::StatusCode;
use labels::{Labels, OwnedLabels, field_validation};
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, family::Family};
use prometheus_client::registry::Registry;
use series::{Open, Series};
use std::fmt::Error;
use std::sync::Arc;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

type Table = HashMap<OwnedLabels, Arc<Series>, RandomState>;

const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValidationLabels {
    field_validation: &'static str,
}

/// Of lists that watches begin with.
const LISTS: [f64; 17] = [
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListLabels {
    group: String,
    version: String,
    resource: String,
    scope: &'static str,
}

/// All series of requests; clones share them.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    table: Arc<ArcSwap<Table>>,
    /// Held while a series is added.
    adding: Arc<Mutex<()>>,
    /// By the words of [`labels::VALIDATIONS`].
    validations: Arc<[AtomicHistogram; labels::VALIDATIONS.len()]>,
    lists: Durations<ListLabels>,
}

impl RequestMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::<ValidationLabels, AtomicHistogram, _>::new_with_constructor(|| {
            AtomicHistogram::new(&series::WAITS)
        });
        let validations = labels::VALIDATIONS
            .map(|field_validation| family.get_or_create_owned(&ValidationLabels { field_validation }));
        let metrics = Self {
            table: Arc::default(),
            adding: Arc::default(),
            validations: Arc::new(validations),
            lists: Durations::new_with_constructor(|| AtomicHistogram::new(&LISTS)),
        };
        registry.register(
            "apiserver_watch_list_duration_seconds",
            "Time until a watch that lists first had sent what there was",
            metrics.lists.clone(),
        );
        registry.register(
            "field_validation_request_duration_seconds",
            "Time until the answer of a write began, by how unknown fields were treated",
            family,
        );
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Counts a finished request, and one whose answer goes on until that ends.
    pub fn observe(&self, server: &Server, record: &Record, response: &mut Response, elapsed: Duration) {
        let code = response.status();
        let info = &record.info;
        if server.aggregator.routes().of(info).is_some() {
            self.sent_on(server, record, code);
            return;
        }
        let series = self.series(Labels::of(record), || labels::known(server, info));
        let dry_run = record.uri.contains("dryRun=All");
        series.answered(code.as_u16(), dry_run);
        if record.terminated.is_some() {
            series.terminated(code.as_u16());
        }
        if info.is_long_running() {
            if let Body::Stream(stream) = response.body_mut() {
                let stream = std::mem::replace(stream, futures::stream::empty().boxed());
                let open = Open::new(series, record.began);
                *response.body_mut() = Body::stream(stream.inspect(move |_| {
                    let _ = &open;
                }));
            }
            return;
        }
        let writes = matches!(record.method.as_str(), "POST" | "PUT" | "PATCH") && info.is_resource;
        series.took(elapsed, dry_run);
        if writes {
            self.validations[field_validation(&record.uri)].observe(elapsed.as_secs_f64());
        }
        if record.body_bytes > 0 && info.is_resource {
            series.bodies().observe(record.body_bytes as f64);
        }
        if record.method == "GET"
            && let Some(size) = response.body().known_length()
        {
            series.sizes(&SIZES).observe(size as f64);
        }
    }

    /// Requests for other servers are counted there; here only those that did not get there.
    fn sent_on(&self, server: &Server, record: &Record, code: StatusCode) {
        let Some(component) = record.terminated else {
            return;
        };
        let labels = Labels {
            component,
            ..Labels::of(record)
        };
        let series = self.series(labels, || labels::known_elsewhere(server, &record.info));
        series.terminated(code.as_u16());
        if code == StatusCode::TOO_MANY_REQUESTS {
            series.answered(code.as_u16(), record.uri.contains("dryRun=All"));
        }
    }

    /// A watch has sent all objects that there were when it began.
    pub fn listed(&self, info: &RequestInfo, elapsed: Duration) {
        let labels = ListLabels {
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            scope: labels::scope(info),
        };
        let durations = self.lists.get_or_create(&labels);
        durations.observe(elapsed.as_secs_f64());
    }

    /// The series of these labels. Whether they may have one is asked when they have none: somebody who makes resources
    /// up must not make series.
    fn series(&self, labels: Labels<'_>, known: impl FnOnce() -> bool) -> Arc<Series> {
        if let Some(series) = self.table.load().get(&labels) {
            return Arc::clone(series);
        }
        let labels = if known() {
            labels
        } else {
            labels.without_resource()
        };
        let _adding = self.adding.lock();
        let table = self.table.load_full();
        if let Some(series) = table.get(&labels) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(OwnedLabels::from(labels)));
        let mut table = Table::clone(&table);
        table.insert(series.labels.clone(), Arc::clone(&series));
        self.table.store(Arc::new(table));
        series
    }
}

impl Collector for RequestMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let table = self.table.load_full();
        let encoder = &mut encoder;
        let help = "Requests by verb, resource and answer";
        let mut counts = encoder.encode_descriptor("apiserver_request", help, None, MetricType::Counter)?;
        for series in table.values() {
            for (labels, count) in series.answers() {
                ConstCounter::new(count).encode(counts.encode_family(&labels)?)?;
            }
        }
        let help = "Requests that the server ended before their handler did";
        let name = "apiserver_request_terminations";
        let mut counts = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for series in table.values() {
            for (labels, count) in series.terminations() {
                ConstCounter::new(count).encode(counts.encode_family(&labels)?)?;
            }
        }
        let help = "Time until the answer began";
        let name = "apiserver_request_duration_seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for series in table.values() {
            for (labels, histogram) in series.told_durations() {
                histogram.encode(family.encode_family(&labels)?)?;
            }
        }
        let mut histograms = |name: &str, help: &str, of: fn(&Series) -> Option<&AtomicHistogram>| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for series in table.values() {
                if let Some(histogram) = of(series) {
                    histogram.encode(family.encode_family(&series.labels)?)?;
                }
            }
            Ok::<(), Error>(())
        };
        histograms(
            "apiserver_request_sli_duration_seconds",
            "Time until the answer began, as users see it",
            Series::told_waits,
        )?;
        histograms(
            "apiserver_response_sizes",
            "Bytes of answers to reading requests",
            Series::told_sizes,
        )?;
        let help = "Bytes of requests' bodies";
        let name = "apiserver_request_body_size_bytes";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in series::bodies(table.values()) {
            histogram.encode(family.encode_family(&labels)?)?;
        }
        let help = "Requests whose answers have no end yet";
        let name = "apiserver_longrunning_requests";
        let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for series in table.values() {
            if let Some(open) = series.open() {
                ConstGauge::new(open).encode(gauges.encode_family(&series.labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn made_up_resources_share_a_series_and_known_ones_keep_theirs() {
        let mut registry = Registry::default();
        let metrics = RequestMetrics::register(&mut registry);
        let labels = |resource: &'static str| Labels {
            verb: "GET",
            group: "",
            version: "v1",
            resource,
            subresource: "",
            scope: "resource",
            component: labels::APISERVER,
        };
        let odd = metrics.series(labels("odd"), || false);
        assert!(Arc::ptr_eq(&odd, &metrics.series(labels("odder"), || false)));
        let pods = metrics.series(labels("pods"), || true);
        assert!(Arc::ptr_eq(
            &pods,
            &metrics.series(labels("pods"), || panic!("is there"))
        ));
        pods.answered(200, false);
        pods.answered(200, true);
        pods.answered(200, false);
        pods.terminated(504);
        pods.took(Duration::from_millis(30), false);
        let open = Open::new(Arc::clone(&pods), Instant::now());
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let of = "verb=\"GET\",group=\"\",version=\"v1\",resource=\"pods\",subresource=\"\",scope=\"resource\",component=\"apiserver\"";
        for line in [
            format!("apiserver_request_total{{dry_run=\"\",code=\"200\",{of}}} 2"),
            format!("apiserver_request_total{{dry_run=\"All\",code=\"200\",{of}}} 1"),
            format!("apiserver_request_terminations_total{{code=\"504\",{of}}} 1"),
            format!("apiserver_request_duration_seconds_bucket{{le=\"0.025\",dry_run=\"\",{of}}} 0"),
            format!("apiserver_request_duration_seconds_bucket{{le=\"0.05\",dry_run=\"\",{of}}} 1"),
            format!("apiserver_longrunning_requests{{{of}}} 1"),
        ] {
            let text = text();
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        drop(open);
        assert!(text().contains(&format!("apiserver_longrunning_requests{{{of}}} 0")));
        assert!(!text().contains("apiserver_response_sizes_count"));
    }
}
