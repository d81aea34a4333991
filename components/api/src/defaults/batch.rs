use super::{Defaulting, labels_from_template, pod};
use crate::value::{Object, absent, items_mut, make, map_mut, zero};

/// Defaults of the batch group.
pub(super) fn of(kind: &str) -> Option<Defaulting> {
    Some(match kind {
        "Job" => |object, _| job(object),
        "CronJob" => |object, _| cron_job(object),
        _ => return None,
    })
}

fn job(object: &mut Object) {
    let spec = make(object, "spec");
    pod::template(spec);
    let unset = |spec: &Object, key: &str| spec.get(key).is_none_or(serde_json::Value::is_null);
    if unset(spec, "completions") && unset(spec, "parallelism") {
        absent(spec, "completions", 1);
    }
    absent(spec, "parallelism", 1);
    let backoff = if unset(spec, "backoffLimitPerIndex") {
        6
    } else {
        i32::MAX
    };
    absent(spec, "backoffLimit", backoff);
    absent(spec, "completionMode", "NonIndexed");
    absent(spec, "suspend", false);
    absent(spec, "manualSelector", false);
    let policy = if unset(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    absent(spec, "podReplacementPolicy", policy);
    failure_policy(spec);
    // A new job takes its labels once those that find its pods are in its template.
    if object
        .get("metadata")
        .is_some_and(|metadata| metadata["uid"].is_string())
    {
        labels_from_template(object);
    }
}

fn failure_policy(spec: &mut Object) {
    if let Some(policy) = map_mut(spec, "podFailurePolicy") {
        for rule in items_mut(policy, "rules") {
            items_mut(rule, "onPodConditions").for_each(|pattern| zero(pattern, "status", "True"));
        }
    }
}

fn cron_job(object: &mut Object) {
    let spec = make(object, "spec");
    zero(spec, "concurrencyPolicy", "Allow");
    absent(spec, "suspend", false);
    absent(spec, "successfulJobsHistoryLimit", 3);
    absent(spec, "failedJobsHistoryLimit", 1);
    if let Some(job) = map_mut(spec, "jobTemplate").and_then(|template| map_mut(template, "spec")) {
        pod::template(job);
        failure_policy(job);
    }
}
