use std::future::Future;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::Value;
use testkit::api_server::{ApiServer, binary};
use testkit::etcd::Etcd;

const PATIENCE: Duration = Duration::from_secs(40);

/// etcd, an API server and a controller manager, which end with it.
pub struct Cluster {
    manager: Child,
    pub api: ApiServer,
    pub client: Client,
    _etcd: Etcd,
}

impl Cluster {
    /// With only these controllers, so that a test says what it is about.
    pub async fn start(controllers: &str) -> Self {
        let etcd = Etcd::start().await.unwrap();
        let api = ApiServer::start(&binary().unwrap(), &etcd, &[]).await.unwrap();
        let client = api.admin().await.unwrap();
        let kubeconfig = api.kubeconfig("system:kube-controller-manager", &[]).unwrap();
        let file = |name: &str| api.pki().file(name).display().to_string();
        let log = std::fs::File::create(api.pki().file("manager.log")).unwrap();
        let manager = Command::new(env!("CARGO_BIN_EXE_kube-controller-manager"))
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--controllers={controllers}"))
            .arg(format!("--root-ca-file={}", file("ca.crt")))
            .arg(format!("--service-account-private-key-file={}", file("sa.key")))
            .args([
                "--use-service-account-credentials=true",
                "--leader-elect=false",
                "--secure-port=0",
            ])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            manager,
            api,
            client,
            _etcd: etcd,
        }
    }

    /// Status code and body of an answer.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(&self.client, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        let (code, found) = self.ask("GET", path, &Value::Null).await;
        match code {
            200 => Some(found),
            404 => None,
            _ => panic!("GET {path}: {code} {found}"),
        }
    }

    pub async fn create(&self, path: &str, object: &Value) -> Value {
        let (code, answer) = self.ask("POST", path, object).await;
        assert_eq!(code, 201, "POST {path}: {answer}");
        answer
    }

    /// A merge patch.
    pub async fn patch(&self, path: &str, patch: &Value) -> Value {
        let (code, answer) = self.ask("PATCH", path, patch).await;
        assert_eq!(code, 200, "PATCH {path}: {answer}");
        answer
    }

    pub async fn delete(&self, path: &str) {
        let (code, answer) = self.ask("DELETE", path, &Value::Null).await;
        assert!(code == 200 || code == 202, "DELETE {path}: {code} {answer}");
    }

    /// Waits until the object at `path`, or its absence, is what `fits` says.
    pub async fn until(
        &self,
        path: &str,
        what: &str,
        fits: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(path).await;
            if fits(seen.as_ref()) {
                return seen;
            }
            assert!(
                Instant::now() < deadline,
                "{path}: {what}; last seen: {seen:?}; log: {}",
                self.log()
            );
            pause().await;
        }
    }

    pub async fn until_gone(&self, path: &str) {
        self.until(path, "gone", |object| object.is_none()).await;
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.api.pki().file("manager.log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ = self.manager.kill();
        let _ = self.manager.wait();
    }
}

/// Waits until `wrong` has nothing to say.
pub async fn eventually<F: Future<Output = Option<String>>>(what: &str, mut wrong: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(seen) = wrong().await {
        assert!(Instant::now() < deadline, "{what}: {seen}");
        pause().await;
    }
}

/// Between two looks at a condition.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

pub async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let content = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let answer = testkit::exchange::send(client, method, path, content, body)
        .await
        .unwrap();
    (answer.status.as_u16(), answer.json())
}
