//! Keeps one probe loop per backend and acts on what the probes find.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::backend::{Backend, Backends};
use crate::health::{Connections, Outcome, Status};
use crate::probe::Probe;

/// Wait after a first failure, so that the second opinion comes soon.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How probes are made.
#[derive(Clone, Debug)]
pub struct Settings {
    pub path: String,
    pub interval: Duration,
    pub timeout: Duration,
}

/// Probes all backends for as long as `backends` has a sender; returns early only when a probe loop ended, which
/// is a defect.
pub async fn run(
    settings: Settings,
    mut backends: watch::Receiver<Arc<Backends>>,
    tls: watch::Receiver<Arc<rustls::ClientConfig>>,
) -> anyhow::Result<()> {
    let mut loops: JoinSet<()> = JoinSet::new();
    let mut running: HashMap<String, (Arc<Backend>, AbortHandle)> = HashMap::new();
    loop {
        let current = backends.borrow_and_update().clone();
        running.retain(|address, (backend, handle)| {
            let stays = current.list.iter().any(|kept| Arc::ptr_eq(kept, backend));
            if !stays {
                tracing::info!(backend = %address, "backend removed");
                handle.abort();
                backend.cut();
            }
            stays
        });
        for backend in &current.list {
            running.entry(backend.address.clone()).or_insert_with(|| {
                let work = probe_loop(settings.clone(), backend.clone(), backends.clone(), tls.clone());
                (backend.clone(), loops.spawn(work))
            });
        }
        tokio::select! {
            changed = backends.changed() => if changed.is_err() { return Ok(()) },
            Some(ended) = loops.join_next() => match ended {
                Err(error) if error.is_cancelled() => {}
                other => anyhow::bail!("a probe loop ended: {other:?}"),
            },
        }
    }
}

async fn probe_loop(
    settings: Settings,
    backend: Arc<Backend>,
    backends: watch::Receiver<Arc<Backends>>,
    tls: watch::Receiver<Arc<rustls::ClientConfig>>,
) {
    let mut probe = Probe::new(settings.path, settings.timeout);
    loop {
        let config = tls.borrow().clone();
        let outcome = match probe.run(&backend, &config).await {
            Ok(()) => Outcome::Ready,
            Err(error) => {
                probe.forget();
                let failures = backend.health().failures;
                // Every failure of a dead backend would fill the log; the first ones tell it all.
                if failures < 2 {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(backend = %backend.address, %error, cause, "probe failed");
                }
                error.outcome()
            }
        };
        take_in(&backend, &backends, outcome);
        let wait = if backend.health().failures == 1 {
            RETRY_INTERVAL
        } else {
            settings.interval
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // Connects fail in herds; one probe answers for all of them.
            () = backend.probe_now.notified() => tokio::time::sleep(RETRY_INTERVAL / 4).await,
        }
    }
}

fn take_in(backend: &Backend, backends: &watch::Receiver<Arc<Backends>>, outcome: Outcome) {
    let (before, after, connections) = backend.step(outcome);
    if before != after {
        tracing::info!(backend = %backend.address, ?before, ?after, ?outcome, "backend changed state");
    }
    let cut = match connections {
        Connections::Keep => false,
        // Later failures cut as well: a connection may have been made in between, as a last resort.
        Connections::Cut => true,
        Connections::CutIfAnotherIsHealthy => after == Status::Unhealthy && backends.borrow().any_healthy(),
    };
    if cut && backend.active() > 0 {
        tracing::warn!(backend = %backend.address, connections = backend.active(), "resetting connections");
        backend.cut();
    }
}
