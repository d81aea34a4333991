//! Pods come to and leave nodes; nodes and namespaces change. Every count follows.

use std::sync::Arc;

use super::Cluster;
use super::classes::{Class, ClassId, ClassKey, MatcherId, TermId, insert_sorted, remove_sorted};
use super::counts::Matcher;
use super::nodes::NodeSlot;
use super::terms::{TermKind, TermRow};
use super::topology::KeyId;
use crate::model::selector::Labels;
use crate::model::{Node, Pod, PodMatcher};

pub type Uid = Arc<str>;

/// A pod that is on a node, or assumed to be while it is being bound.
pub struct PlacedPod {
    pub pod: Arc<Pod>,
    pub node: NodeSlot,
    pub class: ClassId,
    pub assumed: bool,
    terms: Vec<(TermId, i64)>,
}

impl Cluster {
    pub fn pod(&self, uid: &str) -> Option<&PlacedPod> {
        self.pods.get(uid)
    }

    pub fn pods_on(&self, node: NodeSlot) -> impl Iterator<Item = &PlacedPod> {
        self.nodes.pods[node as usize]
            .iter()
            .filter_map(|uid| self.pods.get(uid))
    }

    pub fn placed_pods(&self) -> usize {
        self.pods.len()
    }

    /// Puts the pod on the node of that name, whether or not the node is known; replaces what was known of
    /// the pod.
    pub fn place(&mut self, pod: Arc<Pod>, node_name: &str, assumed: bool) {
        self.remove(&pod.uid);
        let node = self.nodes.slot_or_new(node_name);
        let class = self.class_of(&pod);
        self.nodes.add_pod(node, &pod);
        self.storage.add_pod(node, &pod);
        self.count_pod(class, node, pod.deleting, true);
        let mut terms = Vec::new();
        let mut hold = |cluster: &mut Self, pods: &PodMatcher, key: &str, kind, weight: i64| {
            if weight != 0 {
                let id = cluster.intern_term(pods, key, kind);
                cluster.terms.change(id, node, weight, true, &cluster.topology);
                terms.push((id, weight));
            }
        };
        for term in &pod.anti_affinity.required {
            hold(self, &term.pods, &term.topology_key, TermKind::RequiredAnti, 1);
        }
        for term in &pod.affinity.required {
            hold(self, &term.pods, &term.topology_key, TermKind::Required, 1);
        }
        for (weight, term) in &pod.affinity.preferred {
            hold(self, &term.pods, &term.topology_key, TermKind::Preferred, *weight);
        }
        for (weight, term) in &pod.anti_affinity.preferred {
            hold(self, &term.pods, &term.topology_key, TermKind::Preferred, -weight);
        }
        if let Some(class) = self.classes.get_mut(class) {
            class.pods += 1;
        }
        self.pods.insert(
            pod.uid.clone(),
            PlacedPod {
                pod,
                node,
                class,
                assumed,
                terms,
            },
        );
    }

    /// Takes the pod off its node. None when it was on none.
    pub fn remove(&mut self, uid: &str) -> Option<PlacedPod> {
        let placed = self.pods.remove(uid)?;
        for (term, weight) in &placed.terms {
            if self
                .terms
                .change(*term, placed.node, *weight, false, &self.topology)
            {
                for (_, class) in self.classes.iter_mut() {
                    remove_sorted(&mut class.terms, *term);
                }
            }
        }
        self.count_pod(placed.class, placed.node, placed.pod.deleting, false);
        if let Some(class) = self.classes.get_mut(placed.class) {
            class.pods -= 1;
        }
        self.storage.remove_pod(placed.node, &placed.pod);
        self.nodes.remove_pod(placed.node, &placed.pod);
        Some(placed)
    }

    fn count_pod(&mut self, class: ClassId, node: NodeSlot, leaving: bool, add: bool) {
        let Some(class) = self.classes.get(class) else {
            return;
        };
        for matcher in &class.matchers {
            if let Some(matcher) = self.matchers.get_mut(*matcher) {
                matcher.change(node, leaving, add, &self.topology);
            }
        }
    }

    /// Takes in a node as it is now.
    pub fn set_node(&mut self, node: Node) {
        let slot = self.nodes.slot_or_new(&node.name);
        for key in 0..self.topology.len() {
            let (from, to) = self.topology.place(key, slot, Some(&node.labels));
            self.move_node(slot, key, from, to);
        }
        self.images.set(slot, &node.images);
        self.nodes.describe(slot, Some(node));
    }

    /// Forgets a node; its pods stay until they are removed themselves.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.nodes.slot(name) else { return };
        for key in 0..self.topology.len() {
            let (from, to) = self.topology.place(key, slot, None);
            self.move_node(slot, key, from, to);
        }
        self.images.set(slot, &[]);
        self.nodes.describe(slot, None);
    }

    fn move_node(&mut self, slot: NodeSlot, key: KeyId, from: u32, to: u32) {
        if from != to {
            self.matchers.move_node(slot, key, from, to);
            self.terms.move_node(slot, key, from, to);
        }
    }

    /// The topology key's number.
    pub fn key(&mut self, key: &str) -> KeyId {
        self.topology
            .key(key, self.nodes.known().map(|(slot, node)| (slot, &node.labels)))
    }

    /// The class of the pod, matched against everything that counts pods.
    pub fn class_of(&mut self, pod: &Pod) -> ClassId {
        let key = ClassKey {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
        };
        if let Some(id) = self.classes.find(&key) {
            return id;
        }
        self.classes.sweep(self.pods.len());
        let (matchers, terms) = self.match_class(&key);
        self.classes.insert(Class {
            key: Arc::new(key),
            pods: 0,
            matchers,
            terms,
        })
    }

    fn match_class(&self, key: &ClassKey) -> (Vec<MatcherId>, Vec<TermId>) {
        let none = Labels::new();
        let namespace = self.namespaces.get(&key.namespace).unwrap_or(&none);
        let about = |pods: &PodMatcher| pods.matches(&key.namespace, namespace, &key.labels);
        (
            self.matchers
                .iter()
                .filter(|(_, one)| one.spec.iter().all(about))
                .map(|(id, _)| id)
                .collect(),
            self.terms
                .iter()
                .filter(|(_, row)| about(&row.pods))
                .map(|(id, _)| id)
                .collect(),
        )
    }

    /// The number of the matcher for pods that match all of `spec`, counting the placed pods when it is new. Valid until the next call of
    /// [`Cluster::sweep_matchers`].
    pub fn matcher(&mut self, spec: &[PodMatcher]) -> MatcherId {
        if let Some(id) = self.matchers.find(spec) {
            return id;
        }
        let id = self.matchers.insert(Matcher::new(spec.into()));
        let none = Labels::new();
        for (_, class) in self.classes.iter_mut() {
            let namespace = self.namespaces.get(&class.key.namespace).unwrap_or(&none);
            if spec
                .iter()
                .all(|one| one.matches(&class.key.namespace, namespace, &class.key.labels))
            {
                insert_sorted(&mut class.matchers, id);
            }
        }
        if let Some(matcher) = self.matchers.get_mut(id) {
            for placed in self.pods.values() {
                if self
                    .classes
                    .get(placed.class)
                    .is_some_and(|class| class.matchers.binary_search(&id).is_ok())
                {
                    matcher.change(placed.node, placed.pod.deleting, true, &self.topology);
                }
            }
        }
        id
    }

    /// Makes the matcher keep its counts by domain of the key.
    pub fn tabulate(&mut self, matcher: MatcherId, key: KeyId) {
        if let Some(matcher) = self.matchers.get_mut(matcher) {
            matcher.tabulate(key, &self.topology);
        }
    }

    pub fn counts(&self, matcher: MatcherId) -> Option<&Matcher> {
        self.matchers.get(matcher)
    }

    /// Whether the matcher counts pods of the class.
    pub fn counts_class(&self, matcher: MatcherId, class: ClassId) -> bool {
        self.classes
            .get(class)
            .is_some_and(|class| class.matchers.binary_search(&matcher).is_ok())
    }

    /// The terms of placed pods that are about pods of the class.
    pub fn terms_about(&self, class: ClassId) -> impl Iterator<Item = (TermId, &TermRow)> {
        let terms = self.classes.get(class).map_or(&[][..], |class| &class.terms);
        terms.iter().filter_map(|id| Some((*id, self.terms.get(*id)?)))
    }

    /// A term of placed pods.
    pub fn term(&self, id: TermId) -> Option<&TermRow> {
        self.terms.get(id)
    }

    /// Whether the placed pod has the term.
    pub fn has_term(placed: &PlacedPod, term: TermId) -> bool {
        placed.terms.iter().any(|(one, _)| *one == term)
    }

    /// Drops matchers that have not been used for long. Call between decisions.
    pub fn sweep_matchers(&mut self) {
        for id in self.matchers.sweep() {
            for (_, class) in self.classes.iter_mut() {
                remove_sorted(&mut class.matchers, id);
            }
        }
    }

    fn intern_term(&mut self, pods: &PodMatcher, key: &str, kind: TermKind) -> TermId {
        let key = self.key(key);
        let (id, new) = self.terms.intern(pods, key, kind);
        if new {
            let none = Labels::new();
            for (_, class) in self.classes.iter_mut() {
                let namespace = self.namespaces.get(&class.key.namespace).unwrap_or(&none);
                if pods.matches(&class.key.namespace, namespace, &class.key.labels) {
                    insert_sorted(&mut class.terms, id);
                }
            }
        }
        id
    }

    pub fn namespace_labels(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(name)
    }

    /// Takes in a namespace's labels; None when it is gone. Its classes are matched again when they changed.
    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>) {
        let old = self.namespaces.get(name).cloned().unwrap_or_default();
        let changed = labels.as_ref().unwrap_or(&Labels::new()) != &old;
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        if !changed {
            return;
        }
        let here: Vec<(ClassId, NodeSlot, bool)> = self
            .pods
            .values()
            .filter(|placed| placed.pod.namespace == name)
            .map(|placed| (placed.class, placed.node, placed.pod.deleting))
            .collect();
        for (class, node, leaving) in &here {
            self.count_pod(*class, *node, *leaving, false);
        }
        let stale: Vec<(ClassId, Arc<ClassKey>)> = self
            .classes
            .iter_mut()
            .filter(|(_, class)| class.key.namespace == name)
            .map(|(id, class)| (id, class.key.clone()))
            .collect();
        for (id, key) in stale {
            let (matchers, terms) = self.match_class(&key);
            if let Some(class) = self.classes.get_mut(id) {
                (class.matchers, class.terms) = (matchers, terms);
            }
        }
        for (class, node, leaving) in here {
            self.count_pod(class, node, leaving, true);
        }
    }
}
