//! An API server over a real etcd with its administrator, for tests about what single requests are answered.

use crate::api_server::ApiServer;
use crate::etcd::Etcd;
use crate::exchange::{self, JSON};
use anyhow::Result;
use http::StatusCode;
use serde_json::Value;
use std::path::Path;

pub const MERGE: &str = "application/merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

/// A server over etcd, and its administrator.
pub struct Cluster {
    pub etcd: Etcd,
    pub server: ApiServer,
    pub admin: kube::Client,
}

/// The code and body of an answer, and its warnings.
#[derive(Clone, Debug)]
pub struct Told {
    pub code: StatusCode,
    /// A text if it is no JSON.
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Told {
    /// The body of a success; panics otherwise.
    #[track_caller]
    pub fn taken(self) -> Value {
        assert!(self.code.is_success(), "{} {}", self.code, self.body);
        self.body
    }

    /// The code and message of a refusal.
    pub fn refusal(&self) -> String {
        let message = self.body["message"].as_str().unwrap_or_default();
        format!("{} {message}", self.code.as_u16())
    }
}

impl Cluster {
    /// Starts both, with these arguments besides those that every server gets.
    ///
    /// # Errors
    ///
    /// One of them doesn't start.
    pub async fn start(binary: &Path, extra: &[&str]) -> Result<Self> {
        let etcd = Etcd::start().await?;
        let server = ApiServer::start(binary, &etcd, extra).await?;
        let admin = server.admin().await?;
        Ok(Self { etcd, server, admin })
    }

    /// One request of the administrator's; panics if it isn't answered.
    pub async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Told {
        told(exchange::send(&self.admin, method, path, content_type, body).await)
    }

    pub async fn post(&self, path: &str, body: Value) -> Told {
        self.send("POST", path, JSON, &body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Told {
        self.send("PUT", path, JSON, &body).await
    }

    pub async fn merge(&self, path: &str, body: Value) -> Told {
        self.send("PATCH", path, MERGE, &body).await
    }

    pub async fn apply(&self, path: &str, manager: &str, body: Value) -> Told {
        let path = format!("{path}?fieldManager={manager}");
        self.send("PATCH", &path, APPLY, &body).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.send("GET", path, JSON, &Value::Null).await
    }

    /// Reads in the given form.
    pub async fn get_as(&self, path: &str, accept: &str) -> Told {
        told(exchange::get_as(&self.admin, path, accept).await)
    }

    pub async fn delete(&self, path: &str) -> Told {
        self.send("DELETE", path, JSON, &Value::Null).await
    }
}

fn told(answer: Result<exchange::Answer>) -> Told {
    let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
    let warnings = answer.headers.get_all("warning").iter();
    let body = serde_json::from_slice(&answer.body).unwrap_or_else(|_| Value::from(answer.text()));
    Told {
        code: answer.status,
        warnings: warnings
            .map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned())
            .collect(),
        body,
    }
}
