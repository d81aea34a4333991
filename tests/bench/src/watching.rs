//! Watches: what they cost idle, and what an event costs.

use crate::Options;
use crate::client::{Ask, Client, Connection};
use crate::process::Process;
use crate::report::{Report, Row};
use crate::rows::{create, pod_name, pods_path};
use anyhow::{Context, Result};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const WATCHERS: usize = 500;
const IDLE: usize = 1000;
const EVENTS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(
    client: &Client,
    process: &Process,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    idle(client, process, options, report).await?;
    // Pods of their own: those of the rows before carry a second manager's fields, which makes them half as big again.
    let connection = client.connect().await?;
    for number in options.pods..options.pods + EVENTS {
        connection.drain(&create(number)).await?;
    }
    fan_out(client, process, options.watch_connections, options.pods, report).await?;
    fan_out(client, process, WATCHERS, options.pods, report).await
}

async fn open(connections: &[Connection], count: usize) -> Result<Vec<Incoming>> {
    let mut watches = Vec::new();
    let newest = connections.first().context("a connection")?;
    let list = newest.json(&Ask::get(format!("{}?limit=1", pods_path()))).await?;
    let version = list["metadata"]["resourceVersion"]
        .as_str()
        .context("resourceVersion")?
        .to_owned();
    for number in 0..count {
        let ask = Ask::get(format!("{}?watch=true&resourceVersion={version}", pods_path()));
        let (status, body) = connections[number % connections.len()].open(&ask).await?;
        anyhow::ensure!(status.is_success(), "a watch answered {status}");
        watches.push(body);
    }
    Ok(watches)
}

async fn idle(client: &Client, process: &Process, options: &Options, report: &mut Report) -> Result<()> {
    let connections = client.connections(options.watch_connections).await?;
    let warm = open(&connections, options.watch_connections).await?;
    let before = process.rss()?;
    let watches = open(&connections, IDLE).await?;
    let grown = process.rss()?.saturating_sub(before) as f64 / 1024.0;
    drop((warm, watches));
    report.add(Row {
        name: "memory per idle watch".to_owned(),
        value: grown / IDLE as f64,
        unit: "KiB",
        target: Some(6.0),
        requests: None,
        note: format!("{IDLE} on {} connections", options.watch_connections),
    });
    Ok(())
}

/// Counts line ends: one for each event.
async fn count(mut watch: Incoming, seen: Arc<Semaphore>) -> Result<()> {
    while let Some(frame) = watch.frame().await {
        if let Some(data) = frame?.data_ref() {
            seen.add_permits(data.iter().filter(|byte| **byte == b'\n').count());
        }
    }
    Ok(())
}

async fn fan_out(
    client: &Client,
    process: &Process,
    streams: usize,
    first: usize,
    report: &mut Report,
) -> Result<()> {
    let connections = client.connections(streams).await?;
    let seen = Arc::new(Semaphore::new(0));
    let mut readers = JoinSet::new();
    for watch in open(&connections, WATCHERS).await? {
        readers.spawn(count(watch, Arc::clone(&seen)));
    }
    let writer = client.connect().await?;
    let before = process.exact_cpu()?;
    let started = Instant::now();
    let mut written = 0;
    for number in 0..EVENTS {
        let body =
            json!({ "metadata": { "annotations": { "example.com/event": format!("{streams}-{number}") } } });
        let path = format!("{}/{}", pods_path(), pod_name(first + number));
        written += writer
            .drain(&Ask::send(
                Method::PATCH,
                path,
                "application/merge-patch+json",
                body.to_string(),
            ))
            .await?;
    }
    let all = u32::try_from(EVENTS * WATCHERS)?;
    let arrived = tokio::time::timeout(PATIENCE, seen.acquire_many(all))
        .await
        .context("events are missing")??;
    arrived.forget();
    let wall = started.elapsed();
    let cpu = process.exact_cpu()?.saturating_sub(before);
    readers.abort_all();
    report.add(Row {
        name: format!("event to one of {WATCHERS} watchers, {streams} connections"),
        value: cpu.as_secs_f64() * 1e6 / f64::from(all),
        unit: "µs CPU",
        target: Some(3.0),
        requests: None,
        note: format!(
            "{:.0} deliveries/s, {} bytes each",
            f64::from(all) / wall.as_secs_f64(),
            written / EVENTS
        ),
    });
    Ok(())
}
