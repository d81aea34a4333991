//! Counters that other people's dashboards expect, under upstream's names.

pub mod access;

use crate::admission::metrics::AdmissionMetrics;
use crate::audit::Record;
use access::AccessMetrics;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: String,
    dry_run: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    component: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: String,
    component: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

const BUCKETS: [f64; 20] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    60.0,
];

/// All metrics of the server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    inflight: Family<KindLabels, Gauge>,
    pub admission: AdmissionMetrics,
    pub access: AccessMetrics,
}

impl Metrics {
    /// The server's own metrics, and those that `extend` adds. `server` tells this server from others.
    pub fn new(server: String, extend: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        extend(&mut registry);
        let admission = AdmissionMetrics::register(&mut registry);
        let access = AccessMetrics::register(&mut registry, server);
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Family::<DurationLabels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        let inflight = Family::<KindLabels, Gauge>::default();
        registry.register(
            "apiserver_request",
            "Requests by verb, resource and answer",
            requests.clone(),
        );
        registry.register(
            "apiserver_request_duration_seconds",
            "Time until the answer began",
            durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being handled",
            inflight.clone(),
        );
        Self {
            registry,
            requests,
            durations,
            inflight,
            admission,
            access,
        }
    }

    /// Counts a finished request.
    pub fn observe(&self, record: &Record, code: StatusCode, elapsed: Duration) {
        let info = &record.info;
        let verb = match info.verb.as_str() {
            "create" => "POST".to_owned(),
            "update" => "PUT".to_owned(),
            other => other.to_ascii_uppercase(),
        };
        let scope = match (info.is_resource, info.name.is_empty(), info.namespace.is_empty()) {
            (false, ..) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        // A 404 for a made-up resource must not add a series for it.
        let known = code != StatusCode::NOT_FOUND || !info.name.is_empty();
        let text = |text: &String| if known { text.clone() } else { String::new() };
        let dry_run = if record.uri.contains("dryRun=All") {
            "All"
        } else {
            ""
        };
        self.requests
            .get_or_create(&RequestLabels {
                verb: verb.clone(),
                dry_run: dry_run.to_owned(),
                group: text(&info.group),
                version: text(&info.version),
                resource: text(&info.resource),
                subresource: text(&info.subresource),
                scope: scope.to_owned(),
                component: "apiserver".to_owned(),
                code: code.as_u16().to_string(),
            })
            .inc();
        if info.verb != "watch" {
            self.durations
                .get_or_create(&DurationLabels {
                    verb,
                    group: text(&info.group),
                    version: text(&info.version),
                    resource: text(&info.resource),
                    subresource: text(&info.subresource),
                    scope: scope.to_owned(),
                    component: "apiserver".to_owned(),
                })
                .observe(elapsed.as_secs_f64());
        }
    }

    /// The text form.
    pub fn encode(&self, (reading, mutating): (usize, usize)) -> Result<String, std::fmt::Error> {
        self.inflight
            .get_or_create(&KindLabels {
                request_kind: "readOnly",
            })
            .set(reading as i64);
        self.inflight
            .get_or_create(&KindLabels {
                request_kind: "mutating",
            })
            .set(mutating as i64);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
