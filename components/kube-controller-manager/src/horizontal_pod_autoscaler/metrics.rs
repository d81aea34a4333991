//! What the three metrics APIs say. Values are in thousandths of the metric's unit.

use std::collections::BTreeMap;
use std::time::Duration;

use apimachinery::quantity::Quantity;
use apimachinery::selector::LabelSelector as Labels;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Client;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::groups::{PodMetric, PodMetrics};
use crate::error::{is_not_found, status};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// What is measured without a window of its own is taken to be over a minute.
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Meta {
    name: String,
}

#[derive(Deserialize)]
struct PodUse {
    #[serde(default)]
    metadata: Meta,
    timestamp: Option<Timestamp>,
    window: Option<String>,
    #[serde(default)]
    containers: Vec<ContainerUse>,
}

#[derive(Deserialize)]
struct ContainerUse {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricValue {
    described_object: Option<Meta>,
    timestamp: Option<Timestamp>,
    window_seconds: Option<u64>,
    #[serde(alias = "metricValue")]
    value: String,
}

/// Asks with the controller's identity.
#[derive(Clone)]
pub struct Metrics {
    client: Client,
}

impl Metrics {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, kube::Error> {
        let query: Vec<String> = query
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, UNRESERVED)))
            .collect();
        let separator = if query.is_empty() { "" } else { "?" };
        let request = http::Request::get(format!("{path}{separator}{}", query.join("&")))
            .body(Vec::new())
            .map_err(|error| kube::Error::Service(error.into()))?;
        self.client.request(request).await
    }

    /// Use of a resource by each pod that is selected, or by one of its containers.
    pub async fn resource(
        &self,
        resource: &str,
        namespace: &str,
        selector: &str,
        container: Option<&str>,
    ) -> Result<PodMetrics, String> {
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
        let found: List<PodUse> = self
            .get(&path, &[("labelSelector", selector.to_owned())])
            .await
            .map_err(|error| {
                format!(
                    "unable to fetch metrics from resource metrics API: {}",
                    said(&error, "pods.metrics.k8s.io")
                )
            })?;
        if found.items.is_empty() {
            return Err("no metrics returned from resource metrics API".to_owned());
        }
        let metrics = found
            .items
            .into_iter()
            .filter_map(|pod| of_pod(pod, resource, container).transpose());
        metrics.collect()
    }

    /// A metric of each pod that is selected.
    pub async fn pods(
        &self,
        metric: &str,
        namespace: &str,
        selector: &str,
        metric_selector: Option<&LabelSelector>,
    ) -> Result<PodMetrics, String> {
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/{}",
            encoded(metric)
        );
        let query = [
            ("labelSelector", selector.to_owned()),
            ("metricLabelSelector", text(metric_selector)?),
        ];
        let found: List<MetricValue> = self.get(&path, &query).await.map_err(|error| {
            format!(
                "unable to fetch metrics from custom metrics API: {}",
                said(&error, "pods.custom.metrics.k8s.io *")
            )
        })?;
        if found.items.is_empty() {
            return Err("no metrics returned from custom metrics API".to_owned());
        }
        found
            .items
            .into_iter()
            .map(|item| {
                let metric = PodMetric {
                    value: thousandths(&item.value)?,
                    at: item.timestamp.unwrap_or_default(),
                    window: item.window_seconds.map_or(MINUTE, Duration::from_secs),
                };
                Ok((item.described_object.unwrap_or_default().name, metric))
            })
            .collect()
    }

    /// A metric of one object; `resource` is its plural, with its group after a dot.
    pub async fn object(
        &self,
        metric: &str,
        namespace: &str,
        resource: &str,
        name: &str,
        metric_selector: Option<&LabelSelector>,
    ) -> Result<i64, String> {
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{resource}/{name}/{}",
            encoded(metric)
        );
        let found: List<MetricValue> = self
            .get(&path, &[("metricLabelSelector", text(metric_selector)?)])
            .await
            .map_err(|error| {
                format!(
                    "unable to fetch metrics from custom metrics API: {}",
                    said(&error, &format!("{resource}.custom.metrics.k8s.io {name}"))
                )
            })?;
        let first = found
            .items
            .first()
            .ok_or("no metrics returned from custom metrics API")?;
        thousandths(&first.value)
    }

    /// All values of an external metric together.
    pub async fn external(
        &self,
        metric: &str,
        namespace: &str,
        selector: Option<&LabelSelector>,
    ) -> Result<i64, String> {
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{}",
            encoded(metric)
        );
        let found: List<MetricValue> = self
            .get(&path, &[("labelSelector", text(selector)?)])
            .await
            .map_err(|error| {
                format!(
                    "unable to fetch metrics from external metrics API: {}",
                    said(&error, &format!("{metric}.external.metrics.k8s.io"))
                )
            })?;
        if found.items.is_empty() {
            return Err("no metrics returned from external metrics API".to_owned());
        }
        found.items.iter().map(|item| thousandths(&item.value)).sum()
    }
}

/// A pod without a value for the resource is left out; a named container that has none is an error.
fn of_pod(
    pod: PodUse,
    resource: &str,
    container: Option<&str>,
) -> Result<Option<(String, PodMetric)>, String> {
    let mut value = 0_i64;
    let mut found = false;
    for own in pod
        .containers
        .iter()
        .filter(|own| container.is_none_or(|name| name == own.name))
    {
        let Some(usage) = own.usage.get(resource) else {
            tracing::debug!(
                resource,
                pod = pod.metadata.name,
                container = own.name,
                "metric missing"
            );
            return Ok(None);
        };
        value = value.saturating_add(thousandths(usage)?);
        found = true;
    }
    if let (Some(container), false) = (container, found) {
        return Err(format!(
            "failed to get container metrics: container {container} not present in metrics for pod {}",
            pod.metadata.name
        ));
    }
    let window = pod
        .window
        .as_deref()
        .and_then(|text| text.parse::<jiff::SignedDuration>().ok());
    let metric = PodMetric {
        value,
        at: pod.timestamp.unwrap_or_default(),
        window: window
            .and_then(|window| Duration::try_from(window).ok())
            .unwrap_or(MINUTE),
    };
    Ok(Some((pod.metadata.name, metric)))
}

fn thousandths(text: &str) -> Result<i64, String> {
    let quantity: Quantity = text
        .parse()
        .map_err(|error| format!("{text:?} is not a quantity: {error}"))?;
    Ok(quantity.millis())
}

fn encoded(metric: &str) -> String {
    utf8_percent_encode(metric, UNRESERVED).to_string()
}

/// A selector as the API takes it in a query; empty without one.
pub fn text(selector: Option<&LabelSelector>) -> Result<String, String> {
    let Some(selector) = selector else {
        return Ok(String::new());
    };
    let value = serde_json::to_value(selector).map_err(|error| error.to_string())?;
    let selector = Labels::from_object(Some(&value)).map_err(|error| format!("{error:?}"))?;
    Ok(selector.to_string())
}

/// The server's words; a server without that API says nothing useful itself.
fn said(error: &kube::Error, what: &str) -> String {
    match status(error) {
        Some(_) if is_not_found(error) => {
            format!("the server could not find the requested resource (get {what})")
        }
        Some(status) => status.message.clone(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_use_is_that_of_its_containers() {
        let pod = |text: &str| serde_json::from_str::<PodUse>(text).unwrap();
        let both = r#"{"metadata":{"name":"p"},"timestamp":"2026-01-01T00:00:00Z","window":"20.5s",
            "containers":[{"name":"a","usage":{"cpu":"250m"}},{"name":"b","usage":{"cpu":"1500000n"}}]}"#;
        for (container, want) in [(None, 252), (Some("a"), 250)] {
            let (name, metric) = of_pod(pod(both), "cpu", container).unwrap().unwrap();
            assert_eq!(
                (name.as_str(), metric.value, metric.window),
                ("p", want, Duration::from_millis(20_500))
            );
        }
        assert!(of_pod(pod(both), "cpu", Some("c")).is_err());
        assert_eq!(of_pod(pod(both), "memory", None).unwrap(), None);
    }
}
