//! Nodes by slot, one array per thing that is looked at for many nodes in a row.

use ahash::AHashMap;

use crate::model::ports::HostPort;
use crate::model::requests::PodRequests;
use crate::model::taints::Taint;
use crate::model::{Node, Pod, Requests};

use super::pods::Uid;

/// Number of a node; slots of nodes that are gone are used again.
pub type NodeSlot = u32;

/// Interned list of taints; slot 0 is the empty list.
pub type TaintSet = u32;

#[derive(Default)]
pub struct Nodes {
    by_name: AHashMap<String, NodeSlot>,
    free: Vec<NodeSlot>,
    /// Slots in the order in which nodes are tried: zones take turns.
    order: Vec<NodeSlot>,
    order_is_stale: bool,
    /// None for a slot that only holds pods of a node that is not (or no longer) known.
    pub infos: Vec<Option<Node>>,
    names: Vec<String>,
    pub taint_set: Vec<TaintSet>,
    taint_sets: Vec<Vec<Taint>>,
    taint_ids: AHashMap<Vec<Taint>, TaintSet>,
    pub unschedulable: Vec<bool>,
    pub allocatable: Amounts,
    pub requested: Amounts,
    pub nonzero_milli_cpu: Vec<i64>,
    pub nonzero_memory: Vec<i64>,
    pub allowed_pods: Vec<i64>,
    pub pods: Vec<Vec<Uid>>,
    /// Host ports claimed by the node's pods.
    pub ports: AHashMap<NodeSlot, Vec<(Uid, HostPort)>>,
}

/// Amounts of every resource by node slot.
#[derive(Default)]
pub struct Amounts {
    pub milli_cpu: Vec<i64>,
    pub memory: Vec<i64>,
    pub ephemeral_storage: Vec<i64>,
    pub scalars: AHashMap<String, Vec<i64>>,
}

impl Amounts {
    fn grow(&mut self, slots: usize) {
        for column in [&mut self.milli_cpu, &mut self.memory, &mut self.ephemeral_storage] {
            column.resize(slots, 0);
        }
        for column in self.scalars.values_mut() {
            column.resize(slots, 0);
        }
    }

    fn set(&mut self, node: NodeSlot, amounts: &Requests) {
        let slots = self.milli_cpu.len();
        let node = node as usize;
        self.milli_cpu[node] = amounts.milli_cpu;
        self.memory[node] = amounts.memory;
        self.ephemeral_storage[node] = amounts.ephemeral_storage;
        for column in self.scalars.values_mut() {
            column[node] = 0;
        }
        for (name, amount) in &amounts.scalars {
            self.scalars.entry(name.clone()).or_insert_with(|| vec![0; slots])[node] = *amount;
        }
    }

    fn add(&mut self, node: NodeSlot, amounts: &Requests, sign: i64) {
        let slots = self.milli_cpu.len();
        let node = node as usize;
        self.milli_cpu[node] += sign * amounts.milli_cpu;
        self.memory[node] += sign * amounts.memory;
        self.ephemeral_storage[node] += sign * amounts.ephemeral_storage;
        for (name, amount) in &amounts.scalars {
            self.scalars.entry(name.clone()).or_insert_with(|| vec![0; slots])[node] += sign * amount;
        }
    }

    /// The column of a resource by its Kubernetes name; None when no node or pod has it.
    pub fn column(&self, name: &str) -> Option<&[i64]> {
        match name {
            "cpu" => Some(&self.milli_cpu),
            "memory" => Some(&self.memory),
            "ephemeral-storage" => Some(&self.ephemeral_storage),
            _ => self.scalars.get(name).map(Vec::as_slice),
        }
    }
}

impl Nodes {
    pub fn slot(&self, name: &str) -> Option<NodeSlot> {
        self.by_name.get(name).copied()
    }

    pub fn name(&self, node: NodeSlot) -> &str {
        &self.names[node as usize]
    }

    pub fn get(&self, node: NodeSlot) -> Option<&Node> {
        self.infos[node as usize].as_ref()
    }

    /// The node's value of a label.
    pub fn label(&self, node: NodeSlot, key: &str) -> Option<&str> {
        self.get(node)?.labels.get(key).map(String::as_str)
    }

    /// Known nodes, in the order in which they are to be tried. Call [`Nodes::refresh_order`] before.
    pub fn order(&self) -> &[NodeSlot] {
        &self.order
    }

    pub fn known(&self) -> impl Iterator<Item = (NodeSlot, &Node)> {
        self.infos
            .iter()
            .enumerate()
            .filter_map(|(slot, node)| Some((slot as NodeSlot, node.as_ref()?)))
    }

    pub fn taints(&self, set: TaintSet) -> &[Taint] {
        self.taint_sets.get(set as usize).map_or(&[], Vec::as_slice)
    }

    pub fn taint_set_count(&self) -> usize {
        self.taint_sets.len().max(1)
    }

    /// The slot of that name, made when there is none.
    pub(super) fn slot_or_new(&mut self, name: &str) -> NodeSlot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                name.clone_into(&mut self.names[slot as usize]);
                slot
            }
            None => {
                self.names.push(name.to_owned());
                let slots = self.names.len();
                self.infos.push(None);
                self.taint_set.push(0);
                self.unschedulable.push(false);
                self.allocatable.grow(slots);
                self.requested.grow(slots);
                self.nonzero_milli_cpu.push(0);
                self.nonzero_memory.push(0);
                self.allowed_pods.push(0);
                self.pods.push(Vec::new());
                (slots - 1) as NodeSlot
            }
        };
        self.by_name.insert(name.to_owned(), slot);
        slot
    }

    /// Sets or clears what is known of the node itself.
    pub(super) fn describe(&mut self, slot: NodeSlot, node: Option<Node>) {
        let at = slot as usize;
        let moved = match (&self.infos[at], &node) {
            (Some(old), Some(new)) => old.zone() != new.zone(),
            (None, None) => false,
            _ => true,
        };
        self.order_is_stale |= moved;
        let nothing = Node::default();
        let described = node.as_ref().unwrap_or(&nothing);
        self.taint_set[at] = self.intern_taints(&described.taints);
        self.unschedulable[at] = described.unschedulable;
        self.allocatable.set(slot, &described.allocatable);
        self.allowed_pods[at] = described.allowed_pods;
        self.infos[at] = node;
        self.release_if_empty(slot);
    }

    fn intern_taints(&mut self, taints: &[Taint]) -> TaintSet {
        if self.taint_sets.is_empty() {
            self.taint_sets.push(Vec::new());
        }
        if taints.is_empty() {
            return 0;
        }
        if let Some(id) = self.taint_ids.get(taints) {
            return *id;
        }
        let id = self.taint_sets.len() as TaintSet;
        self.taint_sets.push(taints.to_vec());
        self.taint_ids.insert(taints.to_vec(), id);
        id
    }

    pub(super) fn add_pod(&mut self, slot: NodeSlot, pod: &Pod) {
        self.count(slot, &pod.requests, 1);
        self.pods[slot as usize].push(pod.uid.clone());
        if !pod.host_ports.is_empty() {
            let claimed = pod.host_ports.iter().map(|port| (pod.uid.clone(), port.clone()));
            self.ports.entry(slot).or_default().extend(claimed);
        }
    }

    pub(super) fn remove_pod(&mut self, slot: NodeSlot, pod: &Pod) {
        self.count(slot, &pod.requests, -1);
        let pods = &mut self.pods[slot as usize];
        if let Some(at) = pods.iter().position(|one| *one == pod.uid) {
            pods.swap_remove(at);
        }
        if !pod.host_ports.is_empty()
            && let Some(claimed) = self.ports.get_mut(&slot)
        {
            claimed.retain(|(uid, _)| *uid != pod.uid);
            if claimed.is_empty() {
                self.ports.remove(&slot);
            }
        }
        self.release_if_empty(slot);
    }

    fn count(&mut self, slot: NodeSlot, requests: &PodRequests, sign: i64) {
        self.requested.add(slot, &requests.actual, sign);
        self.nonzero_milli_cpu[slot as usize] += sign * requests.nonzero_milli_cpu;
        self.nonzero_memory[slot as usize] += sign * requests.nonzero_memory;
    }

    fn release_if_empty(&mut self, slot: NodeSlot) {
        let at = slot as usize;
        if self.infos[at].is_none() && self.pods[at].is_empty() {
            let name = std::mem::take(&mut self.names[at]);
            if self.by_name.remove(&name).is_some() {
                self.free.push(slot);
            }
        }
    }

    /// Works out the order again when nodes came, went or moved between zones.
    pub fn refresh_order(&mut self) {
        if !std::mem::take(&mut self.order_is_stale) {
            return;
        }
        let mut zones: Vec<Vec<NodeSlot>> = Vec::new();
        let mut index: AHashMap<(String, String), usize> = AHashMap::new();
        for (slot, node) in self.known() {
            let (region, zone) = node.zone();
            let at = *index
                .entry((region.to_owned(), zone.to_owned()))
                .or_insert_with(|| {
                    zones.push(Vec::new());
                    zones.len() - 1
                });
            zones[at].push(slot);
        }
        let longest = zones.iter().map(Vec::len).max().unwrap_or(0);
        self.order = (0..longest)
            .flat_map(|turn| zones.iter().filter_map(move |zone| zone.get(turn)))
            .copied()
            .collect();
    }
}
