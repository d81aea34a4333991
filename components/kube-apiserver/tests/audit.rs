//! What the audit log tells of requests, in a file and at a webhook.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube_apiserver::tokens::jwt;
use kube_apiserver::tokens::keys::SigningKey;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use testkit::exchange;
use testkit::webhook::{Answer, WebhookServer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

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

    // Of a pod is told which standard was enforced, where the namespace asks for none, too.
    let account = json!({"metadata": {"name": "default"}});
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (plural, object) in [("serviceaccounts", account), ("pods", pod)] {
        let request = http::Request::post(format!("/api/v1/namespaces/default/{plural}"))
            .header("content-type", "application/json")
            .body(object.to_string().into_bytes())
            .unwrap();
        admin.request::<Value>(request).await.unwrap();
    }
    let told = event(&log, |event| {
        event["verb"] == "create" && event["objectRef"]["resource"] == "pods"
    })
    .await;
    assert_eq!(
        told["annotations"]["pod-security.kubernetes.io/enforce-policy"],
        "privileged:latest"
    );

    // What was sent is told as it was understood, before the server has its say; what it could not read isn't told.
    let send = async |id: &str, query: &str, body: Value| {
        let request = http::Request::post(format!("/api/v1/namespaces/default/configmaps{query}"))
            .header("content-type", "application/json")
            .header("audit-id", id)
            .body(body.to_string().into_bytes())
            .unwrap();
        let sent = admin.request::<Value>(request).await;
        let told = event(&log, |event| {
            event["auditID"] == id && event["stage"] == "ResponseComplete"
        })
        .await;
        (sent.is_ok(), told)
    };
    let (taken, told) = send("asked", "", json!({"metadata": {"name": "asked", "uid": "u"}})).await;
    assert!(taken);
    let metadata = &told["requestObject"]["metadata"];
    assert_eq!(
        (&metadata["name"], &metadata["uid"]),
        (&json!("asked"), &json!("u"))
    );
    assert!(metadata.get("namespace").is_none(), "{told}");
    assert_eq!(told["objectRef"]["uid"], "u");
    let strange = json!({"metadata": {"name": "strange"}, "strange": true});
    let (taken, told) = send("strange", "?fieldValidation=Strict", strange).await;
    assert!(!taken && told.get("requestObject").is_none(), "{told}");
    assert!(told["objectRef"].get("name").is_none(), "{told}");
    assert_eq!(told["responseObject"]["kind"], "Status");
    // Options of a deletion are told as they were read, and neither those nor a patch that were not.
    for (method, kind, body, object) in [
        (
            "PATCH",
            "application/other-patch",
            json!({"data": {}}),
            Value::Null,
        ),
        (
            "DELETE",
            "application/json",
            json!({"propagationPolicy": 1}),
            Value::Null,
        ),
        (
            "DELETE",
            "application/json",
            json!({"apiVersion": "v1", "propagationPolicy": "Background", "strange": 1}),
            json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal", "propagationPolicy": "Background"}),
        ),
    ] {
        let sent = exchange::send(
            &admin,
            method,
            "/api/v1/namespaces/default/configmaps/asked",
            kind,
            &body,
        );
        let id = sent.await.unwrap().headers["audit-id"].clone();
        let told = event(&log, |event| {
            event["auditID"] == *id.to_str().unwrap() && event["stage"] == "ResponseComplete"
        })
        .await;
        assert_eq!(told["requestObject"], object, "{method} {body}");
    }

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

/// A token as servers before v1.24 made them for each account, and as the token controller still makes them on request.
async fn legacy_token(
    server: &ApiServer,
    secrets: &Api<Secret>,
    account: &ServiceAccount,
    name: &str,
) -> String {
    let key = std::fs::read(server.pki().file("sa.key")).unwrap();
    let account = &account.metadata;
    let of_account = account.name.as_deref().unwrap();
    let claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:default:{of_account}"),
        "kubernetes.io/serviceaccount/namespace": "default",
        "kubernetes.io/serviceaccount/secret.name": name,
        "kubernetes.io/serviceaccount/service-account.name": of_account,
        "kubernetes.io/serviceaccount/service-account.uid": account.uid,
    });
    let token = jwt::sign(&SigningKey::from_pem(&key).unwrap(), &claims).unwrap();
    let secret = json!({
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": of_account}},
        "type": "kubernetes.io/service-account-token",
        "stringData": { "token": token },
    });
    let secret = serde_json::from_value(secret).unwrap();
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    token
}

/// The code of an answer to the bearer of a token, and the warnings with it.
async fn asked(server: &ApiServer, token: &str) -> (u16, Vec<String>) {
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority": server.pki().file("ca.crt")}}],
        "users": [{"name": "u", "user": { "token": token }}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let config = serde_json::from_value(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await;
    let client = kube::Client::try_from(config.unwrap()).unwrap();
    let path = "/api/v1/namespaces/default/pods";
    let answer = exchange::send(&client, "GET", path, exchange::JSON, &Value::Null)
        .await
        .unwrap();
    let warnings = answer.headers.get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    (answer.status.as_u16(), warnings)
}

#[tokio::test]
async fn the_use_of_tokens_that_live_too_long_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata", "omitStages": ["RequestReceived"]}]});
    std::fs::write(folder.path().join("policy"), policy.to_string()).unwrap();
    let log = folder.path().join("audit.log");
    let flags = [
        format!("--audit-policy-file={}", folder.path().join("policy").display()),
        format!("--audit-log-path={}", log.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &flags)
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "default");
    let account = json!({"metadata": {"name": "robot"}, "secrets": [{"name": "robot-token-x2b4c"}]});
    let account = serde_json::from_value(account).unwrap();
    let account = accounts.create(&PostParams::default(), &account).await.unwrap();
    let subject = "system:serviceaccount:default:robot";
    let annotation = async |name: &str| {
        let key = format!("authentication.k8s.io/{name}");
        let found = event(&log, |event| event["annotations"].get(&key).is_some()).await;
        (found["annotations"][&key].clone(), found)
    };

    // Nobody asked for this one: each use of it is told, from the cache of outcomes too.
    let auto = legacy_token(&server, &secrets, &account, "robot-token-x2b4c").await;
    for _ in 0..2 {
        let (code, warnings) = asked(&server, &auto).await;
        assert_eq!(code, 403);
        assert_eq!(
            warnings,
            [
                "299 - \"Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.\""
            ]
        );
    }
    let (name, told) = annotation("legacy-token-autogenerated-secret").await;
    assert_eq!(name, "robot-token-x2b4c");
    assert_eq!(told["annotations"]["authentication.k8s.io/legacy-token"], subject);
    let uses = |event: &Value| {
        event["user"]["username"] == subject
            && event["annotations"]
                .get("authentication.k8s.io/legacy-token")
                .is_some()
    };
    assert_eq!(events(&log).iter().filter(|event| uses(event)).count(), 2);

    let manual = legacy_token(&server, &secrets, &account, "by-hand").await;
    assert_eq!(asked(&server, &manual).await, (403, vec![]));
    let (name, _) = annotation("legacy-token-manual-secret").await;
    assert_eq!(name, "by-hand");

    // What the token cleaner does after a year without use.
    let unused = legacy_token(&server, &secrets, &account, "robot-token-old").await;
    let labels = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}});
    let labels = Patch::Merge(labels);
    secrets
        .patch("robot-token-old", &PatchParams::default(), &labels)
        .await
        .unwrap();
    assert_eq!(asked(&server, &unused).await, (401, vec![]));
    let (name, told) = annotation("legacy-token-invalidated").await;
    assert_eq!(
        (name, &told["responseStatus"]["code"]),
        (json!("robot-token-old/default"), &json!(401))
    );
    let labels = secrets
        .get("robot-token-old")
        .await
        .unwrap()
        .metadata
        .labels
        .unwrap();
    assert!(
        labels.contains_key("kubernetes.io/legacy-token-last-used"),
        "{labels:?}"
    );

    // As for a pod's client that does not read its token again.
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": "https://kubernetes.default.svc", "aud": ["https://kubernetes.default.svc"],
        "sub": subject, "iat": now - 4000, "nbf": now - 4000, "exp": now + 4000,
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": account.metadata.uid}, "warnafter": now - 100},
    });
    let key = std::fs::read(server.pki().file("sa.key")).unwrap();
    let stale = jwt::sign(&SigningKey::from_pem(&key).unwrap(), &claims).unwrap();
    assert_eq!(asked(&server, &stale).await, (403, vec![]));
    let (text, _) = annotation("stale-token").await;
    let late = text
        .as_str()
        .unwrap()
        .strip_prefix(&format!("subject: {subject}, seconds after warning threshold: "));
    assert!(late.unwrap().parse::<i64>().unwrap() >= 100, "{text}");

    let metrics = admin
        .request_text(http::Request::get("/metrics").body(vec![]).unwrap())
        .await
        .unwrap();
    for line in [
        "serviceaccount_legacy_tokens_total 3",
        "serviceaccount_legacy_auto_token_uses_total 1",
        "serviceaccount_legacy_manual_token_uses_total 1",
        "serviceaccount_invalid_legacy_auto_token_uses_total 1",
        "serviceaccount_stale_tokens_total 1",
        "serviceaccount_valid_tokens_total 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
}

/// Takes one request over plain HTTP, says yes, and gives its head and body.
async fn take_one(listener: TcpListener) -> (String, Value) {
    let (tcp, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(tcp);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    stream.write_all(answer).await.unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn events_go_to_a_webhook_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taking = tokio::spawn(take_one(listener));
    let file = |name: &str| folder.path().join(name).display().to_string();
    let config = json!({
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}/k8s-audit")}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": ""}}], "current-context": "x",
    });
    std::fs::write(file("webhook"), config.to_string()).unwrap();
    let policy = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]});
    std::fs::write(file("policy"), policy.to_string()).unwrap();
    let flags = [
        format!("--audit-policy-file={}", file("policy")),
        format!("--audit-webhook-config-file={}", file("webhook")),
        "--audit-webhook-batch-max-wait=100ms".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let etcd = Etcd::start().await.unwrap();
    let _server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &flags)
        .await
        .unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(20), taking).await;
    let (head, body) = taken.unwrap().unwrap();
    assert!(head.starts_with("POST /k8s-audit"), "{head}");
    assert_eq!(body["kind"], "EventList");
}
