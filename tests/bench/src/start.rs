//! A server of its own: how fast it is ready, what it takes idle, then all other rows.

use crate::Options;
use crate::client::{Client, Credentials};
use crate::load;
use crate::process::Process;
use crate::report::{Report, Row};
use crate::rows;
use anyhow::{Context, Result};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

/// How long the server is watched doing nothing.
const IDLE: Duration = Duration::from_secs(20);
/// Objects of the second start.
const OBJECTS: usize = 10_000;
/// How long a server may take to end.
const END: Duration = Duration::from_secs(60);

struct Started {
    server: ApiServer,
    client: Client,
    process: Process,
    ready: Duration,
}

async fn start(binary: &Path, etcd: &Etcd) -> Result<Started> {
    let server = ApiServer::start(binary, etcd, &[]).await?;
    let ready = server.ready_after().context("the server is not ready")?;
    server.kubeconfig("bench", &["system:masters"])?;
    let file = |name: &str| server.pki().file(name);
    let credentials = Credentials::read(
        &server.url(),
        &file("ca.crt"),
        &file("bench.crt"),
        &file("bench.key"),
    )?;
    let process = Process::of(server.pid().context("the server ended")?)?;
    Ok(Started {
        client: Client::new(credentials),
        process,
        ready,
        server,
    })
}

impl Started {
    /// Asks it to end, as systemd does: one that records a profile writes it then.
    fn end(mut self) -> Result<()> {
        drop(self.client);
        self.server.terminate(END)
    }
}

pub async fn measure(binary: &Path, options: &Options, report: &mut Report) -> Result<()> {
    let etcd = Etcd::start().await?;
    let first = start(binary, &etcd).await?;
    report.figure(
        "start to ready, empty etcd",
        first.ready.as_secs_f64() * 1e3,
        "ms",
        200.0,
    );
    idle(first.process, report).await?;
    rows::measure(&first.client, &first.process, options, report).await?;
    first.end()?;
    if "start to ready, idle memory per pod".contains(&options.only) {
        again(binary, report).await?;
    }
    Ok(())
}

async fn idle(process: Process, report: &mut Report) -> Result<()> {
    let before = process.exact_cpu()?;
    tokio::time::sleep(IDLE).await;
    let used = process.exact_cpu()?.saturating_sub(before);
    report.figure("idle and empty: memory", process.rss()? as f64 / 1e6, "MB", 30.0);
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    report.add(Row {
        name: "idle and empty: CPU".to_owned(),
        value: share,
        unit: "%",
        target: Some(0.1),
        requests: None,
        note: format!("{:.3} ms in {IDLE:?}", used.as_secs_f64() * 1e3),
    });
    Ok(())
}

/// The same server on a new etcd with many objects.
async fn again(binary: &Path, report: &mut Report) -> Result<()> {
    let etcd = Etcd::start().await?;
    let filling = start(binary, &etcd).await?;
    let empty = filling.process.rss()? as f64;
    rows::prepare(&filling.client.connect().await?).await?;
    load::run(&filling.client, &filling.process, OBJECTS, 8, rows::create).await?;
    filling.end()?;
    let full = start(binary, &etcd).await?;
    let name = format!("start to ready, {OBJECTS} pods of 10 KB");
    report.figure(&name, full.ready.as_secs_f64() * 1e3, "ms", 1000.0);
    let list = crate::client::Ask::get(format!("{}?limit=1", rows::pods_path()));
    full.client.connect().await?.drain(&list).await?;
    let each = (full.process.rss()? as f64 - empty) / 1024.0 / OBJECTS as f64;
    report.figure("memory per stored pod, after a start", each, "KB", 16.0);
    full.end()
}
