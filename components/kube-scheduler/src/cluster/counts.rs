//! How many placed pods a matcher counts, per node and per topology domain, kept as pods come and go.

use std::sync::Arc;

use ahash::AHashMap;

use super::classes::MatcherId;
use super::nodes::NodeSlot;
use super::topology::{Domain, KeyId, NO_DOMAIN, Topology};
use crate::model::PodMatcher;

/// Pods counted, and those among them that are being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub all: u32,
    pub leaving: u32,
}

impl Count {
    pub fn staying(self) -> u32 {
        self.all - self.leaving
    }

    fn change(&mut self, by: Self, add: bool) {
        if add {
            self.all += by.all;
            self.leaving += by.leaving;
        } else {
            self.all -= by.all;
            self.leaving -= by.leaving;
        }
    }
}

/// How many matchers are kept; the least recently used go first.
const KEPT: usize = 1024;

#[derive(Default)]
pub struct Matchers {
    ids: AHashMap<Arc<[PodMatcher]>, MatcherId>,
    slots: Vec<Option<Matcher>>,
    free: Vec<MatcherId>,
    clock: u64,
}

pub struct Matcher {
    /// All of these must match.
    pub spec: Arc<[PodMatcher]>,
    used: u64,
    pub per_node: Vec<Count>,
    tables: Vec<(KeyId, Vec<Count>)>,
}

impl Matcher {
    pub fn new(spec: Arc<[PodMatcher]>) -> Self {
        Self {
            spec,
            used: 0,
            per_node: Vec::new(),
            tables: Vec::new(),
        }
    }

    pub fn on_node(&self, node: NodeSlot) -> Count {
        self.per_node.get(node as usize).copied().unwrap_or_default()
    }

    /// The counts by domain of the key. Empty until [`Matcher::tabulate`] was called.
    pub fn table(&self, key: KeyId) -> &[Count] {
        self.tables
            .iter()
            .find(|(one, _)| *one == key)
            .map_or(&[], |(_, table)| table)
    }

    /// Starts to keep the counts by domain of the key.
    pub fn tabulate(&mut self, key: KeyId, topology: &Topology) {
        if self.tables.iter().any(|(one, _)| *one == key) {
            return;
        }
        let row = topology.row(key);
        let mut table = vec![Count::default(); row.domain_limit()];
        for (node, count) in self.per_node.iter().enumerate() {
            let domain = row.domain(node as NodeSlot);
            if domain != NO_DOMAIN {
                table[domain as usize].change(*count, true);
            }
        }
        self.tables.push((key, table));
    }

    pub fn change(&mut self, node: NodeSlot, leaving: bool, add: bool, topology: &Topology) {
        let by = Count {
            all: 1,
            leaving: u32::from(leaving),
        };
        if self.per_node.len() <= node as usize {
            self.per_node.resize(node as usize + 1, Count::default());
        }
        self.per_node[node as usize].change(by, add);
        for (key, table) in &mut self.tables {
            change_domain(table, topology.row(*key).domain(node), by, add);
        }
    }

    fn move_node(&mut self, node: NodeSlot, key: KeyId, from: Domain, to: Domain) {
        let count = self.on_node(node);
        if let Some((_, table)) = self.tables.iter_mut().find(|(one, _)| *one == key) {
            change_domain(table, from, count, false);
            change_domain(table, to, count, true);
        }
    }
}

fn change_domain(table: &mut Vec<Count>, domain: Domain, by: Count, add: bool) {
    if domain == NO_DOMAIN {
        return;
    }
    if table.len() <= domain as usize {
        table.resize(domain as usize + 1, Count::default());
    }
    table[domain as usize].change(by, add);
}

impl Matchers {
    pub fn find(&mut self, spec: &[PodMatcher]) -> Option<MatcherId> {
        let id = *self.ids.get(spec)?;
        self.clock += 1;
        if let Some(matcher) = &mut self.slots[id as usize] {
            matcher.used = self.clock;
        }
        Some(id)
    }

    pub fn insert(&mut self, mut matcher: Matcher) -> MatcherId {
        self.clock += 1;
        matcher.used = self.clock;
        let spec = matcher.spec.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(matcher);
                id
            }
            None => {
                self.slots.push(Some(matcher));
                (self.slots.len() - 1) as MatcherId
            }
        };
        self.ids.insert(spec, id);
        id
    }

    pub fn get(&self, id: MatcherId) -> Option<&Matcher> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: MatcherId) -> Option<&mut Matcher> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = (MatcherId, &Matcher)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(id, one)| Some((id as MatcherId, one.as_ref()?)))
    }

    pub fn move_node(&mut self, node: NodeSlot, key: KeyId, from: Domain, to: Domain) {
        for matcher in self.slots.iter_mut().flatten() {
            matcher.move_node(node, key, from, to);
        }
    }

    /// When there are too many, drops the older half and returns it.
    pub fn sweep(&mut self) -> Vec<MatcherId> {
        if self.ids.len() <= KEPT {
            return Vec::new();
        }
        let mut ages: Vec<u64> = self.slots.iter().flatten().map(|matcher| matcher.used).collect();
        ages.sort_unstable();
        let middle = ages[ages.len() / 2];
        let mut dropped = Vec::new();
        for (id, slot) in self.slots.iter_mut().enumerate() {
            if let Some(matcher) = slot.take_if(|matcher| matcher.used < middle) {
                self.ids.remove(&matcher.spec);
                self.free.push(id as MatcherId);
                dropped.push(id as MatcherId);
            }
        }
        dropped
    }
}
