//! The volumes of a pod that limit where it can go.

use k8s_openapi::api::core::v1::PodSpec;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeUse {
    /// A claim by name; `ephemeral` ones are made for the pod and must be owned by it.
    Claim {
        name: String,
        ephemeral: bool,
        read_only: bool,
    },
    /// A CSI volume written into the pod, counted against the driver's limit.
    InlineCsi { driver: String },
    /// A disk that at most one pod of a node may have (`gce-pd`, `aws-ebs`, `iscsi`, `rbd`).
    Disk {
        kind: &'static str,
        id: String,
        read_only: bool,
    },
}

/// The volumes of the pod named `pod_name` that scheduling has to look at.
pub fn volumes(spec: &PodSpec, pod_name: &str) -> Vec<VolumeUse> {
    let mut uses = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        if let Some(claim) = &volume.persistent_volume_claim {
            uses.push(VolumeUse::Claim {
                name: claim.claim_name.clone(),
                ephemeral: false,
                read_only: claim.read_only.unwrap_or(false),
            });
        } else if volume.ephemeral.is_some() {
            let name = format!("{pod_name}-{}", volume.name);
            uses.push(VolumeUse::Claim {
                name,
                ephemeral: true,
                read_only: false,
            });
        } else if let Some(csi) = &volume.csi {
            uses.push(VolumeUse::InlineCsi {
                driver: csi.driver.clone(),
            });
        } else if let Some(disk) = &volume.gce_persistent_disk {
            let (id, read_only) = (disk.pd_name.clone(), disk.read_only.unwrap_or(false));
            uses.push(VolumeUse::Disk {
                kind: "gce-pd",
                id,
                read_only,
            });
        } else if let Some(disk) = &volume.aws_elastic_block_store {
            uses.push(VolumeUse::Disk {
                kind: "aws-ebs",
                id: disk.volume_id.clone(),
                read_only: false,
            });
        } else if let Some(disk) = &volume.iscsi {
            let read_only = disk.read_only.unwrap_or(false);
            uses.push(VolumeUse::Disk {
                kind: "iscsi",
                id: disk.iqn.clone(),
                read_only,
            });
        } else if let Some(disk) = &volume.rbd {
            let read_only = disk.read_only.unwrap_or(false);
            let pool = disk.pool.as_deref().unwrap_or("rbd");
            let id = format!("{}/{pool}/{}", disk.monitors.join(","), disk.image);
            uses.push(VolumeUse::Disk {
                kind: "rbd",
                id,
                read_only,
            });
        }
    }
    uses
}

/// Whether two pods with these disks cannot share a node.
pub fn disks_collide(one: &VolumeUse, other: &VolumeUse) -> bool {
    match (one, other) {
        (
            VolumeUse::Disk { kind, id, read_only },
            VolumeUse::Disk {
                kind: other_kind,
                id: other_id,
                read_only: other_read_only,
            },
        ) => kind == other_kind && id == other_id && !(*read_only && *other_read_only),
        _ => false,
    }
}
