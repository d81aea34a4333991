//! The rows that any running server can be measured by.

use crate::Options;
use crate::client::{Ask, Client, Connection, JSON, PROTOBUF};
use crate::load::{self, Measure};
use crate::objects::{GROUP, NAMESPACE, configmap, pod};
use crate::process::Process;
use crate::report::{Report, Row};
use crate::{watching, webhooks};
use anyhow::{Result, ensure};
use http::Method;
use serde_json::json;

const STRATEGIC: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
/// Target of every write, µs of CPU.
const WRITE: f64 = 150.0;

/// Measures every row and removes what it made.
pub async fn measure(
    client: &Client,
    process: &Process,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let connection = client.connect().await?;
    prepare(&connection).await?;
    let bench = Bench {
        client,
        process,
        options,
    };
    bench.populate(report).await?;
    bench.reads(report).await?;
    bench.writes(report).await?;
    if bench.wanted("webhook") {
        webhooks::measure(&bench, report).await?;
    }
    if bench.wanted("watch") {
        watching::measure(client, process, options, report).await?;
    }
    let delete = Ask::send(
        Method::DELETE,
        format!("/api/v1/namespaces/{NAMESPACE}/pods?gracePeriodSeconds=0"),
        JSON,
        "",
    );
    connection.drain(&delete).await?;
    connection
        .drain(&Ask::send(
            Method::DELETE,
            format!("/api/v1/namespaces/{NAMESPACE}"),
            JSON,
            "",
        ))
        .await?;
    Ok(())
}

/// Namespace and service account, which no controller makes here.
pub async fn prepare(connection: &Connection) -> Result<()> {
    let namespace = json!({ "metadata": { "name": NAMESPACE } }).to_string();
    let account = json!({ "metadata": { "name": "default" } }).to_string();
    for (path, body) in [
        ("/api/v1/namespaces".to_owned(), namespace),
        (format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), account),
    ] {
        let (status, _) = connection
            .open(&Ask::send(Method::POST, path, JSON, body))
            .await?;
        ensure!(
            status.is_success() || status == 409,
            "preparing answered {status}"
        );
    }
    Ok(())
}

pub fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

pub fn pod_name(number: usize) -> String {
    format!("bench-{number:06}")
}

pub fn create(number: usize) -> Ask {
    Ask::send(
        Method::POST,
        pods_path(),
        JSON,
        pod(&pod_name(number), number).to_string(),
    )
}

pub struct Bench<'a> {
    pub client: &'a Client,
    pub process: &'a Process,
    pub options: &'a Options,
}

impl Bench<'_> {
    fn wanted(&self, row: &str) -> bool {
        row.contains(&self.options.only)
    }

    async fn run(
        &self,
        requests: usize,
        concurrency: usize,
        make: impl Fn(usize) -> Ask + Send + Sync + 'static,
    ) -> Result<Measure> {
        load::run(self.client, self.process, requests, concurrency, make).await
    }

    /// Stores the pods, which is also the row of POST and of the memory per pod.
    async fn populate(&self, report: &mut Report) -> Result<()> {
        let pods = self.options.pods;
        let before = self.process.rss()?;
        let measure = self.run(pods, self.options.concurrency, create).await?;
        let stored = self
            .client
            .connect()
            .await?
            .drain(&Ask::get(format!("{}/{}", pods_path(), pod_name(0))))
            .await?;
        report.requests(
            "POST pod",
            &measure,
            1,
            WRITE,
            format!("{stored} bytes as stored"),
        );
        let grown = self.process.rss()?.saturating_sub(before) as f64;
        report.figure(
            "memory per stored pod",
            grown / 1024.0 / pods.max(1) as f64,
            "KB",
            16.0,
        );
        Ok(())
    }

    async fn reads(&self, report: &mut Report) -> Result<()> {
        let Options {
            pods,
            requests,
            concurrency,
            ..
        } = *self.options;
        if self.wanted("GET one pod, JSON") {
            let get =
                move |number: usize| Ask::get(format!("{}/{}", pods_path(), pod_name(number * 7919 % pods)));
            let measure = self.run(requests * 5, concurrency, get).await?;
            report.requests("GET one pod, JSON", &measure, 1, 30.0, String::new());
        }
        for (form, accept) in [("JSON", JSON), ("protobuf", PROTOBUF)] {
            let name = format!("LIST {GROUP} of {pods} by label, {form}, per pod");
            if self.wanted(&name) {
                let groups = (pods / GROUP).max(1);
                let list = move |number: usize| {
                    Ask::get(format!(
                        "{}?labelSelector=group%3Dg{}",
                        pods_path(),
                        number % groups
                    ))
                    .accept(accept)
                };
                let measure = self.run(requests / 4, concurrency, list).await?;
                report.requests(&name, &measure, GROUP.min(pods), 8.0, String::new());
            }
        }
        for at_once in [1, 4] {
            let name = format!("LIST all {pods}, JSON, {at_once} at once, per pod");
            if self.wanted(&name) {
                let before = self.process.rss()?;
                self.process.reset_peak();
                let measure = self.run(20, at_once, |_| Ask::get(pods_path())).await?;
                report.requests(
                    &name,
                    &measure,
                    pods,
                    6.0,
                    format!("{} MB each", measure.bytes / 20 / 1_000_000),
                );
                let grown = self.process.peak()?.saturating_sub(before) as f64 / 1e6;
                report.figure(
                    &format!("  memory above idle, {at_once} at once"),
                    grown,
                    "MB",
                    100.0,
                );
            }
        }
        Ok(())
    }

    async fn writes(&self, report: &mut Report) -> Result<()> {
        let Options {
            pods,
            requests,
            concurrency,
            ..
        } = *self.options;
        for (form, content_type) in [("strategic", STRATEGIC), ("merge", MERGE)] {
            let name = format!("PATCH pod, {form}");
            if self.wanted(&name) {
                let patch = move |number: usize| {
                    let body = json!({ "metadata": { "annotations": { "example.com/touched": format!("{form}-{number}") } } });
                    Ask::send(
                        Method::PATCH,
                        format!("{}/{}", pods_path(), pod_name(number % pods)),
                        content_type,
                        body.to_string(),
                    )
                };
                let measure = self.run(requests, concurrency, patch).await?;
                report.requests(&name, &measure, 1, WRITE, String::new());
            }
        }
        if self.wanted("apply pod") {
            let apply = move |number: usize| {
                let mut wanted = pod(&pod_name(number % pods), number % pods);
                wanted["metadata"]["annotations"]["example.com/applied"] = json!(number.to_string());
                let path = format!(
                    "{}/{}?fieldManager=bench-apply&force=true",
                    pods_path(),
                    pod_name(number % pods)
                );
                Ask::send(Method::PATCH, path, APPLY, wanted.to_string())
            };
            let measure = self.run(requests, concurrency, apply).await?;
            report.requests(
                "apply pod",
                &measure,
                1,
                WRITE,
                "the whole pod, one annotation changed".to_owned(),
            );
        }
        if self.wanted("PUT configmap of 8 KB") {
            let count = concurrency;
            let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
            for number in 0..count {
                let body = configmap(&format!("bench-{number}"), 0).to_string();
                self.client
                    .connect()
                    .await?
                    .drain(&Ask::send(Method::POST, path.as_str(), JSON, body))
                    .await?;
            }
            let put = move |number: usize| {
                let name = format!("bench-{}", number % count);
                let body = configmap(&name, number + 1).to_string();
                Ask::send(Method::PUT, format!("{path}/{name}"), JSON, body)
            };
            let measure = self.run(requests, concurrency, put).await?;
            report.requests("PUT configmap of 8 KB", &measure, 1, WRITE, String::new());
        }
        let rss = self.process.rss()? as f64 / 1e6;
        report.add(Row {
            name: "memory after all this".to_owned(),
            value: rss,
            unit: "MB",
            target: None,
            requests: None,
            note: String::new(),
        });
        Ok(())
    }
}
