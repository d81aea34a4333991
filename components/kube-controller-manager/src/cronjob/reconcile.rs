//! Starts jobs when it is time, keeps the list of active ones, removes old ones.

use std::sync::Arc;
use std::time::Duration;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use super::schedule::Schedule;
use crate::error::{Result, ignore_not_found, is_already_exists, is_namespace_terminating};
use crate::owner::{Meta as _, controller_of, controller_reference, is_controlled_by};
use crate::runtime::{Context, work};
use crate::workload::index::{by_controller, controlled};

const ACCOUNT: &str = "cronjob-controller";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// Missed starts beyond this are told as too many.
const MANY: usize = 100;

struct Controller {
    crons: Informer<CronJob>,
    jobs: Informer<Job>,
    client: Client,
    recorder: Recorder,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        crons: context.informer(),
        jobs: by_controller(&context),
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.crons, controller.jobs) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .crons
            .on_change(move |change: &Change<CronJob>| keys.add(key_of(change.object().as_ref())));
        let keys = queue.clone();
        controller.jobs.on_change(move |change: &Change<Job>| {
            let job = change.object();
            if let Some(owner) = controller_of(&job.metadata).filter(|owner| owner.kind == "CronJob") {
                keys.add((job.namespace().to_owned(), owner.name.clone()));
            }
        });
        let workers = context.flags.concurrent_cron_job_syncs;
        work(
            "cronjob",
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

fn is_listed(cron: &CronJob, job: &Job) -> bool {
    let active = cron.status.as_ref().and_then(|status| status.active.as_ref());
    active
        .into_iter()
        .flatten()
        .any(|entry| entry.uid.as_deref() == Some(job.uid()))
}

/// The condition that ended the job.
fn ended(job: &Job) -> Option<&'static str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    ["Complete", "Failed"].into_iter().find(|kind| {
        conditions
            .iter()
            .any(|condition| condition.type_ == *kind && condition.status == "True")
    })
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(cron) = self.crons.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        if cron.is_deleting() {
            return Ok(Requeue::No);
        }
        let jobs = controlled(&self.jobs, cron.uid());
        // A job that is not listed may be one that the cached status does not know of yet.
        let cron = match jobs
            .iter()
            .all(|job| ended(job).is_some() || is_listed(&cron, job))
        {
            true => cron,
            false => match self.newest(&cron).await? {
                Some(newest) => newest,
                None => return Ok(Requeue::No),
            },
        };
        let spec = &cron.spec;
        let mut status = cron.status.clone().unwrap_or_default();
        self.update_active(&cron, &jobs, &mut status).await?;
        self.remove_old(&cron, spec, &jobs).await;
        let outcome = self.start_due(&cron, spec, &jobs, &mut status).await;
        status.active = status.active.filter(|active| !active.is_empty());
        if cron.status.clone().unwrap_or_default() != status {
            let mut updated = cron.as_ref().clone();
            updated.status = Some(status);
            let api: Api<CronJob> = Api::namespaced(self.client.clone(), &key.0);
            api.replace_status(&key.1, &PostParams::default(), &updated)
                .await?;
        }
        outcome
    }

    fn event(&self, cron: &CronJob, kind: Type, reason: &str, message: String) {
        self.recorder.event(reference(cron), kind, reason, message);
    }

    /// As it is stored; None when it is gone, or another one has its name.
    async fn newest(&self, cron: &CronJob) -> Result<Option<Arc<CronJob>>> {
        let api: Api<CronJob> = Api::namespaced(self.client.clone(), cron.namespace());
        let newest = api.get_opt(cron.name()).await?;
        Ok(newest.filter(|newest| newest.uid() == cron.uid()).map(Arc::new))
    }

    async fn update_active(
        &self,
        cron: &CronJob,
        jobs: &[Arc<Job>],
        status: &mut CronJobStatus,
    ) -> Result<()> {
        let active = status.active.get_or_insert_default();
        for job in jobs {
            let listed = active.iter().any(|entry| entry.uid.as_deref() == Some(job.uid()));
            match ended(job) {
                Some(how) if listed => {
                    active.retain(|entry| entry.uid.as_deref() != Some(job.uid()));
                    self.event(
                        cron,
                        Type::Normal,
                        "SawCompletedJob",
                        format!("Saw completed job: {}, condition: {how}", job.name()),
                    );
                }
                None if !listed => {
                    self.event(
                        cron,
                        Type::Warning,
                        "UnexpectedJob",
                        format!(
                            "Saw a job that the controller did not create or forgot: {}",
                            job.name()
                        ),
                    );
                }
                _ => {}
            }
            if ended(job) == Some("Complete") {
                let completed = job
                    .status
                    .as_ref()
                    .and_then(|status| status.completion_time.clone());
                if completed > status.last_successful_time {
                    status.last_successful_time = completed;
                }
            }
        }
        let api: Api<Job> = Api::namespaced(self.client.clone(), cron.namespace());
        let mut kept = Vec::new();
        for entry in std::mem::take(active) {
            let name = entry.name.as_deref().unwrap_or_default();
            let cached = jobs.iter().any(|job| entry.uid.as_deref() == Some(job.uid()));
            // The cache may not have a job that was just started.
            if cached || api.get_metadata_opt(name).await?.is_some() {
                kept.push(entry);
            } else {
                let message = format!("Active job went missing: {name}");
                self.event(cron, Type::Normal, "MissingJob", message);
            }
        }
        *active = kept;
        Ok(())
    }

    async fn remove_old(&self, cron: &CronJob, spec: &CronJobSpec, jobs: &[Arc<Job>]) {
        for (kind, limit) in [
            ("Complete", spec.successful_jobs_history_limit),
            ("Failed", spec.failed_jobs_history_limit),
        ] {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
                continue;
            };
            let mut old: Vec<&Arc<Job>> = jobs
                .iter()
                .filter(|job| ended(job) == Some(kind) && !job.is_deleting())
                .collect();
            old.sort_by_key(|job| {
                (
                    job.status.as_ref().and_then(|status| status.start_time.clone()),
                    job.name().to_owned(),
                )
            });
            for job in old.iter().take(old.len().saturating_sub(limit)) {
                self.delete(cron, job).await;
            }
        }
    }

    async fn delete(&self, cron: &CronJob, job: &Job) {
        let api: Api<Job> = Api::namespaced(self.client.clone(), job.namespace());
        match ignore_not_found(api.delete(job.name(), &DeleteParams::background()).await) {
            Ok(()) => self.event(
                cron,
                Type::Normal,
                "SuccessfulDelete",
                format!("Deleted job {}", job.name()),
            ),
            Err(error) => self.event(
                cron,
                Type::Warning,
                "FailedDelete",
                format!("Deleted job: {error}"),
            ),
        }
    }

    async fn start_due(
        &self,
        cron: &CronJob,
        spec: &CronJobSpec,
        jobs: &[Arc<Job>],
        status: &mut CronJobStatus,
    ) -> Result<Requeue> {
        if spec.suspend.unwrap_or(false) {
            return Ok(Requeue::No);
        }
        let schedule = match Schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let (reason, what) = if error.starts_with("unknown time zone") {
                    ("UnknownTimeZone", "invalid timeZone")
                } else {
                    ("UnparseableSchedule", "unparseable schedule")
                };
                self.event(
                    cron,
                    Type::Warning,
                    reason,
                    format!("{what}: {:?} : {error}", spec.schedule),
                );
                return Ok(Requeue::No);
            }
        };
        let now = Timestamp::now();
        let wake = |schedule: &Schedule| match schedule.next(now) {
            // A little late is on time, a little early would find nothing to do.
            Some(next) => Requeue::After(
                Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO)
                    + Duration::from_millis(100),
            ),
            None => Requeue::No,
        };
        let created = cron
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(now, |time| time.0);
        let mut since = status.last_schedule_time.as_ref().map_or(created, |time| time.0);
        if let Some(deadline) = spec.starting_deadline_seconds {
            since = since.max(now - deadline.seconds());
        }
        let (due, missed) = schedule.most_recent(since, now);
        let Some(due) = due else {
            let again = wake(&schedule);
            if matches!(again, Requeue::No) {
                // Upstream's words for a day that never comes.
                let message = format!(
                    "invalid schedule: {} : time difference between two schedules is less than 1 second",
                    spec.schedule
                );
                self.event(cron, Type::Warning, "InvalidSchedule", message);
            }
            return Ok(again);
        };
        if missed > MANY {
            let message = format!(
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew ({missed} missed)"
            );
            self.event(cron, Type::Warning, "TooManyMissedTimes", message);
        }
        let name = format!("{}-{}", cron.name(), due.as_second() / 60);
        let active = status.active.get_or_insert_default();
        let known = jobs.iter().any(|job| job.name() == name)
            || active.iter().any(|entry| entry.name.as_deref() == Some(&name));
        if known {
            status.last_schedule_time = Some(Time(due));
            return Ok(wake(&schedule));
        }
        match spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                self.event(
                    cron,
                    Type::Normal,
                    "JobAlreadyActive",
                    "Not starting job because prior execution is running and concurrency policy is Forbid"
                        .to_owned(),
                );
                return Ok(wake(&schedule));
            }
            Some("Replace") => {
                let running: Vec<_> = jobs.iter().filter(|job| ended(job).is_none()).cloned().collect();
                active.clear();
                for job in running {
                    self.delete(cron, &job).await;
                }
            }
            _ => {}
        }
        let api: Api<Job> = Api::namespaced(self.client.clone(), cron.namespace());
        let job = make(cron, spec, &name, &schedule.local(due));
        let made = match api.create(&PostParams::default(), &job).await {
            Ok(made) => made,
            Err(error) if is_namespace_terminating(&error) => return Ok(Requeue::No),
            Err(error) if is_already_exists(&error) => {
                // Started before, and the list could not be written; or it is somebody else's.
                let there = api.get(&name).await?;
                if is_controlled_by(&there.metadata, cron.uid()) {
                    status.active.get_or_insert_default().push(reference(&there));
                    status.last_schedule_time = Some(Time(due));
                }
                return Ok(wake(&schedule));
            }
            Err(error) => {
                let error = crate::error::Error::from(error);
                self.event(
                    cron,
                    Type::Warning,
                    "FailedCreate",
                    format!("Error creating job: {error}"),
                );
                return Err(error);
            }
        };
        self.event(
            cron,
            Type::Normal,
            "SuccessfulCreate",
            format!("Created job {}", made.name()),
        );
        status.active.get_or_insert_default().push(reference(&made));
        status.last_schedule_time = Some(Time(due));
        Ok(wake(&schedule))
    }
}

fn make(cron: &CronJob, spec: &CronJobSpec, name: &str, due: &str) -> Job {
    let template = spec.job_template.clone();
    let meta = template.metadata.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED_AT.to_owned(), due.to_owned());
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: cron.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}
