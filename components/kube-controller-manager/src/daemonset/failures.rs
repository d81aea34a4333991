//! How long a failed daemon pod is left alone before another is tried in its place: a node that refuses
//! the pod would be asked without pause otherwise.

use std::time::{Duration, Instant};

use ahash::AHashMap;
use parking_lot::Mutex;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// After so long without a failure they count from the beginning again.
const FORGET: Duration = Duration::from_secs(30 * 60);

struct Failure {
    at: Instant,
    delay: Duration,
}

/// The last failure of each set (by its uid) on each node.
#[derive(Default)]
pub struct Failures(Mutex<AHashMap<(String, String), Failure>>);

impl Failures {
    /// How long the failed pod must still stay. None when it may go, from when the next one counts.
    pub fn wait(&self, set: &str, node: &str, now: Instant) -> Option<Duration> {
        let mut failures = self.0.lock();
        failures.retain(|_, failure| now.duration_since(failure.at) <= FORGET);
        let key = (set.to_owned(), node.to_owned());
        let delay = match failures.get(&key) {
            None => FIRST,
            Some(last) => {
                let left = last.delay.saturating_sub(now.duration_since(last.at));
                if !left.is_zero() {
                    return Some(left);
                }
                (last.delay * 2).min(LONGEST)
            }
        };
        failures.insert(key, Failure { at: now, delay });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed pods were replaced as fast as they failed.
    #[test]
    fn every_failure_in_a_row_doubles_the_wait() {
        let failures = Failures::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        for (milliseconds, want) in [
            (0, None),
            (400, Some(600)),
            (1_000, None),
            (1_500, Some(1_500)),
            (3_000, None),
            (6_999, Some(1)),
            (7_000, None),
        ] {
            let got = failures.wait("set", "node", at(milliseconds));
            assert_eq!(got, want.map(Duration::from_millis), "after {milliseconds} ms");
        }
        // Elsewhere it is the first, and here it is again after a long time.
        assert_eq!(failures.wait("set", "another", at(7_000)), None);
        assert_eq!(failures.wait("other", "node", at(7_000)), None);
        assert_eq!(failures.wait("set", "node", at(7_000) + FORGET + FIRST), None);
        let again = failures.wait("set", "node", at(7_000) + FORGET + FIRST);
        assert_eq!(again, Some(FIRST));
    }

    #[test]
    fn the_wait_has_a_limit() {
        let failures = Failures::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            assert_eq!(failures.wait("set", "node", now), None);
            now += LONGEST;
        }
        now -= LONGEST;
        assert_eq!(failures.wait("set", "node", now), Some(LONGEST));
    }
}
