//! Counters that other people's dashboards expect, under upstream's names.

pub mod access;
pub mod allocations;
pub mod certificates;
pub mod clients;
pub mod conversion;
pub mod expressions;
pub mod health;
pub mod impersonation;
pub mod objects;
pub mod pod_security;
pub mod requests;
pub mod streams;
pub mod summary;
pub mod timed;
pub mod tokens;
pub mod watches;

use crate::admission::metrics::AdmissionMetrics;
use crate::build_info::{BuildInfo, VersionLabels};
use crate::inflight::InFlight;
use crate::request_info::RequestInfo;
use access::AccessMetrics;
use allocations::AllocationMetrics;
use certificates::CertificateMetrics;
use component_config::kube_apiserver::{ApiServerFlags, GATES};
use conversion::ConversionMetrics;
use daemon::metrics::Selection;
use expressions::ExpressionMetrics;
use health::HealthMetrics;
use impersonation::ImpersonationMetrics;
use objects::ObjectMetrics;
use pod_security::PodSecurityMetrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use requests::RequestMetrics;
use streams::StreamMetrics;
use watches::WatchMetrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    request_kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    source: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeatureLabels {
    name: &'static str,
    stage: &'static str,
}

/// The kubelet has to prove who it is.
const ENFORCED: &str = "enforce_tls";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UsageLabels {
    usage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeprecatedLabels {
    group: String,
    version: String,
    resource: String,
    subresource: String,
    removed_release: &'static str,
}

/// All metrics of the server.
pub struct Metrics {
    registry: Registry,
    /// What of them is told.
    selection: Selection,
    pub requests: RequestMetrics,
    pub watches: WatchMetrics,
    inflight: Family<KindLabels, Gauge>,
    waiting: Family<KindLabels, Gauge>,
    late: Family<EndLabels, Counter>,
    pub admission: AdmissionMetrics,
    pub access: AccessMetrics,
    pub objects: ObjectMetrics,
    pub allocations: AllocationMetrics,
    pub certificates: CertificateMetrics,
    pub conversion: ConversionMetrics,
    pub impersonation: ImpersonationMetrics,
    pub streams: StreamMetrics,
    logs: Family<UsageLabels, Counter>,
    logs_untrusted: Counter,
    pub health: HealthMetrics,
    pub pod_security: PodSecurityMetrics,
    deprecated: Family<DeprecatedLabels, Gauge>,
}

impl Metrics {
    /// The server's own metrics, and those that `extend` adds. `server` tells this server from others.
    pub fn new(
        server: String,
        build: BuildInfo,
        selection: Selection,
        extend: impl FnOnce(&mut Registry),
    ) -> Self {
        let mut registry = Registry::default();
        extend(&mut registry);
        let admission = AdmissionMetrics::register(&mut registry);
        let access = AccessMetrics::register(&mut registry, server);
        let objects = ObjectMetrics::register(&mut registry);
        let pod_security = PodSecurityMetrics::register(&mut registry);
        let allocations = AllocationMetrics::register(&mut registry);
        let conversion = ConversionMetrics::register(&mut registry);
        let impersonation = ImpersonationMetrics::register(&mut registry);
        clients::register(&mut registry);
        crate::webhook::register_weaknesses(&mut registry);
        crate::tokens::external::register(&mut registry);
        let certificates = CertificateMetrics::register(&mut registry);
        registry.register_collector(Box::new(ExpressionMetrics));
        let logs = Family::<UsageLabels, Counter>::default();
        drop(logs.get_or_create_owned(&UsageLabels { usage: ENFORCED }));
        registry.register(
            "kube_apiserver_pod_logs_insecure_backend",
            "Requests for logs, by whether the kubelet's certificate is checked",
            logs.clone(),
        );
        let logs_untrusted = Counter::default();
        registry.register(
            "kube_apiserver_pod_logs_backend_tls_failure",
            "Requests for logs that failed since the kubelet's certificate is not one to believe",
            logs_untrusted.clone(),
        );
        let streams = StreamMetrics::register(&mut registry);
        let deprecated = Family::<DeprecatedLabels, Gauge>::default();
        registry.register(
            "apiserver_requested_deprecated_apis",
            "Deprecated kinds that somebody has asked for",
            deprecated.clone(),
        );
        let requests = RequestMetrics::register(&mut registry);
        let watches = WatchMetrics::register(&mut registry);
        let built = Family::<Vec<(String, String)>, Gauge>::default();
        built.get_or_create(&build.labels()).set(1);
        registry.register("kubernetes_build_info", "What the program was built from", built);
        let (inflight, waiting) = (Family::<KindLabels, Gauge>::default(), Family::default());
        registry.register(
            "apiserver_current_inqueue_requests",
            "Requests that wait for their turn",
            Family::clone(&waiting),
        );
        let late = Family::<EndLabels, Counter>::default();
        registry.register(
            "apiserver_request_post_timeout",
            "Ends of writes whose clients had been told that they took too long",
            late.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests being handled",
            inflight.clone(),
        );
        Self {
            registry,
            selection,
            requests,
            watches,
            inflight,
            waiting,
            late,
            admission,
            access,
            objects,
            allocations,
            certificates,
            conversion,
            impersonation,
            streams,
            logs,
            logs_untrusted,
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

    /// A log was asked for, maybe of whatever kubelet answers.
    pub fn log(&self, unverified: bool) {
        let usage = if unverified { "skip_tls_allowed" } else { ENFORCED };
        self.logs.get_or_create(&UsageLabels { usage }).inc();
    }

    /// A log was not there to be had, as the kubelet is not believed.
    pub fn log_untrusted(&self) {
        self.logs_untrusted.inc();
    }

    /// A write came to its end after its client had been answered.
    pub fn after_timeout(&self, status: &'static str) {
        let source = "rest-handler";
        self.late.get_or_create(&EndLabels { source, status }).inc();
    }

    /// Tells as which version the server behaves, and which features are on. Once.
    pub fn versions(&mut self, flags: &ApiServerFlags) {
        let versions = Family::<VersionLabels, Gauge>::default();
        versions
            .get_or_create(&BuildInfo::versions(&flags.version))
            .set(1);
        self.registry.register(
            "version_info",
            "The version of Kubernetes that the server is of, that it behaves as, and the oldest that it goes along with",
            versions,
        );
        let features = Family::<FeatureLabels, Gauge>::default();
        for gate in GATES {
            // As upstream, of features that came later nothing is told.
            let Some(spec) = gate.at(flags.version.emulated) else {
                continue;
            };
            let labels = FeatureLabels {
                name: gate.name,
                stage: spec.stage.name(),
            };
            let on = flags.has_feature(gate.name);
            features.get_or_create(&labels).set(i64::from(on));
        }
        self.registry.register(
            "kubernetes_feature_enabled",
            "Features by whether they are on",
            features,
        );
    }

    /// The text form.
    pub fn encode(&self, inflight: &InFlight) -> Result<String, std::fmt::Error> {
        let told = |family: &Family<KindLabels, Gauge>, (reading, mutating): (usize, usize)| {
            for (request_kind, count) in [("readOnly", reading), ("mutating", mutating)] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                family.get_or_create(&KindLabels { request_kind }).set(count);
            }
        };
        told(&self.inflight, inflight.taken());
        told(&self.waiting, inflight.waiting());
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)?;
        self.admission.write_summaries(&mut text)?;
        daemon::metrics::process(&mut text);
        // Nothing of this server's is hidden.
        let disabled = self.selection.disabled.len();
        text.push_str("# TYPE hidden_metrics_total counter\nhidden_metrics_total 0\n");
        text.push_str(&format!(
            "# TYPE disabled_metrics_total counter\ndisabled_metrics_total {disabled}\n"
        ));
        Ok(daemon::metrics::exposition::prometheus(&text, &self.selection))
    }
}
