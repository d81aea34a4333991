//! The runtime, supervised tasks and shutdown.
//!
//! Each task has one owner, [`Tasks`]. A task that ends early, fails or panics ends the process: systemd
//! starts it again in a known state, which a half-dead daemon is not.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to stop once they were told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A runtime with two workers: the daemons wait much more than they compute, and each worker costs memory.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    runtime_with(2)
}

/// A runtime with `workers` threads.
pub fn runtime_with(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// A runtime on the calling thread.
pub fn runtime_on_this_thread() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// The daemon's tasks and the signal to stop them.
pub struct Tasks {
    set: JoinSet<(&'static str, anyhow::Result<()>)>,
    shutdown: CancellationToken,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    pub fn new() -> Self {
        Self {
            set: JoinSet::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Cancelled when the daemon has to stop: by a signal, or because a task has ended.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task. It must end after [`Tasks::shutdown`] is cancelled, and not before.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until SIGTERM, SIGINT or the end of a task, then stops all tasks. A second signal ends at once.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut outcome = tokio::select! {
            _ = terminate.recv() => { tracing::info!("SIGTERM: stopping"); Ok(()) }
            _ = interrupt.recv() => { tracing::info!("SIGINT: stopping"); Ok(()) }
            ended = self.set.join_next() => match ended {
                Some(Ok((name, Ok(())))) if self.shutdown.is_cancelled() => {
                    tracing::debug!(task = name, "task ended");
                    Ok(())
                }
                Some(Ok((name, Ok(())))) => Err(anyhow::anyhow!("task {name} ended unexpectedly")),
                Some(Ok((name, Err(error)))) => Err(error.context(format!("task {name} failed"))),
                Some(Err(error)) => Err(anyhow::Error::new(error).context("a task panicked")),
                None => Ok(()),
            },
        };
        crate::notify::stopping();
        self.shutdown.cancel();
        let deadline = tokio::time::sleep(STOP_TIMEOUT);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = self.set.join_next() => match ended {
                    None => return outcome,
                    Some(Ok((_, Ok(())))) => {}
                    Some(Ok((name, Err(error)))) if outcome.is_ok() => {
                        outcome = Err(error.context(format!("task {name} failed while stopping")));
                    }
                    Some(Ok((name, Err(error)))) => tracing::warn!(task = name, %error, "failed while stopping"),
                    Some(Err(error)) => tracing::error!(%error, "a task panicked while stopping"),
                },
                _ = terminate.recv() => anyhow::bail!("second SIGTERM: not waiting for tasks"),
                _ = interrupt.recv() => anyhow::bail!("second SIGINT: not waiting for tasks"),
                () = &mut deadline => anyhow::bail!("tasks did not stop within {STOP_TIMEOUT:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_task_stops_the_others_and_is_named() {
        let mut tasks = Tasks::new();
        let shutdown = tasks.shutdown();
        tasks.spawn("waits", async move {
            shutdown.cancelled().await;
            Ok(())
        });
        tasks.spawn("fails", async { anyhow::bail!("no disk") });
        let error = tasks.run().await.expect_err("a task failed");
        assert_eq!(format!("{error:#}"), "task fails failed: no disk");
    }

    #[tokio::test]
    async fn a_task_that_ends_early_is_an_error() {
        let mut tasks = Tasks::new();
        tasks.spawn("short", async { Ok(()) });
        let error = tasks.run().await.expect_err("a task ended");
        assert_eq!(error.to_string(), "task short ended unexpectedly");
    }
}
