//! Outcomes of health checks, for `/metrics/slis`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    name: Cow<'static, str>,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    name: Cow<'static, str>,
    status: &'static str,
    r#type: &'static str,
}

/// What each check of each endpoint said when somebody asked.
pub struct HealthMetrics {
    registry: Registry,
    passes: Family<CheckLabels, Gauge>,
    outcomes: Family<OutcomeLabels, Counter>,
}

impl Default for HealthMetrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let (passes, outcomes) = (Family::default(), Family::default());
        registry.register(
            "kubernetes_healthcheck",
            "Whether a health check passed",
            Family::clone(&passes),
        );
        registry.register(
            "kubernetes_healthchecks",
            "Outcomes of health checks",
            Family::clone(&outcomes),
        );
        Self {
            registry,
            passes,
            outcomes,
        }
    }
}

impl HealthMetrics {
    /// `endpoint` is `healthz`, `livez` or `readyz`.
    pub fn checked(&self, endpoint: &'static str, name: Cow<'static, str>, passed: bool) {
        let r#type = endpoint;
        self.passes
            .get_or_create(&CheckLabels {
                name: name.clone(),
                r#type,
            })
            .set(i64::from(passed));
        let status = if passed { "success" } else { "error" };
        self.outcomes
            .get_or_create(&OutcomeLabels { name, status, r#type })
            .inc();
    }

    /// The text form.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let metrics = HealthMetrics::default();
        metrics.checked("livez", "etcd".into(), true);
        metrics.checked("livez", "etcd".into(), false);
        let text = metrics.encode().unwrap();
        for line in [
            "kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 0",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type=\"livez\"} 1",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"error\",type=\"livez\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
