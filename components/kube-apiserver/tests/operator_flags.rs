//! Flags with which an operator gives a server other stores, rights from a file, and callers without headers.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "hostile_clients/wire.rs"]
mod wire;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wire::{PATIENCE, Target};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap()
}

fn post(path: &str, body: &Value) -> http::Request<Vec<u8>> {
    http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap()
}

fn delete(path: &str) -> http::Request<Vec<u8>> {
    http::Request::delete(path).body(Vec::new()).unwrap()
}

async fn code(client: &kube::Client, request: http::Request<Vec<u8>>) -> (u16, String) {
    match client.request_text(request).await {
        Ok(text) => (200, text),
        Err(kube::Error::Api(status)) => (status.code, status.message),
        Err(other) => panic!("{other}"),
    }
}

/// Keys below a prefix.
async fn keys(etcd: &Etcd, prefix: &str) -> Vec<String> {
    let mut client = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    let options = etcd_client::GetOptions::new().with_prefix().with_keys_only();
    let found = client.get(prefix, Some(options)).await.unwrap();
    let keys = found.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned());
    keys.collect()
}

#[tokio::test]
async fn other_etcd_servers_keep_single_resources() {
    let (usual, other) = (Etcd::start().await.unwrap(), Etcd::start().await.unwrap());
    let url = &other.endpoints()[0];
    let flag = format!("--etcd-servers-overrides=/events#{url},coordination.k8s.io/leases#{url}");
    let server = ApiServer::start(Path::new(BINARY), &usual, &[&flag])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let named = |name: &str| json!({"metadata": {"name": name}});
    for (path, object) in [
        (leases, named("l")),
        ("/api/v1/namespaces/default/configmaps", named("m")),
        (
            "/api/v1/namespaces/default/events",
            json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}),
        ),
    ] {
        assert_eq!(code(&client, post(path, &object)).await.0, 200, "{path}");
    }
    for (resource, there) in [("leases/", true), ("events/", true), ("configmaps/", false)] {
        let prefix = format!("/registry/{resource}default/");
        assert_eq!(!keys(&other, &prefix).await.is_empty(), there, "{resource}");
        assert_eq!(keys(&usual, &prefix).await.is_empty(), there, "{resource}");
    }
    // A list has a revision of its store, from which a watch goes on.
    let (_, list) = code(&client, get(leases)).await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let (revision, names) = (&list["metadata"]["resourceVersion"], &list["items"]);
    assert_eq!(names[0]["metadata"]["name"], "l");
    let watch = format!(
        "{leases}?watch=1&timeoutSeconds=1&resourceVersion={}",
        revision.as_str().unwrap()
    );
    let (watched, made) = tokio::join!(
        code(&client, get(&watch)),
        code(&client, post(leases, &named("k")))
    );
    assert_eq!(made.0, 200);
    assert!(
        watched.1.contains("\"ADDED\"") && watched.1.contains("\"k\""),
        "{watched:?}"
    );
    let (own, readiness) = ("/livez/etcd-override-0", "/readyz/etcd-override-readiness-0");
    for (check, expected) in [
        ("/readyz/etcd", 200),
        (own, 200),
        (readiness, 200),
        ("/livez/etcd-override-readiness-0", 404),
        ("/livez/etcd-override-1", 404),
    ] {
        assert_eq!(code(&client, get(check)).await.0, expected, "{check}");
    }
    let (_, paths) = code(&client, get("/")).await;
    assert!(paths.contains(own) && paths.contains(readiness), "{paths}");
    drop(other);
    for (check, expected) in [
        ("/readyz/etcd", 200),
        (own, 500),
        (readiness, 500),
        ("/livez", 500),
        ("/livez?exclude=etcd-override-0", 200),
        ("/readyz?exclude=etcd", 500),
        ("/readyz?exclude=etcd&exclude=etcd-readiness", 200),
    ] {
        assert_eq!(code(&client, get(check)).await.0, expected, "{check}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_deleted() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let client = server.admin().await.unwrap();
    let mut direct = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    let key = "/registry/secrets/default/lost";
    direct.put(key, "k8s:enc:aescbc:v1:gone:x", None).await.unwrap();
    let secrets = "/api/v1/namespaces/default/secrets";
    // The watch tells the server of it.
    let deadline = std::time::Instant::now() + PATIENCE;
    while code(&client, get(&format!("{secrets}/lost"))).await.0 != 500 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (failed, why) = code(&client, delete(secrets)).await;
    assert!(failed == 500 && why.contains(key), "{failed} {why}");
    assert_eq!(
        code(&client, delete("/api/v1/namespaces/kube-system/secrets"))
            .await
            .0,
        200
    );
    direct.delete(key, None).await.unwrap();
    while code(&client, delete(secrets)).await.0 != 200 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_policy_file_gives_rights() {
    let folder = tempfile::tempdir().unwrap();
    let policy = |spec: Value| {
        json!({"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": spec})
            .to_string()
    };
    let lines = [
        "# who may what".to_owned(),
        policy(json!({"user": "jane", "namespace": "default", "resource": "configmaps", "readonly": true})),
        policy(json!({"group": "system:authenticated", "readonly": true, "nonResourcePath": "/version"})),
    ];
    let file = folder.path().join("policies");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let file = format!("--authorization-policy-file={}", file.display());
    let etcd = Etcd::start().await.unwrap();
    let config = folder.path().join("authorization");
    let chain = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
        "authorizers": [{"type": "Node", "name": "n"}, {"type": "ABAC", "name": "a"}],
    });
    std::fs::write(&config, chain.to_string()).unwrap();
    let config = format!("--authorization-config={}", config.display());
    // The harness gives Node and RBAC, unless there is a file.
    for (flags, review_allowed) in [
        (&["--authorization-mode=ABAC", &file][..], true),
        (&[&config, &file], false),
    ] {
        let server = ApiServer::start(Path::new(BINARY), &etcd, flags).await.unwrap();
        let jane = server.client("jane", &[]).await.unwrap();
        let maps = "/api/v1/namespaces/default/configmaps";
        assert_eq!(code(&jane, get(maps)).await.0, 200);
        let map = json!({"metadata": {"generateName": "m"}});
        let (refused, why) = code(&jane, post(maps, &map)).await;
        assert!(refused == 403 && why.contains("No policy matched."), "{why}");
        assert_eq!(code(&jane, get("/api/v1/configmaps")).await.0, 403);
        assert_eq!(code(&jane, get("/version")).await.0, 200);
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}});
        let request = post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", &review);
        let (answered, told) = code(&jane, request).await;
        // Roles allow it to everybody, policies to nobody whom they don't name.
        assert_eq!(answered, if review_allowed { 200 } else { 403 });
        assert_eq!(told.contains("[\"configmaps\"]"), review_allowed, "{told}");
    }
}

#[tokio::test]
async fn a_browsers_token_stands_among_sub_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "secret,jane,1,\"system:masters\"\n").unwrap();
    let flag = format!("--token-auth-file={}", tokens.display());
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[&flag])
        .await
        .unwrap();
    let target = Target::without_certificate(server.pki(), server.port());
    let protocol = |token: &str| {
        format!(
            "base64url.bearer.authorization.k8s.io.{}",
            URL_SAFE_NO_PAD.encode(token)
        )
    };
    for (protocols, expected) in [
        (format!("{}, v5.channel.k8s.io", protocol("secret")), "404"),
        (format!("{}, v5.channel.k8s.io", protocol("other")), "401"),
        (protocol("secret"), "401"),
        ("v5.channel.k8s.io".to_owned(), "403"),
    ] {
        let mut stream = target.connect(b"http/1.1").await;
        let key = STANDARD.encode([0; 16]);
        let head = format!(
            "GET /api/v1/namespaces/default/pods/p/exec?command=ls&stdout=1 HTTP/1.1\r\nhost: k\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\nsec-websocket-protocol: {protocols}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        let answer = String::from_utf8_lossy(&buffer[..read]);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{protocols}: {answer}"
        );
    }
}

#[tokio::test]
async fn an_authorization_webhook_is_told_the_selectors() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let webhook = WebhookServer::start(&pki, &[], |seen| {
        let selectors = &seen.body["spec"]["resourceAttributes"]["labelSelector"];
        let own = selectors["requirements"] == json!([{"key": "team", "operator": "In", "values": ["a"]}]);
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": {"allowed": own}});
        Answer::ok(review)
    })
    .await
    .unwrap();
    let file = folder.path().join("webhook");
    std::fs::write(&file, webhook.kubeconfig(&pki, "/")).unwrap();
    let file = format!("--authorization-webhook-config-file={}", file.display());
    let flags = [
        // Behind the modes that the harness gives.
        "--authorization-mode=Webhook",
        "--authorization-webhook-version=v1",
        file.as_str(),
    ];
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let jane = server.client("jane", &[]).await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let own = format!("{maps}?labelSelector=team%3Da&fieldSelector=metadata.name%3Dx");
    assert_eq!(code(&jane, get(&own)).await.0, 200);
    for query in ["", "?labelSelector=team%3Db", "?labelSelector=team"] {
        let path = format!("{maps}{query}");
        assert_eq!(code(&jane, get(&path)).await.0, 403, "{path}");
    }
    let seen = webhook.seen();
    let asked = seen
        .iter()
        .map(|seen| &seen.body["spec"]["resourceAttributes"])
        .find(|asked| asked["fieldSelector"].is_object())
        .unwrap();
    assert_eq!(
        asked["fieldSelector"],
        json!({"requirements": [{"key": "metadata.name", "operator": "In", "values": ["x"]}]})
    );
}

#[tokio::test]
async fn servers_of_a_fixed_number_share_the_endpoints() {
    let etcd = Etcd::start().await.unwrap();
    let flags = |address: &str| {
        let common = ["--endpoint-reconciler-type=master-count", "--apiserver-count=2"];
        let own = format!("--advertise-address={address}");
        common
            .map(str::to_owned)
            .into_iter()
            .chain([own])
            .collect::<Vec<_>>()
    };
    let addresses = async |server: &ApiServer| -> Vec<String> {
        let client = server.admin().await.unwrap();
        let (_, text) = code(&client, get("/api/v1/namespaces/default/endpoints/kubernetes")).await;
        let endpoints: Value = serde_json::from_str(&text).unwrap();
        let list = endpoints["subsets"][0]["addresses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        list.iter()
            .map(|entry| entry["ip"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut servers = Vec::new();
    for (address, expected) in [
        ("192.0.2.1", &["192.0.2.1"][..]),
        ("192.0.2.2", &["192.0.2.1", "192.0.2.2"]),
        // One too many: those that follow it in a ring stay.
        ("192.0.2.3", &["192.0.2.1", "192.0.2.3"]),
    ] {
        let flags = flags(address);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
        assert_eq!(addresses(&server).await, expected);
        servers.push(server);
    }
    assert!(keys(&etcd, "/registry/masterleases/").await.is_empty());
    let mut last = servers.pop().unwrap();
    last.terminate(PATIENCE).unwrap();
    assert!(!addresses(&servers[0]).await.contains(&"192.0.2.3".to_owned()));
}

#[tokio::test]
async fn the_debug_socket_answers_about_the_process_without_authentication() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("debug");
    let flag = format!("--debug-socket-path={}", socket.display());
    let etcd = Etcd::start().await.unwrap();
    let flags = [flag.as_str(), "--profiling=false", "--emulated-version=kube=1.36"];
    let _server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let request = "GET /debug/pprof/cmdline HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("--debug-socket-path="),
        "{answer}"
    );
}

#[tokio::test]
async fn where_nobody_collects_garbage_no_deletion_waits_for_it() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &["--enable-garbage-collector=false"])
        .await
        .unwrap();
    let client = server.admin().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let named = |finalizers: &[&str]| json!({"metadata": {"name": "m", "finalizers": finalizers}});
    for (finalizers, policy, gone) in [
        (&[][..], "Foreground", true),
        (&[], "Orphan", true),
        (&[], "Background", true),
        // What is there stays, also what the policy would take away.
        (&["orphan"], "Background", false),
    ] {
        assert_eq!(code(&client, post(maps, &named(finalizers))).await.0, 200);
        let one = format!("{maps}/m");
        let deleted = code(&client, delete(&format!("{one}?propagationPolicy={policy}"))).await;
        assert_eq!(deleted.0, 200, "{policy}: {}", deleted.1);
        let (found, text) = code(&client, get(&one)).await;
        assert_eq!(found, if gone { 404 } else { 200 }, "{policy}: {text}");
        assert!(gone || text.contains("\"orphan\""), "{text}");
    }
    // A kind whose dependents stay by default.
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}],
    }}}});
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    assert_eq!(code(&client, post(jobs, &job)).await.0, 200);
    assert_eq!(code(&client, delete(&format!("{jobs}/j"))).await.0, 200);
    assert_eq!(code(&client, get(&format!("{jobs}/j"))).await.0, 404);
}

#[tokio::test]
async fn fields_of_features_that_are_off_go_and_rules_follow_the_gates() {
    let etcd = Etcd::start().await.unwrap();
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {
            "containers": [{
                "name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGUSR1"},
                "env": [{"name": "E", "value": "v"}],
            }],
            "os": {"name": "linux"},
            "hostnameOverride": "h",
            "automountServiceAccountToken": false,
        },
    });
    let scaler = json!({
        "metadata": {"name": "s"},
        "spec": {
            "minReplicas": 0, "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "metrics": [{"type": "External", "external": {
                "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}
            }}],
            "behavior": {"scaleUp": {"tolerance": "100m"}},
        },
    });
    let (pods, scalers) = (
        "/api/v1/namespaces/default/pods",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    );
    let signal = |pod: &Value| pod["spec"]["containers"][0]["lifecycle"]["stopSignal"].clone();
    let tolerance = |scaler: &Value| scaler["spec"]["behavior"]["scaleUp"]["tolerance"].clone();
    let parsed = |(code, text): (u16, String)| -> Value {
        assert_eq!(code, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let account = json!({"metadata": {"name": "default"}});
    let given = "--feature-gates=ContainerStopSignals=true,HPAScaleToZero=true,HostnameOverride=false,StorageVersionHash=false,WatchList=false";
    let on = ApiServer::start(Path::new(BINARY), &etcd, &[given])
        .await
        .unwrap();
    let client = on.admin().await.unwrap();
    code(
        &client,
        post("/api/v1/namespaces/default/serviceaccounts", &account),
    )
    .await;
    let made = parsed(code(&client, post(pods, &pod)).await);
    assert_eq!(signal(&made), "SIGUSR1");
    assert_eq!(made["spec"]["hostnameOverride"], Value::Null);
    let made = parsed(code(&client, post(scalers, &scaler)).await);
    assert_eq!(made["spec"]["minReplicas"], 0);
    assert_eq!(tolerance(&made), "100m");
    let resources = parsed(code(&client, get("/api/v1")).await);
    assert!(!resources.to_string().contains("storageVersionHash"));
    let watch = format!("{pods}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let (refused, why) = code(&client, get(&watch)).await;
    assert_eq!(refused, 422, "{why}");
    assert!(why.contains("WatchList feature gate"), "{why}");
    drop(on);

    // Without the gates what is there stays, and what is new goes.
    let off = ApiServer::start(
        Path::new(BINARY),
        &etcd,
        &["--feature-gates=HPAConfigurableTolerance=false"],
    )
    .await
    .unwrap();
    let client = off.admin().await.unwrap();
    let mut stored = parsed(code(&client, get(&format!("{pods}/p"))).await);
    assert_eq!(signal(&stored), "SIGUSR1");
    stored["metadata"]["labels"] = json!({"a": "b"});
    let put = |path: String, object: &Value| {
        http::Request::put(path)
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap()
    };
    let changed = parsed(code(&client, put(format!("{pods}/p"), &stored)).await);
    assert_eq!(signal(&changed), "SIGUSR1");
    let mut other = pod.clone();
    other["metadata"]["name"] = json!("q");
    let made = parsed(code(&client, post(pods, &other)).await);
    assert_eq!(made["spec"]["containers"][0].get("lifecycle"), None);
    assert_eq!(made["spec"]["hostnameOverride"], "h");
    let mut stored = parsed(code(&client, get(&format!("{scalers}/s"))).await);
    stored["spec"]["maxReplicas"] = json!(4);
    let changed = parsed(code(&client, put(format!("{scalers}/s"), &stored)).await);
    assert_eq!(tolerance(&changed), "100m");
    let mut other = scaler.clone();
    other["metadata"]["name"] = json!("t");
    let (refused, why) = code(&client, post(scalers, &other)).await;
    assert_eq!(refused, 422, "{why}");
    assert!(why.contains("spec.minReplicas"), "{why}");
    other["spec"]["minReplicas"] = json!(1);
    let made = parsed(code(&client, post(scalers, &other)).await);
    assert_eq!(tolerance(&made), Value::Null);
    // The annotation in which the first version has it is no way around.
    let old = json!({
        "metadata": {"name": "u", "annotations": {
            "autoscaling.alpha.kubernetes.io/behavior": r#"{"ScaleUp":{"Tolerance":"100m","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}]}}"#,
        }},
        "spec": {"maxReplicas": 3, "scaleTargetRef": other["spec"]["scaleTargetRef"]},
    });
    let first = scalers.replace("v2", "v1");
    parsed(code(&client, post(&first, &old)).await);
    let made = parsed(code(&client, get(&format!("{scalers}/u"))).await);
    assert_eq!(tolerance(&made), Value::Null);
}

#[tokio::test]
async fn events_live_for_ever_when_no_time_is_set_for_them() {
    for (flag, expire) in [("--event-ttl=0", false), ("--event-ttl=1h", true)] {
        let etcd = Etcd::start().await.unwrap();
        let server = ApiServer::start(Path::new(BINARY), &etcd, &[flag]).await.unwrap();
        let client = server.admin().await.unwrap();
        let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
        let (made, said) = code(&client, post("/api/v1/namespaces/default/events", &event)).await;
        assert_eq!(made, 200, "{said}");
        let mut store = etcd_client::Client::connect(etcd.endpoints(), None)
            .await
            .unwrap();
        let found = store.get("/registry/events/default/e", None).await.unwrap();
        assert_eq!(found.kvs()[0].lease() != 0, expire, "{flag}");
    }
}
