//! Priority and fairness as clients see it.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::{HeaderMap, StatusCode};
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, PriorityLevelConfiguration};
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

/// Waits for something that the server does by itself.
async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A request that holds its seat for seconds: it waits for a revision that doesn't come.
async fn slow(client: kube::Client) -> (StatusCode, HeaderMap) {
    let request = http::Request::get("/api/v1/namespaces/default/configmaps?resourceVersion=999999999")
        .body(kube::client::Body::empty())
        .unwrap();
    let answer = client.send(request).await.unwrap();
    (answer.status(), answer.headers().clone())
}

#[tokio::test]
async fn a_level_without_queues_refuses_and_spares_the_others() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    let schemas: Api<FlowSchema> = Api::all(admin.clone());
    let levels: Api<PriorityLevelConfiguration> = Api::all(admin.clone());
    let schema: FlowSchema = serde_json::from_value(json!({
        "metadata": {"name": "greedy"},
        "spec": {"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "tiny"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "greedy"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
        }]},
    }))
    .unwrap();
    schemas.create(&PostParams::default(), &schema).await.unwrap();
    let condition = |wanted: &'static str| {
        let schemas = schemas.clone();
        move || {
            let schemas = schemas.clone();
            async move {
                let status = schemas.get("greedy").await.unwrap().status;
                let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
                conditions
                    .iter()
                    .any(|condition| condition.status.as_deref() == Some(wanted))
            }
        }
    };
    eventually("the schema is dangling", condition("True")).await;
    let level: PriorityLevelConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "tiny"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}, "borrowingLimitPercent": 0}},
    }))
    .unwrap();
    let level = levels.create(&PostParams::default(), &level).await.unwrap();
    eventually("the schema has its level", condition("False")).await;

    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "viewers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "name": "viewers", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(admin.clone());
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
    let modest = server.client("modest", &["viewers"]).await.unwrap();
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(modest, "default");
    eventually("the binding is seen", || async {
        maps.list(&Default::default()).await.is_ok()
    })
    .await;

    // Without the client's own retries, which would hide the refusals.
    let mut config = kube::Config::from_custom_kubeconfig(
        kube::config::Kubeconfig::read_from(server.kubeconfig("greedy", &["viewers"]).unwrap()).unwrap(),
        &Default::default(),
    )
    .await
    .unwrap();
    config.default_retry = false;
    let greedy = kube::Client::try_from(config).unwrap();
    let crowd: Vec<_> = (0..12).map(|_| tokio::spawn(slow(greedy.clone()))).collect();
    // Another user's requests go by the crowd.
    assert!(maps.list(&Default::default()).await.is_ok());
    let mut refused = 0;
    for task in crowd {
        let (status, headers) = task.await.unwrap();
        assert_eq!(
            headers["x-kubernetes-pf-prioritylevel-uid"].to_str().unwrap(),
            level.metadata.uid.as_deref().unwrap()
        );
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(headers["retry-after"], "1");
            refused += 1;
        } else {
            assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        }
    }
    assert_eq!(
        refused, 9,
        "three of twelve have seats: 1 of 246 shares of 600 seats"
    );
    let text = |path: &'static str| {
        let admin = admin.clone();
        async move {
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            admin.request_text(request).await.unwrap()
        }
    };
    let metrics = text("/metrics").await;
    assert!(
        metrics.contains("apiserver_flowcontrol_rejected_requests_total{priority_level=\"tiny\",flow_schema=\"greedy\",reason=\"concurrency-limit\"} 9"),
        "{metrics}"
    );
    assert!(metrics.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"tiny\"} 3"));
    let dump = text("/debug/api_priority_and_fairness/dump_priority_levels").await;
    let cells = |line: &str| -> Vec<String> { line.split(',').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines = dump.lines().map(cells);
    assert_eq!(
        lines.next().unwrap()[4..],
        [
            "WaitingRequests",
            "ExecutingRequests",
            "DispatchedRequests",
            "RejectedRequests",
            "TimedoutRequests",
            "CancelledRequests"
        ]
    );
    let tiny = lines.find(|cells| cells[0] == "tiny").unwrap();
    assert_eq!(tiny[7..], ["9", "0", "0"], "{dump}");

    // What every cluster needs comes back.
    schemas
        .delete("catch-all", &DeleteParams::default())
        .await
        .unwrap();
    eventually("the mandatory schema is back", || async {
        schemas.get("catch-all").await.is_ok()
    })
    .await;
}

/// A client whose own retries would hide what it is told.
async fn plain(server: &ApiServer, name: &str) -> kube::Client {
    let file = server.kubeconfig(name, &["viewers"]).unwrap();
    let kubeconfig = kube::config::Kubeconfig::read_from(file).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

/// Three seats, and one user who wants them for half a minute: another's request doesn't wait its turn behind that, but for
/// the rounds that the queues take which the crowd was dealt. `queues.rs` has the exact number.
#[tokio::test]
async fn a_flow_that_crowds_its_level_holds_up_itself_only() {
    let etcd = Etcd::start().await.unwrap();
    // A request waits in its queue for a quarter of this; how long the crowd's take is not what is looked at.
    let server = ApiServer::start(
        Path::new(env!("CARGO_BIN_EXE_kube-apiserver")),
        &etcd,
        &["--request-timeout=10m"],
    )
    .await
    .unwrap();
    let admin = server.admin().await.unwrap();
    let level: PriorityLevelConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": {
            "type": "Queue", "queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50},
        }}},
    }))
    .unwrap();
    let levels: Api<PriorityLevelConfiguration> = Api::all(admin.clone());
    levels.create(&PostParams::default(), &level).await.unwrap();
    let schema: FlowSchema = serde_json::from_value(json!({
        "metadata": {"name": "by-user"},
        "spec": {"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "narrow"}, "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "Group", "group": {"name": "viewers"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
            }],
        },
    }))
    .unwrap();
    let schemas: Api<FlowSchema> = Api::all(admin.clone());
    schemas.create(&PostParams::default(), &schema).await.unwrap();
    let waiting = || async {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let metrics = admin.request_text(request).await.unwrap();
        let count = metrics.lines().find_map(|line| {
            let rest = line.strip_prefix("apiserver_flowcontrol_current_inqueue_requests{")?;
            rest.contains("\"narrow\"")
                .then(|| rest.rsplit(' ').next()?.parse::<u32>().ok())?
        });
        count.unwrap_or(0)
    };
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "viewers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "Group", "name": "viewers", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(admin.clone());
    let binding = serde_json::from_value(binding).unwrap();
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    let quiet = plain(&server, "quiet").await;
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(quiet.clone(), "default");
    eventually("the binding is seen, and the schema", || async {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps")
            .body(kube::client::Body::empty())
            .unwrap();
        let answer = quiet.send(request).await.unwrap();
        let level = levels.get("narrow").await.unwrap().metadata.uid.unwrap();
        answer.status() == StatusCode::OK && answer.headers()["x-kubernetes-pf-prioritylevel-uid"] == *level
    })
    .await;

    let noisy = plain(&server, "noisy").await;
    let mut crowd: futures::stream::FuturesUnordered<_> =
        (0..30).map(|_| tokio::spawn(slow(noisy.clone()))).collect();
    eventually("the crowd waits", || async { waiting().await == 27 }).await;
    let asked = tokio::spawn(async move { maps.list(&Default::default()).await });
    let mut before = 0;
    tokio::pin!(asked);
    loop {
        tokio::select! {
            biased;
            answer = &mut asked => {
                answer.unwrap().unwrap();
                break;
            }
            Some(_) = futures::StreamExt::next(&mut crowd) => before += 1,
        }
    }
    assert!(before < 20, "{before} of the crowd went first");
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}
