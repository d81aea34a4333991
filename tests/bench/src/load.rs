//! Runs requests at once and measures them and the server.

use crate::client::{Ask, Client};
use crate::process::Process;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    pub requests: usize,
    pub wall: Duration,
    /// CPU that the server used meanwhile.
    pub cpu: Duration,
    /// Sorted.
    pub latencies: Vec<Duration>,
    pub bytes: usize,
}

impl Measure {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// Server CPU in µs for each of `parts` per request.
    pub fn cpu_micros(&self, parts: usize) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.requests * parts).max(1) as f64
    }

    /// The latency that `share` of the requests stayed below.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Sends `make(number)` for `requests` numbers, `concurrency` at once over up to four connections.
pub async fn run(
    client: &Client,
    process: &Process,
    requests: usize,
    concurrency: usize,
    make: impl Fn(usize) -> Ask + Send + Sync + 'static,
) -> Result<Measure> {
    let connections = client.connections(concurrency.clamp(1, 4)).await?;
    // Connections and caches are warm before the clock runs.
    for connection in &connections {
        connection.drain(&Ask::get("/version")).await?;
    }
    let make = Arc::new(make);
    let next = Arc::new(AtomicUsize::new(0));
    let before = process.exact_cpu()?;
    let started = Instant::now();
    let workers: Vec<_> = (0..concurrency)
        .map(|worker| {
            let connection = connections[worker % connections.len()].clone();
            let (make, next) = (Arc::clone(&make), Arc::clone(&next));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut bytes = 0;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= requests {
                        return Ok::<_, anyhow::Error>((latencies, bytes));
                    }
                    let ask = make(number);
                    let asked = Instant::now();
                    bytes += connection.drain(&ask).await?;
                    latencies.push(asked.elapsed());
                }
            })
        })
        .collect();
    let mut measure = Measure {
        requests,
        ..Measure::default()
    };
    for worker in workers {
        let (latencies, bytes) = worker.await??;
        measure.latencies.extend(latencies);
        measure.bytes += bytes;
    }
    measure.wall = started.elapsed();
    measure.cpu = process.exact_cpu()?.saturating_sub(before);
    measure.latencies.sort_unstable();
    Ok(measure)
}
