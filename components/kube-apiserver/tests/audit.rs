//! What the audit log tells of requests, in a file and at a webhook.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchParams};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use testkit::webhook::{Answer, WebhookServer};

fn events(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Waits until an event is there that fits.
async fn event(file: &Path, fits: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = events(file).into_iter().find(|event| fits(event)) {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{:#?}",
            events(file).iter().rev().take(5).collect::<Vec<_>>()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// The webhook answers while the test waits for the server's end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_what_the_policy_wants() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let webhook = WebhookServer::start(&pki, &[], |_| Answer::ok(json!({})))
        .await
        .unwrap();
    std::fs::write(folder.path().join("webhook"), webhook.kubeconfig(&pki, "/audit")).unwrap();
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitManagedFields": true,
        "rules": [
            {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*"]},
            {"level": "RequestResponse", "namespaces": ["default"], "resources": [{"group": "", "resources": ["configmaps"]}]},
            {"level": "Metadata", "omitStages": ["RequestReceived"]},
        ],
    });
    std::fs::write(folder.path().join("policy"), policy.to_string()).unwrap();
    let log = folder.path().join("audit.log");
    let etcd = Etcd::start().await.unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        format!("--audit-policy-file={}", file("policy")),
        format!("--audit-log-path={}", file("audit.log")),
        format!("--audit-webhook-config-file={}", file("webhook")),
        "--audit-webhook-batch-max-wait=200ms".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &flags)
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(admin.clone(), "default");
    let map =
        serde_json::from_value(json!({"metadata": {"generateName": "m-"}, "data": {"k": "v"}})).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.unwrap();

    let of_map = |stage: &'static str| {
        move |event: &Value| {
            event["verb"] == "create"
                && event["objectRef"]["resource"] == "configmaps"
                && event["stage"] == stage
        }
    };
    let received = event(&log, of_map("RequestReceived")).await;
    assert!(received.get("requestObject").is_none() && received.get("responseStatus").is_none());
    let complete = event(&log, of_map("ResponseComplete")).await;
    assert_eq!(complete["auditID"], received["auditID"]);
    assert_eq!(complete["level"], "RequestResponse");
    assert_eq!(complete["requestObject"]["data"], json!({"k": "v"}));
    assert_eq!(
        complete["responseObject"]["metadata"]["name"],
        made.metadata.name.unwrap()
    );
    assert!(
        complete["responseObject"]["metadata"]
            .get("managedFields")
            .is_none()
    );
    assert_eq!(complete["responseStatus"]["code"], 201);
    assert_eq!(complete["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(complete["user"]["username"], "admin");

    // Metadata tells no contents.
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "default");
    let secret =
        serde_json::from_value(json!({"metadata": {"name": "s"}, "stringData": {"k": "classified"}}))
            .unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    secrets.delete("s", &DeleteParams::default()).await.unwrap();
    let told = event(&log, |event| {
        event["objectRef"]["resource"] == "secrets" && event["verb"] == "create"
    })
    .await;
    assert_eq!(
        (&told["stage"], &told["objectRef"]["name"]),
        (&json!("ResponseComplete"), &json!("s"))
    );
    assert!(!std::fs::read_to_string(&log).unwrap().contains("classified"));

    // Refusals say why.
    let jane = server.client("jane", &[]).await.unwrap();
    assert!(
        Api::<Secret>::namespaced(jane, "default")
            .list(&ListParams::default())
            .await
            .is_err()
    );
    let refused = event(&log, |event| event["user"]["username"] == "jane").await;
    assert_eq!(refused["responseStatus"]["code"], 403);
    assert_eq!(refused["responseStatus"]["reason"], "Forbidden");
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");

    // A watch is told when it begins and when it ends.
    let watching = |stage: &'static str| {
        move |event: &Value| {
            event["verb"] == "watch"
                && event["objectRef"]["resource"] == "configmaps"
                && event["stage"] == stage
        }
    };
    {
        let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
        assert!(watch.next().await.is_some());
        event(&log, watching("ResponseStarted")).await;
        assert!(!events(&log).iter().any(watching("ResponseComplete")));
    }
    drop(admin);
    drop(maps);
    drop(secrets);
    event(&log, watching("ResponseComplete")).await;

    // The webhook has the same events, and the last ones come before the server ends.
    server.terminate(Duration::from_secs(60)).unwrap();
    let sent: Vec<Value> = webhook
        .seen()
        .iter()
        .flat_map(|seen| seen.body["items"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(sent.len(), events(&log).len());
    assert!(sent.iter().any(of_map("ResponseComplete")));
    assert!(
        !sent
            .iter()
            .any(|event| event["requestURI"].as_str().unwrap().starts_with("/readyz"))
    );
}
