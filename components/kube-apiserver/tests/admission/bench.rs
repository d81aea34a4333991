//! An API server, a webhook, and requests to the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::webhook::{Answer, Seen, WebhookServer};

pub const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";

pub struct Bench {
    etcd: Etcd,
    pub server: ApiServer,
    pub client: kube::Client,
    pub webhook: WebhookServer,
}

/// Code, body, and the texts of warnings.
pub type Answered = (u16, Value, Vec<String>);

impl Bench {
    pub async fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(&[], answer).await
    }

    /// With more flags.
    pub async fn with(flags: &[&str], answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let etcd = Etcd::start().await.unwrap();
        // Another build, such as a release, may be measured by its path.
        let other = std::env::var_os("KUBE_APISERVER");
        let binary = other
            .as_deref()
            .map_or(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), Path::new);
        let server = ApiServer::start(binary, &etcd, flags).await.unwrap();
        let client = server.admin().await.unwrap();
        let webhook = WebhookServer::start(server.pki(), &["hook.default.svc"], answer)
            .await
            .unwrap();
        Self {
            etcd,
            server,
            client,
            webhook,
        }
    }

    pub async fn send(&self, method: &str, path: &str, content: &str, body: Option<&Value>) -> Answered {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content);
        self.ask(request, body).await
    }

    /// A client of the server's etcd.
    pub async fn direct(&self) -> etcd_client::Client {
        let endpoints = self.etcd.endpoints();
        etcd_client::Client::connect(endpoints, None).await.unwrap()
    }

    /// A new object of somebody else.
    pub async fn post_as(&self, user: &str, path: &str, body: &Value) -> Answered {
        let request = http::Request::post(path)
            .header("content-type", "application/json")
            .header("impersonate-user", user);
        self.ask(request, Some(body)).await
    }

    async fn ask(&self, request: http::request::Builder, body: Option<&Value>) -> Answered {
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = request.body(kube::client::Body::from(body)).unwrap();
        let response = self.client.send(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let warnings = parts
            .headers
            .get_all("warning")
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect();
        let bytes = body.collect_bytes().await.unwrap();
        let value = serde_json::from_slice(&bytes).unwrap_or_default();
        (parts.status.as_u16(), value, warnings)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        self.send("POST", path, "application/json", Some(body)).await
    }

    /// Roles reach the authorizer by a watch: waits until somebody may do something with config maps.
    pub async fn until_allowed(&self, user: &str, verb: &str) {
        let review = json!({"spec": {"user": user, "resourceAttributes": {
            "verb": verb, "resource": "configmaps", "namespace": "default"}}});
        let reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.post(reviews, &review).await.1["status"]["allowed"] != true {
            assert!(Instant::now() < deadline, "{user} may not {verb} config maps");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn merge(&self, path: &str, body: &Value) -> Answered {
        self.send("PATCH", path, "application/merge-patch+json", Some(body))
            .await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        self.send("DELETE", path, "application/json", None).await
    }

    pub fn client_config(&self, path: &str) -> Value {
        let bundle = std::fs::read(self.server.pki().file("ca.crt")).unwrap();
        json!({"url": self.webhook.url(path), "caBundle": STANDARD.encode(bundle)})
    }

    /// A webhook for config maps; `more` overrides.
    pub fn hook(&self, name: &str, path: &str, more: Value) -> Value {
        let mut hook = json!({
            "name": name,
            "clientConfig": self.client_config(path),
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}],
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        });
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        hook
    }

    pub async fn configure(&self, kind: &str, name: &str, hooks: Vec<Value>) {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "webhooks": hooks,
        });
        let plural = format!("{}s", kind.to_lowercase());
        let (code, body, _) = self.post(&format!("{CONFIGURATIONS}/{plural}"), &object).await;
        assert_eq!(code, 201, "{body}");
        self.settled(name).await;
    }

    /// Configurations reach admission by a watch: waits until a marker configuration made afterwards acts.
    pub async fn settled(&self, name: &str) {
        // Each has a name of its own: the one before may still act after it was deleted.
        static MARKERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}", MARKERS.fetch_add(1, Ordering::Relaxed));
        let marker = format!("marker-{name}");
        let mut hook = self.hook("marker.example.com", "/deny", json!({}));
        hook["namespaceSelector"] = json!({});
        hook["objectSelector"] = json!({"matchLabels": {"marker": &name}});
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": marker},
            "webhooks": [hook],
        });
        let path = format!("{CONFIGURATIONS}/validatingwebhookconfigurations");
        assert_eq!(self.post(&path, &object).await.0, 201);
        let probe = json!({"metadata": {"name": "probe", "labels": {"marker": name}}});
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (code, body, _) = self.post(&format!("{MAPS}?dryRun=All"), &probe).await;
            if code >= 400 {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "the configuration does not act: {body}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.delete(&format!("{path}/{marker}")).await.0, 200);
    }
}
