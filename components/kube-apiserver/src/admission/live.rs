//! State that a task keeps made from watches, and requests only read.

use super::attributes::Attributes;
use super::enforced::not_ready;
use apimachinery::ApiError;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a request waits for the first state; upstream waits as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The latest state, once there is one.
pub struct Live<T> {
    current: ArcSwapOption<T>,
    made: watch::Sender<bool>,
}

impl<T> Default for Live<T> {
    fn default() -> Self {
        Self {
            current: ArcSwapOption::empty(),
            made: watch::Sender::new(false),
        }
    }
}

impl<T> Live<T> {
    pub fn replace(&self, state: T) {
        self.current.store(Some(Arc::new(state)));
        self.made.send_replace(true);
    }

    /// The latest state. A server that has just started is waited for: nothing may pass unseen.
    pub async fn get(&self, attributes: &Attributes<'_>) -> Result<Arc<T>, ApiError> {
        self.wait().await.ok_or_else(|| not_ready(attributes, None))
    }

    async fn wait(&self) -> Option<Arc<T>> {
        if let Some(current) = self.current.load_full() {
            return Some(current);
        }
        let mut made = self.made.subscribe();
        // Whether it came in time shows in what there is.
        let _ = tokio::time::timeout(PATIENCE, made.wait_for(|made| *made)).await;
        self.current.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_state_is_waited_for() {
        let live = Live::<u8>::default();
        let (got, ()) = tokio::join!(live.wait(), async { live.replace(1) });
        assert_eq!(*got.unwrap(), 1);
        assert_eq!(Live::<u8>::default().wait().await, None);
    }
}
