//! Recent events of a resource. Watchers keep a position in it and no buffer of their own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::CacheEvent;
use crate::revision::Revision;

/// Events younger than this are kept, for clients that come back to where they were.
const FRESH: Duration = Duration::from_secs(75);
/// Kept whatever their age, as far as the bytes allow.
const LEAST: usize = 100;
/// Dropped above this whatever their age.
const MOST: usize = 100_000;
/// Bytes of objects held above which even fresh events are dropped; an object counts before and after a change.
const MOST_BYTES: usize = 64 << 20;

pub(crate) struct Ring {
    events: VecDeque<(Instant, Arc<CacheEvent>)>,
    /// Sequence number of the first event kept.
    first: u64,
    /// A watch may begin at this revision or later.
    floor: Revision,
    bytes: usize,
}

impl Ring {
    pub(crate) fn new(floor: Revision) -> Self {
        Ring {
            events: VecDeque::new(),
            first: 0,
            floor,
            bytes: 0,
        }
    }

    /// Number that the next event gets.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// No watch may begin before `floor` from now on; those that run go on.
    pub(crate) fn raise_floor(&mut self, floor: Revision) {
        self.floor = self.floor.max(floor);
    }

    /// Drops all events and their positions, also the next one's: who follows has to begin anew, at `floor` or later.
    pub(crate) fn forget(&mut self, floor: Revision) {
        self.first = self.next_sequence() + 1;
        self.events.clear();
        self.bytes = 0;
        self.raise_floor(floor);
    }

    pub(crate) fn push(&mut self, event: Arc<CacheEvent>, now: Instant) {
        self.bytes += event.weight();
        self.events.push_back((now, event));
        while self.events.len() > 1 {
            let Some((arrived, oldest)) = self.events.front() else {
                break;
            };
            let wanted = self.events.len() <= LEAST || now.duration_since(*arrived) < FRESH;
            if wanted && self.events.len() <= MOST && self.bytes <= MOST_BYTES {
                break;
            }
            self.bytes -= oldest.weight();
            self.floor = self.floor.max(oldest.revision);
            self.first += 1;
            self.events.pop_front();
        }
        if self.events.capacity() > 4 * self.events.len().max(LEAST) {
            self.events.shrink_to(2 * self.events.len());
        }
    }

    /// Up to `limit` events from `sequence` on; None when that has been dropped.
    pub(crate) fn read(&self, sequence: u64, limit: usize, into: &mut Vec<Arc<CacheEvent>>) -> Option<()> {
        let skip = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        into.extend(
            self.events
                .iter()
                .skip(skip)
                .take(limit)
                .map(|(_, event)| event.clone()),
        );
        Some(())
    }

    /// Sequence number of the first event after `revision`; None when such events have been dropped.
    pub(crate) fn after(&self, revision: Revision) -> Option<u64> {
        if revision < self.floor {
            return None;
        }
        let position = self
            .events
            .partition_point(|(_, event)| event.revision <= revision);
        Some(self.first + position as u64)
    }

    /// Newest first.
    pub(crate) fn backwards(&self) -> impl Iterator<Item = &Arc<CacheEvent>> {
        self.events.iter().rev().map(|(_, event)| event)
    }
}
