//! StatefulSets and the claims of their pods.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

fn set() -> Value {
    json!({"metadata": {"name": "db"}, "spec": {
        "replicas": 2, "serviceName": "db", "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": "db"}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Delete"},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }}],
    }})
}

/// Waits until a claim is controlled by an object of that kind alone; none is nobody.
async fn is_owned_by(cluster: &Cluster, claim: &str, kind: Option<&str>) {
    let what = format!("is owned by {kind:?}");
    cluster
        .until(&format!("{CLAIMS}/{claim}"), &what, |claim| {
            claim.is_some_and(|claim| {
                let owners = claim["metadata"]["ownerReferences"].as_array();
                let owners: Vec<&Value> = owners.into_iter().flatten().collect();
                match (kind, &owners[..]) {
                    (None, []) => true,
                    (Some(kind), [owner]) => owner["kind"] == kind && owner["controller"] == true,
                    _ => false,
                }
            })
        })
        .await;
}

/// `whenScaled` was kept and never acted on; `whenDeleted` only counted for claims made after it was set.
#[tokio::test]
async fn claims_go_when_the_retention_policy_says_so() {
    let controllers = "statefulset-controller,serviceaccount-controller,garbage-collector-controller,persistentvolumeclaim-protection-controller";
    let cluster = Cluster::start(controllers).await;
    cluster
        .until(ACCOUNT, "is there", |account| account.is_some())
        .await;
    let set_path = format!("{SETS}/db");
    cluster.create(SETS, &set()).await;
    is_owned_by(&cluster, "data-db-0", None).await;
    is_owned_by(&cluster, "data-db-1", None).await;
    let is_there = |object: Option<&Value>| object.is_some();
    cluster.until(&format!("{PODS}/db-1"), "is made", is_there).await;

    // Scaled down: the claim goes with its pod, the other stays.
    cluster.patch(&set_path, &json!({"spec": {"replicas": 1}})).await;
    cluster.until_gone(&format!("{PODS}/db-1")).await;
    cluster.until_gone(&format!("{CLAIMS}/data-db-1")).await;
    is_owned_by(&cluster, "data-db-0", None).await;

    // A policy that is set later counts for the claims that there are, and for new ones.
    let policy = json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}, "replicas": 2});
    cluster.patch(&set_path, &json!({"spec": policy})).await;
    is_owned_by(&cluster, "data-db-0", Some("StatefulSet")).await;
    is_owned_by(&cluster, "data-db-1", Some("StatefulSet")).await;
    cluster.delete(&set_path).await;
    for ordinal in [0, 1] {
        cluster.until_gone(&format!("{CLAIMS}/data-db-{ordinal}")).await;
    }
}
