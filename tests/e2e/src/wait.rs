//! Waiting for a condition, with a deadline and what was seen last.

use std::time::{Duration, Instant};

/// Asks until the answer is `Ok`; the last `Err` says what was seen. Returns how long it took.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        let seen = match ask() {
            Ok(value) => return (value, begun.elapsed()),
            Err(seen) => seen,
        };
        assert!(
            begun.elapsed() < limit,
            "{what}: not within {limit:?}; last seen: {seen}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}
