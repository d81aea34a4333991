//! Which thresholds are crossed, for how long, and what the node says of it: pure but for the clock that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use super::signals::{Observations, Signal, Threshold};

/// A condition of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    Memory,
    Disk,
    Pid,
}

impl Pressure {
    fn of(signal: Signal) -> Self {
        match signal {
            Signal::Memory | Signal::AllocatableMemory => Pressure::Memory,
            Signal::Pids => Pressure::Pid,
            _ => Pressure::Disk,
        }
    }

    /// The condition's type.
    pub fn name(self) -> &'static str {
        match self {
            Pressure::Memory => "MemoryPressure",
            Pressure::Disk => "DiskPressure",
            Pressure::Pid => "PIDPressure",
        }
    }
}

/// The pressures there are now; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Pressures {
    now: Arc<RwLock<BTreeSet<Pressure>>>,
}

impl Pressures {
    pub fn set(&self, pressures: BTreeSet<Pressure>) {
        *self.now.write() = pressures;
    }

    pub fn get(&self) -> BTreeSet<Pressure> {
        self.now.read().clone()
    }
}

/// What was seen before.
#[derive(Debug, Default)]
pub struct State {
    /// Index of a threshold, and since when it is crossed.
    crossed: BTreeMap<usize, Instant>,
    last_seen: BTreeMap<Pressure, Instant>,
}

/// What follows from one look.
#[derive(Debug, PartialEq)]
pub struct Verdict {
    pub pressures: BTreeSet<Pressure>,
    /// The threshold to act on, by its index.
    pub act_on: Option<usize>,
}

impl State {
    /// Takes in what was observed. What was not observed counts as well.
    pub fn step(
        &mut self,
        thresholds: &[Threshold],
        seen: &Observations,
        transition: Duration,
        now: Instant,
    ) -> Verdict {
        let mut crossed = BTreeMap::new();
        for (index, threshold) in thresholds.iter().enumerate() {
            let Some(observation) = seen.get(&threshold.signal) else {
                continue;
            };
            let before = self.crossed.get(&index).copied();
            if threshold.is_crossed(*observation, before.is_some()) {
                crossed.insert(index, before.unwrap_or(now));
                self.last_seen.insert(Pressure::of(threshold.signal), now);
            }
        }
        self.crossed = crossed;
        self.last_seen
            .retain(|_, seen| now.duration_since(*seen) < transition || *seen == now);
        let due = |(index, since): (&usize, &Instant)| {
            let grace = thresholds[*index].grace.unwrap_or_default();
            (now.duration_since(*since) >= grace).then_some(*index)
        };
        // Memory first: it is what kills the node soonest.
        let act_on = self
            .crossed
            .iter()
            .filter_map(due)
            .min_by_key(|index| (thresholds[*index].signal, thresholds[*index].grace.is_some()));
        Verdict {
            pressures: self.last_seen.keys().copied().collect(),
            act_on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::signals::{Amount, Observation};
    use super::*;

    #[test]
    fn thresholds_act_after_their_grace_and_pressure_lasts() {
        let threshold = |signal, amount, grace: Option<u64>| Threshold {
            signal,
            amount: Amount::Absolute(amount),
            grace: grace.map(Duration::from_secs),
            reclaim: None,
        };
        let thresholds = [
            threshold(Signal::NodeFs, 10, None),
            threshold(Signal::Memory, 100, Some(30)),
            threshold(Signal::Memory, 50, None),
        ];
        let begin = Instant::now();
        let mut state = State::default();
        for (seconds, memory, disk, act_on, pressures) in [
            (0, 200, 20, None, &[][..]),
            (10, 80, 20, None, &[Pressure::Memory][..]),
            (30, 80, 20, None, &[Pressure::Memory]),
            (40, 80, 20, Some(1), &[Pressure::Memory]),
            (41, 40, 20, Some(2), &[Pressure::Memory]),
            (42, 40, 5, Some(2), &[Pressure::Memory, Pressure::Disk]),
            (43, 200, 5, Some(0), &[Pressure::Memory, Pressure::Disk]),
            (44, 80, 20, None, &[Pressure::Memory, Pressure::Disk]),
            (103, 200, 20, None, &[Pressure::Memory]),
            (104, 200, 20, None, &[]),
        ] {
            let seen = [(Signal::Memory, memory), (Signal::NodeFs, disk)]
                .map(|(signal, available)| {
                    (
                        signal,
                        Observation {
                            available,
                            capacity: 1000,
                        },
                    )
                })
                .into();
            let now = begin + Duration::from_secs(seconds);
            let verdict = state.step(&thresholds, &seen, Duration::from_secs(60), now);
            assert_eq!(
                verdict,
                Verdict {
                    pressures: pressures.iter().copied().collect(),
                    act_on
                },
                "after {seconds} s"
            );
        }
    }

    #[test]
    fn what_is_not_observed_is_not_crossed() {
        let threshold = Threshold {
            signal: Signal::Pids,
            amount: Amount::Absolute(10),
            grace: None,
            reclaim: None,
        };
        let verdict =
            State::default().step(&[threshold], &Observations::new(), Duration::ZERO, Instant::now());
        assert_eq!(
            verdict,
            Verdict {
                pressures: BTreeSet::new(),
                act_on: None
            }
        );
    }
}
