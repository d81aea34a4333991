//! The end of a pod: containers, sandbox, files, cgroup, and last the object.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::stop::{grace_period, stop_container};
use super::{RUNTIME_RETRY, Worker};
use crate::pod::members::{PodView, Role};
use crate::runtime::{Observed, ObservedContainer};
use crate::volumes::PodDirectories;

impl Worker {
    /// Stops a deleted pod and removes all of it.
    pub(super) async fn terminate(&mut self) {
        // What is being made is given up; the next look shows what came of it.
        self.operations.shutdown().await;
        self.busy.clear();
        let uid = self.input.borrow().pod.uid().to_owned();
        self.context.probes.stop_restarting(&uid);
        let pod = loop {
            let input = self.input.borrow_and_update().clone();
            let pod = input.pod;
            if self.shutdown.is_cancelled() {
                return;
            }
            if let Err(error) = self.look_at(&pod).await {
                tracing::warn!(pod = %pod.full_name(), %error, "the runtime cannot be asked about a pod that ends");
                self.pause(RUNTIME_RETRY).await;
                continue;
            }
            self.publish(&pod, false);
            if self.observed.running().next().is_none() {
                break pod;
            }
            self.stop_all(&pod).await;
        };
        self.publish(&pod, true);
        if !self.tear_down(&pod).await {
            return;
        }
        self.context.probes.forget(pod.uid(), &self.observed);
        self.context.images.forget(pod.uid());
        let removed = self.input.borrow().removed;
        if removed {
            self.context.status.forget(pod.uid());
        } else {
            self.context.status.delete(&pod);
        }
        self.remove_records(&pod).await;
    }

    /// Stops what is left of a pod whose containers have ended, and keeps their records for logs.
    pub(super) async fn finish(&mut self, pod: &Arc<Pod>) {
        self.operations.shutdown().await;
        self.busy.clear();
        self.context.probes.stop_restarting(pod.uid());
        while self.observed.running().next().is_some() {
            self.stop_all(pod).await;
            if self.shutdown.is_cancelled() || self.look_at(pod).await.is_err() {
                return;
            }
        }
        self.publish(pod, true);
        self.tear_down(pod).await;
        if self.look_at(pod).await.is_ok() {
            self.publish(pod, true);
        }
    }

    async fn look_at(&mut self, pod: &Arc<Pod>) -> Result<(), crate::runtime::RuntimeError> {
        self.observed = self.context.runtime.observe(pod.uid(), &self.observed).await?;
        Ok(())
    }

    /// The pod's grace period in seconds, or the shorter one that the node can afford.
    fn grace(&self, pod: &Pod) -> u64 {
        let own = grace_period(pod);
        let evicted = self
            .input
            .borrow()
            .evicted
            .as_ref()
            .and_then(|eviction| eviction.grace);
        evicted.map_or(own, |grace| grace.min(own))
    }

    /// Stops every container, app containers first and sidecars in reverse. Ends early when the grace period
    /// gets shorter meanwhile.
    async fn stop_all(&mut self, pod: &Arc<Pod>) {
        let grace = self.grace(pod);
        let pod_ips = self.pod_ips(pod);
        let context = self.context.clone();
        let observed = self.observed.clone();
        let stop = async {
            let began = std::time::Instant::now();
            for group in stopping_order(pod, &observed) {
                let left = grace.saturating_sub(began.elapsed().as_secs()).max(1);
                let stops = group.iter().map(|container| {
                    let message = format!("Stopping container {}", container.name);
                    let (context, pod_ips) = (&context, &pod_ips);
                    async move {
                        stop_container(
                            context,
                            pod,
                            &container.id,
                            &container.name,
                            &message,
                            left,
                            pod_ips,
                        )
                        .await
                    }
                });
                futures::future::join_all(stops).await;
            }
        };
        tokio::pin!(stop);
        let mut input = self.input.clone();
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = self.shutdown.cancelled() => return,
                () = self.poke.notified() => {
                    // A container has ended: its status is told while the others still run.
                    if let Ok(observed) = self.context.runtime.observe(pod.uid(), &self.observed).await {
                        self.observed = observed;
                        self.publish(pod, false);
                    }
                }
                changed = input.changed() => {
                    if changed.is_err() || grace_period(&input.borrow().pod) < grace {
                        return;
                    }
                }
            }
        }
    }

    /// Stops the sandboxes and removes files and cgroup. Returns whether that was done before the kubelet stops.
    async fn tear_down(&mut self, pod: &Arc<Pod>) -> bool {
        loop {
            match self.try_tear_down(pod).await {
                Ok(()) => return true,
                Err(error) => tracing::warn!(pod = %pod.full_name(), error, "pod cannot be torn down yet"),
            }
            self.pause(RUNTIME_RETRY).await;
            if self.shutdown.is_cancelled() {
                return false;
            }
        }
    }

    async fn try_tear_down(&self, pod: &Arc<Pod>) -> Result<(), String> {
        for sandbox in &self.observed.sandboxes {
            match self.context.runtime.stop_sandbox(&sandbox.id).await {
                Err(error) if !error.is_not_found() => return Err(error.to_string()),
                _ => {}
            }
        }
        let directories = PodDirectories::new(Path::new(&self.context.settings.root), pod.uid());
        match tokio::task::spawn_blocking(move || directories.remove()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("volumes: {error}")),
            Err(error) => return Err(error.to_string()),
        }
        self.context.volumes.tokens.forget(pod.uid());
        if let Err(error) = self.context.cgroups.remove(pod).await {
            // Processes that are dying keep it for a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.context
                .cgroups
                .remove(pod)
                .await
                .map_err(|_| format!("cgroup: {error}"))?;
        }
        Ok(())
    }

    /// Removes containers, sandboxes and logs of a pod that nobody can ask about any more.
    async fn remove_records(&self, pod: &Arc<Pod>) {
        for container in &self.observed.containers {
            if let Err(error) = self.context.runtime.remove_container(&container.id).await {
                tracing::debug!(container = container.id, %error, "container stays for the garbage collector");
            }
        }
        for sandbox in &self.observed.sandboxes {
            if let Err(error) = self.context.runtime.remove_sandbox(&sandbox.id).await {
                tracing::debug!(sandbox = sandbox.id, %error, "sandbox stays for the garbage collector");
            }
        }
        let logs = crate::pod::sandbox_config::log_directory(&self.context.settings.pod_logs, pod);
        if let Err(error) = std::fs::remove_dir_all(&logs) {
            tracing::debug!(logs, %error, "logs stay for the garbage collector");
        }
    }
}

/// Running containers in the order in which they are stopped; those of a group at once.
fn stopping_order<'a>(pod: &Pod, observed: &'a Observed) -> Vec<Vec<&'a ObservedContainer>> {
    let mut groups: Vec<Vec<&ObservedContainer>> = vec![Vec::new()];
    let mut sidecars: Vec<(usize, &ObservedContainer)> = Vec::new();
    for container in observed.running() {
        let is_sidecar = matches!(pod.member(&container.name), Some((Role::Sidecar, _)));
        let position = pod
            .init_containers()
            .iter()
            .position(|init| init.name == container.name);
        match position.filter(|_| is_sidecar) {
            Some(at) => sidecars.push((at, container)),
            None => groups[0].push(container),
        }
    }
    sidecars.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    groups.extend(sidecars.into_iter().map(|(_, container)| vec![container]));
    groups.retain(|group| !group.is_empty());
    groups
}
