//! What the Pod Security Standards were found to say, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::borrow::Cow;

use crate::admission::pod_security::checks::Level;
use crate::admission::pod_security::configuration::LevelVersion;
use crate::admission::{Attributes, Operation};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvaluationLabels {
    decision: &'static str,
    policy_level: &'static str,
    policy_version: Cow<'static, str>,
    mode: &'static str,
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    fatal: &'static str,
    request_operation: &'static str,
    resource: &'static str,
    subresource: String,
}

/// The minor version of Kubernetes that this server speaks.
const NEWEST_MINOR: u32 = 36;

/// Everything is privileged in the same way in each version; versions that are not yet there are one value.
fn told_version(policy: &LevelVersion) -> Cow<'static, str> {
    if policy.level == Level::Privileged || policy.version == "latest" {
        return "latest".into();
    }
    if policy.minor() > NEWEST_MINOR {
        return "future".into();
    }
    policy.version.clone().into()
}

/// What a policy is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Enforce,
    Audit,
    Warn,
}

#[derive(Default)]
pub struct PodSecurityMetrics {
    evaluations: Family<EvaluationLabels, Counter>,
    exemptions: Family<RequestLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
}

fn labels(attributes: &Attributes<'_>) -> RequestLabels {
    RequestLabels {
        request_operation: match attributes.operation {
            Operation::Create => "create",
            _ => "update",
        },
        resource: if attributes.is("", "pods") {
            "pod"
        } else {
            "controller"
        },
        subresource: attributes.subresource.to_string(),
    }
}

impl PodSecurityMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let prefixed = registry.sub_registry_with_prefix("pod_security");
        prefixed.register(
            "evaluations",
            "Pods and what makes pods that were looked at, by what was found",
            metrics.evaluations.clone(),
        );
        prefixed.register(
            "exemptions",
            "Requests for which no policy holds",
            metrics.exemptions.clone(),
        );
        prefixed.register(
            "errors",
            "Policies and namespaces that could not be read; if it wasn't fatal, another policy was used instead",
            metrics.errors.clone(),
        );
        metrics
    }

    pub fn evaluated(&self, attributes: &Attributes<'_>, mode: Mode, policy: &LevelVersion, allowed: bool) {
        let of = labels(attributes);
        let labels = EvaluationLabels {
            decision: if allowed { "allow" } else { "deny" },
            policy_level: policy.level.name(),
            policy_version: told_version(policy),
            mode: match mode {
                Mode::Enforce => "enforce",
                Mode::Audit => "audit",
                Mode::Warn => "warn",
            },
            request_operation: of.request_operation,
            resource: of.resource,
            subresource: of.subresource,
        };
        self.evaluations.get_or_create(&labels).inc();
    }

    pub fn exempted(&self, attributes: &Attributes<'_>) {
        self.exemptions.get_or_create(&labels(attributes)).inc();
    }

    /// A policy could not be read; it is fatal when the request is refused for that.
    pub fn failed(&self, attributes: &Attributes<'_>, fatal: bool) {
        let of = labels(attributes);
        let labels = ErrorLabels {
            fatal: if fatal { "true" } else { "false" },
            request_operation: of.request_operation,
            resource: of.resource,
            subresource: of.subresource,
        };
        self.errors.get_or_create(&labels).inc();
    }
}
