//! Claims, volumes, classes and attach limits.

use std::collections::BTreeMap;

use ahash::{AHashMap, AHashSet};

use super::nodes::NodeSlot;
use super::pods::Uid;
use crate::model::Pod;
use crate::model::node_affinity::NodeTerm;
use crate::model::selector::{Labels, Selector};
use crate::model::volumes::VolumeUse;

/// Namespace and name of a claim.
pub type ClaimKey = (String, String);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    pub uid: String,
    pub phase: ClaimPhase,
    pub deleting: bool,
    pub volume: Option<String>,
    /// None for no class at all; an empty name asks for volumes without one.
    pub class: Option<String>,
    pub access_modes: Vec<String>,
    pub block: bool,
    /// In bytes.
    pub size: i64,
    pub selector: Option<Selector>,
    /// The annotation `volume.kubernetes.io/selected-node`.
    pub selected_node: Option<String>,
    /// UID of the pod that the claim was made for.
    pub owner_pod: Option<String>,
    /// The annotation that the volume controller sets when binding is complete.
    pub bind_completed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClaimPhase {
    #[default]
    Pending,
    Bound,
    Lost,
}

impl Claim {
    pub fn is_bound(&self) -> bool {
        self.volume.is_some() && self.bind_completed
    }

    pub fn single_pod(&self) -> bool {
        self.access_modes.iter().any(|mode| mode == "ReadWriteOncePod")
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Volume {
    pub name: String,
    pub labels: Labels,
    /// In bytes.
    pub capacity: i64,
    pub class: String,
    pub access_modes: Vec<String>,
    pub block: bool,
    pub available: bool,
    pub deleting: bool,
    /// Namespace, name and UID of the claim; the UID is empty when it was only reserved.
    pub claim: Option<(String, String, String)>,
    /// One of the terms must admit the node; None for a volume that is reachable everywhere.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// CSI driver and volume handle.
    pub csi: Option<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageClass {
    pub provisioner: String,
    pub wait_for_first_consumer: bool,
    /// One must admit the node; empty admits all.
    pub allowed_topologies: Vec<BTreeMap<String, Vec<String>>>,
}

#[derive(Default)]
pub struct Storage {
    pub claims: AHashMap<ClaimKey, Claim>,
    pub volumes: AHashMap<String, Volume>,
    pub classes: AHashMap<String, StorageClass>,
    /// Volumes that each driver can attach, by node name.
    pub attach_limits: AHashMap<String, AHashMap<String, i64>>,
    /// Volumes that are being bound to a claim right now.
    pub reserved: AHashMap<String, ClaimKey>,
    /// Placed pods with volumes, by node.
    users: AHashMap<NodeSlot, AHashMap<Uid, Vec<VolumeUse>>>,
    /// Placed pods by the claims they use.
    claim_users: AHashMap<ClaimKey, AHashSet<Uid>>,
}

impl Storage {
    pub(super) fn add_pod(&mut self, node: NodeSlot, pod: &Pod) {
        if pod.volumes.is_empty() {
            return;
        }
        self.users
            .entry(node)
            .or_default()
            .insert(pod.uid.clone(), pod.volumes.clone());
        for key in claim_keys(pod) {
            self.claim_users.entry(key).or_default().insert(pod.uid.clone());
        }
    }

    pub(super) fn remove_pod(&mut self, node: NodeSlot, pod: &Pod) {
        if pod.volumes.is_empty() {
            return;
        }
        if let Some(users) = self.users.get_mut(&node) {
            users.remove(&pod.uid);
            if users.is_empty() {
                self.users.remove(&node);
            }
        }
        for key in claim_keys(pod) {
            if let Some(users) = self.claim_users.get_mut(&key) {
                users.remove(&pod.uid);
                if users.is_empty() {
                    self.claim_users.remove(&key);
                }
            }
        }
    }

    /// Volumes of the node's placed pods, by pod.
    pub fn on_node(&self, node: NodeSlot) -> impl Iterator<Item = (&Uid, &Vec<VolumeUse>)> {
        self.users.get(&node).into_iter().flatten()
    }

    /// Placed pods that use the claim.
    pub fn users_of(&self, claim: &ClaimKey) -> impl Iterator<Item = &Uid> {
        self.claim_users.get(claim).into_iter().flatten()
    }

    pub fn claim(&self, namespace: &str, name: &str) -> Option<&Claim> {
        self.claims.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the claim waits for a pod to be placed before it is bound.
    pub fn waits_for_consumer(&self, claim: &Claim) -> bool {
        claim
            .class
            .as_ref()
            .and_then(|class| self.classes.get(class))
            .is_some_and(|class| class.wait_for_first_consumer)
    }

    /// The CSI volume that a pod's use comes down to, as driver and a name that is unique for the driver.
    pub fn attached(&self, namespace: &str, volume: &VolumeUse) -> Option<(String, String)> {
        let VolumeUse::Claim { name, .. } = volume else {
            return None;
        };
        let claim = self.claim(namespace, name)?;
        match &claim.volume {
            Some(volume) => self.volumes.get(volume)?.csi.clone(),
            None => {
                let class = self.classes.get(claim.class.as_ref()?)?;
                Some((class.provisioner.clone(), format!("{namespace}/{name}")))
            }
        }
    }
}

/// The claims that the pod uses.
pub fn claim_keys(pod: &Pod) -> impl Iterator<Item = ClaimKey> {
    pod.volumes.iter().filter_map(|volume| match volume {
        VolumeUse::Claim { name, .. } => Some((pod.namespace.clone(), name.clone())),
        _ => None,
    })
}
