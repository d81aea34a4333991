//! Reads one set and its pods, makes or deletes pods, writes the status.

use std::sync::Arc;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _, join_all};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;

use super::kinds::ReplicaKind;
use super::plan::{self, Action, Observed};
use crate::error::{Error, Result, is_namespace_terminating};
use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;
use crate::workload::claim::{adopters, claim};
use crate::workload::index::{by_controller, controlled, orphans};
use crate::workload::pod_control::{pod_from_template, slow_start};
use crate::workload::{Expectations, PodControl, pods, ranking};

struct Controller<K> {
    sets: Informer<K>,
    pods: Informer<Pod>,
    control: PodControl,
    expectations: Expectations,
    queue: Queue<Key>,
}

pub fn start<K: ReplicaKind>(
    context: Arc<Context>,
    name: &'static str,
    workers: usize,
) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        sets: by_controller::<K>(&context),
        pods: by_controller::<Pod>(&context),
        control: PodControl {
            client: context.client(K::ACCOUNT),
            recorder: context.recorder(K::ACCOUNT),
        },
        expectations: Expectations::default(),
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(controller.sets, controller.pods) {
            return;
        }
        let this = controller.clone();
        controller.sets.on_change(move |change| this.set_changed(change));
        let this = controller.clone();
        controller.pods.on_change(move |change| this.pod_changed(change));
        let queue = controller.queue.clone();
        work(
            name,
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

impl<K: ReplicaKind> Controller<K> {
    fn set_changed(&self, change: &Change<K>) {
        let key = key_of(change.object().as_ref());
        let replaced = match (&change.old, &change.new) {
            (Some(old), Some(new)) => old.uid() != new.uid(),
            _ => false,
        };
        if change.new.is_none() || replaced {
            self.expectations.forget(&key);
        }
        self.queue.add(key);
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        let owner = |pod: Option<&Pod>| pod.and_then(|pod| self.owner(pod));
        let (old_owner, new_owner) = (owner(old), owner(new));
        match (old, new) {
            (None, Some(pod)) if !pod.is_deleting() => match &new_owner {
                Some(key) => {
                    self.expectations.creation_observed(key);
                    self.queue.add(key.clone());
                }
                None => self.enqueue_selecting(pod),
            },
            (Some(pod), None) => {
                if let Some(key) = &old_owner {
                    self.expectations.deletion_observed(key, pod.uid());
                    self.queue.add(key.clone());
                }
            }
            (_, Some(pod)) => {
                // A mark for deletion already means that this pod is none of ours any more.
                if pod.is_deleting()
                    && let Some(key) = &new_owner
                {
                    self.expectations.deletion_observed(key, pod.uid());
                }
                if old_owner != new_owner
                    && let Some(key) = old_owner
                {
                    self.queue.add(key);
                }
                match new_owner {
                    Some(key) => self.queue.add(key),
                    None => {
                        let labels_changed = old.is_none_or(|old| old.metadata.labels != pod.metadata.labels);
                        let was_owned = old.is_some_and(|old| controller_of(&old.metadata).is_some());
                        if labels_changed || was_owned {
                            self.enqueue_selecting(pod);
                        }
                    }
                }
            }
            (None, None) => {}
        }
    }

    /// The set that controls a pod, when it is of this kind and still the same one.
    fn owner(&self, pod: &Pod) -> Option<Key> {
        let reference = controller_of(&pod.metadata)?;
        if reference.kind != K::kind(&()) {
            return None;
        }
        let set = self.sets.get(pod.namespace(), &reference.name)?;
        (set.uid() == reference.uid).then(|| key_of(set.as_ref()))
    }

    /// A pod without a controller may be adopted by any set that selects it.
    fn enqueue_selecting(&self, pod: &Pod) {
        if controller_of(&pod.metadata).is_some() {
            return;
        }
        let selector = |set: &K| Selector::new(&set.view().0.selector).ok();
        adopters(&self.sets, pod, selector).for_each(|key| self.queue.add(key));
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(set) = self.sets.get(&key.0, &key.1) else {
            self.expectations.forget(key);
            return Ok(Requeue::No);
        };
        let (spec, old_status) = set.view();
        let selector = match Selector::new(&spec.selector) {
            Ok(selector) if !selector.is_empty() => selector,
            // Retrying cannot mend it; an edit of the object comes back here by itself.
            _ => {
                tracing::warn!(kind = %K::kind(&()), namespace = key.0, name = key.1, "selector cannot be used");
                return Ok(Requeue::No);
            }
        };
        // Asked before the pods are read: what is seen after this is at least as new.
        let needs_sync = self.expectations.satisfied(key);
        let mut known = controlled(&self.pods, set.uid());
        let terminating = known.iter().filter(|pod| pods::is_terminating(pod)).count();
        known.extend(orphans(&self.pods, set.namespace()));
        known.retain(|pod| pods::is_active(pod));
        let client = &self.control.client;
        let sets: Api<K> = Api::namespaced(client.clone(), set.namespace());
        let pods_api = self.control.pods(set.namespace());
        let active = claim(set.as_ref(), &sets, &pods_api, &selector, known, None).await?;
        let outcome = if needs_sync && !set.is_deleting() {
            self.manage(key, &set, &active).await
        } else {
            Ok(())
        };
        let now = Timestamp::now();
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        let status = plan::status(
            &old_status,
            &Observed {
                spec: &spec,
                generation: set.generation(),
                active: &active,
                terminating,
                failure: outcome
                    .as_ref()
                    .err()
                    .map(|error| (error.to_string(), active.len() < wanted)),
                now,
            },
        );
        // The view of the written status, as kinds do not have all the fields.
        let updated = set.with_status(status);
        if !plan::is_same(&updated.view().1, &old_status) {
            sets.replace_status(set.name(), &PostParams::default(), &updated)
                .await?;
        }
        outcome?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let next = pods::next_availability(active.iter().map(Arc::as_ref), min_ready, now);
        Ok(next.map_or(Requeue::No, Requeue::After))
    }

    async fn manage(&self, key: &Key, set: &K, active: &[Arc<Pod>]) -> Result<()> {
        let (spec, _) = set.view();
        match plan::action(spec.replicas.unwrap_or(1), active.len()) {
            Action::Nothing => Ok(()),
            Action::Create(count) => {
                self.create(key, set, &spec.template.unwrap_or_default(), count)
                    .await
            }
            Action::Delete(count) => {
                let related = self.related(set);
                let chosen = ranking::choose(active, &related, count, Timestamp::now());
                self.delete(key, set, &chosen).await
            }
        }
    }

    async fn create(
        &self,
        key: &Key,
        set: &K,
        template: &k8s_openapi::api::core::v1::PodTemplateSpec,
        count: usize,
    ) -> Result<()> {
        let pod = pod_from_template(template, set);
        let pod = &pod;
        self.expectations.expect_creations(key, count);
        let tried = std::sync::atomic::AtomicUsize::new(0);
        let counter = &tried;
        let (_, outcome) = slow_start(count, |_| async move {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            match self.control.create(set, pod).await {
                Ok(_) => Ok(()),
                // Nothing can be done any more, and everything here is about to be deleted.
                Err(Error::Api(error)) if is_namespace_terminating(&error) => {
                    self.expectations.creation_observed(key);
                    Ok(())
                }
                Err(error) => {
                    self.expectations.creation_observed(key);
                    Err(error)
                }
            }
        })
        .await;
        self.expectations.lower_creations(key, count - tried.into_inner());
        outcome
    }

    async fn delete(&self, key: &Key, set: &K, chosen: &[Arc<Pod>]) -> Result<()> {
        self.expectations
            .expect_deletions(key, chosen.iter().map(|pod| pod.uid().to_owned()));
        let outcomes = join_all(chosen.iter().map(|pod| async move {
            let outcome = self.control.delete(set, pod.name()).await;
            if !matches!(outcome, Ok(true)) {
                self.expectations.deletion_observed(key, pod.uid());
            }
            outcome.map(|_| ())
        }))
        .await;
        outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }

    /// The pods of all sets of the same controller: a rollout should thin out crowded nodes.
    fn related(&self, set: &K) -> Vec<Arc<Pod>> {
        let Some(reference) = controller_of(set.meta()) else {
            return controlled(&self.pods, set.uid());
        };
        let siblings = controlled(&self.sets, &reference.uid);
        siblings
            .iter()
            .flat_map(|sibling| controlled(&self.pods, sibling.uid()))
            .collect()
    }
}
