//! A client that writes and reads through the API ten times a second and remembers every failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use kube::config::{KubeConfigOptions, Kubeconfig};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};

const INTERVAL: Duration = Duration::from_millis(100);
/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const PATH: &str = "/api/v1/namespaces/default/configmaps";
/// Each host's own.
pub const BALANCER: &str = "https://127.0.0.1:7443";
/// Every so many requests a new connection is made.
const RECONNECT: u64 = 10;

/// What the prober saw.
#[derive(Debug, Default)]
pub struct Report {
    pub requests: u64,
    /// When, since the beginning, and why.
    pub failures: Vec<(Duration, String)>,
    /// The longest time between two successes.
    pub longest_gap: Duration,
    /// The slowest request that succeeded.
    pub slowest: Duration,
    /// A read that did not show what had been written before.
    pub lost: Vec<String>,
}

impl Report {
    #[track_caller]
    pub fn nothing_failed(&self, what: &str) {
        println!("{what}: {self}");
        assert!(
            self.failures.is_empty() && self.lost.is_empty(),
            "{what}: {self}\n{:#?}\n{:#?}",
            self.failures,
            self.lost
        );
        assert!(self.requests > 20, "{what}: only {} requests", self.requests);
    }

    /// Time from the first to the last failure.
    pub fn outage(&self) -> Duration {
        match (self.failures.first(), self.failures.last()) {
            (Some((first, _)), Some((last, _))) => *last - *first,
            _ => Duration::ZERO,
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} requests, {} failed, longest gap {:.1?}, slowest {:.1?}",
            self.requests,
            self.failures.len(),
            self.longest_gap,
            self.slowest
        )
    }
}

/// Runs until it is asked for its report.
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

impl Prober {
    /// Asks `server`, a URL, in a host's network, with the kubeconfig at `kubeconfig`, which is read again for every
    /// new connection.
    pub fn start(namespace: &str, kubeconfig: PathBuf, server: &str) -> Self {
        let server = server.to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let network =
            std::fs::File::open(Path::new("/run/netns").join(namespace)).expect("the host's network");
        let thread = std::thread::spawn(move || {
            // The network namespace belongs to the thread, and the runtime stays on it.
            setns(&network, CloneFlags::CLONE_NEWNET).expect("entered the host's network");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(probe(&kubeconfig, &server, &stopped))
        });
        Self { stop, thread }
    }

    pub fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the prober does not panic")
    }
}

async fn client(kubeconfig: &Path, server: &str) -> Result<kube::Client, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let mut config = Kubeconfig::read_from(kubeconfig).map_err(|error| text(&error))?;
    for cluster in config
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
    {
        cluster.server = Some(server.to_owned());
        cluster.tls_server_name = Some("kubernetes".to_owned());
    }
    let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
        .await
        .map_err(|error| text(&error))?;
    // By default the client asks again after 429, 503 and 504, and nobody would hear of them.
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|error| text(&error))
}

async fn probe(kubeconfig: &Path, server: &str, stop: &AtomicBool) -> Report {
    let mut report = Report::default();
    let begun = Instant::now();
    let mut last_success = begun;
    let name = format!(
        "prober-{}",
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis()
    );
    let mut current = None;
    let mut written = 0u64;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let number = report.requests;
        if number % RECONNECT == 0 {
            match client(kubeconfig, server).await {
                Ok(client) => current = Some(client),
                // Half-written, perhaps: the one before is as good.
                Err(error) if current.is_none() => {
                    report.failures.push((begun.elapsed(), error));
                    continue;
                }
                Err(_) => {}
            }
        }
        let Some(client) = &current else { continue };
        report.requests += 1;
        let sent = Instant::now();
        let writes = number % 2 == 0;
        let done = match writes {
            true => write(client, &name, number).await.map(|()| number),
            false => read(client, &name).await,
        };
        match done {
            Ok(seen) => {
                if writes {
                    written = number;
                } else if seen < written {
                    report
                        .lost
                        .push(format!("read {seen} after {written} was written"));
                }
                report.slowest = report.slowest.max(sent.elapsed());
                report.longest_gap = report.longest_gap.max(last_success.elapsed());
                last_success = Instant::now();
            }
            Err(error) => report.failures.push((begun.elapsed(), error)),
        }
    }
    report.longest_gap = report.longest_gap.max(last_success.elapsed());
    report
}

async fn write(client: &kube::Client, name: &str, number: u64) -> Result<(), String> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name },
        "data": { "number": number.to_string() },
    });
    let request = http::Request::builder()
        .method("PATCH")
        .uri(format!("{PATH}/{name}?fieldManager=prober&force=true"))
        .header("content-type", "application/apply-patch+yaml")
        .body(object.to_string().into_bytes());
    ask(client, request).await.map(drop)
}

async fn read(client: &kube::Client, name: &str) -> Result<u64, String> {
    let request = http::Request::builder()
        .method("GET")
        .uri(format!("{PATH}/{name}"))
        .body(Vec::new());
    let object = ask(client, request).await?;
    object["data"]["number"]
        .as_str()
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("{object} is not what was written"))
}

async fn ask(
    client: &kube::Client,
    request: Result<http::Request<Vec<u8>>, http::Error>,
) -> Result<Value, String> {
    let request = request.map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, client.request::<Value>(request)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}
