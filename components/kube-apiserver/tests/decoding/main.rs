//! What the server says about bodies and queries that are not quite right, over a real etcd.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

mod amounts;
mod field_validation;
mod selectors;
mod subresources;

use serde_json::Value;
use std::path::Path;
use testkit::cluster::Cluster;

pub struct Bench {
    pub cluster: Cluster,
}

pub struct Answered {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Bench {
    pub async fn start() -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
        Self {
            cluster: Cluster::start(binary, &[]).await.unwrap(),
        }
    }

    pub async fn send(&self, method: &str, path: &str, media: &str, body: &str) -> Answered {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", media)
            .body(kube::client::Body::from(body.as_bytes().to_vec()))
            .unwrap();
        let (parts, body) = self.cluster.admin.send(request).await.unwrap().into_parts();
        let warnings = parts.headers.get_all("warning").iter();
        Answered {
            code: parts.status.as_u16(),
            body: serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap_or_default(),
            warnings: warnings.map(|value| value.to_str().unwrap().to_owned()).collect(),
        }
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, "application/json", "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        let answered = self
            .send("POST", path, "application/json", &body.to_string())
            .await;
        assert_eq!(answered.code, 201, "{path}: {}", answered.body);
        answered
    }
}
