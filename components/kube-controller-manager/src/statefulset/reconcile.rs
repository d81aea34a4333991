//! Reads one StatefulSet and its pods, does the next step, writes revisions and status.

use std::sync::Arc;

use client::events::{Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::plan::{self, Action, View};
use super::pod::{self, ordinal};
use crate::error::{Error, Result, is_already_exists, is_namespace_terminating, is_not_found};
use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;
use crate::workload::claim::{adopters, claim};
use crate::workload::history::{self, Writer};
use crate::workload::index::{by_controller, controlled, orphans};
use crate::workload::{PodControl, pods};

const ACCOUNT: &str = "statefulset-controller";
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

struct Controller {
    sets: Informer<StatefulSet>,
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    revisions: Informer<ControllerRevision>,
    control: PodControl,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        sets: context.informer(),
        pods: by_controller(&context),
        claims: context.informer(),
        revisions: by_controller(&context),
        control: PodControl {
            client: context.client(ACCOUNT),
            recorder: context.recorder(ACCOUNT),
        },
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(
            controller.sets,
            controller.pods,
            controller.claims,
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
            .claims
            .on_change(move |change| this.claim_changed(change));
        let (queue, workers) = (
            controller.queue.clone(),
            context.flags.concurrent_statefulset_syncs,
        );
        work(
            "statefulset",
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
    fn pod_changed(&self, change: &Change<Pod>) {
        for pod in change.old.iter().chain(&change.new) {
            match controller_of(&pod.metadata) {
                Some(reference) if reference.kind == "StatefulSet" => {
                    self.queue
                        .add((pod.namespace().to_owned(), reference.name.clone()));
                }
                Some(_) => {}
                None => {
                    let selector = |set: &StatefulSet| Selector::new(&set.spec.as_ref()?.selector).ok();
                    adopters(&self.sets, pod.as_ref(), selector).for_each(|key| self.queue.add(key));
                }
            }
        }
    }

    /// A pod may wait for the claim of an earlier one of its name to go.
    fn claim_changed(&self, change: &Change<PersistentVolumeClaim>) {
        let (Some(claim), None) = (&change.old, &change.new) else {
            return;
        };
        let references = claim.metadata.owner_references.iter().flatten();
        for reference in references.filter(|reference| reference.kind == "Pod") {
            if let Some((set, _)) = reference.name.rsplit_once('-') {
                self.queue.add((claim.namespace().to_owned(), set.to_owned()));
            }
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(set) = self.sets.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let Some(spec) = set.spec.as_ref() else {
            return Ok(Requeue::No);
        };
        let selector = match Selector::new(&spec.selector) {
            Ok(selector) if !selector.is_empty() => selector,
            _ => {
                tracing::warn!(
                    namespace = key.0,
                    name = key.1,
                    "the stateful set's selector cannot be used"
                );
                return Ok(Requeue::No);
            }
        };
        let sets: Api<StatefulSet> = Api::namespaced(self.control.client.clone(), &key.0);
        let mut known = controlled(&self.pods, set.uid());
        // Only a pod with one of the set's names can be adopted.
        known.extend(
            orphans(&self.pods, &key.0)
                .into_iter()
                .filter(|pod| ordinal(&set, pod).is_some()),
        );
        let mut all = claim(
            set.as_ref(),
            &sets,
            &self.control.pods(&key.0),
            &selector,
            known,
            None,
        )
        .await?;
        all.sort_by_key(|pod| ordinal(&set, pod));
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
        let written = set.status.clone().unwrap_or_default();
        let mut collisions = written.collision_count.unwrap_or(0);
        let update = writer.current(&revisions, &mut collisions).await?;
        let current = revisions
            .iter()
            .find(|revision| Some(revision.name()) == written.current_revision.as_deref())
            .map_or_else(|| update.clone(), |revision| revision.as_ref().clone());
        let now = Timestamp::now();
        let view = View {
            set: &set,
            spec,
            pods: &all,
            claim: &|name| self.claims.get(&key.0, name),
            current: current.name(),
            update: update.name(),
            collisions,
            now,
        };
        let mut outcome = Ok(());
        if !set.is_deleting() {
            for action in plan::step(&view) {
                outcome = self.act(&view, &current, &update, action).await;
                if outcome.is_err() {
                    break;
                }
            }
        }
        let mut status = plan::status(&view);
        plan::complete_rollout(&view, &mut status);
        if set.status.as_ref() != Some(&status) {
            let mut updated = set.as_ref().clone();
            updated.status = Some(status);
            sets.replace_status(&key.1, &PostParams::default(), &updated)
                .await?;
        }
        outcome?;
        let live: Vec<&str> = all
            .iter()
            .map(|pod| pod::revision(pod))
            .chain([current.name(), update.name()])
            .collect();
        writer
            .truncate(&revisions, &live, spec.revision_history_limit)
            .await?;
        let next = pods::next_availability(
            all.iter().map(Arc::as_ref),
            spec.min_ready_seconds.unwrap_or(0),
            now,
        );
        Ok(next.map_or(Requeue::No, Requeue::After))
    }

    async fn act(
        &self,
        view: &View<'_>,
        current: &ControllerRevision,
        update: &ControllerRevision,
        action: Action,
    ) -> Result<()> {
        let (set, spec) = (view.set, view.spec);
        match action {
            Action::Create(ordinal, revision) => {
                let older = Some(current).filter(|_| revision != update.name());
                let template = older
                    .and_then(history::template_of)
                    .unwrap_or_else(|| spec.template.clone());
                let pod = pod::pod(set, spec, &template, &revision, ordinal);
                self.create_claims(set, spec, ordinal, pod.name()).await?;
                let Some(made) = self.create_pod(set, &pod).await? else {
                    return Ok(());
                };
                // Claims that an earlier pod left behind.
                self.own(set, view.misowned(&made, ordinal)).await
            }
            Action::CreateClaims(ordinal) => {
                let pod = format!("{}-{ordinal}", set.name());
                self.create_claims(set, spec, ordinal, &pod).await
            }
            Action::Own(pod, claims) => {
                let outcome = self.own(set, claims).await;
                self.tell(set, &pod, "Update", outcome)
            }
            Action::Delete(pod) => self.delete_pod(set, &pod).await,
            Action::Correct(pod) => {
                let outcome = self
                    .control
                    .pods(pod.namespace())
                    .replace(pod.name(), &PostParams::default(), &pod)
                    .await;
                self.tell(set, &pod, "Update", outcome.map(|_| ()).map_err(Error::from))
            }
        }
    }

    async fn own(&self, set: &StatefulSet, claims: Vec<PersistentVolumeClaim>) -> Result<()> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.control.client.clone(), set.namespace());
        for claim in claims {
            api.replace(claim.name(), &PostParams::default(), &claim).await?;
        }
        Ok(())
    }

    async fn create_claims(
        &self,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        ordinal: i32,
        pod: &str,
    ) -> Result<()> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.control.client.clone(), set.namespace());
        for claim in pod::claims(set, spec, ordinal) {
            if let Some(there) = self.claims.get(set.namespace(), claim.name()) {
                if there.is_deleting() {
                    let reason = "it is being deleted; its pod is made when it has gone";
                    return Err(Error::invalid("PersistentVolumeClaim", there.name(), reason));
                }
                continue;
            }
            let name = claim.name().to_owned();
            let message = |end: &str| {
                format!(
                    "Create Claim {name} Pod {pod} in StatefulSet {} {end}",
                    set.name()
                )
            };
            match api.create(&PostParams::default(), &claim).await {
                Ok(_) => self.control.recorder.event(
                    reference(set),
                    Type::Normal,
                    "SuccessfulCreate",
                    message("success"),
                ),
                Err(error) if is_already_exists(&error) => {}
                Err(error) => {
                    let error = Error::from(error);
                    let message = message(&format!("failed error: {error}"));
                    self.control
                        .recorder
                        .event(reference(set), Type::Warning, "FailedCreate", message);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Nothing when the pod was there already.
    async fn create_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<Option<Pod>> {
        match self
            .control
            .pods(set.namespace())
            .create(&PostParams::default(), pod)
            .await
        {
            // The copy we decided on was old.
            Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) => Ok(None),
            outcome => self
                .tell(set, pod, "Create", outcome.map_err(Error::from))
                .map(Some),
        }
    }

    async fn delete_pod(&self, set: &StatefulSet, pod: &Pod) -> Result<()> {
        let parameters = DeleteParams::default().preconditions(Preconditions {
            uid: Some(pod.uid().to_owned()),
            resource_version: None,
        });
        match self
            .control
            .pods(set.namespace())
            .delete(pod.name(), &parameters)
            .await
        {
            Err(error) if is_not_found(&error) => Ok(()),
            outcome => self.tell(set, pod, "Delete", outcome.map(|_| ()).map_err(Error::from)),
        }
    }

    /// Says in an event how something went.
    fn tell<T>(&self, set: &StatefulSet, pod: &Pod, verb: &str, outcome: Result<T>) -> Result<T> {
        let about = |end: &str| format!("{verb} Pod {} in StatefulSet {} {end}", pod.name(), set.name());
        match outcome {
            Ok(done) => {
                self.control.recorder.event(
                    reference(set),
                    Type::Normal,
                    &format!("Successful{verb}"),
                    about("successful"),
                );
                Ok(done)
            }
            Err(error) => {
                let message = about(&format!("failed error: {error}"));
                self.control
                    .recorder
                    .event(reference(set), Type::Warning, &format!("Failed{verb}"), message);
                Err(error)
            }
        }
    }
}
