//! A server that has just started and can't read the roles yet makes nobody believe that he has no rights.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

type Outcome = Result<Value, kube::Error>;

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap()
}

fn acting_as(user: &str, mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let user = user.parse().unwrap();
    request.headers_mut().insert("impersonate-user", user);
    request
}

fn may_i(verb: &str) -> http::Request<Vec<u8>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": verb, "resource": "namespaces" } },
    });
    http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .unwrap()
}

/// Asks until a server is there to answer.
async fn ask(client: &kube::Client, request: &http::Request<Vec<u8>>) -> Outcome {
    loop {
        match client.request(request.clone()).await {
            // Nobody listens yet.
            Err(kube::Error::Service(_) | kube::Error::HyperError(_)) => tokio::time::sleep(INTERVAL).await,
            answered => return answered,
        }
    }
}

/// Waits until the server holds at least this many requests that read, this question among them.
async fn holds(client: &kube::Client, count: u32) {
    let metric = "apiserver_current_inflight_requests{request_kind=\"readOnly\"} ";
    let held = async {
        loop {
            let metrics = client.request_text(get("/metrics")).await.unwrap_or_default();
            let held = metrics.lines().find_map(|line| line.strip_prefix(metric));
            if held.is_some_and(|held| held.parse().is_ok_and(|held: u32| held >= count)) {
                return;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, held).await;
    waited.unwrap_or_else(|_| panic!("the server never held {count} requests"));
}

async fn allow_reader(admin: &kube::Client) {
    let role = json!({
        "metadata": { "name": "reader" },
        "rules": [
            { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["list"] },
            { "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"] },
        ],
    });
    let subject =
        |name: &str| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name });
    let binding = json!({
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader" },
        "subjects": [subject("reader"), subject("colleague")],
    });
    let (role, binding) = (
        serde_json::from_value(role).unwrap(),
        serde_json::from_value(binding).unwrap(),
    );
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    roles.create(&PostParams::default(), &role).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    bindings.create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_roles_would_allow_waits_for_them_and_is_not_refused() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    allow_reader(&admin).await;
    let reader = server.client("reader", &[]).await.unwrap();
    // Nothing can be read from here on, so neither can roles.
    server.kill();
    etcd.freeze(0, true).unwrap();
    let list = get("/api/v1/namespaces");
    let other = acting_as("colleague", get("/api/v1/namespaces"));
    let (discovery, question, unknown) = (get("/apis"), may_i("list"), may_i("delete"));
    let asking = async {
        tokio::join!(
            ask(&reader, &list),
            ask(&reader, &other),
            ask(&reader, &discovery),
            ask(&reader, &question),
            ask(&reader, &unknown)
        )
    };
    let thawing = async {
        // One of the list and discovery, a probe, and the question for metrics itself.
        holds(&admin, 3).await;
        etcd.freeze(0, false).unwrap();
    };
    let restarting = server.restart(Path::new(BINARY), &etcd, &[]);
    let (restarted, (list, other, discovery, may, may_not), ()) = tokio::join!(restarting, asking, thawing);
    restarted.unwrap();
    for listed in [list, other] {
        assert_eq!(listed.unwrap()["kind"], "NamespaceList");
    }
    assert_eq!(discovery.unwrap()["kind"], "APIGroupList");
    assert_eq!(may.unwrap()["status"]["allowed"], true);
    assert_eq!(may_not.unwrap()["status"]["allowed"], false);
}
