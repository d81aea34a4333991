//! The condition of a pod that is evicted, which controllers of jobs look at.

use crate::stores::{self, Failure};
use crate::verbs::delete;
use crate::verbs::options::DeleteOptions;
use crate::verbs::target::Target;
use crate::verbs::write;
use apimachinery::{ApiError, meta};
use serde_json::{Value, json};
use storage::{Change, ObjectRef, Preconditions, Updated};

const REASON: &str = "EvictionByEvictionAPI";

/// Says in the pod's status that it is evicted; returns the version that says so.
pub async fn mark(target: &Target, delete: &DeleteOptions) -> Result<String, ApiError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let only = DeleteOptions {
        uid: given(&delete.uid),
        resource_version: given(&delete.resource_version),
        ..DeleteOptions::default()
    };
    let only = &only;
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Err(Failure::Api(write::missing(target)));
        };
        let mut pod = stores::parse(&current)?;
        delete::check(target, only, &pod)?;
        if !set_evicted(&mut pod["status"]["conditions"]) {
            return Ok(Change::Nothing);
        }
        meta::remove(&mut pod, "resourceVersion");
        Ok::<Change, Failure>(Change::Write {
            json: pod.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    let updated = target
        .store
        .update::<_, _, Failure>(&target.namespace, &target.name, &Preconditions::default(), decide)
        .await
        .map_err(|failure| failure.into_api_error(&target.resource(), &target.name))?;
    match updated {
        Updated::Written(pod) | Updated::Unchanged(Some(pod)) => Ok(pod.revision().to_string()),
        _ => Err(write::missing(target)),
    }
}

/// False when they say so already.
fn set_evicted(conditions: &mut Value) -> bool {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Value::Array(list) = conditions else {
        return false;
    };
    let mut condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": REASON,
        "message": "Eviction API: evicting",
        "lastProbeTime": null,
        "lastTransitionTime": apimachinery::time::format_time(jiff::Timestamp::now()),
    });
    let known = list
        .iter_mut()
        .find(|condition| condition["type"] == "DisruptionTarget");
    let Some(known) = known else {
        list.push(condition);
        return true;
    };
    if known["status"] == "True" {
        condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
    }
    let changed = *known != condition;
    *known = condition;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_marked_once() {
        let mut conditions = Value::Null;
        assert!(set_evicted(&mut conditions));
        let first = conditions.clone();
        assert!(!set_evicted(&mut conditions));
        assert_eq!(conditions, first);
    }

    #[test]
    fn the_time_is_that_of_a_change_of_the_status() {
        let long_ago = "2020-01-01T00:00:00Z";
        for (status, kept) in [("True", true), ("False", false)] {
            let mut conditions = json!([
                {"type": "Ready", "status": "True"},
                {"type": "DisruptionTarget", "status": status, "reason": "Other", "lastTransitionTime": long_ago},
            ]);
            assert!(set_evicted(&mut conditions));
            assert_eq!(conditions[1]["reason"], REASON);
            assert_eq!(conditions[1]["lastTransitionTime"] == long_ago, kept, "{status}");
            assert_eq!(conditions.as_array().unwrap().len(), 2);
        }
    }
}
