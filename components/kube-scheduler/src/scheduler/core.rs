//! State and decisions without I/O: changes go in, steps to carry out come out.

use std::sync::Arc;
use std::time::Instant;

use ahash::AHashMap;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use crate::cluster::{Claim, ClaimKey, Cluster, StorageClass, Volume};
use crate::framework::search::Diagnosis;
use crate::framework::{Decision, Plugin, Profile, Search};
use crate::model::selector::Labels;
use crate::model::{Node, Pod};
use crate::plugins::volumes::VolumePlan;
use crate::preemption::{Preemption, preempt};
use crate::queue::event::ClusterEvent;
use crate::queue::hints::helps;
use crate::queue::{Queue, Timing};

/// Cluster, queue and profiles of one scheduler process.
pub struct Core {
    pub cluster: Cluster,
    pub queue: Queue,
    profiles: AHashMap<String, Arc<Profile>>,
    search: Search,
    random: SmallRng,
}

/// What is to be done for a pod that was decided about.
pub enum Step {
    Bind(Box<Bind>),
    Reject(Box<Reject>),
}

/// The pod has its node and is assumed to be there: write it down.
pub struct Bind {
    pub pod: Arc<Pod>,
    pub node: String,
    pub volumes: VolumePlan,
    pub attempts: u32,
    pub first_seen: Instant,
    pub evaluated: usize,
    pub feasible: usize,
}

/// No node can take the pod.
pub struct Reject {
    pub pod: Arc<Pod>,
    pub message: String,
    pub nomination: Nomination,
    /// Pods to delete so that it fits on the nominated node.
    pub victims: Vec<Arc<Pod>>,
    /// Pods of lower priority that were nominated for the same node: they have to look again.
    pub displaced: Vec<Arc<Pod>>,
}

/// What becomes of `status.nominatedNodeName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nomination {
    Keep,
    Clear,
    Node(String),
}

impl Core {
    pub fn new(profiles: Vec<Profile>, timing: Timing, seed: u64) -> Self {
        Self {
            cluster: Cluster::default(),
            queue: Queue::new(timing),
            profiles: profiles
                .into_iter()
                .map(|one| (one.scheduler_name.clone(), Arc::new(one)))
                .collect(),
            search: Search::default(),
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// Takes in a pod as it is now.
    pub fn set_pod(&mut self, pod: impl Into<Arc<Pod>>, now: Instant) {
        let pod = pod.into();
        if pod.ended {
            return self.remove_pod(&pod.uid, now);
        }
        match &pod.node_name {
            Some(node) => self.set_placed(&pod, &node.clone(), now),
            None => self.set_waiting(pod, now),
        }
    }

    fn set_placed(&mut self, pod: &Arc<Pod>, node: &str, now: Instant) {
        self.queue.remove(&pod.uid);
        self.cluster.nominated.remove(&pod.uid);
        let before = self
            .cluster
            .pod(&pod.uid)
            .filter(|placed| !placed.assumed)
            .map(|placed| placed.pod.clone());
        self.cluster.place(pod.clone(), node, false);
        match before {
            Some(old) => {
                if old.differs_for_scheduling(pod) || old.deleting != pod.deleting {
                    self.changed(&ClusterEvent::PodChanged { old: &old, new: pod }, now);
                }
            }
            None => self.changed(&ClusterEvent::PodPlaced(pod), now),
        }
    }

    fn set_waiting(&mut self, pod: Arc<Pod>, now: Instant) {
        let Some(profile) = self.profiles.get(&pod.scheduler_name) else {
            return;
        };
        if pod.deleting {
            // Nothing would be gained by placing it, and its nomination keeps others away.
            let nominated = self.cluster.nominated.node_of(&pod.uid).is_some();
            self.queue.remove(&pod.uid);
            self.cluster.nominated.remove(&pod.uid);
            if nominated {
                self.changed(&ClusterEvent::PodGone(&pod), now);
            }
            return;
        }
        let gated = pod.gated && profile.honors_gates;
        let before = self
            .queue
            .get(&pod.uid)
            .and_then(|old| old.nominated_node.clone());
        match (&before, &pod.nominated_node) {
            (_, Some(node)) => self.cluster.nominated.set(&pod, Some(node)),
            (Some(_), None) => self.cluster.nominated.remove(&pod.uid),
            // Our own nomination may not have been written yet.
            (None, None) => {
                if let Some(node) = self.cluster.nominated.node_of(&pod.uid).map(str::to_owned) {
                    self.cluster.nominated.set(&pod, Some(&node));
                }
            }
        }
        self.queue.upsert(pod, gated, now);
    }

    /// A pod is gone or has ended.
    pub fn remove_pod(&mut self, uid: &str, now: Instant) {
        let nominated = self.cluster.nominated.node_of(uid).is_some();
        let waiting = self.queue.get(uid).cloned();
        self.queue.remove(uid);
        self.cluster.nominated.remove(uid);
        let placed = self.cluster.remove(uid).map(|placed| placed.pod);
        if let Some(pod) = placed.or(waiting.filter(|_| nominated)) {
            self.changed(&ClusterEvent::PodGone(&pod), now);
        }
    }

    pub fn set_node(&mut self, node: Node, now: Instant) {
        let slot = self.cluster.nodes.slot(&node.name);
        let old = slot.and_then(|slot| self.cluster.nodes.get(slot)).cloned();
        if old.as_ref() == Some(&node) {
            return;
        }
        self.cluster.set_node(node.clone());
        match old {
            None => self.changed(&ClusterEvent::NodeAdded(&node), now),
            Some(old) => self.changed(
                &ClusterEvent::NodeChanged {
                    old: &old,
                    new: &node,
                },
                now,
            ),
        }
    }

    pub fn remove_node(&mut self, name: &str, now: Instant) {
        let slot = self.cluster.nodes.slot(name);
        if let Some(old) = slot.and_then(|slot| self.cluster.nodes.get(slot)).cloned() {
            self.cluster.remove_node(name);
            self.changed(&ClusterEvent::NodeGone(&old), now);
        }
    }

    pub fn set_namespace(&mut self, name: &str, labels: Option<Labels>, now: Instant) {
        if self.cluster.namespace_labels(name) != labels.as_ref() {
            self.cluster.set_namespace(name, labels);
            self.changed(&ClusterEvent::Namespace, now);
        }
    }

    pub fn set_claim(&mut self, key: ClaimKey, claim: Option<Claim>, now: Instant) {
        self.release_volumes(&key);
        let claims = &mut self.cluster.storage.claims;
        match claim {
            Some(claim) => claims.insert(key, claim),
            None => claims.remove(&key),
        };
        self.changed(&ClusterEvent::Storage, now);
    }

    pub fn set_volume(&mut self, name: &str, volume: Option<Volume>, now: Instant) {
        let volumes = &mut self.cluster.storage.volumes;
        match volume {
            Some(volume) => volumes.insert(name.to_owned(), volume),
            None => volumes.remove(name),
        };
        self.changed(&ClusterEvent::Storage, now);
    }

    pub fn set_storage_class(&mut self, name: &str, class: Option<StorageClass>, now: Instant) {
        let classes = &mut self.cluster.storage.classes;
        match class {
            Some(class) => classes.insert(name.to_owned(), class),
            None => classes.remove(name),
        };
        self.changed(&ClusterEvent::Storage, now);
    }

    pub fn set_attach_limits(&mut self, node: &str, limits: Option<AHashMap<String, i64>>, now: Instant) {
        let all = &mut self.cluster.storage.attach_limits;
        match limits {
            Some(limits) => all.insert(node.to_owned(), limits),
            None => all.remove(node),
        };
        self.changed(&ClusterEvent::Storage, now);
    }

    fn changed(&mut self, event: &ClusterEvent, now: Instant) {
        let cluster = &self.cluster;
        self.queue.changed(now, |waiting, plugin| {
            helps(plugin, waiting, event, |namespace| {
                cluster.namespace_labels(namespace)
            })
        });
    }

    /// Decides about the pod whose turn it is. None when nobody's is.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        loop {
            let popped = self.queue.pop(now)?;
            let Some(profile) = self.profiles.get(&popped.pod.scheduler_name).cloned() else {
                self.queue.remove(&popped.pod.uid);
                continue;
            };
            let pod = popped.pod;
            return Some(
                match self
                    .search
                    .decide(&mut self.cluster, &profile, &pod, &mut self.random)
                {
                    Decision::Node {
                        node,
                        feasible,
                        evaluated,
                        volumes,
                    } => {
                        let node = self.cluster.nodes.name(node).to_owned();
                        self.cluster.nominated.remove(&pod.uid);
                        self.cluster.place(pod.clone(), &node, true);
                        for (claim, volume) in &volumes.bind {
                            self.cluster
                                .storage
                                .reserved
                                .insert(volume.clone(), claim.clone());
                        }
                        let (attempts, first_seen) = (popped.attempts, popped.first_seen);
                        Step::Bind(Box::new(Bind {
                            pod,
                            node,
                            volumes,
                            attempts,
                            first_seen,
                            evaluated,
                            feasible,
                        }))
                    }
                    Decision::None(diagnosis) => {
                        Step::Reject(Box::new(self.reject(pod, &profile, &diagnosis, now)))
                    }
                },
            );
        }
    }

    fn reject(&mut self, pod: Arc<Pod>, profile: &Profile, diagnosis: &Diagnosis, now: Instant) -> Reject {
        let mut reject = Reject {
            pod: pod.clone(),
            message: diagnosis.message.clone(),
            nomination: Nomination::Keep,
            victims: Vec::new(),
            displaced: Vec::new(),
        };
        let mut plugins = diagnosis.plugins;
        let mut messages = Vec::new();
        let post_filters = if diagnosis.total_nodes == 0 {
            &[][..]
        } else {
            &profile.post_filters
        };
        for plugin in post_filters {
            match plugin {
                Plugin::DynamicResources => messages.push("no new claims to deallocate".to_owned()),
                Plugin::DefaultPreemption => {
                    match preempt(&self.cluster, profile, diagnosis, &mut self.random) {
                        Preemption::NotEligible { message } => {
                            messages.push(format!("preemption: {message}"))
                        }
                        Preemption::Useless { message } => {
                            messages.push(format!("preemption: {message}"));
                            if pod.nominated_node.is_some()
                                || self.cluster.nominated.node_of(&pod.uid).is_some()
                            {
                                reject.nomination = Nomination::Clear;
                            }
                        }
                        Preemption::Victims { node, victims } => {
                            messages.clear();
                            plugins.insert(Plugin::DefaultPreemption);
                            let node = self.cluster.nodes.name(node).to_owned();
                            let placed = victims.iter().filter_map(|uid| self.cluster.pod(uid));
                            reject.victims = placed.map(|placed| placed.pod.clone()).collect();
                            let rivals = self.cluster.nominated.on(&node).iter();
                            reject.displaced = rivals
                                .filter(|rival| rival.priority < pod.priority)
                                .cloned()
                                .collect();
                            reject.nomination = Nomination::Node(node);
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        if !messages.is_empty() {
            reject.message = format!("{} {}", reject.message, messages.join(", "));
        }
        match &reject.nomination {
            Nomination::Keep => {}
            Nomination::Clear => self.cluster.nominated.remove(&pod.uid),
            Nomination::Node(node) => self.cluster.nominated.set(&pod, Some(&node.clone())),
        }
        self.queue.unschedulable(&pod.uid, plugins, now);
        for rival in &reject.displaced {
            self.cluster.nominated.remove(&rival.uid);
            self.queue.wake(&rival.uid, now);
        }
        reject
    }

    /// The binding could not be written: the pod is not on its node after all. Returns the pod when it still
    /// waits.
    pub fn bind_failed(&mut self, uid: &str, now: Instant) -> Option<Arc<Pod>> {
        if let Some(placed) = self
            .cluster
            .pod(uid)
            .filter(|placed| placed.assumed)
            .map(|placed| placed.pod.clone())
        {
            self.cluster.remove(uid);
            for key in crate::cluster::claim_keys(&placed) {
                self.release_volumes(&key);
            }
            self.changed(&ClusterEvent::PodGone(&placed), now);
        }
        let pod = self.queue.get(uid).cloned();
        self.queue.failed(uid, now);
        pod
    }

    /// Victims could not be deleted: the pod looks again.
    pub fn preemption_failed(&mut self, uid: &str, now: Instant) {
        self.cluster.nominated.remove(uid);
        self.queue.failed(uid, now);
    }

    fn release_volumes(&mut self, key: &ClaimKey) {
        self.cluster.storage.reserved.retain(|_, by| by != key);
    }
}

#[cfg(test)]
mod tests;
