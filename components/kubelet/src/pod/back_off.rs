//! Growing pauses between attempts, per key.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// Back-off as upstream has it: doubles with each attempt up to a maximum, forgotten after twice the maximum.
#[derive(Clone, Debug)]
pub struct BackOff {
    initial: Duration,
    maximum: Duration,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    pause: Duration,
    updated: Timestamp,
}

fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

impl BackOff {
    pub fn new(initial: Duration, maximum: Duration) -> Self {
        Self {
            initial: initial.min(maximum),
            maximum,
            entries: HashMap::new(),
        }
    }

    fn live(&self, key: &str, event: Timestamp) -> Option<Entry> {
        let entry = self.entries.get(key).copied()?;
        (since(entry.updated, event) <= self.maximum * 2).then_some(entry)
    }

    /// The time until which to wait after what happened at `event`, and the pause; None when not backing off.
    pub fn waits_until(&self, key: &str, event: Timestamp, now: Timestamp) -> Option<(Timestamp, Duration)> {
        let entry = self.live(key, event)?;
        let until = event.checked_add(entry.pause).ok()?;
        (now < until).then_some((until, entry.pause))
    }

    /// Notes an attempt after what happened at `event`.
    pub fn next(&mut self, key: &str, event: Timestamp, now: Timestamp) {
        let pause = match self.live(key, event) {
            Some(entry) => (entry.pause * 2).min(self.maximum),
            None => self.initial,
        };
        self.entries.insert(key.to_owned(), Entry { pause, updated: now });
    }

    pub fn pause(&self, key: &str) -> Duration {
        self.entries.get(key).map_or(self.initial, |entry| entry.pause)
    }

    pub fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn pauses_double_up_to_the_maximum_and_are_forgotten() {
        let mut back_off = BackOff::new(Duration::from_secs(10), Duration::from_secs(40));
        assert_eq!(back_off.waits_until("a", at(0), at(0)), None);
        let mut now = 0;
        for pause in [10, 20, 40, 40] {
            back_off.next("a", at(now), at(now));
            let exited = now + 1;
            let (until, got) = back_off.waits_until("a", at(exited), at(exited)).unwrap();
            assert_eq!((until, got.as_secs()), (at(exited + pause), pause as u64));
            assert_eq!(back_off.waits_until("a", at(exited), at(exited + pause)), None);
            now = exited + pause;
        }
        assert_eq!(back_off.waits_until("a", at(now + 81), at(now + 81)), None);
        back_off.next("a", at(now + 81), at(now + 81));
        assert_eq!(back_off.pause("a").as_secs(), 10);
    }
}
