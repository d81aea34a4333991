//! (Anti-)affinity terms that placed pods have, summed per topology domain.

use std::sync::Arc;

use ahash::AHashMap;

use super::classes::TermId;
use super::nodes::NodeSlot;
use super::topology::{Domain, KeyId, NO_DOMAIN, Topology};
use crate::model::PodMatcher;

/// What a term of a placed pod means for a pod that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TermKind {
    /// Must not come into the domain.
    RequiredAnti,
    /// Is drawn into the domain, with the profile's hard affinity weight.
    Required,
    /// Is drawn into the domain, or with a negative weight kept away from it.
    Preferred,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct TermKey {
    pods: Arc<PodMatcher>,
    key: KeyId,
    kind: TermKind,
}

/// One term with the sum of weights of the placed pods that have it; required terms weigh 1.
pub struct TermRow {
    pub pods: Arc<PodMatcher>,
    pub key: KeyId,
    pub kind: TermKind,
    /// By domain of the key.
    pub sums: Vec<i64>,
    per_node: AHashMap<NodeSlot, i64>,
    holders: u32,
}

#[derive(Default)]
pub struct Terms {
    ids: AHashMap<TermKey, TermId>,
    slots: Vec<Option<TermRow>>,
    free: Vec<TermId>,
}

impl Terms {
    /// The number of the term, and whether it is new.
    pub fn intern(&mut self, pods: &PodMatcher, key: KeyId, kind: TermKind) -> (TermId, bool) {
        let term = TermKey {
            pods: Arc::new(pods.clone()),
            key,
            kind,
        };
        if let Some(id) = self.ids.get(&term) {
            return (*id, false);
        }
        let row = TermRow {
            pods: term.pods.clone(),
            key,
            kind,
            sums: Vec::new(),
            per_node: AHashMap::new(),
            holders: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(row);
                id
            }
            None => {
                self.slots.push(Some(row));
                (self.slots.len() - 1) as TermId
            }
        };
        self.ids.insert(term, id);
        (id, true)
    }

    pub fn get(&self, id: TermId) -> Option<&TermRow> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub fn iter(&self) -> impl Iterator<Item = (TermId, &TermRow)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(id, row)| Some((id as TermId, row.as_ref()?)))
    }

    /// A pod on the node that has the term came, or went when `add` is false. Returns true when nobody has
    /// the term any more; it is gone then.
    pub fn change(
        &mut self,
        id: TermId,
        node: NodeSlot,
        weight: i64,
        add: bool,
        topology: &Topology,
    ) -> bool {
        let Some(Some(row)) = self.slots.get_mut(id as usize) else {
            return false;
        };
        let by = if add { weight } else { -weight };
        let on_node = row.per_node.entry(node).or_default();
        *on_node += by;
        if *on_node == 0 {
            row.per_node.remove(&node);
        }
        add_to(&mut row.sums, topology.row(row.key).domain(node), by);
        if add {
            row.holders += 1;
            return false;
        }
        row.holders -= 1;
        if row.holders > 0 {
            return false;
        }
        let term = TermKey {
            pods: row.pods.clone(),
            key: row.key,
            kind: row.kind,
        };
        self.ids.remove(&term);
        self.slots[id as usize] = None;
        self.free.push(id);
        true
    }

    pub fn move_node(&mut self, node: NodeSlot, key: KeyId, from: Domain, to: Domain) {
        for row in self.slots.iter_mut().flatten().filter(|row| row.key == key) {
            if let Some(sum) = row.per_node.get(&node).copied() {
                add_to(&mut row.sums, from, -sum);
                add_to(&mut row.sums, to, sum);
            }
        }
    }
}

fn add_to(sums: &mut Vec<i64>, domain: Domain, by: i64) {
    if domain == NO_DOMAIN {
        return;
    }
    if sums.len() <= domain as usize {
        sums.resize(domain as usize + 1, 0);
    }
    sums[domain as usize] += by;
}
