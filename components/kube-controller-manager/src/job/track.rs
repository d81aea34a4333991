//! Counting ended pods exactly once: their uids are written down, then their finalizers taken off, then
//! they are counted. A crash in between loses and doubles nothing.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use super::indexes;
use super::pod::{index, is_tracked};
use super::policy::{Verdict, judge};
use crate::owner::Meta as _;
use crate::workload::pods;

pub fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Ended without success; one that is being deleted counts as well, unless the job waits for it.
pub fn has_failed(spec: &JobSpec, pod: &Pod) -> bool {
    let waits = spec.pod_replacement_policy.as_deref() == Some("Failed");
    pods::phase(pod) == "Failed" || (pod.is_deleting() && pods::phase(pod) != "Succeeded" && !waits)
}

/// Moves what was written down before and has lost its finalizer into the counters.
pub fn settle(status: &mut JobStatus, spec: &JobSpec, all: &[Arc<Pod>]) {
    let held: HashSet<&str> = all
        .iter()
        .filter(|pod| is_tracked(pod))
        .map(|pod| pod.uid())
        .collect();
    let Some(uncounted) = &mut status.uncounted_terminated_pods else {
        return;
    };
    let take = |list: &mut Option<Vec<String>>| -> i32 {
        let before = list.as_ref().map_or(0, Vec::len);
        if let Some(list) = list {
            list.retain(|uid| held.contains(uid.as_str()));
        }
        let taken = before - list.as_ref().map_or(0, Vec::len);
        *list = list.take().filter(|list| !list.is_empty());
        i32::try_from(taken).unwrap_or(i32::MAX)
    };
    let (succeeded, failed) = (take(&mut uncounted.succeeded), take(&mut uncounted.failed));
    if !is_indexed(spec) {
        status.succeeded = Some(status.succeeded.unwrap_or(0) + succeeded).filter(|count| *count != 0);
    }
    status.failed = Some(status.failed.unwrap_or(0) + failed).filter(|count| *count != 0);
}

/// Writes down newly ended pods and says whose finalizers go once that is stored. With `finished`, pods
/// that still run are about to be deleted and count as failed.
pub fn write_down(status: &mut JobStatus, spec: &JobSpec, all: &[Arc<Pod>], finished: bool) -> Vec<Arc<Pod>> {
    let completions = spec.completions.unwrap_or(0);
    let mut done: BTreeSet<i32> = indexes::parse(
        status.completed_indexes.as_deref().unwrap_or_default(),
        completions,
    );
    let uncounted = status.uncounted_terminated_pods.get_or_insert_default();
    let mut release = Vec::new();
    for pod in all.iter().filter(|pod| is_tracked(pod)) {
        let uid = pod.uid().to_owned();
        let known = |list: &Option<Vec<String>>| list.iter().flatten().any(|other| *other == uid);
        if known(&uncounted.succeeded) || known(&uncounted.failed) {
            release.push(pod.clone());
            continue;
        }
        if pods::phase(pod) == "Succeeded" {
            if is_indexed(spec) {
                // The index is what counts; a second pod of it adds nothing.
                done.extend(index(pod).filter(|index| *index < completions));
            } else {
                uncounted.succeeded.get_or_insert_default().push(uid);
            }
            release.push(pod.clone());
        } else if has_failed(spec, pod) || finished {
            if judge(spec, pod) != Verdict::Ignore || pods::phase(pod) != "Failed" {
                uncounted.failed.get_or_insert_default().push(uid);
            }
            release.push(pod.clone());
        }
    }
    if is_indexed(spec) {
        status.completed_indexes = Some(indexes::format(&done)).filter(|text| !text.is_empty());
        status.succeeded = i32::try_from(done.len()).ok().filter(|count| *count != 0);
    }
    release
}
