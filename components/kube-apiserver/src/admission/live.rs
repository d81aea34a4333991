//! State that a task keeps made from watches, and requests only read.

use apimachinery::{ApiError, GroupResource};
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
    pub async fn get(&self) -> Result<Arc<T>, ApiError> {
        if let Some(current) = self.current.load_full() {
            return Ok(current);
        }
        let mut made = self.made.subscribe();
        let waited = tokio::time::timeout(PATIENCE, made.wait_for(|made| *made)).await;
        match (waited, self.current.load_full()) {
            (Ok(Ok(_)), Some(current)) => Ok(current),
            _ => Err(ApiError::forbidden(
                &GroupResource::default(),
                "",
                "not yet ready to handle request",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_state_is_waited_for() {
        let live = Live::<u8>::default();
        let (got, ()) = tokio::join!(live.get(), async { live.replace(1) });
        assert_eq!(*got.unwrap(), 1);
        assert_eq!(Live::<u8>::default().get().await.unwrap_err().code(), 403);
    }
}
