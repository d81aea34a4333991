//! Waiting for what a server does by itself.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until nothing is `wrong` any more; panics with what was, when `patience` is over.
pub async fn eventually(patience: Duration, what: &str, mut wrong: impl AsyncFnMut() -> Option<String>) {
    let deadline = Instant::now() + patience;
    while let Some(seen) = wrong().await {
        assert!(Instant::now() < deadline, "{what}: {seen}");
        tokio::time::sleep(PAUSE).await;
    }
}
