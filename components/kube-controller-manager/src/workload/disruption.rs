//! Telling a pod's owner that it is deleted for a reason outside of it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::pods;
use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;

/// Writes the condition DisruptionTarget; with `fail`, a pod that has not ended counts as failed.
pub async fn announce(api: &Api<Pod>, pod: &Pod, reason: &str, message: &str, fail: bool) -> Result<()> {
    let fail = fail && !pods::is_terminal(pod);
    if !fail && pods::condition(pod, "DisruptionTarget").is_some_and(|condition| condition.status == "True") {
        return Ok(());
    }
    let mut status = json!({"conditions": [{
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }]});
    if fail {
        status["phase"] = json!("Failed");
    }
    let body = json!({"metadata": {"uid": pod.uid()}, "status": status});
    let outcome = api
        .patch_status(pod.name(), &PatchParams::default(), &Patch::Strategic(&body))
        .await;
    ignore_not_found(outcome)
}
