//! Webhooks and policies that nobody can read: what they might be about must not pass.

use crate::bench::{Bench, CONFIGURATIONS, MAPS};
use crate::policies::maps;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::exchange::{self, Answer, JSON};

const PATIENCE: Duration = Duration::from_secs(30);
const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const KINDS: [&str; 6] = [
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{kind}s"),
    }
}

struct Cluster {
    etcd: etcd_client::Client,
    client: kube::Client,
    server: ApiServer,
    running: Etcd,
}

impl Cluster {
    /// With what is in etcd before the server starts.
    async fn with(stored: &[(&str, Value)]) -> Self {
        let running = Etcd::start().await.unwrap();
        let mut etcd = etcd_client::Client::connect(running.endpoints(), None)
            .await
            .unwrap();
        for (key, object) in stored {
            etcd.put(*key, object.to_string(), None).await.unwrap();
        }
        let server = ApiServer::start(Path::new(BINARY), &running, &[]).await.unwrap();
        let client = server.admin().await.unwrap();
        Self {
            etcd,
            client,
            server,
            running,
        }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        exchange::send(&self.client, method, path, JSON, body)
            .await
            .unwrap()
    }

    /// Waits until a config map that isn't stored is answered so.
    async fn until(&self, status: u16, told: &str) {
        let map = json!({"metadata": {"name": "m"}});
        let path = format!("{MAPS}?dryRun=All");
        testkit::eventually(PATIENCE, "config maps are answered otherwise", async || {
            let answer = self.send("POST", &path, &map).await;
            let text = answer.text();
            let as_wanted = answer.status == status && text.contains(told);
            (!as_wanted).then(|| format!("{}: {text}", answer.status))
        })
        .await;
    }
}

fn key(kind: &str, name: &str) -> String {
    format!("/registry/{}/{name}", plural(kind))
}

/// In a version that nobody knows.
fn strange(kind: &str, name: &str) -> Value {
    json!({ "apiVersion": "admissionregistration.k8s.io/v9", "kind": kind, "metadata": { "name": name } })
}

#[tokio::test]
async fn nothing_passes_that_an_unreadable_one_might_be_about() {
    let kind = KINDS[0];
    let mut cluster = Cluster::with(&[(&key(kind, "odd"), strange(kind, "odd"))]).await;
    let refused = |kind: &str, name: &str| {
        format!("forbidden: not yet ready to handle request: {kind} \\\"{name}\\\" can't be read")
    };
    cluster.until(403, &refused(kind, "odd")).await;
    // Whoever repairs it has to get through, and nobody else is told more than its name.
    let spec = json!({"matchConstraints": maps(), "validations": [{"expression": "true"}]});
    let object = json!({"metadata": {"name": "other"}, "spec": spec});
    let policies = format!("{CONFIGURATIONS}/validatingadmissionpolicies");
    let answer = cluster.send("POST", &policies, &object).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = cluster
        .send("DELETE", &format!("{policies}/other"), &Value::Null)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let space = cluster
        .send("POST", "/api/v1/namespaces", &json!({"metadata": {"name": "n"}}))
        .await;
    assert_eq!(space.status, 403, "{}", space.text());
    assert!(
        cluster.server.log().contains("which is not read"),
        "{}",
        cluster.server.log()
    );
    cluster.etcd.delete(key(kind, "odd"), None).await.unwrap();
    cluster.until(201, "").await;

    // While the server runs, of each kind.
    for kind in KINDS {
        let object = strange(kind, "late").to_string();
        cluster.etcd.put(key(kind, "late"), object, None).await.unwrap();
        cluster.until(403, &refused(kind, "late")).await;
        cluster.etcd.delete(key(kind, "late"), None).await.unwrap();
        cluster.until(201, "").await;
    }

    // Readable, but of a list that is none nothing would be enforced; such an object can be deleted.
    let kind = "MutatingWebhookConfiguration";
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {
        "name": "mistyped", "uid": "00000000-0000-4000-8000-000000000001", "creationTimestamp": "2020-02-21T12:38:19Z",
    }, "webhooks": "none"});
    let stored = key(kind, "mistyped");
    cluster.etcd.put(stored, object.to_string(), None).await.unwrap();
    cluster.until(403, &refused(kind, "mistyped")).await;
    let path = format!("{CONFIGURATIONS}/{}/mistyped", plural(kind));
    let answer = cluster.send("DELETE", &path, &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    cluster.until(201, "").await;
    drop(cluster.running);
}

#[tokio::test]
async fn what_was_known_of_it_before_goes_on() {
    let bench = Bench::start(crate::policies::answer).await;
    let spec =
        json!({"matchConstraints": maps(), "validations": [{"expression": "object.metadata.name != 'bad'"}]});
    let binding = json!({"validationActions": ["Deny"]});
    bench
        .bound("ValidatingAdmissionPolicy", "kept", spec, binding)
        .await;
    bench.acts("kept").await;
    let mut etcd = bench.direct().await;
    for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
        let object = strange(kind, "kept").to_string();
        etcd.put(key(kind, "kept"), object, None).await.unwrap();
        let one = format!("{CONFIGURATIONS}/{}/kept", plural(kind));
        testkit::eventually(PATIENCE, "it is read", async || {
            let (code, body, _) = bench.send("GET", &one, JSON, None).await;
            (code != 500).then(|| body.to_string())
        })
        .await;
    }
    // Another change of both kinds, so that both were read anew.
    bench.acts("after").await;
    let named = |name: &str| json!({"metadata": {"name": name}});
    let (code, body, _) = bench.post(MAPS, &named("bad")).await;
    assert_eq!(code, 422, "{body}");
    assert_eq!(bench.post(MAPS, &named("good")).await.0, 201);
}
