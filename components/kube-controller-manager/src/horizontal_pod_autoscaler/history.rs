//! What an autoscaler has recommended and done lately.

use jiff::Timestamp;

/// Kept by the controller between reconciliations; empty after a restart.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub recommendations: Vec<(Timestamp, i32)>,
    /// By how many replicas the target was enlarged and reduced.
    pub increases: Vec<(Timestamp, i32)>,
    pub decreases: Vec<(Timestamp, i32)>,
}

/// No window and no period of a policy may be longer than this.
const LONGEST: i64 = 3600;

impl History {
    /// What was wanted; the first one stands for all before.
    pub fn recommend(&mut self, now: Timestamp, replicas: i32) {
        self.recommendations.retain(|(at, _)| within(*at, LONGEST, now));
        self.recommendations.push((now, replicas));
    }

    pub fn scaled(&mut self, now: Timestamp, from: i32, to: i32) {
        for events in [&mut self.increases, &mut self.decreases] {
            events.retain(|(at, _)| within(*at, LONGEST, now));
        }
        if to > from {
            self.increases.push((now, to - from));
        } else {
            self.decreases.push((now, from - to));
        }
    }
}

pub fn within(at: Timestamp, seconds: i64, now: Timestamp) -> bool {
    now.duration_since(at).as_secs_f64() < seconds as f64
}

pub fn changed_within(events: &[(Timestamp, i32)], seconds: i32, now: Timestamp) -> i32 {
    events
        .iter()
        .filter(|(at, _)| within(*at, i64::from(seconds), now))
        .map(|(_, change)| change)
        .sum()
}
