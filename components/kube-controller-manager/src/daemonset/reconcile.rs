//! Reads one DaemonSet, the nodes and its pods; makes or deletes pods; writes revisions and status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::events::{Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _, join_all};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::PostParams;

use super::failures::Failures;
use super::plan::{self, Changes, Fit};
use super::template::{self, HASH_LABEL};
use crate::error::{Error, Result, is_namespace_terminating};
use crate::nodes;
use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;
use crate::workload::claim::{adopters, claim};
use crate::workload::history::{self, Writer};
use crate::workload::index::{by_controller, controlled, orphans};
use crate::workload::pod_control::slow_start;
use crate::workload::{Expectations, PodControl, pods};

const ACCOUNT: &str = "daemon-set-controller";
/// At most so many pods are made or deleted in one go.
const BURST: usize = 250;

struct Controller {
    sets: Informer<DaemonSet>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    control: PodControl,
    expectations: Expectations,
    failures: Failures,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        sets: context.informer(),
        pods: by_controller(&context),
        nodes: context.informer(),
        revisions: by_controller(&context),
        control: PodControl {
            client: context.client(ACCOUNT),
            recorder: context.recorder_as(ACCOUNT, "daemonset-controller"),
        },
        expectations: Expectations::default(),
        failures: Failures::default(),
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(
            controller.sets,
            controller.pods,
            controller.nodes,
            controller.revisions
        ) {
            return;
        }
        let queue = controller.queue.clone();
        controller
            .sets
            .on_change(move |change| queue.add(key_of(change.object().as_ref())));
        let this = controller.clone();
        controller.pods.on_change(move |change| this.pod_changed(change));
        let this = controller.clone();
        controller
            .nodes
            .on_change(move |change| this.node_changed(change));
        let (queue, workers) = (controller.queue.clone(), context.flags.concurrent_daemonset_syncs);
        work(
            "daemonset",
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

impl Controller {
    fn node_changed(&self, change: &Change<Node>) {
        let relevant = |node: &Option<Arc<Node>>| {
            node.as_ref()
                .map(|node| (node.metadata.labels.clone(), nodes::taints(node).to_vec()))
        };
        if relevant(&change.old) != relevant(&change.new) {
            self.sets
                .list()
                .iter()
                .for_each(|set| self.queue.add(key_of(set.as_ref())));
        }
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let owner = |pod: &Pod| {
            let reference = controller_of(&pod.metadata).filter(|reference| reference.kind == "DaemonSet")?;
            let set = self.sets.get(pod.namespace(), &reference.name)?;
            (set.uid() == reference.uid).then(|| key_of(set.as_ref()))
        };
        if let Some(key) = change.old.as_deref().and_then(owner) {
            if change.new.is_none() {
                self.expectations.deletion_observed(&key, change.object().uid());
            }
            self.queue.add(key);
        }
        let Some(pod) = &change.new else { return };
        match owner(pod) {
            Some(key) => {
                if change.old.is_none() {
                    self.expectations.creation_observed(&key);
                }
                if pod.is_deleting() {
                    self.expectations.deletion_observed(&key, pod.uid());
                }
                self.queue.add(key);
            }
            None if controller_of(&pod.metadata).is_none() => {
                let selector = |set: &DaemonSet| Selector::new(&set.spec.as_ref()?.selector).ok();
                adopters(&self.sets, pod.as_ref(), selector).for_each(|key| self.queue.add(key));
            }
            None => {}
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(set) = self.sets.get(&key.0, &key.1) else {
            self.expectations.forget(key);
            return Ok(Requeue::No);
        };
        let Some(spec) = set.spec.as_ref() else {
            return Ok(Requeue::No);
        };
        let selector = match Selector::new(&spec.selector) {
            Ok(selector) if !selector.is_empty() => selector,
            _ => {
                let message = "This daemon set is selecting all pods. A non-empty selector is required.";
                self.control
                    .recorder
                    .event(reference(set.as_ref()), Type::Warning, "SelectingAll", message);
                return Ok(Requeue::No);
            }
        };
        if set.is_deleting() {
            return Ok(Requeue::No);
        }
        let satisfied = self.expectations.satisfied(key);
        let sets: Api<DaemonSet> = Api::namespaced(self.control.client.clone(), &key.0);
        let writer = Writer {
            api: Api::namespaced(self.control.client.clone(), &key.0),
            owner: set.as_ref(),
            template: &spec.template,
            hash_label: HASH_LABEL,
            labels: spec
                .template
                .metadata
                .as_ref()
                .and_then(|meta| meta.labels.clone())
                .unwrap_or_default(),
            annotations: set.metadata.annotations.clone().unwrap_or_default(),
        };
        let revisions = history::list(&self.revisions, set.uid());
        let mut collisions = set
            .status
            .as_ref()
            .and_then(|status| status.collision_count)
            .unwrap_or(0);
        let revision = writer.current(&revisions, &mut collisions).await?;
        let hash = revision.label(HASH_LABEL).unwrap_or_default().to_owned();
        let mut known = controlled(&self.pods, set.uid());
        known.extend(orphans(&self.pods, &key.0));
        let mut all = claim(
            set.as_ref(),
            &sets,
            &self.control.pods(&key.0),
            &selector,
            known,
            None,
        )
        .await?;
        all.sort_by(|a, b| a.name().cmp(b.name()));
        let now = Timestamp::now();
        let pod = template::pod(&set, &hash);
        let mut fits: Vec<(Arc<Node>, Fit)> = self
            .nodes
            .list()
            .into_iter()
            .map(|node| (node.clone(), plan::fit(&pod, &node)))
            .collect();
        fits.sort_by(|a, b| a.0.name().cmp(b.0.name()));
        let mut outcome = Ok(());
        let mut wait = None;
        if satisfied {
            let mut changes = plan::manage(&set, &fits, &all, &hash, now);
            wait = self.leave_for_now(&set, &mut changes);
            outcome = self.change(key, &set, &pod, changes).await;
            let on_delete = spec
                .update_strategy
                .as_ref()
                .and_then(|strategy| strategy.type_.as_deref())
                == Some("OnDelete");
            if outcome.is_ok() && !on_delete && self.expectations.satisfied(key) {
                outcome = self
                    .change(key, &set, &pod, plan::roll(&set, &fits, &all, &hash, now))
                    .await;
            }
        }
        let mut status = plan::status(&set, &fits, &all, &hash, now);
        status.collision_count = Some(collisions).filter(|count| *count > 0);
        if set.status.as_ref() != Some(&status) {
            let mut updated = set.as_ref().clone();
            updated.status = Some(status);
            sets.replace_status(&key.1, &PostParams::default(), &updated)
                .await?;
        }
        outcome?;
        let live: Vec<&str> = revisions
            .iter()
            .filter(|known| {
                all.iter()
                    .any(|pod| pod.label(HASH_LABEL) == known.label(HASH_LABEL))
            })
            .map(|known| known.name())
            .chain([revision.name()])
            .collect();
        writer
            .truncate(&revisions, &live, spec.revision_history_limit)
            .await?;
        let next = pods::next_availability(
            all.iter().map(Arc::as_ref),
            spec.min_ready_seconds.unwrap_or(0),
            now,
        );
        let next = next.into_iter().chain(wait).min();
        Ok(next.map_or(Requeue::No, Requeue::After))
    }

    /// Takes out the failed pods that are not to be replaced yet; the shortest time until one is.
    fn leave_for_now(&self, set: &DaemonSet, changes: &mut Changes) -> Option<Duration> {
        let (now, mut shortest) = (Instant::now(), None::<Duration>);
        changes.ended.retain(|pod| {
            if pods::phase(pod) != "Failed" {
                return true;
            }
            let node = template::target_node(pod).unwrap_or_default();
            let wait = self.failures.wait(set.uid(), &node, now);
            shortest = shortest.into_iter().chain(wait).min();
            wait.is_none()
        });
        shortest
    }

    async fn change(&self, key: &Key, set: &DaemonSet, pod: &Pod, changes: Changes) -> Result<()> {
        for ended in &changes.ended {
            let failed = pods::phase(ended) == "Failed";
            let (kind, reason, word) = if failed {
                (Type::Warning, "FailedDaemonPod", "failed")
            } else {
                (Type::Normal, "SucceededDaemonPod", "succeeded")
            };
            let node = template::target_node(ended).unwrap_or_default();
            let message = format!(
                "Found {word} daemon pod {}/{} on node {node}, will try to kill it",
                ended.namespace(),
                ended.name()
            );
            self.control.recorder.event(reference(set), kind, reason, message);
        }
        let mut doomed: Vec<Arc<Pod>> = changes.delete.into_iter().chain(changes.ended).collect();
        doomed.truncate(BURST);
        self.expectations
            .expect_deletions(key, doomed.iter().map(|pod| pod.uid().to_owned()));
        let deletions = join_all(doomed.iter().map(|pod| async move {
            let outcome = self.control.delete(set, pod.name()).await;
            if !matches!(outcome, Ok(true)) {
                self.expectations.deletion_observed(key, pod.uid());
            }
            outcome.map(|_| ())
        }))
        .await;
        let create: Vec<String> = changes.create.into_iter().take(BURST).collect();
        self.expectations.expect_creations(key, create.len());
        let tried = std::sync::atomic::AtomicUsize::new(0);
        let (counter, nodes) = (&tried, &create);
        let (_, outcome) = slow_start(create.len(), |index| async move {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut pod = pod.clone();
            template::pin(pod.spec.get_or_insert_default(), &nodes[index]);
            match self.control.create(set, &pod).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    self.expectations.creation_observed(key);
                    match error {
                        Error::Api(error) if is_namespace_terminating(&error) => Ok(()),
                        error => Err(error),
                    }
                }
            }
        })
        .await;
        self.expectations
            .lower_creations(key, create.len() - tried.into_inner());
        outcome.and(Error::collect(deletions))
    }
}
