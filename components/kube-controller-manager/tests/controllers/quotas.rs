//! What a quota says is used.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const QUOTA: &str = "/api/v1/namespaces/default/resourcequotas/q";

fn used(quota: Option<&Value>, name: &str) -> Option<String> {
    quota.and_then(|quota| quota["status"]["used"][name].as_str().map(str::to_owned))
}

/// Objects of kinds without an informer of their own were given back only after minutes.
#[tokio::test]
async fn a_quota_gets_back_what_is_deleted_of_every_kind_that_it_counts() {
    let cluster =
        Cluster::start("resourcequota,garbagecollector,persistentvolumeclaim-protection-controller").await;
    let objects = [
        (
            "secrets",
            "/api/v1/namespaces/default/secrets",
            json!({"metadata": {"name": "x"}}),
        ),
        (
            "configmaps",
            "/api/v1/namespaces/default/configmaps",
            json!({"metadata": {"name": "x"}}),
        ),
        (
            "replicationcontrollers",
            "/api/v1/namespaces/default/replicationcontrollers",
            json!({"metadata": {"name": "x"}, "spec": {"replicas": 0, "selector": {"a": "b"}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]},
            }}}),
        ),
        (
            "persistentvolumeclaims",
            "/api/v1/namespaces/default/persistentvolumeclaims",
            json!({"metadata": {"name": "x"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
            }}),
        ),
        (
            "count/leases.coordination.k8s.io",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            json!({"metadata": {"name": "x"}}),
        ),
    ];
    let hard: serde_json::Map<String, Value> = objects
        .iter()
        .map(|(name, _, _)| ((*name).to_owned(), json!("5")))
        .collect();
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    cluster
        .create("/api/v1/namespaces/default/resourcequotas", &quota)
        .await;
    for (name, path, object) in &objects {
        cluster
            .until(QUOTA, "counts nothing", |quota| {
                used(quota, name).as_deref() == Some("0")
            })
            .await;
        cluster.create(path, object).await;
        cluster
            .until(QUOTA, "counts one", |quota| {
                used(quota, name).as_deref() == Some("1")
            })
            .await;
        cluster.delete(&format!("{path}/x")).await;
        cluster
            .until(QUOTA, "counts nothing again", |quota| {
                used(quota, name).as_deref() == Some("0")
            })
            .await;
    }
}
