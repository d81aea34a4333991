//! Servers whose watch caches are off, all or one: reads come from etcd's own history, and the server still knows what
//! it needs.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{AsyncBufRead, AsyncBufReadExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::eventually;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const PATIENCE: Duration = Duration::from_secs(40);
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn start(etcd: &Etcd, flags: &[&str]) -> (ApiServer, Client) {
    let server = ApiServer::start(Path::new(BINARY), etcd, flags).await.unwrap();
    let client = server.admin().await.unwrap();
    (server, client)
}

/// The answer's code and body; of a refusal, its message and continue token.
async fn call(client: &Client, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header(
        "content-type",
        match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        },
    );
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    match client.request::<Value>(request.body(body).unwrap()).await {
        Ok(body) => (200, body),
        Err(kube::Error::Api(status)) => {
            let token = status.metadata.as_ref().and_then(|list| list.continue_.clone());
            (
                status.code,
                json!({"message": status.message, "reason": status.reason, "continue": token}),
            )
        }
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    call(client, "GET", path, Value::Null).await
}

async fn create(client: &Client, path: &str, body: Value) -> Value {
    let (code, created) = call(client, "POST", path, body).await;
    assert_eq!(code, 200, "{path}: {created}");
    created
}

fn named(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

fn version(object: &Value) -> i64 {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

/// A watch's events, one by one.
struct Events<R>(futures::io::Lines<R>);

async fn watch(client: &Client, path: &str, query: &str) -> Events<impl AsyncBufRead + Unpin + use<>> {
    let uri = format!("{path}?watch=true&timeoutSeconds=120&{query}");
    let request = http::Request::get(uri).body(Vec::new()).unwrap();
    let stream = client.request_stream(request).await.unwrap();
    Events(Box::pin(stream).lines())
}

impl<R: AsyncBufRead + Unpin> Events<R> {
    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.0.try_next()).await;
        serde_json::from_str(&line.expect("an event").unwrap().expect("the watch goes on")).unwrap()
    }

    /// Type and name.
    async fn seen(&mut self) -> (String, String) {
        let event = self.next().await;
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        (event["type"].as_str().unwrap().to_owned(), name.to_owned())
    }
}

fn seen(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

async fn compact(etcd: &Etcd, revision: i64) {
    let mut raw = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    raw.compact(revision, None).await.unwrap();
}

#[tokio::test]
async fn lists_are_pages_of_the_history() {
    let etcd = Etcd::start().await.unwrap();
    let (_server, client) = start(&etcd, &["--watch-cache=false"]).await;
    for name in ["a", "b", "c"] {
        create(&client, MAPS, named(name)).await;
    }
    let query = |text: &str| format!("{MAPS}?{text}&fieldSelector=metadata.name!%3Dkube-root-ca.crt");
    // A limit counts at resourceVersion=0 too.
    let (_, first) = get(&client, &format!("{MAPS}?resourceVersion=0&limit=2")).await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let at = version(&create(&client, MAPS, named("d")).await);
    let (_, second) = get(&client, &format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!(names(&second), ["c"]);
    assert_eq!(version(&second), version(&first));
    let (_, selected) = get(&client, &query("limit=1")).await;
    assert_eq!(names(&selected), ["a"]);
    assert_eq!(selected["metadata"].get("remainingItemCount"), None);

    // What is ahead of etcd is told at once.
    let future = at + 10_000;
    for path in [
        format!("{MAPS}/a?resourceVersion={future}"),
        format!("{MAPS}?resourceVersion={future}&resourceVersionMatch=NotOlderThan"),
        format!("{MAPS}?resourceVersion={future}&resourceVersionMatch=Exact"),
    ] {
        let begun = Instant::now();
        let (code, answer) = get(&client, &path).await;
        assert_eq!(code, 504, "{path}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!(
                "Timeout: Too large resource version: {future}, current: "
            )),
            "{message}"
        );
        assert!(begun.elapsed() < Duration::from_secs(3), "{path}");
    }
    compact(&etcd, at).await;
    let old = version(&first);
    let (code, answer) = get(
        &client,
        &format!("{MAPS}?resourceVersion={old}&resourceVersionMatch=Exact"),
    )
    .await;
    assert_eq!((code, &answer["reason"]), (410, &json!("Expired")), "{answer}");
    let (code, answer) = get(&client, &format!("{MAPS}?limit=2&continue={token}")).await;
    assert_eq!(code, 410, "{answer}");
    // The rest as it is now.
    let rest = answer["continue"].as_str().unwrap();
    let (code, answer) = get(&client, &format!("{MAPS}?limit=5&continue={rest}")).await;
    assert_eq!((code, names(&answer)), (200, vec!["c", "d"]), "{answer}");
}

#[tokio::test]
async fn watches_reach_back_as_far_as_etcd_does() {
    let etcd = Etcd::start().await.unwrap();
    let (mut server, client) = start(&etcd, &["--watch-cache=false"]).await;
    let labelled = |name: &str, value: &str| json!({"metadata": {"name": name, "labels": {"side": value}}});
    let begin = version(&create(&client, MAPS, labelled("moving", "left")).await);
    let moved = |value: &str| json!({"metadata": {"labels": {"side": value}}});
    let path = format!("{MAPS}/moving");
    call(&client, "PATCH", &path, moved("right")).await;
    call(&client, "PATCH", &path, json!({"data": {"x": "y"}})).await;
    call(&client, "PATCH", &path, moved("left")).await;
    call(&client, "DELETE", &path, Value::Null).await;
    // A server that started later remembers nothing of it by itself.
    server
        .restart(Path::new(BINARY), &etcd, &["--watch-cache=false"])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let from = format!("resourceVersion={begin}");
    let right = format!("{from}&labelSelector=side%3Dright");
    let left = format!("{from}&labelSelector=side%3Dleft");
    for (query, want) in [
        (&from, vec!["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]),
        (&right, vec!["ADDED", "MODIFIED", "DELETED"]),
        (&left, vec!["DELETED", "ADDED", "DELETED"]),
    ] {
        let mut events = watch(&client, MAPS, query).await;
        for kind in want {
            assert_eq!(events.seen().await, seen(kind, "moving"), "{query}");
        }
    }
    let stays = create(&client, MAPS, labelled("stays", "right")).await;
    let mut legacy = watch(&client, MAPS, "labelSelector=side%3Dright").await;
    assert_eq!(legacy.seen().await, seen("ADDED", "stays"));
    let mut list = watch(
        &client,
        MAPS,
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=side",
    )
    .await;
    assert_eq!(list.seen().await, seen("ADDED", "stays"));
    let end = list.next().await;
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["kind"], "ConfigMap");
    let metadata = &end["object"]["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(version(&end["object"]) >= version(&stays));
    create(&client, MAPS, labelled("new", "right")).await;
    assert_eq!(legacy.seen().await, seen("ADDED", "new"));
    assert_eq!(list.seen().await, seen("ADDED", "new"));

    compact(&etcd, version(&stays)).await;
    let mut late = watch(&client, MAPS, &from).await;
    let error = late.next().await;
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(410)),
        "{error}"
    );
    assert_eq!(error["object"]["reason"], "Expired");
    assert_eq!(
        error["object"]["message"],
        "The resourceVersion for the provided watch is too old."
    );
    let future = version(&stays) + 10_000;
    let query = format!("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={future}");
    let error = watch(&client, MAPS, &query).await.next().await;
    assert_eq!(
        (&error["type"], &error["object"]["code"]),
        (&json!("ERROR"), &json!(504)),
        "{error}"
    );
}

#[tokio::test]
async fn the_server_knows_what_it_needs_without_caches_for_clients() {
    let etcd = Etcd::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption");
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": [
            {"name": "key", "secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
        ]}}]}],
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let encryption = format!("--encryption-provider-config={}", file.display());
    let (server, admin) = start(&etcd, &["--watch-cache=false", &encryption]).await;

    let secrets = "/api/v1/namespaces/default/secrets";
    let mut events = watch(&admin, secrets, "resourceVersion=0").await;
    let secret = json!({"metadata": {"name": "s"}, "data": {"k": "dg=="}});
    create(&admin, secrets, secret).await;
    assert_eq!(events.seen().await, seen("ADDED", "s"));
    let (_, list) = get(&admin, secrets).await;
    assert_eq!(list["items"][0]["data"]["k"], "dg==");
    call(&admin, "DELETE", &format!("{secrets}/s"), Value::Null).await;
    let gone = events.next().await;
    assert_eq!(gone["object"]["data"]["k"], "dg==", "{gone}");

    // Rights follow their bindings.
    let someone = server.client("someone", &[]).await.unwrap();
    assert_eq!(get(&someone, MAPS).await.0, 403);
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let view = json!({
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}],
    });
    create(&admin, &format!("{roles}/rolebindings"), view).await;
    let code = async || (get(&someone, MAPS).await.0 != 200).then(|| "refused".to_owned());
    eventually(PATIENCE, "the binding counts", code).await;

    // Quotas and namespaces.
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "0"}}});
    create(&admin, "/api/v1/namespaces/default/resourcequotas", quota).await;
    // As its controller does.
    let status = json!({"status": {"hard": {"count/configmaps": "0"}, "used": {"count/configmaps": "0"}}});
    let path = "/api/v1/namespaces/default/resourcequotas/q/status";
    assert_eq!(call(&admin, "PATCH", path, status).await.0, 200);
    let refused = async || {
        let (code, answer) = call(&admin, "POST", &format!("{MAPS}?dryRun=All"), named("m")).await;
        (code != 403).then(|| answer.to_string())
    };
    eventually(PATIENCE, "the quota counts", refused).await;
    let nowhere = "/api/v1/namespaces/nowhere/configmaps";
    assert_eq!(call(&admin, "POST", nowhere, named("m")).await.0, 404);
    create(&admin, "/api/v1/namespaces", named("going")).await;
    call(&admin, "DELETE", "/api/v1/namespaces/going", Value::Null).await;
    let going = "/api/v1/namespaces/going/configmaps";
    let (code, answer) = call(&admin, "POST", going, named("m")).await;
    assert_eq!(code, 403, "{answer}");

    // Custom resources.
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    create(&admin, definitions, definition).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let served = async || {
        let (code, answer) = get(&admin, widgets).await;
        (code != 200).then(|| answer.to_string())
    };
    eventually(PATIENCE, "widgets are served", served).await;
    let widget =
        |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}});
    let first = create(&admin, widgets, widget("w1")).await;
    create(&admin, widgets, widget("w2")).await;
    let (_, page) = get(&admin, &format!("{widgets}?resourceVersion=0&limit=1")).await;
    assert_eq!(names(&page), ["w1"]);
    let mut events = watch(&admin, widgets, &format!("resourceVersion={}", version(&first))).await;
    assert_eq!(events.seen().await, seen("ADDED", "w2"));
    call(
        &admin,
        "DELETE",
        &format!("{definitions}/widgets.example.com"),
        Value::Null,
    )
    .await;
    let mut gone = [events.seen().await, events.seen().await];
    gone.sort();
    assert_eq!(gone, [seen("DELETED", "w1"), seen("DELETED", "w2")]);

    // Nothing is in memory that nobody needs, and it is counted all the same.
    let metrics = metrics(&admin).await;
    let loaded = |resource: &str| {
        let series = format!("apiserver_watch_cache_initializations_total{{{resource}}}");
        metrics.contains(&series)
    };
    for (resource, is_loaded) in [
        ("group=\"\",resource=\"pods\"", true),
        ("group=\"rbac.authorization.k8s.io\",resource=\"roles\"", true),
        ("group=\"\",resource=\"configmaps\"", false),
        ("group=\"\",resource=\"secrets\"", false),
        ("group=\"\",resource=\"events\"", false),
        ("group=\"coordination.k8s.io\",resource=\"leases\"", false),
        ("group=\"apps\",resource=\"deployments\"", false),
        ("group=\"example.com\",resource=\"widgets\"", false),
    ] {
        assert_eq!(loaded(resource), is_loaded, "{resource}\n{metrics}");
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

async fn metrics(client: &Client) -> String {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    client.request_text(request).await.unwrap()
}

#[tokio::test]
async fn one_cache_is_turned_off_by_its_size() {
    let etcd = Etcd::start().await.unwrap();
    let flags = ["--watch-cache-sizes=configmaps#0,secrets#100,pods#0"];
    let (server, client) = start(&etcd, &flags).await;
    let secrets = "/api/v1/namespaces/default/secrets";
    for path in [MAPS, secrets] {
        for name in ["a", "b"] {
            create(&client, path, named(name)).await;
        }
    }
    for (path, found) in [(MAPS, 1), (secrets, 2)] {
        // Where the cache answers, it answers whole.
        let list = async || {
            let (_, list) = get(&client, &format!("{path}?resourceVersion=0&limit=1")).await;
            (names(&list).len() != found).then(|| list.to_string())
        };
        eventually(PATIENCE, path, list).await;
    }
    let metrics = metrics(&client).await;
    let series = |resource: &str| {
        format!("apiserver_watch_cache_initializations_total{{group=\"\",resource=\"{resource}\"}}")
    };
    assert!(!metrics.contains(&series("configmaps")));
    assert!(metrics.contains(&series("secrets")));
    assert!(
        metrics.contains(&series("pods")),
        "the server follows pods itself"
    );
    assert!(!server.log().contains("no effect"), "{}", server.log());
}
