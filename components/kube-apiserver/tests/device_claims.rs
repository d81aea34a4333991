//! Claims for devices: access as an administrator, and who may write which part of their status.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const GROUP: &str = "/apis/resource.k8s.io/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const DRIVER: &str = "gpu.example.com";

/// Somebody who sends requests: a client, and whom it acts as.
struct Sender<'a> {
    client: &'a kube::Client,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> From<&'a kube::Client> for Sender<'a> {
    fn from(client: &'a kube::Client) -> Self {
        Self {
            client,
            headers: Vec::new(),
        }
    }
}

impl Sender<'_> {
    /// The answer's code, and its object or message.
    async fn send(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let form = if method == "PATCH" {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let request = request
            .header("content-type", form)
            .body(body.to_string().into_bytes())
            .unwrap();
        match self.client.request::<Value>(request).await {
            Ok(answer) => (StatusCode::OK, answer),
            Err(kube::Error::Api(status)) => {
                let code = StatusCode::from_u16(status.code).unwrap();
                (code, json!(status.message))
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn make(&self, path: &str, object: Value) {
        let (code, answer) = self.send("POST", path, &object).await;
        assert!(code.is_success(), "{path}: {answer}");
    }

    /// Refused as an object that is not valid, for this reason.
    async fn is_refused(&self, method: &str, path: &str, body: &Value, why: &str) {
        let (code, message) = self.send(method, path, body).await;
        assert_eq!(
            (code.as_u16(), message.as_str()),
            (422, Some(why)),
            "{path}: {body}"
        );
    }

    /// Taken, as soon as the rights that it needs are known.
    async fn is_taken(&self, method: &str, path: &str, body: &Value) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (code, answer) = self.send(method, path, body).await;
            if code.is_success() {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path}: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn claim(kind: &str, namespace: &str, name: &str, admin: bool) -> Value {
    let exactly = json!({"deviceClassName": "gpus", "adminAccess": admin});
    let spec = json!({"devices": {"requests": [
        {"name": "first", "exactly": {"deviceClassName": "gpus"}}, {"name": "gpu", "exactly": exactly},
    ]}});
    let spec = if kind == "ResourceClaim" {
        spec
    } else {
        json!({ "spec": spec })
    };
    json!({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn status(allocation: &Value) -> Value {
    json!({"status": {"allocation": allocation}})
}

/// Devices of a driver for one node.
fn allocation(node: &str, devices: &[&str]) -> Value {
    let result = |device: &&str| json!({"request": "gpu", "driver": DRIVER, "pool": node, "device": device});
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    json!({
        "devices": {"results": devices.iter().map(result).collect::<Vec<_>>()},
        "nodeSelector": {"nodeSelectorTerms": [term]},
    })
}

#[tokio::test]
async fn devices_of_others_are_for_namespaces_with_a_label() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let admin = Sender::from(&admin);
    for (name, labels) in [
        ("plain", json!({})),
        ("other", json!({"resource.kubernetes.io/admin-access": "yes"})),
        ("trusted", json!({"resource.kubernetes.io/admin-access": "true"})),
    ] {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        admin.make("/api/v1/namespaces", namespace).await;
    }
    const NEEDS: &str = "Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    for (kind, plural) in [
        ("ResourceClaim", "resourceclaims"),
        ("ResourceClaimTemplate", "resourceclaimtemplates"),
    ] {
        for namespace in ["plain", "other"] {
            let path = format!("{GROUP}/namespaces/{namespace}/{plural}");
            let why = format!(
                "{kind}.resource.k8s.io \"a\" is invalid: spec.devices.requests[1].adminAccess: {NEEDS}"
            );
            admin
                .is_refused("POST", &path, &claim(kind, namespace, "a", true), &why)
                .await;
            admin.make(&path, claim(kind, namespace, "b", false)).await;
        }
        let path = format!("{GROUP}/namespaces/trusted/{plural}");
        admin.make(&path, claim(kind, "trusted", "a", true)).await;
    }
    // Together with what is wrong in the object itself, which comes after.
    let mut wrong = claim("ResourceClaim", "plain", "a", true);
    wrong["spec"]["devices"]["requests"][0] = json!({"name": "first"});
    let why = format!(
        "ResourceClaim.resource.k8s.io \"a\" is invalid: [spec.devices.requests[1].adminAccess: {NEEDS}, spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required]"
    );
    let path = format!("{GROUP}/namespaces/plain/resourceclaims");
    admin.is_refused("POST", &path, &wrong, &why).await;

    let mut allocated = allocation("n", &["x", "y"]);
    allocated["devices"]["results"][1]["adminAccess"] = json!(true);
    let why = format!(
        "ResourceClaim.resource.k8s.io \"b\" is invalid: status.allocation.devices.results[1].adminAccess: {NEEDS}"
    );
    let of =
        |namespace: &str, name: &str| format!("{GROUP}/namespaces/{namespace}/resourceclaims/{name}/status");
    admin
        .is_refused("PATCH", &of("plain", "b"), &status(&allocated), &why)
        .await;
    admin
        .is_taken("PATCH", &of("trusted", "a"), &status(&allocated))
        .await;
    // What was given stays, whatever the namespace has become.
    let unlabelled = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": null}}});
    admin
        .is_taken("PATCH", "/api/v1/namespaces/trusted", &unlabelled)
        .await;
    let used = json!({"status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}]}});
    admin.is_taken("PATCH", &of("trusted", "a"), &used).await;
}

/// Lets users of these names do something everywhere.
async fn allow(admin: &Sender<'_>, role: &str, users: &[&str], rule: Value) {
    let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role}, "rules": [rule]});
    admin.make(&format!("{RBAC}/clusterroles"), object).await;
    let subjects: Vec<Value> = users
        .iter()
        .map(|user| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}))
        .collect();
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": subjects,
    });
    admin.make(&format!("{RBAC}/clusterrolebindings"), object).await;
}

fn rule(subresource: &str, verbs: &[&str]) -> Value {
    json!({"apiGroups": ["resource.k8s.io"], "resources": [format!("resourceclaims/{subresource}")], "verbs": verbs})
}

/// A client with a token of the service account for a pod on a node.
async fn bound_to_node(server: &ApiServer, admin: &Sender<'_>, node: &str) -> kube::Client {
    admin
        .make(
            "/api/v1/nodes",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}),
        )
        .await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin
        .make(
            accounts,
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "driver"}}),
        )
        .await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "driver"}, "spec": {
        "nodeName": node, "serviceAccountName": "driver", "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "i"}],
    }});
    admin.make("/api/v1/namespaces/default/pods", pod).await;
    let wanted = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "audiences": [], "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "driver"},
    }});
    let made = admin
        .is_taken("POST", &format!("{accounts}/driver/token"), &wanted)
        .await;
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority": server.pki().file("ca.crt")}}],
        "users": [{"name": "u", "user": {"token": made["status"]["token"]}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let kubeconfig: kube::config::Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

const ACCOUNT: &str = "system:serviceaccount:default:driver";
const CLAIM: &str = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/a/status";

#[tokio::test]
async fn parts_of_a_status_are_for_who_may_write_them() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let client = server.admin().await.unwrap();
    let admin = Sender::from(&client);
    let eve = server.client("eve", &[]).await.unwrap();
    let eve = Sender::from(&eve);
    let near = bound_to_node(&server, &admin, "n").await;
    let near = Sender::from(&near);
    let far = Sender {
        client: &client,
        headers: vec![
            ("Impersonate-User", ACCOUNT),
            ("Impersonate-Extra-Authentication.kubernetes.io%2Fnode-name", "m"),
        ],
    };
    allow(
        &admin,
        "writers",
        &["eve", ACCOUNT],
        rule("status", &["update", "patch"]),
    )
    .await;
    let path = format!("{GROUP}/namespaces/default/resourceclaims");
    admin
        .make(&path, claim("ResourceClaim", "default", "a", false))
        .await;
    // Known as soon as what changes nothing is taken.
    eve.is_taken("PATCH", CLAIM, &json!({})).await;

    let invalid = |why: &str| format!("ResourceClaim.resource.k8s.io \"a\" is invalid: {why}");
    let binding = |verb: &str| {
        invalid(&format!(
            "status: Forbidden: changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", verb=\"{verb}\" permission: resourceclaims.resource.k8s.io is forbidden: User \"eve\" cannot {verb} resource \"resourceclaims/binding\" in API group \"resource.k8s.io\" at the cluster scope"
        ))
    };
    let allocated = status(&allocation("n", &["x", "y"]));
    eve.is_refused("PATCH", CLAIM, &allocated, &binding("patch"))
        .await;
    let mut whole = admin.send("GET", CLAIM, &Value::Null).await.1;
    whole["status"] = allocated["status"].clone();
    eve.is_refused("PUT", CLAIM, &whole, &binding("update")).await;
    admin.is_taken("PATCH", CLAIM, &allocated).await;
    let used = json!({"status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "1"}]}});
    eve.is_refused("PATCH", CLAIM, &used, &binding("patch")).await;
    eve.is_refused(
        "PATCH",
        CLAIM,
        &json!({"status": {"allocation": null}}),
        &binding("patch"),
    )
    .await;

    let ready = |devices: &[&str]| {
        let device =
            |device: &&str| json!({"driver": DRIVER, "pool": "n", "device": device, "data": {"ready": true}});
        json!({"status": {"devices": devices.iter().map(device).collect::<Vec<_>>()}})
    };
    let driver = |user: &str, verbs: &str, first: &str| {
        invalid(&format!(
            "status.devices: Forbidden: changing status.devices requires resource=\"resourceclaims/driver\", verb=\"[{verbs}]\" permission: resourceclaims.resource.k8s.io \"{DRIVER}\" is forbidden: User \"{user}\" cannot {first} resource \"resourceclaims/driver\" in API group \"resource.k8s.io\" in the namespace \"default\""
        ))
    };
    let arbitrary = |user: &str| driver(user, "arbitrary-node:patch", "arbitrary-node:patch");
    let either = driver(
        ACCOUNT,
        "associated-node:patch arbitrary-node:patch",
        "associated-node:patch",
    );
    eve.is_refused("PATCH", CLAIM, &ready(&["x"]), &arbitrary("eve"))
        .await;
    far.is_refused("PATCH", CLAIM, &ready(&["x"]), &arbitrary(ACCOUNT))
        .await;
    near.is_refused("PATCH", CLAIM, &ready(&["x"]), &either).await;
    // What is wrong in the object comes after what its writer may not.
    let message = eve.send("PATCH", CLAIM, &ready(&["z"])).await.1;
    let message = message.as_str().unwrap();
    assert!(
        message.contains("is invalid: [status.devices: Forbidden: ")
            && message.ends_with("must be an allocated device in the claim]"),
        "{message}"
    );

    // On its own node.
    let mut own = rule("driver", &["associated-node:patch"]);
    own["resourceNames"] = json!([DRIVER]);
    allow(&admin, "own-node", &["eve", ACCOUNT], own).await;
    near.is_taken("PATCH", CLAIM, &ready(&["x"])).await;
    far.is_refused("PATCH", CLAIM, &ready(&["y"]), &arbitrary(ACCOUNT))
        .await;
    eve.is_refused("PATCH", CLAIM, &ready(&["y"]), &arbitrary("eve"))
        .await;
    // Everywhere, for another driver and for this one.
    let mut others = rule("driver", &["arbitrary-node:patch"]);
    others["resourceNames"] = json!(["nic.example.com"]);
    allow(&admin, "others", &["eve"], others).await;
    eve.is_refused("PATCH", CLAIM, &ready(&["y"]), &arbitrary("eve"))
        .await;
    allow(
        &admin,
        "all",
        &["eve"],
        rule("driver", &["arbitrary-node:*", "arbitrary-node:patch"]),
    )
    .await;
    eve.is_taken("PATCH", CLAIM, &ready(&["x", "y"])).await;

    // Who may bind may free devices; that what was told of these goes with them is not for drivers alone.
    let bob = server.client("bob", &[]).await.unwrap();
    let bob = Sender::from(&bob);
    allow(&admin, "free-writers", &["bob"], rule("status", &["patch"])).await;
    allow(&admin, "binders", &["bob"], rule("binding", &["patch"])).await;
    let freed = bob
        .is_taken("PATCH", CLAIM, &json!({"status": {"allocation": null}}))
        .await;
    assert_eq!(freed["status"], json!({}));
}

#[tokio::test]
async fn without_the_gate_a_status_is_written_as_a_whole() {
    let etcd = Etcd::start().await.unwrap();
    let flags = ["--feature-gates=DRAResourceClaimGranularStatusAuthorization=false"];
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let client = server.admin().await.unwrap();
    let admin = Sender::from(&client);
    let eve = server.client("eve", &[]).await.unwrap();
    let eve = Sender::from(&eve);
    allow(&admin, "writers", &["eve"], rule("status", &["patch"])).await;
    let path = format!("{GROUP}/namespaces/default/resourceclaims");
    admin
        .make(&path, claim("ResourceClaim", "default", "a", false))
        .await;
    eve.is_taken("PATCH", CLAIM, &status(&allocation("n", &["x"])))
        .await;
}
