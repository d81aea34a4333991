//! What CEL expressions take, and what an update of a custom object takes to see what is as it was, under upstream's names.

use cel::timing::{self, Times};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt::Error;

/// The times of the process, which `cel` and `api` count.
#[derive(Debug)]
pub struct ExpressionMetrics;

struct Told(&'static Times);

impl EncodeMetric for Told {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        // The encoder writes the greatest float as +Inf.
        let bounds = self.0.bounds().iter().copied().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.counts()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.0.seconds(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Collector for ExpressionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        for (name, help, times) in [
            (
                "apiserver_cel_compilation_duration_seconds",
                "Time to compile an expression",
                timing::compilations(),
            ),
            (
                "apiserver_cel_evaluation_duration_seconds",
                "Time to evaluate the expressions of one decision",
                timing::evaluations(),
            ),
            (
                "apiextensions_apiserver_validation_ratcheting_seconds",
                "Time that the check of an updated custom object took to compare it with the former one",
                api::custom::comparisons(),
            ),
        ] {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            Told(times).encode(family)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;

    #[test]
    fn upstreams_names() {
        drop(timing::evaluation());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ExpressionMetrics));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for part in [
            "apiserver_cel_compilation_duration_seconds_count ",
            "apiserver_cel_evaluation_duration_seconds_bucket{le=\"0.005\"} ",
            "apiserver_cel_evaluation_duration_seconds_bucket{le=\"+Inf\"} ",
            "apiserver_cel_evaluation_duration_seconds_sum ",
            "apiextensions_apiserver_validation_ratcheting_seconds_bucket{le=\"0.00001\"} ",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
