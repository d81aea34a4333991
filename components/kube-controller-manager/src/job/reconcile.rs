//! Reads one job and its pods; makes and deletes pods; writes the status; lets counted pods go.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::events::{Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _, join_all};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::outcome::{self, End, condition, has_condition};
use super::pod::{self, FINALIZER, is_tracked};
use super::{indexes, track};
use crate::error::{Error, Result, ignore_not_found, is_namespace_terminating};
use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;
use crate::workload::claim::claim;
use crate::workload::index::{by_controller, controlled, orphans};
use crate::workload::pod_control::slow_start;
use crate::workload::{Expectations, PodControl, pods, ranking};

const ACCOUNT: &str = "job-controller";
/// At most so many pods are made in one go.
const BURST: usize = 500;

struct Controller {
    jobs: Informer<Job>,
    pods: Informer<Pod>,
    control: PodControl,
    expectations: Expectations,
    queue: Queue<Key>,
    /// Pods that no job will count any more.
    abandoned: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        jobs: context.informer(),
        pods: by_controller(&context),
        control: PodControl {
            client: context.client(ACCOUNT),
            recorder: context.recorder(ACCOUNT),
        },
        expectations: Expectations::default(),
        queue: Queue::new(),
        abandoned: Queue::new(),
    });
    async move {
        if !crate::synced!(controller.jobs, controller.pods) {
            return;
        }
        let this = controller.clone();
        controller.jobs.on_change(move |change| this.job_changed(change));
        let this = controller.clone();
        controller.pods.on_change(move |change| this.pod_changed(change));
        let (queue, workers) = (controller.queue.clone(), context.flags.concurrent_job_syncs);
        let working = work(
            "job",
            &context,
            queue,
            workers,
            controller.clone(),
            |controller, key| async move { controller.reconcile(&key).await },
        );
        let queue = controller.abandoned.clone();
        let releasing = work(
            "job-orphan-pods",
            &context,
            queue,
            1,
            controller.clone(),
            |controller, key| async move { controller.release_abandoned(&key).await },
        );
        futures::join!(working, releasing);
    }
    .boxed()
}

fn is_finished(job: &Job) -> bool {
    job.status
        .as_ref()
        .is_some_and(|status| has_condition(status, "Complete") || has_condition(status, "Failed"))
}

impl Controller {
    fn job_changed(&self, change: &Change<Job>) {
        let job = change.object();
        if change.new.is_none() || is_finished(job) {
            for pod in controlled(&self.pods, job.uid())
                .iter()
                .filter(|pod| is_tracked(pod))
            {
                self.abandoned.add(key_of(pod.as_ref()));
            }
        }
        self.queue.add(key_of(job.as_ref()));
    }

    fn owner(&self, pod: &Pod) -> Option<Arc<Job>> {
        let reference = controller_of(&pod.metadata).filter(|reference| reference.kind == "Job")?;
        self.jobs
            .get(pod.namespace(), &reference.name)
            .filter(|job| job.uid() == reference.uid)
    }

    fn pod_changed(&self, change: &Change<Pod>) {
        let old = change.old.as_deref().and_then(|pod| self.owner(pod));
        let new = change.new.as_deref().and_then(|pod| self.owner(pod));
        if let Some(job) = &old {
            let key = key_of(job.as_ref());
            if change.new.is_none() {
                self.expectations.deletion_observed(&key, change.object().uid());
            }
            self.queue.add(key);
        }
        let Some(pod) = &change.new else { return };
        if let Some(job) = &new {
            let key = key_of(job.as_ref());
            if change.old.is_none() {
                self.expectations.creation_observed(&key);
            }
            if pod.is_deleting() {
                self.expectations.deletion_observed(&key, pod.uid());
            }
            self.queue.add(key);
        }
        if is_tracked(pod) && new.as_ref().is_none_or(|job| is_finished(job)) {
            self.abandoned.add(key_of(pod.as_ref()));
        }
    }

    async fn release_abandoned(&self, key: &Key) -> Result<Requeue> {
        if let Some(pod) = self.pods.get(&key.0, &key.1).filter(|pod| is_tracked(pod))
            && self.owner(&pod).is_none_or(|job| is_finished(&job))
        {
            self.untrack(&pod).await?;
        }
        Ok(Requeue::No)
    }

    async fn untrack(&self, pod: &Pod) -> Result<()> {
        let body =
            json!({"metadata": {"uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        let outcome = self
            .control
            .pods(pod.namespace())
            .patch(pod.name(), &PatchParams::default(), &Patch::Strategic(&body))
            .await;
        ignore_not_found(outcome)
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(job) = self.jobs.get(&key.0, &key.1) else {
            self.expectations.forget(key);
            return Ok(Requeue::No);
        };
        let elsewhere = job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref());
        let Some(spec) = job
            .spec
            .as_ref()
            .filter(|_| elsewhere.is_none_or(|manager| manager == "kubernetes.io/job-controller"))
        else {
            return Ok(Requeue::No);
        };
        if is_finished(&job) {
            return Ok(Requeue::No);
        }
        let selector = match spec.selector.as_ref().map(Selector::new) {
            Some(Ok(selector)) if !selector.is_empty() => selector,
            _ => {
                tracing::warn!(
                    namespace = key.0,
                    name = key.1,
                    "the job's selector cannot be used"
                );
                return Ok(Requeue::No);
            }
        };
        // A job that is being deleted makes and stops no pods any more, but still counts and lets go those that end.
        let satisfied = self.expectations.satisfied(key) && !job.is_deleting();
        let jobs: Api<Job> = Api::namespaced(self.control.client.clone(), &key.0);
        let mut known = controlled(&self.pods, job.uid());
        known.extend(orphans(&self.pods, &key.0));
        let all = claim(
            job.as_ref(),
            &jobs,
            &self.control.pods(&key.0),
            &selector,
            known,
            Some(FINALIZER),
        )
        .await?;
        let mut pass = Pass {
            controller: self,
            key,
            job: &job,
            spec,
            all: &all,
            status: job.status.clone().unwrap_or_default(),
            now: Timestamp::now(),
            requeue: None,
        };
        pass.run(&jobs, satisfied).await
    }
}

struct Pass<'a> {
    controller: &'a Controller,
    key: &'a Key,
    job: &'a Job,
    spec: &'a JobSpec,
    all: &'a [Arc<Pod>],
    status: JobStatus,
    now: Timestamp,
    requeue: Option<Duration>,
}

impl Pass<'_> {
    async fn run(&mut self, jobs: &Api<Job>, satisfied: bool) -> Result<Requeue> {
        let suspended = self.spec.suspend.unwrap_or(false);
        if self.status.start_time.is_none() && !suspended {
            self.status.start_time = Some(Time(self.now));
        }
        track::settle(&mut self.status, self.spec, self.all);
        let mut release = track::write_down(&mut self.status, self.spec, self.all, false);
        let failed = outcome::failed_indexes(self.spec, &self.status, self.all);
        if self.spec.backoff_limit_per_index.is_some() {
            self.status.failed_indexes = Some(indexes::format(&failed));
        }
        let end = outcome::decided(&self.status)
            .or_else(|| outcome::decide(self.spec, &self.status, self.all, &failed, self.now));
        let mut outcome = Ok(());
        let mut deleted = 0;
        if let Some(end) = &end {
            self.announce_end(end);
            let active: Vec<Arc<Pod>> = self
                .all
                .iter()
                .filter(|pod| pods::is_active(pod))
                .cloned()
                .collect();
            deleted = active.len();
            if satisfied {
                outcome = self.delete(&active).await;
            }
            release = track::write_down(&mut self.status, self.spec, self.all, true);
        } else if suspended {
            let active: Vec<Arc<Pod>> = self
                .all
                .iter()
                .filter(|pod| pods::is_active(pod))
                .cloned()
                .collect();
            deleted = active.len();
            if satisfied {
                outcome = self.withdraw(&active).await;
            }
            self.note_suspension(true);
        } else {
            self.note_suspension(false);
            if satisfied {
                outcome = self.scale(&failed).await;
            }
        }
        self.count(deleted);
        let finished = end.as_ref().is_some_and(|end| self.finish(end));
        self.write(jobs).await?;
        if finished && let Some(end) = &end {
            self.tell_end(end);
        }
        for pod in release {
            self.controller.untrack(&pod).await?;
        }
        outcome?;
        if let Some(left) = outcome::time_left(self.spec, &self.status, self.now) {
            self.requeue = Some(self.requeue.map_or(left, |other| other.min(left)));
        }
        Ok(match self.requeue {
            Some(after) if !finished && !after.is_zero() => Requeue::After(after),
            _ => Requeue::No,
        })
    }

    fn set_condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let conditions = self.status.conditions.get_or_insert_default();
        conditions.retain(|condition| condition.type_ != kind);
        conditions.push(condition(kind, status, reason, message, self.now));
    }

    /// The end is written down before it is carried out, so that it is not decided differently later.
    fn announce_end(&mut self, end: &End) {
        let kind = if end.success {
            "SuccessCriteriaMet"
        } else {
            "FailureTarget"
        };
        if !has_condition(&self.status, kind) {
            self.set_condition(kind, "True", end.reason, &end.message);
        }
    }

    /// Adds the final condition once every pod is counted and gone. True when it was added.
    fn finish(&mut self, end: &End) -> bool {
        let uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        let pending = uncounted.succeeded.is_some() || uncounted.failed.is_some();
        let running = self.all.iter().any(|pod| !pods::is_terminal(pod));
        if pending || running || self.all.iter().any(|pod| is_tracked(pod)) {
            return false;
        }
        if end.success {
            self.status.completion_time = Some(Time(self.now));
            self.set_condition("Complete", "True", end.reason, &end.message);
        } else {
            self.set_condition("Failed", "True", end.reason, &end.message);
        }
        true
    }

    fn tell_end(&self, end: &End) {
        let recorder = &self.controller.control.recorder;
        if end.success {
            recorder.event(reference(self.job), Type::Normal, "Completed", "Job completed");
        } else {
            recorder.event(
                reference(self.job),
                Type::Warning,
                end.reason,
                end.message.clone(),
            );
        }
    }

    fn note_suspension(&mut self, suspended: bool) {
        let was = has_condition(&self.status, "Suspended");
        if was == suspended {
            return;
        }
        let recorder = &self.controller.control.recorder;
        if suspended {
            recorder.event(reference(self.job), Type::Normal, "Suspended", "Job suspended");
            self.set_condition("Suspended", "True", "JobSuspended", "Job suspended");
            self.status.start_time = None;
        } else {
            recorder.event(reference(self.job), Type::Normal, "Resumed", "Job resumed");
            self.set_condition("Suspended", "False", "JobResumed", "Job resumed");
            self.status.start_time = Some(Time(self.now));
        }
    }

    /// Active, ready and terminating; `deleted` active pods are on their way out.
    fn count(&mut self, deleted: usize) {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let active = self.all.iter().filter(|pod| pods::is_active(pod));
        let ready = if deleted > 0 {
            0
        } else {
            active.clone().filter(|pod| pods::is_ready(pod)).count()
        };
        let terminating = self.all.iter().filter(|pod| pods::is_terminating(pod)).count();
        let active = active.count().saturating_sub(deleted);
        self.status.active = Some(number(active)).filter(|count| *count != 0);
        self.status.ready = Some(number(ready));
        self.status.terminating = Some(number(terminating + deleted));
    }

    async fn write(&mut self, jobs: &Api<Job>) -> Result<()> {
        if self.job.status.as_ref() == Some(&self.status) {
            return Ok(());
        }
        let mut updated = self.job.clone();
        updated.status = Some(self.status.clone());
        jobs.replace_status(&self.key.1, &PostParams::default(), &updated)
            .await?;
        Ok(())
    }

    async fn scale(&mut self, failed: &BTreeSet<i32>) -> Result<()> {
        let active: Vec<Arc<Pod>> = self
            .all
            .iter()
            .filter(|pod| pods::is_active(pod))
            .cloned()
            .collect();
        let count = i32::try_from(active.len()).unwrap_or(i32::MAX);
        let mut wanted = outcome::wanted_active(self.spec, &self.status, count);
        if self.spec.pod_replacement_policy.as_deref() == Some("Failed") {
            // Pods on their way out are replaced only when they have ended.
            let leaving = self.all.iter().filter(|pod| pods::is_terminating(pod)).count();
            wanted = (wanted - i32::try_from(leaving).unwrap_or(i32::MAX)).max(count.min(wanted));
        }
        if wanted < count {
            let surplus = usize::try_from(count - wanted).unwrap_or(0);
            return self
                .withdraw(&ranking::choose(&active, &active, surplus, self.now))
                .await;
        }
        if wanted == count {
            return Ok(());
        }
        let wait = outcome::backoff_left(self.spec, self.all, self.now);
        if !wait.is_zero() {
            self.requeue = Some(wait);
            return Ok(());
        }
        let missing = usize::try_from(wanted - count).unwrap_or(0).min(BURST);
        let pods: Vec<Pod> = if track::is_indexed(self.spec) {
            let missing = outcome::missing_indexes(self.spec, &self.status, self.all, failed, missing);
            missing
                .into_iter()
                .map(|index| pod::make(self.job, Some(index)))
                .collect()
        } else {
            (0..missing).map(|_| pod::make(self.job, None)).collect()
        };
        self.create(&pods).await
    }

    async fn create(&self, pods: &[Pod]) -> Result<()> {
        let (expectations, tried) = (&self.controller.expectations, AtomicUsize::new(0));
        let counter = &tried;
        expectations.expect_creations(self.key, pods.len());
        let (_, outcome) = slow_start(pods.len(), |index| async move {
            counter.fetch_add(1, Ordering::Relaxed);
            match self.controller.control.create(self.job, &pods[index]).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    expectations.creation_observed(self.key);
                    match error {
                        Error::Api(error) if is_namespace_terminating(&error) => Ok(()),
                        error => Err(error),
                    }
                }
            }
        })
        .await;
        expectations.lower_creations(self.key, pods.len() - tried.into_inner());
        outcome
    }

    /// Deletes pods that are not to be counted.
    async fn withdraw(&self, pods: &[Arc<Pod>]) -> Result<()> {
        for pod in pods.iter().filter(|pod| is_tracked(pod)) {
            self.controller.untrack(pod).await?;
        }
        self.delete(pods).await
    }

    async fn delete(&self, pods: &[Arc<Pod>]) -> Result<()> {
        let expectations = &self.controller.expectations;
        expectations.expect_deletions(self.key, pods.iter().map(|pod| pod.uid().to_owned()));
        let outcomes = join_all(pods.iter().map(|pod| async move {
            let outcome = self.controller.control.delete(self.job, pod.name()).await;
            if !matches!(outcome, Ok(true)) {
                expectations.deletion_observed(self.key, pod.uid());
            }
            outcome.map(|_| ())
        }))
        .await;
        Error::collect(outcomes)
    }
}
