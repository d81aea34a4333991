//! Counters that other people's dashboards expect, under upstream's names.

pub mod access;
pub mod health;
pub mod objects;
pub mod pod_security;
pub mod tokens;

use crate::admission::metrics::AdmissionMetrics;
use crate::audit::Record;
use crate::build_info::BuildInfo;
use crate::request_info::RequestInfo;
use crate::serving::body::{Body, Response};
use access::AccessMetrics;
use futures::StreamExt;
use health::HealthMetrics;
use http::StatusCode;
use objects::ObjectMetrics;
use pod_security::PodSecurityMetrics;
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

const SLI_BUCKETS: [f64; 21] = [
    0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
];
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValidationLabels {
    field_validation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeprecatedLabels {
    group: String,
    version: String,
    resource: String,
    subresource: String,
    removed_release: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of the server.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Histograms<DurationLabels>,
    /// What users wait for.
    waits: Histograms<DurationLabels>,
    sizes: Histograms<DurationLabels>,
    open: Family<DurationLabels, Gauge>,
    validations: Histograms<ValidationLabels>,
    inflight: Family<KindLabels, Gauge>,
    pub admission: AdmissionMetrics,
    pub access: AccessMetrics,
    pub objects: ObjectMetrics,
    pub health: HealthMetrics,
    pub pod_security: PodSecurityMetrics,
    deprecated: Family<DeprecatedLabels, Gauge>,
}

impl Metrics {
    /// The server's own metrics, and those that `extend` adds. `server` tells this server from others.
    pub fn new(server: String, build: BuildInfo, extend: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        extend(&mut registry);
        let admission = AdmissionMetrics::register(&mut registry);
        let access = AccessMetrics::register(&mut registry, server);
        let objects = ObjectMetrics::register(&mut registry);
        let pod_security = PodSecurityMetrics::register(&mut registry);
        let deprecated = Family::<DeprecatedLabels, Gauge>::default();
        registry.register(
            "apiserver_requested_deprecated_apis",
            "Deprecated kinds that somebody has asked for",
            deprecated.clone(),
        );
        let requests = Family::<RequestLabels, Counter>::default();
        let durations = Histograms::<DurationLabels>::new_with_constructor(|| Histogram::new(BUCKETS));
        let waits = Histograms::<DurationLabels>::new_with_constructor(|| Histogram::new(SLI_BUCKETS));
        let sizes = Histograms::<DurationLabels>::new_with_constructor(|| Histogram::new(SIZES));
        let open = Family::<DurationLabels, Gauge>::default();
        let validations =
            Histograms::<ValidationLabels>::new_with_constructor(|| Histogram::new(SLI_BUCKETS));
        let built = Family::<Vec<(String, String)>, Gauge>::default();
        built.get_or_create(&build.labels()).set(1);
        registry.register("kubernetes_build_info", "What the program was built from", built);
        registry.register(
            "apiserver_request_sli_duration_seconds",
            "Time until the answer began, as users see it",
            waits.clone(),
        );
        registry.register(
            "apiserver_response_sizes",
            "Bytes of answers to reading requests",
            sizes.clone(),
        );
        registry.register(
            "apiserver_longrunning_requests",
            "Requests whose answers have no end yet",
            open.clone(),
        );
        registry.register(
            "field_validation_request_duration_seconds",
            "Time until the answer of a write began, by how unknown fields were treated",
            validations.clone(),
        );
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
            waits,
            sizes,
            open,
            validations,
            inflight,
            admission,
            access,
            objects,
            health: HealthMetrics::default(),
            pod_security,
            deprecated,
        }
    }

    /// Somebody asks for a kind that clients should stop using.
    pub fn deprecated(&self, info: &RequestInfo) {
        let labels = DeprecatedLabels {
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            // No release is named in which one of them goes.
            removed_release: "",
        };
        self.deprecated.get_or_create(&labels).set(1);
    }

    /// Counts a finished request, and one whose answer goes on until that ends.
    pub fn observe(&self, record: &Record, response: &mut Response, elapsed: Duration) {
        let code = response.status();
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
        let labels = DurationLabels {
            verb,
            group: text(&info.group),
            version: text(&info.version),
            resource: text(&info.resource),
            subresource: text(&info.subresource),
            scope: scope.to_owned(),
            component: "apiserver".to_owned(),
        };
        if info.is_long_running() {
            if let Body::Stream(stream) = response.body_mut() {
                let stream = std::mem::replace(stream, futures::stream::empty().boxed());
                let open = Open::new(self.open.get_or_create(&labels).clone());
                *response.body_mut() = Body::stream(stream.inspect(move |_| {
                    let _ = &open;
                }));
            }
            return;
        }
        let seconds = elapsed.as_secs_f64();
        self.durations.get_or_create(&labels).observe(seconds);
        self.waits.get_or_create(&labels).observe(seconds);
        if matches!(record.method.as_str(), "POST" | "PUT" | "PATCH") && info.is_resource {
            let labels = ValidationLabels {
                field_validation: field_validation(&record.uri),
            };
            self.validations.get_or_create(&labels).observe(seconds);
        }
        if record.method == "GET"
            && let Some(size) = response.body().known_length()
        {
            self.sizes.get_or_create(&labels).observe(size as f64);
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
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)?;
        daemon::metrics::process(&mut text);
        text.push_str("# EOF\n");
        Ok(text)
    }
}

/// Counts an answer as open until dropped.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The query's word, in few values.
fn field_validation(uri: &str) -> &'static str {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let mut words = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("fieldValidation="));
    match (words.next(), words.next()) {
        (None, _) => "",
        (Some("Strict"), None) => "Strict",
        (Some("Warn"), None) => "Warn",
        (Some("Ignore"), None) => "Ignore",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_validation_is_told_in_few_words() {
        for (uri, told) in [
            ("/api/v1/pods", ""),
            ("/api/v1/pods?dryRun=All", ""),
            ("/api/v1/pods?dryRun=All&fieldValidation=Strict", "Strict"),
            ("/api/v1/pods?fieldValidation=odd", "invalid"),
            (
                "/api/v1/pods?fieldValidation=Warn&fieldValidation=Warn",
                "invalid",
            ),
        ] {
            assert_eq!(field_validation(uri), told, "{uri}");
        }
    }
}
