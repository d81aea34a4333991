//! Where events go: files and webhooks, at once or in batches.

use super::batch::{Batches, Batching, Intake, buffer};
use super::file::RotatingFile;
use super::legacy;
use super::metrics::Losses;
use super::truncate::Truncation;
use crate::webhook::{CallError, Endpoint};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest wait for a webhook's answer.
const TIMEOUT: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 5;
/// Batches on their way to a webhook at once: what a slow one keeps from being sent waits in the buffer.
const ON_THEIR_WAY: usize = 100;

/// Upstream's names of what events go through before they reach a backend.
const BUFFERED: &str = "buffered";
const TRUNCATE: &str = "truncate";

/// When events are handed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Batch(Batching),
    /// Before the request goes on.
    Blocking,
    /// And the request fails when its first event can't be written.
    BlockingStrict,
}

/// The form of events in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Legacy,
}

/// What takes the events.
pub enum Target {
    File(Mutex<RotatingFile>, Format),
    Webhook {
        endpoint: Endpoint,
        initial_backoff: Duration,
    },
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Self::File(..) => "log",
            Self::Webhook { .. } => "webhook",
        }
    }

    async fn write(&self, events: &[Value]) -> Result<(), String> {
        match self {
            Self::File(file, format) => {
                let mut text = String::new();
                for event in events {
                    match format {
                        Format::Json => text.push_str(&event.to_string()),
                        Format::Legacy => text.push_str(&legacy::line(event)),
                    }
                    text.push('\n');
                }
                file.lock()
                    .write(text.as_bytes())
                    .map_err(|error| error.to_string())
            }
            Self::Webhook {
                endpoint,
                initial_backoff,
            } => post(endpoint, *initial_backoff, events)
                .await
                .map_err(|error| error.to_string()),
        }
    }
}

async fn post(endpoint: &Endpoint, backoff: Duration, events: &[Value]) -> Result<(), CallError> {
    let list = json!({
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": {},
        "items": events,
    });
    let body = bytes::Bytes::from(list.to_string());
    let mut pause = backoff;
    for attempt in 1..=ATTEMPTS {
        match endpoint.deliver(body.clone(), TIMEOUT).await {
            Ok(_) => return Ok(()),
            // Whatever the webhook says: hardly any reason justifies losing events.
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "an audit webhook is tried again");
                // Servers that failed together should not come back together.
                tokio::time::sleep(pause.mul_f64(1.0 + rand::random::<f64>() * 0.2)).await;
                pause = pause.mul_f64(1.5);
            }
        }
    }
    Ok(())
}

/// One backend.
pub struct Backend {
    target: Arc<Target>,
    truncation: Option<Truncation>,
    strict: bool,
    intake: Option<Intake>,
    batches: Mutex<Option<Batches>>,
    losses: OnceLock<Losses>,
}

impl Backend {
    pub fn new(target: Target, mode: Mode, truncation: Option<Truncation>) -> Self {
        let (intake, batches) = match mode {
            Mode::Batch(settings) => {
                let (intake, batches) = buffer(settings);
                (Some(intake), Some(batches))
            }
            _ => (None, None),
        };
        Self {
            target: Arc::new(target),
            truncation,
            strict: mode == Mode::BlockingStrict,
            intake,
            batches: Mutex::new(batches),
            losses: OnceLock::new(),
        }
    }

    pub fn name(&self) -> &'static str {
        self.target.name()
    }

    /// Where lost events are counted.
    pub fn count_losses(&self, losses: Losses) {
        // Said once, at the start.
        let _ = self.losses.set(losses);
    }

    /// Whether a request must not go on without its first event.
    pub fn is_strict(&self) -> bool {
        self.strict
    }

    /// Takes an event; false if it is lost.
    pub async fn take(&self, event: &Value) -> bool {
        if let Some(intake) = &self.intake {
            let room = intake.put(event.clone());
            if !room {
                self.failed(BUFFERED, "audit buffer queue blocked", 1);
            }
            return room;
        }
        self.write(vec![event.clone()]).await
    }

    async fn write(&self, events: Vec<Value>) -> bool {
        let (batches, too_large) = match &self.truncation {
            None => (vec![events], 0),
            Some(truncation) => truncation.batches(events),
        };
        if too_large > 0 {
            self.failed(TRUNCATE, "event is too large even after truncating", too_large);
        }
        let mut well = true;
        for batch in batches {
            if let Err(error) = self.target.write(&batch).await {
                self.failed(self.name(), &error, batch.len() as u64);
                well = false;
            }
        }
        well
    }

    /// Counts lost events under the name of the part that lost them.
    fn failed(&self, plugin: &'static str, error: &str, events: u64) {
        if let Some(losses) = self.losses.get() {
            losses.add(plugin, events);
        }
        tracing::error!(backend = self.name(), error, events, "audit events are lost");
    }

    /// Writes batches until there are no more; `last` is when no more events come in.
    pub async fn run(&self, last: impl Future<Output = ()>) {
        let Some(mut batches) = self.batches.lock().take() else {
            return last.await;
        };
        let at_once = match &*self.target {
            // Lines stay in order.
            Target::File(..) => 1,
            Target::Webhook { .. } => ON_THEIR_WAY,
        };
        tokio::pin!(last);
        let mut closing = false;
        let mut writing = FuturesUnordered::new();
        loop {
            tokio::select! {
                batch = batches.next(), if writing.len() < at_once => match batch {
                    Some(batch) => writing.push(self.write(batch)),
                    None => break,
                },
                Some(_) = writing.next(), if !writing.is_empty() => {}
                () = &mut last, if !closing => {
                    closing = true;
                    batches.close();
                }
            }
        }
        while writing.next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_loses_events_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = || {
            let path = folder.path().join("log").display().to_string();
            let file = RotatingFile::open(&path, super::super::file::Rotation::default()).unwrap();
            Target::File(Mutex::new(file), Format::Json)
        };
        let losses = Losses::default();
        let batching = Batching {
            buffer: 1,
            max_size: 1,
            max_wait: Duration::ZERO,
            throttle: None,
        };
        let buffered = Backend::new(file(), Mode::Batch(batching), None);
        buffered.count_losses(losses.clone());
        assert!(buffered.take(&json!(1)).await);
        assert!(!buffered.take(&json!(2)).await);
        let truncation = Truncation {
            max_event: 50,
            max_batch: 100,
        };
        let truncating = Backend::new(file(), Mode::Blocking, Some(truncation));
        truncating.count_losses(losses.clone());
        truncating.take(&json!({"requestURI": "x".repeat(100)})).await;
        truncating.take(&json!({"auditID": "a"})).await;
        assert_eq!(
            (losses.of("buffered"), losses.of("truncate"), losses.of("log")),
            (1, 1, 0)
        );
    }
}
