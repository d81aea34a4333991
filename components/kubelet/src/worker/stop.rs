//! Stopping containers: hook, signal, grace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::Type;
use k8s_openapi::api::core::v1::Pod;

use super::start::run_hook;
use super::{Done, Worker};
use crate::context::Shared;
use crate::handlers::Target;
use crate::pod::members::PodView;
use crate::pod::step::Kill;

/// Containers get this long at least, whatever is asked for.
const SHORTEST_GRACE: u64 = 1;

/// The grace period in seconds that the pod's deletion or spec gives.
pub(super) fn grace_period(pod: &Pod) -> u64 {
    let seconds = pod
        .metadata
        .deletion_grace_period_seconds
        .or(pod.view().termination_grace_period_seconds)
        .unwrap_or(30);
    u64::try_from(seconds).unwrap_or(0).max(SHORTEST_GRACE)
}

impl Worker {
    /// Begins to stop a container that will be started again.
    pub(super) fn kill(&mut self, pod: &Arc<Pod>, kill: Kill, grace: Option<i64>) {
        self.busy.insert(kill.name.clone());
        let (context, pod, pod_ips) = (self.context.clone(), pod.clone(), self.pod_ips(pod));
        let grace = grace
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or_else(|| grace_period(&pod), |seconds| seconds.max(SHORTEST_GRACE));
        self.operations.spawn(async move {
            stop_container(
                &context,
                &pod,
                &kill.id,
                &kill.name,
                &kill.message,
                grace,
                &pod_ips,
            )
            .await;
            Done::Killed { name: kill.name }
        });
    }
}

/// Runs the preStop hook and stops the container within `grace` seconds. Errors are logged: the caller looks
/// at the runtime again anyway.
pub(super) async fn stop_container(
    context: &Shared,
    pod: &Arc<Pod>,
    id: &str,
    name: &str,
    message: &str,
    grace: u64,
    pod_ips: &[String],
) {
    let member = pod.member(name);
    let who = member
        .as_ref()
        .map(|(role, container)| (*role, container.name.as_str()));
    context.event(pod, who, Type::Normal, "Killing", message);
    let began = Instant::now();
    if let Some((_, container)) = &member
        && let Some(hook) = container
            .lifecycle
            .as_ref()
            .and_then(|lifecycle| lifecycle.pre_stop.as_ref())
    {
        let pod_ip = pod_ips.first().map_or("", String::as_str);
        let target = Target {
            runtime: &context.runtime,
            pod,
            container,
            container_id: id,
            pod_ip,
        };
        match tokio::time::timeout(Duration::from_secs(grace), run_hook(&target, hook)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                context.event(
                    pod,
                    who,
                    Type::Warning,
                    "FailedPreStopHook",
                    format!("PreStopHook failed: {error}"),
                );
            }
            Err(_) => tracing::warn!(
                container = target.describe(),
                grace,
                "preStop hook did not end within the grace period"
            ),
        }
    }
    let left = grace
        .saturating_sub(began.elapsed().as_secs())
        .max(SHORTEST_GRACE);
    match context.runtime.stop_container(id, left).await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => {
            tracing::warn!(pod = %pod.full_name(), container = name, %error, "container cannot be stopped")
        }
    }
}
