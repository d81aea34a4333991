//! Volumes behind claims: persistent volumes that are directories of this host.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod, Volume,
};
use kube::{Api, Client};

use crate::pod::members::PodView;

/// Where the content of a claim is.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub place: Place,
    pub read_only: bool,
}

/// A directory of this host.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Made as its type says.
    HostPath(HostPathVolumeSource),
    /// Must be there.
    Local(PathBuf),
}

/// The claim that a volume means: its name, whether it was made for this pod alone, and whether it is read-only.
pub fn claim_of(pod: &Pod, volume: &Volume) -> Option<(String, bool, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), false, source.read_only == Some(true)));
    }
    volume
        .ephemeral
        .as_ref()
        .map(|_| (format!("{}-{}", pod.name(), volume.name), true, false))
}

/// Looks claim and volume up; the node authorizer lets a kubelet read those of its own pods.
pub async fn find(
    client: &Client,
    pod: &Pod,
    name: &str,
    ephemeral: bool,
    read_only: bool,
) -> Result<Claimed, String> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), pod.namespace());
    let claim = claims
        .get(name)
        .await
        .map_err(|error| format!("persistentvolumeclaim \"{name}\" cannot be read: {error}"))?;
    let volume_name = volume_name(pod, &claim, ephemeral)?;
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes
        .get(&volume_name)
        .await
        .map_err(|error| format!("persistentvolume \"{volume_name}\" cannot be read: {error}"))?;
    place(&claim, &volume).map(|place| Claimed { place, read_only })
}

/// The name of the volume that a claim is bound to.
fn volume_name(pod: &Pod, claim: &PersistentVolumeClaim, ephemeral: bool) -> Result<String, String> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let made_for = |uid: &str| {
        let owners = claim.metadata.owner_references.iter().flatten();
        owners
            .into_iter()
            .any(|owner| owner.controller == Some(true) && owner.uid == uid)
    };
    if ephemeral && !made_for(pod.uid()) {
        return Err(format!(
            "PVC {0}/{name} was not created for pod {0}/{1} (pod is not owner)",
            pod.namespace(),
            pod.name()
        ));
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(format!("PVC {}/{name} is being deleted", pod.namespace()));
    }
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone())
        .filter(|volume| bound && !volume.is_empty());
    volume.ok_or_else(|| format!("PVC {}/{name} is not bound yet", pod.namespace()))
}

/// What is behind a volume, if it is bound to the claim and is of a kind that needs no driver.
fn place(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Result<Place, String> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let spec = volume.spec.clone().unwrap_or_default();
    let own = claim.metadata.uid.as_deref().unwrap_or_default();
    if spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_deref()) != Some(own) {
        return Err(format!("persistentvolume \"{name}\" is bound to another claim"));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!(
            "persistentvolume \"{name}\" is a block device, which is not supported"
        ));
    }
    match (spec.host_path, spec.local) {
        (Some(source), _) => Ok(Place::HostPath(source)),
        (None, Some(source)) => Ok(Place::Local(PathBuf::from(source.path))),
        (None, None) => Err(format!(
            "persistentvolume \"{name}\" needs a driver, which is not supported"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "pod-uid"}}))
            .unwrap()
    }

    #[test]
    fn a_claim_has_to_be_bound_and_the_pods_own() {
        let owned =
            json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pod-uid", "controller": true}]);
        for (what, metadata, volume, phase, ephemeral, want) in [
            ("bound", json!({}), "v", "Bound", false, Ok("v")),
            (
                "not bound",
                json!({}),
                "v",
                "Pending",
                false,
                Err("is not bound yet"),
            ),
            (
                "no volume",
                json!({}),
                "",
                "Bound",
                false,
                Err("is not bound yet"),
            ),
            (
                "going",
                json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
                "v",
                "Bound",
                false,
                Err("is being deleted"),
            ),
            (
                "somebody's",
                json!({}),
                "v",
                "Bound",
                true,
                Err("was not created for pod n/p"),
            ),
            (
                "the pod's",
                json!({"ownerReferences": owned}),
                "v",
                "Bound",
                true,
                Ok("v"),
            ),
        ] {
            let claim = serde_json::from_value(
                json!({"metadata": metadata, "spec": {"volumeName": volume}, "status": {"phase": phase}}),
            )
            .unwrap();
            match (volume_name(&pod(), &claim, ephemeral), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{what}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{what}: {got}"),
                (got, want) => panic!("{what}: {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn directories_of_this_host_are_found() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({"metadata": {"uid": "c"}})).unwrap();
        let host = Place::HostPath(HostPathVolumeSource {
            path: "/a".to_owned(),
            type_: Some("Directory".to_owned()),
        });
        for (spec, want) in [
            (
                json!({"claimRef": {"uid": "c"}, "hostPath": {"path": "/a", "type": "Directory"}}),
                Some(host),
            ),
            (
                json!({"claimRef": {"uid": "c"}, "local": {"path": "/b"}}),
                Some(Place::Local("/b".into())),
            ),
            (
                json!({"claimRef": {"uid": "c"}, "local": {"path": "/b"}, "volumeMode": "Block"}),
                None,
            ),
            (json!({"claimRef": {"uid": "d"}, "local": {"path": "/b"}}), None),
            (json!({"local": {"path": "/b"}}), None),
            (
                json!({"claimRef": {"uid": "c"}, "nfs": {"path": "/b", "server": "s"}}),
                None,
            ),
        ] {
            let volume = serde_json::from_value(json!({"metadata": {"name": "v"}, "spec": spec})).unwrap();
            assert_eq!(place(&claim, &volume).ok(), want, "{spec}");
        }
    }

    #[test]
    fn volumes_name_their_claims() {
        for (volume, want) in [
            (
                json!({"name": "v", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}}),
                Some(("c".to_owned(), false, true)),
            ),
            (
                json!({"name": "v", "ephemeral": {}}),
                Some(("p-v".to_owned(), true, false)),
            ),
            (json!({"name": "v", "emptyDir": {}}), None),
        ] {
            assert_eq!(claim_of(&pod(), &serde_json::from_value(volume).unwrap()), want);
        }
    }
}
