//! Jobs whose pods are played.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";

fn job(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [{
            "action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }]},
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
    }})
}

async fn start() -> Cluster {
    let cluster = Cluster::start("job,serviceaccount,garbagecollector").await;
    cluster
        .until(ACCOUNT, "is there", |account| account.is_some())
        .await;
    cluster
}

/// The names of the pods, once there are `count`.
async fn pods(cluster: &Cluster, count: usize) -> Vec<String> {
    let items = |list: Option<&Value>| {
        list.and_then(|list| list["items"].as_array().cloned())
            .unwrap_or_default()
    };
    let list = cluster
        .until(PODS, "has its pods", |list| items(list).len() == count)
        .await;
    let names = items(list.as_ref()).into_iter();
    names
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn is(cluster: &Cluster, pod: &str, phase: &str) {
    let patch = json!({"status": {"phase": phase}});
    cluster.patch(&format!("{PODS}/{pod}/status"), &patch).await;
}

/// The eviction left no condition, so a job took the pod's end for a failure of its own.
#[tokio::test]
async fn an_evicted_pod_says_so_and_does_not_fail_its_job() {
    let cluster = start().await;
    cluster.create(JOBS, &job("j")).await;
    let first = pods(&cluster, 1).await.remove(0);
    is(&cluster, &first, "Running").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first}});
    cluster
        .create(&format!("{PODS}/{first}/eviction"), &eviction)
        .await;
    let pod = cluster.get(&format!("{PODS}/{first}")).await;
    let pod = pod.expect("the job's finalizer keeps it");
    let conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        conditions.iter().any(|condition| {
            condition["type"] == "DisruptionTarget"
                && condition["status"] == "True"
                && condition["reason"] == "EvictionByEvictionAPI"
        }),
        "{pod}"
    );
    is(&cluster, &first, "Failed").await;
    cluster.until_gone(&format!("{PODS}/{first}")).await;
    // Another one takes its place.
    let second = pods(&cluster, 1).await.remove(0);
    assert_ne!(first, second);
    is(&cluster, &second, "Succeeded").await;
    cluster
        .until(&format!("{JOBS}/j"), "is complete", |job| {
            let conditions = job.and_then(|job| job["status"]["conditions"].as_array());
            conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Complete")
        })
        .await;
}

/// Its pods kept the finalizer by which they are counted, and it waited for them for ever.
#[tokio::test]
async fn a_job_that_is_deleted_in_the_foreground_lets_its_pods_go() {
    let cluster = start().await;
    cluster.create(JOBS, &job("j")).await;
    let pod = pods(&cluster, 1).await.remove(0);
    is(&cluster, &pod, "Running").await;
    cluster
        .delete(&format!("{JOBS}/j?propagationPolicy=Foreground"))
        .await;
    cluster
        .until(&format!("{PODS}/{pod}"), "is told to end", |pod| {
            pod.is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string())
        })
        .await;
    is(&cluster, &pod, "Failed").await;
    cluster.until_gone(&format!("{JOBS}/j")).await;
    assert_eq!(cluster.get(&format!("{PODS}/{pod}")).await, None);
}
