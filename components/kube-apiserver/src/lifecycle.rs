//! Starting, running, stopping: what readiness and draining depend on.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// State of the process that several places look at.
#[derive(Debug, Default)]
pub struct Lifecycle {
    stopping: AtomicBool,
    /// Start-up steps that have not finished.
    pending: watch::Sender<BTreeSet<&'static str>>,
    /// New requests are told to come back, for another server.
    refusing: AtomicBool,
    /// Cancelled when no new connection is taken and watches have to end.
    pub drain: CancellationToken,
    /// When they began to end.
    draining: OnceLock<Instant>,
    /// Watches end spread over this time, so that their clients don't all come to the next server at once.
    pub watch_grace: Duration,
    /// Watches that are open.
    watches: TaskTracker,
}

impl Lifecycle {
    pub fn with_pending(steps: &[&'static str], watch_grace: Duration) -> Self {
        Self {
            watch_grace,
            pending: watch::Sender::new(steps.iter().copied().collect()),
            ..Self::default()
        }
    }

    pub fn finished(&self, step: &str) {
        self.pending.send_if_modified(|pending| pending.remove(step));
    }

    pub fn is_pending(&self, step: &str) -> bool {
        self.pending.borrow().contains(step)
    }

    /// Comes when a start-up step has finished.
    pub async fn after(&self, step: &str) {
        // The sender is here, so that waiting can't fail.
        let _ = self
            .pending
            .subscribe()
            .wait_for(|pending| !pending.contains(step))
            .await;
    }

    /// Readiness goes off; requests are still answered.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// From now on requests are told to come back.
    pub fn begin_refusing(&self) {
        self.refusing.store(true, Ordering::Relaxed);
    }

    pub fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// Connections and watches end.
    pub fn begin_draining(&self) {
        self.draining.get_or_init(Instant::now);
        self.drain.cancel();
    }

    /// Watches end, within their time, while requests are still answered; without such a time they aren't waited for.
    pub async fn end_watches(&self) {
        if self.watch_grace.is_zero() {
            return;
        }
        self.begin_draining();
        self.watches.close();
        if tokio::time::timeout(self.watch_grace, self.watches.wait())
            .await
            .is_err()
        {
            tracing::warn!(open = self.watches.len(), "not all watches ended in time");
        }
    }

    /// Counts a watch until the token is dropped.
    pub fn watch_begins(&self) -> TaskTrackerToken {
        self.watches.token()
    }

    /// Comes when a watch has to end; `share`, between 0 and 1, is its place among all watches.
    pub async fn watch_ends(&self, share: f64) {
        self.drain.cancelled().await;
        let since = self.draining.get().copied().unwrap_or_else(Instant::now);
        tokio::time::sleep_until(since + self.watch_grace.mul_f64(share.clamp(0.0, 1.0))).await;
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_is_waited_for() {
        let lifecycle = Lifecycle::with_pending(&["a", "b"], Duration::ZERO);
        let (waited, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(10), lifecycle.after("a")),
            async { lifecycle.finished("a") }
        );
        assert!(waited.is_ok() && lifecycle.is_pending("b"));
        lifecycle.after("never begun").await;
    }

    #[tokio::test(start_paused = true)]
    async fn open_watches_are_waited_for_within_their_time() {
        let lifecycle = Lifecycle::with_pending(&[], Duration::from_secs(10));
        let (first, second) = (lifecycle.watch_begins(), lifecycle.watch_begins());
        let began = Instant::now();
        let ends = async {
            lifecycle.watch_ends(0.5).await;
            drop((first, second));
        };
        tokio::join!(lifecycle.end_watches(), ends);
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        let _stuck = lifecycle.watch_begins();
        lifecycle.end_watches().await;
        assert_eq!(began.elapsed(), Duration::from_secs(15));
    }

    #[tokio::test(start_paused = true)]
    async fn watches_end_spread_over_the_grace_period() {
        let lifecycle = Lifecycle::with_pending(&[], Duration::from_secs(10));
        lifecycle.begin_draining();
        let began = Instant::now();
        lifecycle.watch_ends(0.5).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        lifecycle.watch_ends(0.2).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5), "its time is past");
    }
}
