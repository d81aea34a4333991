//! `/metrics` in the Prometheus text format, with the process metrics that every daemon has.

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
        text.push_str("# EOF\n");
        Ok(text)
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

/// Resident memory and processor time, read from /proc/self. Left out when /proc is not there.
fn process(text: &mut String) {
    use std::fmt::Write as _;
    let field = |name: &str| -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    if let Some(kibibytes) = field("VmRSS:") {
        let _ = writeln!(text, "# TYPE process_resident_memory_bytes gauge");
        let _ = writeln!(text, "process_resident_memory_bytes {}", kibibytes * 1024);
    }
    // Fields 14 and 15 of stat(5), in ticks of 10 ms; the command name before them may hold spaces.
    let ticks = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let user: u64 = fields.get(11)?.parse().ok()?;
        let system: u64 = fields.get(12)?.parse().ok()?;
        Some(user + system)
    });
    if let Some(ticks) = ticks {
        let _ = writeln!(text, "# TYPE process_cpu_seconds_total counter");
        let _ = writeln!(
            text,
            "process_cpu_seconds_total {}.{:02}",
            ticks / 100,
            ticks % 100
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn process_metrics_are_there() {
        let text = super::Metrics::new().encode().expect("encoded");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("process_cpu_seconds_total "), "{text}");
    }
}
