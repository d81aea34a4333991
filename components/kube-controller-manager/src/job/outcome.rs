//! Whether a job has ended, and how many pods it is to have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::indexes;
use super::pod::{index, is_tracked};
use super::policy::{Verdict, judge};
use super::track::{has_failed, is_indexed};
use crate::workload::pods;

const BACKOFF: Duration = Duration::from_secs(10);
const MAX_BACKOFF: Duration = Duration::from_secs(600);

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub success: bool,
    pub reason: &'static str,
    pub message: String,
}

fn failure(reason: &'static str, message: impl Into<String>) -> Option<End> {
    Some(End {
        success: false,
        reason,
        message: message.into(),
    })
}

pub fn has_condition(status: &JobStatus, kind: &str) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == kind && condition.status == "True")
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// An end that was decided in an earlier pass and is being carried out.
pub fn decided(status: &JobStatus) -> Option<End> {
    let conditions = status.conditions.iter().flatten();
    let mut targets = conditions.filter(|condition| condition.status == "True");
    let found = targets
        .find(|condition| ["FailureTarget", "SuccessCriteriaMet"].contains(&condition.type_.as_str()))?;
    let reasons = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "FailedIndexes",
        "MaxFailedIndexesExceeded",
        "SuccessPolicy",
        "CompletionsReached",
    ];
    let reason = reasons
        .into_iter()
        .find(|reason| found.reason.as_deref() == Some(reason))
        .unwrap_or("Decided");
    Some(End {
        success: found.type_ == "SuccessCriteriaMet",
        reason,
        message: found.message.clone().unwrap_or_default(),
    })
}

/// What is counted, with what is written down and not counted yet.
pub fn totals(status: &JobStatus) -> (i32, i32) {
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let length =
        |list: Option<Vec<String>>| i32::try_from(list.map_or(0, |list| list.len())).unwrap_or(i32::MAX);
    (
        status.succeeded.unwrap_or(0) + length(uncounted.succeeded),
        status.failed.unwrap_or(0) + length(uncounted.failed),
    )
}

/// Failed indexes of a job with a limit per index: those whose pods have used it up.
pub fn failed_indexes(spec: &JobSpec, status: &JobStatus, all: &[Arc<Pod>]) -> BTreeSet<i32> {
    let completions = spec.completions.unwrap_or(0);
    let mut failed = indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), completions);
    let Some(limit) = spec.backoff_limit_per_index else {
        return failed;
    };
    for pod in all.iter().filter(|pod| has_failed(spec, pod)) {
        let Some(index) = index(pod).filter(|index| *index < completions) else {
            continue;
        };
        let tries = all
            .iter()
            .filter(|other| has_failed(spec, other) && super::pod::index(other) == Some(index));
        let counted = tries
            .filter(|other| judge(spec, other) != Verdict::Ignore)
            .count();
        if judge(spec, pod) == Verdict::FailIndex || i32::try_from(counted).unwrap_or(i32::MAX) > limit {
            failed.insert(index);
        }
    }
    failed
}

/// Decides whether the job ends now. `status` has this pass's pods written down.
pub fn decide(
    spec: &JobSpec,
    status: &JobStatus,
    all: &[Arc<Pod>],
    failed_indexes: &BTreeSet<i32>,
    now: Timestamp,
) -> Option<End> {
    let (succeeded, failed) = totals(status);
    for pod in all
        .iter()
        .filter(|pod| is_tracked(pod) && pods::phase(pod) == "Failed")
    {
        if let Verdict::FailJob(message) = judge(spec, pod) {
            return failure("PodFailurePolicy", message);
        }
    }
    let restarts = restarts(spec, all);
    let limit = spec.backoff_limit.unwrap_or(6);
    if failed > limit || (restarts > 0 && restarts >= limit) {
        return failure(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
    }
    if time_left(spec, status, now).is_some_and(|left| left.is_zero()) {
        return failure(
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        );
    }
    if spec
        .max_failed_indexes
        .is_some_and(|most| i32::try_from(failed_indexes.len()).unwrap_or(i32::MAX) > most)
    {
        return failure(
            "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes",
        );
    }
    if let Some(end) = success_policy(spec, status) {
        return Some(end);
    }
    let active = all.iter().filter(|pod| pods::is_active(pod)).count();
    let reached = match spec.completions {
        None => succeeded > 0 && active == 0,
        Some(completions) => succeeded >= completions,
    };
    if reached {
        return Some(End {
            success: true,
            reason: "CompletionsReached",
            message: "Reached expected number of succeeded pods".to_owned(),
        });
    }
    let over = succeeded + i32::try_from(failed_indexes.len()).unwrap_or(i32::MAX);
    if is_indexed(spec)
        && !failed_indexes.is_empty()
        && spec.completions.is_some_and(|completions| over >= completions)
    {
        return failure("FailedIndexes", "Job has failed indexes");
    }
    None
}

fn success_policy(spec: &JobSpec, status: &JobStatus) -> Option<End> {
    let done = indexes::parse(
        status.completed_indexes.as_deref().unwrap_or_default(),
        spec.completions.unwrap_or(0),
    );
    for (number, rule) in spec
        .success_policy
        .iter()
        .flat_map(|policy| policy.rules.iter())
        .enumerate()
    {
        let chosen = rule
            .succeeded_indexes
            .as_deref()
            .map(|text| indexes::parse(text, spec.completions.unwrap_or(0)));
        let matching = chosen
            .as_ref()
            .map_or(done.len(), |chosen| chosen.intersection(&done).count());
        let wanted = match (rule.succeeded_count, &chosen) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(chosen)) => chosen.len(),
            (None, None) => continue,
        };
        if matching >= wanted {
            return Some(End {
                success: true,
                reason: "SuccessPolicy",
                message: format!("Matched rules at index {number}"),
            });
        }
    }
    None
}

/// Restarts within pods count where pods restart their containers themselves.
fn restarts(spec: &JobSpec, all: &[Arc<Pod>]) -> i32 {
    let policy = spec
        .template
        .spec
        .as_ref()
        .and_then(|spec| spec.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return 0;
    }
    all.iter()
        .filter(|pod| ["Running", "Pending"].contains(&pods::phase(pod)))
        .filter_map(|pod| pod.status.as_ref())
        .flat_map(|status| {
            status
                .container_statuses
                .iter()
                .flatten()
                .chain(status.init_container_statuses.iter().flatten())
        })
        .map(|container| container.restart_count)
        .sum()
}

/// How long the job may still take.
pub fn time_left(spec: &JobSpec, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    if spec.suspend.unwrap_or(false) {
        return None;
    }
    let allowed = u64::try_from(spec.active_deadline_seconds?).unwrap_or(0);
    let since = now.duration_since(status.start_time.as_ref()?.0);
    let spent = Duration::try_from(since).unwrap_or(Duration::ZERO);
    Some(Duration::from_secs(allowed).saturating_sub(spent))
}

/// How long to wait before replacing pods that failed one after the other.
pub fn backoff_left(spec: &JobSpec, all: &[Arc<Pod>], now: Timestamp) -> Duration {
    let ended = |pod: &Pod| {
        let statuses = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_deref())
            .unwrap_or_default();
        let finished = statuses
            .iter()
            .filter_map(|container| {
                container
                    .state
                    .as_ref()?
                    .terminated
                    .as_ref()?
                    .finished_at
                    .as_ref()
            })
            .map(|time| time.0);
        finished
            .max()
            .or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|time| time.0))
            .unwrap_or(now)
    };
    let last_success = all
        .iter()
        .filter(|pod| pods::phase(pod) == "Succeeded")
        .map(|pod| ended(pod))
        .max();
    let failures: Vec<Timestamp> = all
        .iter()
        .filter(|pod| has_failed(spec, pod) && judge(spec, pod) != Verdict::Ignore)
        .map(|pod| ended(pod))
        .filter(|at| last_success.is_none_or(|success| *at > success))
        .collect();
    let Some(last) = failures.iter().max() else {
        return Duration::ZERO;
    };
    let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(16);
    let wait = BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF);
    let since = Duration::try_from(now.duration_since(*last)).unwrap_or(Duration::ZERO);
    wait.saturating_sub(since)
}

/// How many pods are to be active.
pub fn wanted_active(spec: &JobSpec, status: &JobStatus, active: i32) -> i32 {
    let parallelism = spec.parallelism.unwrap_or(1);
    let (succeeded, _) = totals(status);
    match spec.completions {
        // A work queue: once one pod has succeeded no further ones are started.
        None if succeeded > 0 => active.min(parallelism),
        None => parallelism,
        Some(completions) => (completions - succeeded).min(parallelism).max(0),
    }
}

/// The lowest indexes that have neither succeeded nor failed for good nor a pod.
pub fn missing_indexes(
    spec: &JobSpec,
    status: &JobStatus,
    all: &[Arc<Pod>],
    failed: &BTreeSet<i32>,
    count: usize,
) -> Vec<i32> {
    let completions = spec.completions.unwrap_or(0);
    let done = indexes::parse(
        status.completed_indexes.as_deref().unwrap_or_default(),
        completions,
    );
    let waits = spec.pod_replacement_policy.as_deref() == Some("Failed");
    let busy: BTreeSet<i32> = all
        .iter()
        .filter(|pod| pods::is_active(pod) || (waits && pods::is_terminating(pod)))
        .filter_map(|pod| index(pod))
        .collect();
    (0..completions)
        .filter(|index| !done.contains(index) && !failed.contains(index) && !busy.contains(index))
        .take(count)
        .collect()
}
