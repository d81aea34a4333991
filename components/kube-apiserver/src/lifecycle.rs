//! Starting, running, stopping: what readiness and draining depend on.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// State of the process that several places look at.
#[derive(Debug, Default)]
pub struct Lifecycle {
    stopping: AtomicBool,
    /// Start-up steps that have not finished.
    pending: Mutex<BTreeSet<&'static str>>,
    /// Cancelled when no new connection is taken and watches have to end.
    pub drain: CancellationToken,
}

impl Lifecycle {
    pub fn with_pending(steps: &[&'static str]) -> Self {
        Self {
            pending: Mutex::new(steps.iter().copied().collect()),
            ..Self::default()
        }
    }

    pub fn finished(&self, step: &str) {
        self.pending.lock().remove(step);
    }

    pub fn is_pending(&self, step: &str) -> bool {
        self.pending.lock().contains(step)
    }

    /// Readiness goes off; requests are still answered.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
