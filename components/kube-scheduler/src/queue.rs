//! Whose turn it is: pods that are ready, pods that back off, and pods that wait for something to change.
//!
//! Time is an argument, so that every rule can be tested without waiting.

pub mod event;
pub mod hints;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};

use crate::cluster::Uid;
use crate::framework::{Plugin, PluginMask};
use crate::model::Pod;

/// Back-off and patience, from flags and configuration.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub initial_backoff: Duration,
    pub max_backoff: Duration,
    /// After this long a pod is tried again whether or not anything has changed.
    pub max_unschedulable: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_secs(300),
        }
    }
}

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Active,
    Backoff,
    Unschedulable,
    /// Has scheduling gates.
    Gated,
    /// Being decided about or bound.
    InFlight,
}

struct Entry {
    pod: Arc<Pod>,
    place: Place,
    attempts: u32,
    /// When it was put where it is.
    since: Instant,
    first_seen: Instant,
    /// What rejected it last; empty after an error.
    plugins: PluginMask,
    /// The last attempt ended in an error, not for want of a node.
    failed: bool,
    /// Only the heap item with this number counts.
    ticket: u64,
}

/// A pod whose turn it is.
pub struct Popped {
    pub pod: Arc<Pod>,
    pub attempts: u32,
    pub first_seen: Instant,
}

/// How many pods wait where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

/// Higher priority first, then who has waited longer.
type ActiveItem = (i32, Reverse<Instant>, Reverse<u64>, Uid);
type BackoffItem = Reverse<(Instant, u64, Uid)>;

pub struct Queue {
    timing: Timing,
    entries: AHashMap<Uid, Entry>,
    /// The entries in [`Place::Unschedulable`], so that a change does not look at all.
    unschedulable: AHashSet<Uid>,
    active: BinaryHeap<ActiveItem>,
    backoff: BinaryHeap<BackoffItem>,
    tickets: u64,
}

impl Queue {
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            entries: AHashMap::new(),
            unschedulable: AHashSet::new(),
            active: BinaryHeap::new(),
            backoff: BinaryHeap::new(),
            tickets: 0,
        }
    }

    pub fn get(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.entries.get(uid).map(|entry| &entry.pod)
    }

    pub fn place(&self, uid: &str) -> Option<Place> {
        self.entries.get(uid).map(|entry| entry.place)
    }

    pub fn lengths(&self) -> Lengths {
        let mut lengths = Lengths::default();
        for entry in self.entries.values() {
            match entry.place {
                Place::Active => lengths.active += 1,
                Place::Backoff => lengths.backoff += 1,
                Place::Unschedulable => lengths.unschedulable += 1,
                Place::Gated => lengths.gated += 1,
                Place::InFlight => {}
            }
        }
        lengths
    }

    /// Takes in a pod that waits for a node, as it is now. `gated` says whether its gates hold it back.
    pub fn upsert(&mut self, pod: Arc<Pod>, gated: bool, now: Instant) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            let entry = Entry {
                pod,
                place: Place::Gated,
                attempts: 0,
                since: now,
                first_seen: now,
                plugins: PluginMask::default(),
                failed: false,
                ticket: 0,
            };
            self.entries.insert(uid.clone(), entry);
            if !gated {
                self.activate(&uid, now);
            }
            return;
        };
        let changed = pod.differs_for_scheduling(&entry.pod);
        entry.pod = pod;
        match entry.place {
            Place::Gated if !gated => self.activate(&uid, now),
            Place::Active | Place::Backoff | Place::Unschedulable if gated => {
                entry.place = Place::Gated;
                self.unschedulable.remove(&uid);
            }
            Place::Unschedulable if changed => self.retry(&uid, now),
            // Its priority may have changed, by which the heap is sorted.
            Place::Active if changed => self.activate(&uid, now),
            _ => {}
        }
    }

    pub fn remove(&mut self, uid: &str) {
        self.entries.remove(uid);
        self.unschedulable.remove(uid);
    }

    fn activate(&mut self, uid: &Uid, now: Instant) {
        self.tickets += 1;
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        (entry.place, entry.ticket) = (Place::Active, self.tickets);
        self.unschedulable.remove(uid);
        let since = if entry.attempts == 0 {
            entry.first_seen
        } else {
            now
        };
        self.active.push((
            entry.pod.priority,
            Reverse(since),
            Reverse(self.tickets),
            uid.clone(),
        ));
    }

    fn backoff_of(&self, attempts: u32) -> Duration {
        let factor = 1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        self.timing
            .initial_backoff
            .saturating_mul(factor)
            .min(self.timing.max_backoff)
    }

    /// Puts a pod that may fit now among those that are ready, or lets it back off first.
    fn retry(&mut self, uid: &Uid, now: Instant) {
        let Some(entry) = self.entries.get(uid) else {
            return;
        };
        let until = entry.since + self.backoff_of(entry.attempts);
        if until <= now {
            self.activate(uid, now);
            return;
        }
        self.tickets += 1;
        if let Some(entry) = self.entries.get_mut(uid) {
            (entry.place, entry.ticket) = (Place::Backoff, self.tickets);
            self.unschedulable.remove(uid);
        }
        self.backoff.push(Reverse((until, self.tickets, uid.clone())));
    }

    /// The pod whose turn it is. When nobody is ready, a pod that would only back off for courtesy is taken,
    /// but not one whose last attempt failed with an error.
    pub fn pop(&mut self, now: Instant) -> Option<Popped> {
        self.end_backoffs(now);
        while let Some((_, _, Reverse(ticket), uid)) = self.active.pop() {
            if let Some(entry) = self.entries.get_mut(&uid)
                && entry.ticket == ticket
                && entry.place == Place::Active
            {
                return Some(taken(entry));
            }
        }
        let mut failed = Vec::new();
        let mut found = None;
        while let Some(item) = self.backoff.pop() {
            let Reverse((_, ticket, uid)) = &item;
            let Some(entry) = self.entries.get_mut(uid) else {
                continue;
            };
            if entry.ticket != *ticket || entry.place != Place::Backoff {
                continue;
            }
            if entry.failed {
                failed.push(item);
                continue;
            }
            found = Some(taken(entry));
            break;
        }
        self.backoff.extend(failed);
        found
    }

    fn end_backoffs(&mut self, now: Instant) {
        while let Some(Reverse((until, ticket, uid))) = self.backoff.peek() {
            if *until > now {
                break;
            }
            let current = self
                .entries
                .get(uid)
                .is_some_and(|one| one.ticket == *ticket && one.place == Place::Backoff);
            let uid = uid.clone();
            self.backoff.pop();
            if current {
                self.activate(&uid, now);
            }
        }
    }

    /// No node can take the pod: it waits until something changes that its plugins care about.
    pub fn unschedulable(&mut self, uid: &str, plugins: PluginMask, now: Instant) {
        if let Some(entry) = self.entries.get_mut(uid) {
            (entry.plugins, entry.failed, entry.since) = (plugins, false, now);
            entry.place = Place::Unschedulable;
            self.unschedulable.insert(entry.pod.uid.clone());
        }
    }

    /// An attempt ended in an error: it is tried again after its back-off.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        (entry.plugins, entry.failed, entry.since) = (PluginMask::default(), true, now);
        let uid = entry.pod.uid.clone();
        self.retry(&uid, now);
    }

    /// Makes an unschedulable pod ready at once.
    pub fn wake(&mut self, uid: &str, now: Instant) {
        if let Some(entry) = self.entries.get(uid)
            && matches!(entry.place, Place::Unschedulable | Place::Backoff)
        {
            let uid = entry.pod.uid.clone();
            self.activate(&uid, now);
        }
    }

    /// Something has changed: `helps` says for a waiting pod whether it concerns one of the plugins.
    pub fn changed(&mut self, now: Instant, helps: impl Fn(&Pod, Plugin) -> bool) {
        let concerned = |entry: &Entry| {
            entry.plugins.is_empty() || entry.plugins.iter().any(|plugin| helps(&entry.pod, plugin))
        };
        let waiting = self.unschedulable.iter();
        let woken: Vec<Uid> = waiting
            .filter(|uid| self.entries.get(*uid).is_some_and(concerned))
            .cloned()
            .collect();
        for uid in woken {
            self.retry(&uid, now);
        }
    }

    /// Tries pods again that have been unschedulable for too long.
    pub fn flush(&mut self, now: Instant) {
        let patience = self.timing.max_unschedulable;
        let late = |uid: &&Uid| {
            self.entries
                .get(*uid)
                .is_some_and(|entry| entry.since + patience <= now)
        };
        let overdue: Vec<Uid> = self.unschedulable.iter().filter(late).cloned().collect();
        for uid in overdue {
            self.retry(&uid, now);
        }
    }

    /// When the next back-off ends.
    pub fn next_backoff(&self) -> Option<Instant> {
        self.backoff.peek().map(|Reverse((until, ..))| *until)
    }
}

fn taken(entry: &mut Entry) -> Popped {
    entry.place = Place::InFlight;
    entry.attempts = entry.attempts.saturating_add(1);
    Popped {
        pod: entry.pod.clone(),
        attempts: entry.attempts,
        first_seen: entry.first_seen,
    }
}

#[cfg(test)]
mod tests;
