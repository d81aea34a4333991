//! The audit log: who did what, at each stage of a request, as far as the policy wants it told.

pub mod backend;
pub mod batch;
pub mod event;
pub mod file;
pub mod legacy;
mod metrics;
pub mod policy;
pub mod record;
pub mod truncate;

use crate::connect::relay::Joined;
use crate::header;
use crate::serving::body::{Body, Response};
use backend::Backend;
use event::{Stage, event};
use futures::FutureExt;
use futures::StreamExt;
use http::HeaderMap;
use metrics::Counts;
use policy::{Level, Policy};
use prometheus_client::registry::Registry;
pub use record::Record;
use std::borrow::Cow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// An event without which a request must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to store audit event")]
pub struct Lost;

/// The caller's Audit-ID as it is, or a fresh one.
pub fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get("audit-id").map(header::text);
    let given = given.filter(|text| !text.is_empty());
    given.map_or_else(crate::metadata::new_uid, Cow::into_owned)
}

/// Policy and backends; nothing is done without both.
#[derive(Clone, Default)]
pub struct Audit {
    enabled: Option<Arc<Enabled>>,
}

struct Enabled {
    policy: Policy,
    backends: Vec<Backend>,
    /// Ends of open answers that are being written.
    endings: TaskTracker,
    /// The server ends: what is still open is told as complete.
    closing: CancellationToken,
    counts: Counts,
}

impl Audit {
    pub fn new(policy: Policy, backends: Vec<Backend>) -> Self {
        Self {
            enabled: Some(Arc::new(Enabled {
                policy,
                backends,
                endings: TaskTracker::new(),
                closing: CancellationToken::new(),
                counts: Counts::default(),
            })),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        if let Some(enabled) = &self.enabled {
            enabled.counts.register(registry);
            for backend in &enabled.backends {
                let losses = enabled.counts.losses.clone();
                backend.count_losses(losses);
            }
        } else {
            // Zeros, as upstream tells them without a policy too.
            Counts::default().register(registry);
        }
    }

    /// Finds out what is to be recorded, once the user is known (or known not to be), and records the reception. A request
    /// that must not go on without this event has no others.
    pub async fn begin(&self, record: &mut Record) -> Result<(), Lost> {
        let Some(enabled) = &self.enabled else {
            return Ok(());
        };
        enabled.evaluate(record);
        let lost = enabled.record(record, Stage::RequestReceived).await;
        if lost {
            enabled.counts.rejected.inc();
            record.rules = None;
            return Err(Lost);
        }
        Ok(())
    }

    /// Of a request that nobody is known to have sent, only the refusal is told.
    pub fn begin_refused(&self, record: &mut Record) {
        if let Some(enabled) = &self.enabled {
            enabled.evaluate(record);
            record.refused = true;
        }
    }

    /// Records how a request was answered. For an answer that goes on, its end is recorded when it comes.
    pub async fn finish(&self, record: &Record, response: &mut Response) {
        let (Some(enabled), true) = (&self.enabled, record.is_audited()) else {
            return;
        };
        if record.refused {
            enabled.record(record, Stage::ResponseStarted).await;
            return;
        }
        if record.info.is_long_running() {
            enabled.record(record, Stage::ResponseStarted).await;
        }
        if let Some(Joined(joined)) = response.extensions().get() {
            let (enabled, record, joined) = (Arc::clone(enabled), record.clone(), joined.clone());
            let tracker = enabled.endings.clone();
            tracker.spawn(async move {
                tokio::select! {
                    () = joined.cancelled() => {}
                    () = enabled.closing.cancelled() => {}
                }
                enabled.record(&record, Stage::ResponseComplete).await;
            });
            return;
        }
        let open = record.info.is_long_running() && matches!(response.body(), Body::Stream(_));
        if !open {
            enabled.record(record, Stage::ResponseComplete).await;
            return;
        }
        let ending = Ending {
            enabled: Arc::clone(enabled),
            record: Some(record.clone()),
        };
        let body = std::mem::replace(response.body_mut(), Body::empty());
        if let Body::Stream(stream) = body {
            *response.body_mut() = Body::stream(stream.inspect(move |_| {
                let _ = &ending;
            }));
        }
    }

    /// Records that a handler panicked.
    pub async fn panicked(&self, record: &Record) {
        if let (Some(enabled), true) = (&self.enabled, record.is_audited()) {
            enabled.record(record, Stage::Panic).await;
        }
    }

    /// Writes what is handed over in batches, until `end` and then what is left.
    pub async fn run(&self, end: CancellationToken) {
        let Some(enabled) = &self.enabled else {
            return end.cancelled().await;
        };
        // Open answers end first: their last events go through the buffers.
        let ended = CancellationToken::new();
        let endings = async {
            end.cancelled().await;
            enabled.closing.cancel();
            enabled.endings.close();
            enabled.endings.wait().await;
            ended.cancel();
        };
        let all = enabled
            .backends
            .iter()
            .map(|backend| backend.run(ended.cancelled()));
        futures::future::join(endings, futures::future::join_all(all)).await;
    }
}

impl Enabled {
    fn evaluate(&self, record: &mut Record) {
        record.rules = self.policy.rules(record.user.as_deref(), &record.info);
        let level = record.rules.as_ref().map_or(Level::None, |rules| rules.level);
        self.counts.level(level);
    }

    /// Says whether an event is lost that the request must not go on without.
    async fn record(&self, record: &Record, stage: Stage) -> bool {
        let Some(rules) = record.rules.as_ref().filter(|rules| rules.wants(stage)) else {
            return false;
        };
        let event = event(record, rules, stage);
        self.counts.events.inc();
        let mut refuse = false;
        for backend in &self.backends {
            let taken = backend.take(&event).boxed().await;
            refuse |= !taken && backend.is_strict() && stage == Stage::RequestReceived;
        }
        refuse
    }
}

/// Records the end of an answer that stayed open, however it ends.
struct Ending {
    enabled: Arc<Enabled>,
    record: Option<Record>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        let enabled = Arc::clone(&self.enabled);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let tracker = enabled.endings.clone();
            tracker.spawn_on(
                async move {
                    enabled.record(&record, Stage::ResponseComplete).await;
                },
                &runtime,
            );
        }
    }
}
