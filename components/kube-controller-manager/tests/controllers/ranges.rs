//! Ranges of service addresses.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn ready(range: &Value) -> (Option<&str>, Option<&str>) {
    let conditions = range["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    (
        ready.and_then(|ready| ready["status"].as_str()),
        ready.and_then(|ready| ready["reason"].as_str()),
    )
}

#[tokio::test]
async fn a_range_stays_until_no_service_has_an_address_of_it() {
    let cluster = Cluster::start("service-cidr-controller").await;
    let range = |name: &str, cidr: &str| json!({"metadata": {"name": name}, "spec": {"cidrs": [cidr]}});
    cluster.create(RANGES, &range("more", "10.96.0.0/24")).await;
    let path = format!("{RANGES}/more");
    let seen = cluster
        .until(&path, "is ready", |range| {
            range.is_some_and(|range| ready(range).0 == Some("True"))
        })
        .await
        .unwrap();
    assert_eq!(
        seen["metadata"]["finalizers"],
        json!(["networking.k8s.io/service-cidr-finalizer"])
    );
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]},
    });
    // API servers learn of the range by their own watch.
    crate::cluster::eventually("a service has an address of the range", || async {
        let (code, answer) = cluster.ask("POST", SERVICES, &service).await;
        (code != 201).then(|| answer.to_string())
    })
    .await;
    cluster.delete(&path).await;
    cluster
        .until(&path, "is still needed", |range| {
            range.is_some_and(|range| ready(range) == (Some("False"), Some("Terminating")))
        })
        .await;
    // Another range that has the address lets it go, and so would the service's end.
    cluster.create(RANGES, &range("wider", "10.96.0.0/16")).await;
    cluster.until_gone(&path).await;
    cluster.delete(&format!("{RANGES}/wider")).await;
    cluster
        .until(&format!("{RANGES}/wider"), "is still needed", |range| {
            range.is_some_and(|range| ready(range) == (Some("False"), Some("Terminating")))
        })
        .await;
    cluster.delete(&format!("{SERVICES}/web")).await;
    cluster.until_gone(&format!("{RANGES}/wider")).await;
}
