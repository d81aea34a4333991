//! Requests to the API server from inside the lab's network.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Api {
    client: kube::Client,
    kubeconfig: std::path::PathBuf,
}

/// An answer's status and text.
pub(crate) type Answer = (u16, String);

impl Api {
    pub(crate) async fn open(kubeconfig: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let config = Kubeconfig::read_from(kubeconfig)?;
        let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        // Cases that expect a 503 would wait for another answer.
        config.default_retry = false;
        Ok(Self {
            client: kube::Client::try_from(config)?,
            kubeconfig: kubeconfig.to_owned(),
        })
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let content_type = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        self.ask_with(method, path, body, content_type).await
    }

    pub(crate) async fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        content_type: &str,
    ) -> Result<Answer, String> {
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(kube::client::Body::from(body))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self
                .client
                .send(request)
                .await
                .map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let bytes = response
                .into_body()
                .collect_bytes()
                .await
                .map_err(|error| error.to_string())?;
            Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| format!("{method} {path}: no answer within {PATIENCE:?}"))?
    }

    /// The object in an answer that must be a success.
    pub(crate) async fn object(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, String> {
        let (status, text) = self.ask(method, path, body).await?;
        if !(200..300).contains(&status) {
            return Err(format!("{method} {path}: {status} {text}"));
        }
        serde_json::from_str(&text).map_err(|error| format!("{method} {path}: {error}: {text}"))
    }

    /// kubectl, which speaks exec's protocol: the exit code and what was said.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<(i32, String), String> {
        let output = tokio::process::Command::new("kubectl")
            .env("KUBECONFIG", &self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .map_err(|_| format!("kubectl {arguments:?}: not within {PATIENCE:?}"))?
            .map_err(|error| format!("kubectl: {error}"))?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((output.status.code().unwrap_or(-1), said))
    }
}
