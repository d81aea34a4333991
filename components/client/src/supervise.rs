//! Panics that are noticed: logged with what was at work, and work that begins again.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Work that ran this long had begun well.
const SETTLED: Duration = Duration::from_secs(60);

/// What a panic said.
pub fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Waits for `work`; a panic in it is logged and gives None.
pub async fn caught<F: Future>(task: &str, work: F) -> Option<F::Output> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(output) => Some(output),
        Err(panic) => {
            tracing::error!(task, panic = message(&*panic), "a task panicked");
            None
        }
    }
}

/// Starts work again whenever it panics or ends, with growing pauses, until `shutdown`.
pub async fn keep_running<F, Fut>(task: &str, shutdown: &CancellationToken, mut start: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = tokio::time::Instant::now();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            end = caught(task, start()) => {
                if shutdown.is_cancelled() {
                    return;
                }
                if end.is_some() {
                    tracing::error!(task, "a task ended early");
                }
            }
        }
        if begun.elapsed() >= SETTLED {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_or_ends_begins_again() {
        let shutdown = CancellationToken::new();
        let starts = Arc::new(AtomicUsize::new(0));
        let (count, stop) = (starts.clone(), shutdown.clone());
        keep_running("test", &shutdown, move || {
            let (count, stop) = (count.clone(), stop.clone());
            async move {
                match count.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("first"),
                    1 => {}
                    _ => stop.cancel(),
                }
            }
        })
        .await;
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_panics_message() {
        let text = std::panic::catch_unwind(|| panic!("code {}", 7)).expect_err("panics");
        assert_eq!(message(&*text), "code 7");
    }
}
