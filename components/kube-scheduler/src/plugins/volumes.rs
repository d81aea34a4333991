//! VolumeRestrictions, NodeVolumeLimits, VolumeBinding and VolumeZone.

use ahash::{AHashMap, AHashSet};

use crate::cluster::{Claim, ClaimKey, ClaimPhase, Cluster, NodeSlot, Volume};
use crate::framework::{Cycle, Failure, Plugin, Reason, Rejection, WhatIf};
use crate::model::Pod;
use crate::model::node_affinity::NodeTerm;
use crate::model::volumes::{VolumeUse, disks_collide};

const ZONE_KEYS: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// A pod's claims, sorted by what has to happen with them.
#[derive(Default)]
pub struct CheckedVolumes {
    /// Names of the volumes of bound claims.
    bound: Vec<String>,
    /// Claims that are bound when the pod has its node.
    to_bind: Vec<ClaimKey>,
    /// Claims that only one pod may use.
    exclusive: Vec<ClaimKey>,
    has_disks: bool,
    /// Attached volumes by driver.
    attached: AHashMap<String, AHashSet<String>>,
}

/// What has to be done for a pod's claims once it has a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumePlan {
    /// Claims and the volumes that they are to be bound to.
    pub bind: Vec<(ClaimKey, String)>,
    /// Claims that a provisioner is to make a volume for.
    pub provision: Vec<ClaimKey>,
}

impl VolumePlan {
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
}

/// Looks the pod's claims up. Fails when one of them keeps the pod from every node.
pub fn prepare(
    cluster: &Cluster,
    pod: &Pod,
    enabled: &impl Fn(Plugin) -> bool,
) -> Result<CheckedVolumes, Rejection> {
    let mut checked = CheckedVolumes::default();
    for volume in &pod.volumes {
        checked.has_disks |= matches!(volume, VolumeUse::Disk { .. });
        if enabled(Plugin::NodeVolumeLimits)
            && let Some((driver, id)) = attachment(cluster, pod, volume)
        {
            checked.attached.entry(driver).or_default().insert(id);
        }
        let VolumeUse::Claim { name, ephemeral, .. } = volume else {
            continue;
        };
        if !enabled(Plugin::VolumeBinding) {
            continue;
        }
        let rejected = |message: String| Rejection {
            plugin: Plugin::VolumeBinding,
            message,
        };
        let key = (pod.namespace.clone(), name.clone());
        let Some(claim) = cluster.storage.claims.get(&key) else {
            return Err(rejected(if *ephemeral {
                format!(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                )
            } else {
                format!("persistentvolumeclaim {name:?} not found")
            }));
        };
        if claim.phase == ClaimPhase::Lost {
            let volume = claim.volume.as_deref().unwrap_or_default();
            return Err(rejected(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            )));
        }
        if claim.deleting {
            return Err(rejected(format!(
                "persistentvolumeclaim {name:?} is being deleted"
            )));
        }
        if *ephemeral && claim.owner_pod.as_deref() != Some(&pod.uid) {
            let (namespace, pod) = (&pod.namespace, &pod.name);
            return Err(rejected(format!(
                "PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)"
            )));
        }
        if claim.single_pod() {
            checked.exclusive.push(key.clone());
        }
        match &claim.volume {
            Some(volume) if claim.is_bound() => checked.bound.push(volume.clone()),
            None if cluster.storage.waits_for_consumer(claim) => checked.to_bind.push(key),
            _ => {
                return Err(rejected(
                    "pod has unbound immediate PersistentVolumeClaims".to_owned(),
                ));
            }
        }
    }
    Ok(checked)
}

/// Driver and unique name of a volume that counts against the driver's limit.
fn attachment(cluster: &Cluster, pod: &Pod, volume: &VolumeUse) -> Option<(String, String)> {
    match volume {
        VolumeUse::InlineCsi { driver } => Some((driver.clone(), format!("{}/inline", pod.uid))),
        _ => cluster.storage.attached(&pod.namespace, volume),
    }
}

impl CheckedVolumes {
    pub fn checks_restrictions(&self) -> bool {
        self.has_disks || !self.exclusive.is_empty()
    }

    pub fn checks_limits(&self) -> bool {
        !self.attached.is_empty()
    }

    pub fn checks_binding(&self) -> bool {
        !self.bound.is_empty() || !self.to_bind.is_empty()
    }

    pub fn check_restrictions(
        &self,
        cycle: &Cycle,
        cluster: &Cluster,
        node: NodeSlot,
        what_if: Option<&WhatIf>,
    ) -> Result<(), Failure> {
        let here = |uid: &str| what_if.is_none_or(|what_if| !what_if.is_removed(uid));
        let plugin = Plugin::VolumeRestrictions;
        if self.has_disks {
            let others = cluster.storage.on_node(node).filter(|(uid, _)| here(uid));
            for other in others.flat_map(|(_, volumes)| volumes) {
                if cycle.pod.volumes.iter().any(|ours| disks_collide(ours, other)) {
                    return Err(Failure::resolvable(plugin, Reason::Disk));
                }
            }
        }
        let taken = |key: &ClaimKey| {
            cluster
                .storage
                .users_of(key)
                .any(|uid| here(uid) && *uid != cycle.pod.uid)
        };
        if self.exclusive.iter().any(taken) {
            return Err(Failure::resolvable(plugin, Reason::ReadWriteOncePod));
        }
        Ok(())
    }

    pub fn check_limits(
        &self,
        _cycle: &Cycle,
        cluster: &Cluster,
        node: NodeSlot,
        what_if: Option<&WhatIf>,
    ) -> Result<(), Failure> {
        let Some(limits) = cluster.storage.attach_limits.get(cluster.nodes.name(node)) else {
            return Ok(());
        };
        for (driver, ours) in &self.attached {
            let Some(limit) = limits.get(driver) else { continue };
            let mut all = ours.clone();
            for placed in cluster.pods_on(node) {
                if placed.pod.volumes.is_empty()
                    || what_if.is_some_and(|what_if| what_if.is_removed(&placed.pod.uid))
                {
                    continue;
                }
                let attachments = placed
                    .pod
                    .volumes
                    .iter()
                    .filter_map(|volume| attachment(cluster, &placed.pod, volume));
                all.extend(attachments.filter(|(one, _)| one == driver).map(|(_, id)| id));
            }
            if all.len() as i64 > *limit {
                return Err(Failure::resolvable(Plugin::NodeVolumeLimits, Reason::VolumeLimit));
            }
        }
        Ok(())
    }

    pub fn check_binding(&self, cluster: &Cluster, node: NodeSlot) -> Result<(), Failure> {
        let plugin = Plugin::VolumeBinding;
        for name in &self.bound {
            let Some(volume) = cluster.storage.volumes.get(name) else {
                return Err(Failure::unresolvable(plugin, Reason::VolumeMissing));
            };
            if !reaches(volume, cluster, node) {
                return Err(Failure::unresolvable(plugin, Reason::VolumeNodeAffinity));
            }
        }
        match self.plan(cluster, node) {
            Some(_) => Ok(()),
            None => Err(Failure::unresolvable(plugin, Reason::NoVolumeToBind)),
        }
    }

    /// What has to be done for the claims when the pod goes to the node; None when they cannot be met there.
    pub fn plan(&self, cluster: &Cluster, node: NodeSlot) -> Option<VolumePlan> {
        let mut plan = VolumePlan::default();
        for key in &self.to_bind {
            let claim = cluster.storage.claims.get(key)?;
            match &claim.selected_node {
                Some(selected) if selected != cluster.nodes.name(node) => return None,
                Some(_) => plan.provision.push(key.clone()),
                None => match find_volume(cluster, node, key, claim, &plan) {
                    Some(volume) => plan.bind.push((key.clone(), volume.name.clone())),
                    None => {
                        let class = cluster.storage.classes.get(claim.class.as_ref()?)?;
                        let allowed = class.allowed_topologies.is_empty()
                            || class.allowed_topologies.iter().any(|term| {
                                term.iter().all(|(key, values)| {
                                    let value = cluster.nodes.label(node, key);
                                    value.is_some_and(|value| values.iter().any(|one| one == value))
                                })
                            });
                        if class.provisioner == "kubernetes.io/no-provisioner" || !allowed {
                            return None;
                        }
                        plan.provision.push(key.clone());
                    }
                },
            }
        }
        Some(plan)
    }

    pub fn check_zone(&self, cluster: &Cluster, node: NodeSlot) -> Result<(), Failure> {
        for volume in self
            .bound
            .iter()
            .filter_map(|name| cluster.storage.volumes.get(name))
        {
            for key in ZONE_KEYS {
                let Some(zones) = volume.labels.get(key) else {
                    continue;
                };
                let stable = key.replace("failure-domain.beta", "topology");
                let here = cluster
                    .nodes
                    .label(node, key)
                    .or_else(|| cluster.nodes.label(node, &stable));
                // A volume in several zones lists them with two underscores in between.
                if !here.is_some_and(|here| zones.split("__").any(|zone| zone == here)) {
                    return Err(Failure::unresolvable(Plugin::VolumeZone, Reason::VolumeZone));
                }
            }
        }
        Ok(())
    }
}

/// Whether pods on the node can use the volume.
fn reaches(volume: &Volume, cluster: &Cluster, node: NodeSlot) -> bool {
    let admits =
        |term: &NodeTerm| term.admits(cluster.nodes.name(node), |key| cluster.nodes.label(node, key));
    volume
        .node_affinity
        .as_ref()
        .is_none_or(|terms| terms.iter().any(admits))
}

/// The smallest volume that meets the claim on the node; one that was reserved for the claim goes first.
fn find_volume<'c>(
    cluster: &'c Cluster,
    node: NodeSlot,
    key: &ClaimKey,
    claim: &Claim,
    plan: &VolumePlan,
) -> Option<&'c Volume> {
    let storage = &cluster.storage;
    let meets = |volume: &&Volume| {
        let modes = claim
            .access_modes
            .iter()
            .all(|mode| volume.access_modes.contains(mode));
        modes
            && volume.block == claim.block
            && volume.capacity >= claim.size
            && !volume.deleting
            && reaches(volume, cluster, node)
            && !plan.bind.iter().any(|(_, taken)| *taken == volume.name)
            && storage.reserved.get(&volume.name).is_none_or(|by| by == key)
    };
    let reserved_for_us = |volume: &&Volume| {
        volume.claim.as_ref().is_some_and(|(namespace, name, uid)| {
            *namespace == key.0 && *name == key.1 && (uid.is_empty() || *uid == claim.uid)
        })
    };
    let candidates = || storage.volumes.values().filter(meets);
    candidates().find(reserved_for_us).or_else(|| {
        candidates()
            .filter(|volume| volume.claim.is_none() && volume.available)
            .filter(|volume| volume.class == claim.class.as_deref().unwrap_or_default())
            .filter(|volume| {
                claim
                    .selector
                    .as_ref()
                    .is_none_or(|selector| selector.matches(&volume.labels))
            })
            .min_by(|one, other| (one.capacity, &one.name).cmp(&(other.capacity, &other.name)))
    })
}
