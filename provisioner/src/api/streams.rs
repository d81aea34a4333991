use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Api;

const TIMEOUT: Duration = Duration::from_secs(60);

impl Api {
    /// An answer that is no JSON, such as logs and metrics.
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        let body = self.send(Method::GET, path, "application/json", Vec::new())?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends a JSON body, or none when it is null, and reads the JSON answer.
    pub fn exchange(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let answer = self.send(method.clone(), path, "application/json", bytes)?;
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path} was not answered with JSON"))
    }

    fn limited<T>(&self, what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        self.runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, work).await })
            .with_context(|| format!("{what} took longer than {} s", TIMEOUT.as_secs()))?
            .with_context(|| what.to_owned())
    }

    fn pods(&self, namespace: &str) -> kube::Api<Pod> {
        kube::Api::namespaced(self.client.clone(), namespace)
    }

    /// Runs a command in a pod's only container; what it printed, or an error with what it complained about.
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> anyhow::Result<String> {
        let pods = self.pods(namespace);
        self.limited(&format!("exec in {pod}"), async move {
            let parameters = AttachParams::default().stdin(false).stdout(true).stderr(true);
            let mut process = pods.exec(pod, command.iter().copied(), &parameters).await?;
            let ended = process.take_status().context("there is no status")?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let mut readers = (
                process.stdout().context("there is no output")?,
                process.stderr().context("there is no error output")?,
            );
            tokio::try_join!(
                readers.0.read_to_end(&mut stdout),
                readers.1.read_to_end(&mut stderr)
            )?;
            let status = ended.await;
            process.join().await?;
            let failed = status.filter(|status| status.status.as_deref() == Some("Failure"));
            if let Some(status) = failed {
                let said = String::from_utf8_lossy(&stderr);
                anyhow::bail!("{} {}", said.trim(), status.message.unwrap_or_default());
            }
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        })
    }

    /// Sends `request` to a port of a pod and reads the answer to its end.
    pub fn through_port(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        request: &[u8],
    ) -> anyhow::Result<String> {
        let pods = self.pods(namespace);
        self.limited(&format!("port-forward to {pod}:{port}"), async move {
            let mut forwarder = pods.portforward(pod, &[port]).await?;
            let mut stream = forwarder.take_stream(port).context("there is no stream")?;
            stream.write_all(request).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            drop(stream);
            Ok(String::from_utf8_lossy(&answer).into_owned())
        })
    }
}
