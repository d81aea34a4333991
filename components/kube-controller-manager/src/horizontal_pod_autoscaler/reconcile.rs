//! One autoscaler: reads the target's scale, measures, decides, scales, and says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use apimachinery::selector::LabelSelector;
use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use component_config::kube_controller_manager::HorizontalPodAutoscalerFlags;
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus, MetricStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::core::ApiResource;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::behavior::{Bounds, Rules, limit, stabilize};
use super::groups::Delays;
use super::history::History;
use super::measure::{Failed, Measured, Subject, measure, millis};
use super::metrics::Metrics;
use super::replicas::Tolerances;
use super::{status, target};
use crate::discovery::{Discovery, discover};
use crate::error::{Error, Result};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "horizontal-pod-autoscaler";
/// Kinds that were not known are looked for again after this long.
const REDISCOVER: Duration = Duration::from_secs(30);

struct Controller {
    autoscalers: Informer<HorizontalPodAutoscaler>,
    pods: Informer<Pod>,
    client: Client,
    metrics: Metrics,
    recorder: Recorder,
    queue: Queue<Key>,
    flags: HorizontalPodAutoscalerFlags,
    /// By UID, so that an autoscaler made anew begins anew.
    histories: Mutex<AHashMap<String, History>>,
    discovery: tokio::sync::Mutex<Option<(Instant, Arc<Discovery>)>>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let client = context.client(ACCOUNT);
    let controller = Arc::new(Controller {
        autoscalers: context.informer(),
        pods: context.informer(),
        metrics: Metrics::new(client.clone()),
        client,
        recorder: context.recorder(ACCOUNT),
        queue: Queue::new(),
        flags: context.flags.hpa.clone(),
        histories: Mutex::default(),
        discovery: tokio::sync::Mutex::default(),
    });
    async move {
        if !crate::synced!(controller.autoscalers, controller.pods) {
            return;
        }
        let this = controller.clone();
        controller
            .autoscalers
            .on_change(move |change: &Change<HorizontalPodAutoscaler>| {
                match (&change.old, &change.new) {
                    (Some(old), None) => {
                        this.histories.lock().remove(old.uid());
                    }
                    // The status is our own.
                    (Some(old), Some(new)) if old.spec == new.spec => {}
                    _ => this.queue.add(key_of(change.object().as_ref())),
                }
            });
        let (queue, workers) = (
            controller.queue.clone(),
            context.flags.concurrent_horizontal_pod_autoscaler_syncs,
        );
        work(
            "horizontal-pod-autoscaler",
            &context,
            queue,
            workers,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// What was found out about an autoscaler so far, and what will be its status.
struct Attempt<'a> {
    autoscaler: &'a HorizontalPodAutoscaler,
    status: HorizontalPodAutoscalerStatus,
    now: Timestamp,
}

impl Attempt<'_> {
    fn condition(&mut self, kind: &str, on: bool, reason: &str, message: impl Into<String>) {
        status::set(&mut self.status, kind, on, reason, message, self.now);
    }
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(autoscaler) = self.autoscalers.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let mut attempt = Attempt {
            autoscaler: &autoscaler,
            status: autoscaler.status.clone().unwrap_or_default(),
            now: Timestamp::now(),
        };
        let outcome = self.attempt(&mut attempt).await;
        if autoscaler.status.as_ref() != Some(&attempt.status) {
            let mut updated = autoscaler.as_ref().clone();
            updated.status = Some(attempt.status);
            let api: Api<HorizontalPodAutoscaler> = Api::namespaced(self.client.clone(), &key.0);
            api.replace_status(&key.1, &PostParams::default(), &updated)
                .await?;
        }
        // What failed is not tried faster: the condition says what is wrong, and time is what changes metrics.
        if let Err(error) = outcome {
            tracing::debug!(namespace = key.0, name = key.1, %error, "not scaled");
        }
        Ok(Requeue::After(self.flags.horizontal_pod_autoscaler_sync_period))
    }

    async fn attempt(&self, attempt: &mut Attempt<'_>) -> Result<()> {
        let autoscaler = attempt.autoscaler;
        let spec = autoscaler.spec.clone();
        let (resource, scale) = match self.scale_of(autoscaler).await {
            Ok(found) => found,
            Err(error) => {
                let message =
                    format!("the HPA controller was unable to get the target's current scale: {error}");
                self.warn(autoscaler, "FailedGetScale", error.to_string());
                attempt.condition("AbleToScale", false, "FailedGetScale", message);
                return Err(error);
            }
        };
        attempt.condition(
            "AbleToScale",
            true,
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        );
        let current = scale
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or_default();
        let (min, max) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
        let mut metrics = None;
        let (desired, why) = if current == 0 && min != 0 {
            attempt.condition(
                "ScalingActive",
                false,
                "ScalingDisabled",
                "scaling is disabled since the replica count of the target is zero",
            );
            (0, String::new())
        } else if current > max {
            (
                max,
                "Current number of replicas above Spec.MaxReplicas".to_owned(),
            )
        } else if current < min {
            (
                min,
                "Current number of replicas below Spec.MinReplicas".to_owned(),
            )
        } else {
            match self.compute(attempt, &scale, current).await {
                Ok((wanted, name, measured)) => {
                    metrics = Some(measured);
                    let why = if wanted > current {
                        format!("{name} above target")
                    } else {
                        "All metrics below target".to_owned()
                    };
                    (self.restrain(attempt, wanted, Bounds { current, min, max }), why)
                }
                Err(error) => {
                    attempt.status.current_replicas = Some(current);
                    self.warn(autoscaler, "FailedComputeMetricsReplicas", error.to_string());
                    return Err(error);
                }
            }
        };
        if desired != current {
            if let Err(error) = target::set_replicas(&self.client, &resource, &scale, desired).await {
                self.warn(
                    autoscaler,
                    "FailedRescale",
                    format!("New size: {desired}; reason: {why}; error: {error}"),
                );
                attempt.condition(
                    "AbleToScale",
                    false,
                    "FailedUpdateScale",
                    format!("the HPA controller was unable to update the target scale: {error}"),
                );
                attempt.status.current_replicas = Some(current);
                return Err(error);
            }
            attempt.condition(
                "AbleToScale",
                true,
                "SucceededRescale",
                format!("the HPA controller was able to update the target scale to {desired}"),
            );
            self.recorder.event(
                reference(autoscaler),
                Type::Normal,
                "SuccessfulRescale",
                format!("New size: {desired}; reason: {why}"),
            );
            self.histories
                .lock()
                .entry(autoscaler.uid().to_owned())
                .or_default()
                .scaled(attempt.now, current, desired);
            attempt.status.last_scale_time = Some(Time(
                Timestamp::from_second(attempt.now.as_second()).unwrap_or(attempt.now),
            ));
        }
        attempt.status.current_replicas = Some(current);
        attempt.status.desired_replicas = desired;
        attempt.status.current_metrics = metrics;
        Ok(())
    }

    fn warn(&self, autoscaler: &HorizontalPodAutoscaler, reason: &str, message: String) {
        self.recorder
            .event(reference(autoscaler), Type::Warning, reason, message);
    }

    async fn scale_of(&self, autoscaler: &HorizontalPodAutoscaler) -> Result<(ApiResource, Scale)> {
        let wanted = autoscaler.spec.scale_target_ref.clone();
        let discovery = self
            .discovery(|known| target::resource_of(&wanted, known).is_ok())
            .await?;
        let resource = target::resource_of(&wanted, &discovery)?;
        let scale = target::scale(&self.client, &resource, autoscaler.namespace(), &wanted.name).await?;
        Ok((resource, scale))
    }

    /// What the server has; asked anew when what is known is old and not `enough`.
    async fn discovery(&self, enough: impl Fn(&Discovery) -> bool) -> Result<Arc<Discovery>> {
        let mut known = self.discovery.lock().await;
        if let Some((at, discovery)) = &*known
            && (enough(discovery) || at.elapsed() < REDISCOVER)
        {
            return Ok(discovery.clone());
        }
        let discovery = Arc::new(discover(&self.client).await?);
        *known = Some((Instant::now(), discovery.clone()));
        Ok(discovery)
    }

    /// The highest number that a metric asks for, with that metric's name and everything that was measured.
    async fn compute(
        &self,
        attempt: &mut Attempt<'_>,
        scale: &Scale,
        wanted: i32,
    ) -> Result<(i32, String, Vec<MetricStatus>)> {
        let autoscaler = attempt.autoscaler;
        let spec = autoscaler.spec.clone();
        let selector = self.selector(attempt, scale)?;
        let mut pods = self.pods.list_namespace(autoscaler.namespace());
        pods.retain(|pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.matches_with(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
        });
        let behavior = spec.behavior.as_ref();
        let tolerance = |rules: Option<&k8s_openapi::api::autoscaling::v2::HPAScalingRules>| {
            let own = rules.and_then(|rules| rules.tolerance.as_ref());
            own.map_or(self.flags.horizontal_pod_autoscaler_tolerance, |own| {
                millis(own) as f64 / 1000.0
            })
        };
        let subject = Subject {
            namespace: autoscaler.namespace(),
            selector: &selector,
            pods: &pods,
            wanted,
            current: scale.status.as_ref().map_or(0, |status| status.replicas),
            tolerances: Tolerances {
                up: tolerance(behavior.and_then(|behavior| behavior.scale_up.as_ref())),
                down: tolerance(behavior.and_then(|behavior| behavior.scale_down.as_ref())),
            },
            delays: Delays {
                cpu_initialization: self.flags.horizontal_pod_autoscaler_cpu_initialization_period,
                initial_readiness: self.flags.horizontal_pod_autoscaler_initial_readiness_delay,
            },
            now: attempt.now,
        };
        let specs = spec.metrics.unwrap_or_default();
        let discovery = self.discovery(|_| true).await?;
        let mut answers = Vec::new();
        for metric in &specs {
            let answer = measure(&self.metrics, &discovery, metric, &subject).await;
            if let Err(failed) = &answer {
                self.warn(autoscaler, failed.reason, failed.message.clone());
            }
            answers.push(answer);
        }
        let (answer, active) = decide(answers, wanted);
        let (on, reason, message) = active;
        attempt.condition("ScalingActive", on, reason, message);
        answer.map_err(Error::Other)
    }

    fn selector(&self, attempt: &mut Attempt<'_>, scale: &Scale) -> Result<LabelSelector> {
        let text = scale
            .status
            .as_ref()
            .and_then(|status| status.selector.clone())
            .unwrap_or_default();
        if text.is_empty() {
            self.warn(
                attempt.autoscaler,
                "SelectorRequired",
                "selector is required".to_owned(),
            );
            attempt.condition(
                "ScalingActive",
                false,
                "InvalidSelector",
                "the HPA target's scale is missing a selector",
            );
            return Err(Error::Other("selector is required".to_owned()));
        }
        LabelSelector::parse(&text).map_err(|error| {
            let message =
                format!("couldn't convert selector into a corresponding internal selector object: {error:?}");
            self.warn(attempt.autoscaler, "InvalidSelector", message.clone());
            attempt.condition("ScalingActive", false, "InvalidSelector", message.clone());
            Error::Other(message)
        })
    }

    /// The number that behavior, history and bounds make of what the metrics want.
    fn restrain(&self, attempt: &mut Attempt<'_>, wanted: i32, bounds: Bounds) -> i32 {
        let behavior = attempt.autoscaler.spec.behavior.as_ref();
        let rules = Rules {
            up: behavior.and_then(|behavior| behavior.scale_up.as_ref()),
            down: behavior.and_then(|behavior| behavior.scale_down.as_ref()),
            down_window: i64::try_from(
                self.flags
                    .horizontal_pod_autoscaler_downscale_stabilization
                    .as_secs(),
            )
            .unwrap_or(300),
        };
        let mut histories = self.histories.lock();
        let history = histories.entry(attempt.autoscaler.uid().to_owned()).or_default();
        if history.recommendations.is_empty() {
            // As if what there is had been wanted all along: nothing is taken away right after a start.
            history.recommend(attempt.now, bounds.current);
        }
        let (stable, able) = stabilize(wanted, bounds.current, &rules, history, attempt.now);
        history.recommend(attempt.now, wanted);
        let (desired, limited) = limit(stable, bounds, &rules, history, attempt.now);
        attempt.condition("AbleToScale", able.0, able.1, able.2);
        attempt.condition("ScalingLimited", limited.0, limited.1, limited.2);
        desired
    }
}

type Answer = (i32, String, Vec<MetricStatus>);

/// The highest of the answers. One that failed only matters when the others would reduce the number: it might have
/// asked for more. With the verdict on ScalingActive.
pub(super) fn decide(
    answers: Vec<std::result::Result<Measured, Failed>>,
    current: i32,
) -> (std::result::Result<Answer, String>, (bool, &'static str, String)) {
    let count = answers.len();
    let mut best: Option<(i32, String)> = None;
    let mut statuses = Vec::new();
    let mut failures = Vec::new();
    for answer in answers {
        match answer {
            Ok(measured) => {
                statuses.push(measured.status);
                if best.as_ref().is_none_or(|(most, _)| measured.replicas > *most) {
                    best = Some((measured.replicas, measured.name));
                }
            }
            Err(failed) => failures.push(failed),
        }
    }
    let failed = failures.len();
    match (best, failures.into_iter().next()) {
        (Some((replicas, name)), first) if first.is_none() || replicas >= current => {
            let message = format!("the HPA was able to successfully calculate a replica count from {name}");
            (
                Ok((replicas, name, statuses)),
                (true, "ValidMetricFound", message),
            )
        }
        (_, Some(first)) => {
            let message = format!(
                "invalid metrics ({failed} invalid out of {count}), first error is: {}",
                first.message
            );
            (Err(message), (false, first.reason, first.message))
        }
        (_, None) => {
            let message = "the HPA has no metrics".to_owned();
            (Err(message.clone()), (false, "InvalidMetricSourceType", message))
        }
    }
}
