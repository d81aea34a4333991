//! What a webhook on this machine adds to the time of a write.

use crate::client::{Ask, Connection, JSON};
use crate::load;
use crate::objects::{NAMESPACE, configmap};
use crate::report::Report;
use crate::rows::Bench;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use http::Method;
use serde_json::json;
use std::time::Duration;
use testkit::cluster_pki::ClusterPki;
use testkit::webhook::{Answer, WebhookServer};

/// Added at the median, ms.
const TARGET: f64 = 2.0;
/// Until a configuration is followed.
const PATIENCE: Duration = Duration::from_secs(10);
const NAME: &str = "bench-api";

/// One row for each kind of webhook: the median of writes with it, less that without.
pub async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let pki = ClusterPki::write(directory.path())?;
    let webhook = WebhookServer::start(&pki, &[], |seen| {
        let response = json!({ "uid": seen.body["request"]["uid"], "allowed": true });
        Answer::ok(
            json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response }),
        )
    })
    .await?;
    let bundle = std::fs::read(pki.file("ca.crt"))?;
    let connection = bench.client.connect().await?;
    let create = configmap(NAME, 0).to_string();
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    connection
        .drain(&Ask::send(Method::POST, path.as_str(), JSON, create))
        .await?;
    let object = format!("{path}/{NAME}");
    let median = async || {
        let path = object.clone();
        let put = move |number: usize| {
            let body = configmap(NAME, number + 1).to_string();
            Ask::send(Method::PUT, path.as_str(), JSON, body)
        };
        let measure = load::run(bench.client, bench.process, bench.options.requests / 8, 1, put).await?;
        anyhow::Ok(measure.percentile(0.5).as_secs_f64() * 1e3)
    };
    for (kind, collection) in [
        ("mutating", "mutatingwebhookconfigurations"),
        ("validating", "validatingwebhookconfigurations"),
    ] {
        let without = median().await?;
        let hooks = format!("/apis/admissionregistration.k8s.io/v1/{collection}");
        let configuration = configuration(&webhook.url("/"), &bundle).to_string();
        connection
            .drain(&Ask::send(Method::POST, hooks.as_str(), JSON, configuration))
            .await?;
        let with = async {
            until_asked(&connection, &object, &webhook).await?;
            median().await
        };
        let with = with.await;
        let remove = Ask::send(Method::DELETE, format!("{hooks}/{NAME}"), JSON, "");
        connection.drain(&remove).await?;
        let name = format!("{kind} webhook: added to a PUT of 8 KB, p50");
        report.figure(&name, with? - without, "ms", TARGET);
    }
    Ok(())
}

/// A webhook for changes of configmaps in the bench's namespace.
fn configuration(url: &str, bundle: &[u8]) -> serde_json::Value {
    json!({
        "metadata": { "name": NAME },
        "webhooks": [{
            "name": "bench.example.com",
            "clientConfig": { "url": url, "caBundle": base64::engine::general_purpose::STANDARD.encode(bundle) },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"] }],
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": NAMESPACE } },
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }],
    })
}

async fn until_asked(connection: &Connection, object: &str, webhook: &WebhookServer) -> Result<()> {
    let asked = webhook.seen().len();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut number = 1_000_000;
    while webhook.seen().len() == asked {
        ensure!(
            tokio::time::Instant::now() < deadline,
            "the webhook was not asked within {PATIENCE:?}"
        );
        number += 1;
        let body = configmap(NAME, number).to_string();
        let put = Ask::send(Method::PUT, object, JSON, body);
        connection.drain(&put).await.context("waiting for the webhook")?;
    }
    Ok(())
}
