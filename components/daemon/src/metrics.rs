//! `/metrics` in the Prometheus text format, with the process metrics that every daemon has.

pub mod exposition;
pub mod plain_counter;

pub use exposition::Selection;
pub use plain_counter::PlainCounter;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

/// The daemon's metrics; clones share them.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock());
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/metrics", get(answer))
            .with_state(self.clone())
    }

    /// Everything in the text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry.lock())?;
        process(&mut text);
        Ok(exposition::prometheus(&text, &Selection::default()))
    }
}

async fn answer(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => (
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What every process tells: memory, processor time, files and start, read from /proc. Left out where that is not there.
pub fn process(text: &mut String) {
    use std::fmt::Write as _;
    let mut put = |name: &str, kind: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let bytes = |field: &str| {
        let kibibytes: u64 = line_of("/proc/self/status", field)?.parse().ok()?;
        Some((kibibytes * 1024).to_string())
    };
    put("process_resident_memory_bytes", "gauge", bytes("VmRSS:"));
    put("process_virtual_memory_bytes", "gauge", bytes("VmSize:"));
    let fields = stat();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let used = ticks(USER_TIME)
        .zip(ticks(SYSTEM_TIME))
        .map(|(user, system)| user + system);
    put("process_cpu_seconds_total", "counter", used.map(seconds));
    let files = std::fs::read_dir("/proc/self/fd").ok();
    // One of them is this look's own.
    let open = files.map(|files| files.count().saturating_sub(1).to_string());
    put("process_open_fds", "gauge", open);
    put(
        "process_max_fds",
        "gauge",
        line_of("/proc/self/limits", "Max open files"),
    );
    put(
        "process_virtual_memory_max_bytes",
        "gauge",
        line_of("/proc/self/limits", "Max address space").map(|limit| match limit.as_str() {
            // As clients of Prometheus in Go tell it.
            "unlimited" => "1.8446744073709552e+19".to_owned(),
            _ => limit,
        }),
    );
    let (received, sent) = octets();
    put("process_network_receive_bytes_total", "counter", received);
    put("process_network_transmit_bytes_total", "counter", sent);
    let booted = line_of("/proc/stat", "btime").and_then(|time| time.parse::<u64>().ok());
    let started = booted
        .zip(ticks(START_TIME))
        .map(|(booted, ticks)| seconds(booted * TICKS_PER_SECOND + ticks));
    put("process_start_time_seconds", "gauge", started);
}

/// Linux has this everywhere.
const TICKS_PER_SECOND: u64 = 100;
// Fields 14, 15 and 22 of stat(5), counted from the third.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const START_TIME: usize = 19;

fn seconds(ticks: u64) -> String {
    format!("{}.{:02}", ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND)
}

/// The fields of /proc/self/stat behind the command's name, which may hold spaces.
fn stat() -> Vec<String> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

/// Bytes that came to this network namespace and went out of it.
fn octets() -> (Option<String>, Option<String>) {
    let text = std::fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let of = |wanted: &str| {
        let mut pairs = names.split(' ').zip(values.split(' '));
        pairs.find_map(|(name, value)| (name == wanted).then(|| value.to_owned()))
    };
    (of("InOctets"), of("OutOctets"))
}

/// The first word behind `start` in the line that begins so.
fn line_of(file: &str, start: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(start))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #[test]
    fn process_metrics_are_there() {
        let text = super::Metrics::new().encode().expect("encoded");
        for name in [
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            let value: Option<f64> = line.and_then(|value| value.parse().ok());
            assert!(value.is_some_and(|value| value >= 0.0), "{name} in {text}");
        }
    }
}
