//! One metric of an autoscaler: asks the API that has it and works out the number of replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use apimachinery::quantity::Quantity;
use apimachinery::selector::LabelSelector;
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, ExternalMetricSource, ExternalMetricStatus, MetricSpec, MetricStatus,
    MetricTarget, MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource,
    PodsMetricStatus, ResourceMetricStatus,
};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::groups::{Delays, group};
use super::metrics::Metrics;
use super::replicas::{Outcome, Target, Tolerances, of_pods, of_shared_value, of_value};
use super::target;
use crate::discovery::Discovery;
use crate::owner::Meta as _;
use crate::workload::pods as pod_state;

/// What all metrics of one autoscaler are judged against.
pub struct Subject<'a> {
    pub namespace: &'a str,
    pub selector: &'a LabelSelector,
    /// The pods that are selected.
    pub pods: &'a [Arc<Pod>],
    /// Replicas as the target's spec and as its status have them.
    pub wanted: i32,
    pub current: i32,
    pub tolerances: Tolerances,
    pub delays: Delays,
    pub now: Timestamp,
}

/// A metric's answer: the number, what to call the metric, and what was measured.
#[derive(Debug)]
pub struct Measured {
    pub replicas: i32,
    pub name: String,
    pub status: MetricStatus,
}

/// Why a metric has no answer: the condition's reason and message.
#[derive(Debug)]
pub struct Failed {
    pub reason: &'static str,
    pub message: String,
}

/// Asks for one metric.
pub async fn measure(
    metrics: &Metrics,
    discovery: &Discovery,
    spec: &MetricSpec,
    subject: &Subject<'_>,
) -> Result<Measured, Failed> {
    let unable = |reason: &'static str| {
        move |error: String| Failed {
            reason,
            message: format!("the HPA was unable to compute the replica count: {error}"),
        }
    };
    match spec.type_.as_str() {
        "Resource" => {
            let source = spec.resource.as_ref().ok_or_else(|| unspecified("resource"))?;
            resource(metrics, &source.name, None, &source.target, subject)
                .await
                .map_err(unable("FailedGetResourceMetric"))
        }
        "ContainerResource" => {
            let source = spec
                .container_resource
                .as_ref()
                .ok_or_else(|| unspecified("containerResource"))?;
            resource(
                metrics,
                &source.name,
                Some(&source.container),
                &source.target,
                subject,
            )
            .await
            .map_err(unable("FailedGetContainerResourceMetric"))
        }
        "Pods" => {
            let source = spec.pods.as_ref().ok_or_else(|| unspecified("pods"))?;
            pods(metrics, source, subject)
                .await
                .map_err(unable("FailedGetPodsMetric"))
        }
        "Object" => {
            let source = spec.object.as_ref().ok_or_else(|| unspecified("object"))?;
            object(metrics, discovery, source, subject)
                .await
                .map_err(unable("FailedGetObjectMetric"))
        }
        "External" => {
            let source = spec.external.as_ref().ok_or_else(|| unspecified("external"))?;
            external(metrics, source, subject)
                .await
                .map_err(unable("FailedGetExternalMetric"))
        }
        other => Err(Failed {
            reason: "InvalidMetricSourceType",
            message: format!(
                "the HPA was unable to compute the replica count: unknown metric source type {other:?}"
            ),
        }),
    }
}

fn unspecified(source: &str) -> Failed {
    Failed {
        reason: "InvalidMetricSourceType",
        message: format!(
            "the HPA was unable to compute the replica count: the metric's source {source} is missing"
        ),
    }
}

async fn resource(
    metrics: &Metrics,
    name: &str,
    container: Option<&str>,
    target: &MetricTarget,
    subject: &Subject<'_>,
) -> Result<Measured, String> {
    let of = container
        .map(|container| format!("container {container} "))
        .unwrap_or_default();
    let (goal, failed) = match (&target.average_value, target.average_utilization) {
        (Some(value), _) => (Ok(Target::Average(millis(value))), format!("failed to get {name} usage")),
        (None, Some(percent)) => (
            requests(subject.pods, name, container).map(|requests| Target::Utilization { percent: i64::from(percent), requests }),
            format!("failed to get {name} utilization"),
        ),
        (None, None) => return Err("invalid resource metric source: neither an average utilization nor an average value target was set".to_owned()),
    };
    let found = metrics
        .resource(name, subject.namespace, &subject.selector.to_string(), container)
        .await
        .map_err(|error| format!("{failed}: unable to get metrics for resource {name}: {error}"))?;
    let outcome =
        of_pod_metrics(found, goal, name == "cpu", subject).map_err(|error| format!("{failed}: {error}"))?;
    let suffix = if outcome.percent.is_some() {
        "utilization (percentage of request)"
    } else {
        ""
    };
    let current = MetricValueStatus {
        average_utilization: outcome.percent.and_then(|percent| i32::try_from(percent).ok()),
        average_value: Some(text(outcome.average)),
        value: None,
    };
    let mut status = MetricStatus::default();
    match container {
        Some(container) => {
            status.type_ = "ContainerResource".to_owned();
            status.container_resource = Some(ContainerResourceMetricStatus {
                container: container.to_owned(),
                current,
                name: name.to_owned(),
            });
        }
        None => {
            status.type_ = "Resource".to_owned();
            status.resource = Some(ResourceMetricStatus {
                current,
                name: name.to_owned(),
            });
        }
    }
    let kind = if container.is_some() {
        "container resource"
    } else {
        "resource"
    };
    Ok(Measured {
        replicas: outcome.replicas,
        name: format!("{name} {of}{kind} {suffix}").trim_end().to_owned(),
        status,
    })
}

async fn pods(
    metrics: &Metrics,
    source: &PodsMetricSource,
    subject: &Subject<'_>,
) -> Result<Measured, String> {
    let name = &source.metric.name;
    let goal = source
        .target
        .average_value
        .as_ref()
        .ok_or("a metric of pods needs an average value as target")?;
    let found = metrics
        .pods(
            name,
            subject.namespace,
            &subject.selector.to_string(),
            source.metric.selector.as_ref(),
        )
        .await
        .map_err(|error| format!("failed to get pods metric value: unable to get metric {name}: {error}"))?;
    let outcome = of_pod_metrics(found, Ok(Target::Average(millis(goal))), false, subject)
        .map_err(|error| format!("failed to get pods metric value: {error}"))?;
    let current = MetricValueStatus {
        average_value: Some(text(outcome.average)),
        ..MetricValueStatus::default()
    };
    let status = MetricStatus {
        type_: "Pods".to_owned(),
        pods: Some(PodsMetricStatus {
            current,
            metric: source.metric.clone(),
        }),
        ..MetricStatus::default()
    };
    Ok(Measured {
        replicas: outcome.replicas,
        name: format!("pods metric {name}"),
        status,
    })
}

async fn object(
    metrics: &Metrics,
    discovery: &Discovery,
    source: &ObjectMetricSource,
    subject: &Subject<'_>,
) -> Result<Measured, String> {
    let described = &source.described_object;
    let resource = target::resource_of(described, discovery).map_err(|error| error.to_string())?;
    let plural = if resource.group.is_empty() {
        resource.plural
    } else {
        format!("{}.{}", resource.plural, resource.group)
    };
    let name = &source.metric.name;
    let used = metrics
        .object(
            name,
            subject.namespace,
            &plural,
            &described.name,
            source.metric.selector.as_ref(),
        )
        .await
        .map_err(|error| {
            format!(
                "failed to get object metric value: unable to get metric {name}: {} on {} {}: {error}",
                described.kind, subject.namespace, described.name
            )
        })?;
    let (replicas, current) = judge(used, &source.target, subject)?;
    let status = MetricStatus {
        type_: "Object".to_owned(),
        object: Some(ObjectMetricStatus {
            current,
            described_object: described.clone(),
            metric: source.metric.clone(),
        }),
        ..MetricStatus::default()
    };
    Ok(Measured {
        replicas,
        name: format!("{} metric {name}", described.kind),
        status,
    })
}

async fn external(
    metrics: &Metrics,
    source: &ExternalMetricSource,
    subject: &Subject<'_>,
) -> Result<Measured, String> {
    let name = &source.metric.name;
    let used = metrics
        .external(name, subject.namespace, source.metric.selector.as_ref())
        .await
        .map_err(|error| format!("failed to get {name} external metric value: unable to get external metric {}/{name}: {error}", subject.namespace))?;
    let (replicas, current) = judge(used, &source.target, subject)?;
    let status = MetricStatus {
        type_: "External".to_owned(),
        external: Some(ExternalMetricStatus {
            current,
            metric: source.metric.clone(),
        }),
        ..MetricStatus::default()
    };
    let selector = super::metrics::text(source.metric.selector.as_ref())?;
    Ok(Measured {
        replicas,
        name: format!("external metric {name}({selector})"),
        status,
    })
}

/// One value for all pods against a target for all or for each.
fn judge(
    used: i64,
    target: &MetricTarget,
    subject: &Subject<'_>,
) -> Result<(i32, MetricValueStatus), String> {
    match (&target.value, &target.average_value) {
        (Some(value), _) => {
            let ready = subject
                .pods
                .iter()
                .filter(|pod| pod_state::phase(pod) == "Running" && pod_state::is_ready(pod))
                .count();
            let replicas = of_value(subject.wanted, used, millis(value), subject.tolerances, ready);
            Ok((
                replicas,
                MetricValueStatus {
                    value: Some(text(used)),
                    ..MetricValueStatus::default()
                },
            ))
        }
        (None, Some(average)) => {
            let (replicas, share) =
                of_shared_value(subject.current, used, millis(average), subject.tolerances);
            Ok((
                replicas,
                MetricValueStatus {
                    average_value: Some(text(share)),
                    ..MetricValueStatus::default()
                },
            ))
        }
        (None, None) => Err(
            "invalid metric source: neither a value target nor an average value target was set".to_owned(),
        ),
    }
}

fn of_pod_metrics(
    found: super::groups::PodMetrics,
    goal: Result<Target, String>,
    cpu: bool,
    subject: &Subject<'_>,
) -> Result<Outcome, String> {
    if subject.pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    let groups = group(subject.pods, &found, cpu, subject.delays, subject.now);
    let goal = goal?;
    of_pods(subject.wanted, &goal, subject.tolerances, &groups, found)
}

/// What each pod requests of a resource, in thousandths: all its containers, sidecars included, or one of them.
pub fn requests(
    pods: &[Arc<Pod>],
    resource: &str,
    container: Option<&str>,
) -> Result<BTreeMap<String, i64>, String> {
    let mut all = BTreeMap::new();
    for pod in pods {
        let Some(spec) = &pod.spec else { continue };
        let pod_level = spec
            .resources
            .as_ref()
            .and_then(|own| own.requests.as_ref())
            .and_then(|requests| requests.get(resource));
        if let (Some(quantity), None) = (pod_level, container) {
            all.insert(pod.name().to_owned(), millis(quantity));
            continue;
        }
        let sidecars = spec
            .init_containers
            .iter()
            .flatten()
            .filter(|init| init.restart_policy.as_deref() == Some("Always"));
        let mut sum = 0_i64;
        for own in spec
            .containers
            .iter()
            .chain(sidecars)
            .filter(|own| container.is_none_or(|name| own.name == name))
        {
            let request = request_of(own, resource).ok_or_else(|| {
                format!(
                    "missing request for {resource} in container {} of Pod {}",
                    own.name,
                    pod.name()
                )
            })?;
            sum = sum.saturating_add(millis(request));
        }
        all.insert(pod.name().to_owned(), sum);
    }
    Ok(all)
}

fn request_of<'a>(container: &'a Container, resource: &str) -> Option<&'a Text> {
    container.resources.as_ref()?.requests.as_ref()?.get(resource)
}

pub fn millis(text: &Text) -> i64 {
    text.0.parse::<Quantity>().map_or(0, |quantity| quantity.millis())
}

fn text(millis: i64) -> Text {
    Text(Quantity::from_millis(millis).to_string())
}
