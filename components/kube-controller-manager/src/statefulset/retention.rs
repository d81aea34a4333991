//! Who owns the claims of a set's pods, so that the garbage collector takes them when the set's retention
//! policy says so: the set, for claims that go with it, or a pod outside the range, for claims that go
//! when the set is scaled down.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use crate::owner::{Meta as _, controller_of, controller_reference};

fn deletes(spec: &StatefulSetSpec, when: When) -> bool {
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let value = policy.and_then(|policy| match when {
        When::Deleted => policy.when_deleted.as_deref(),
        When::Scaled => policy.when_scaled.as_deref(),
    });
    value == Some("Delete")
}

enum When {
    Deleted,
    Scaled,
}

/// Whether a reference is to this object or to one of the same name before it.
fn names<K: Resource<DynamicType = ()>>(reference: &OwnerReference, owner: &K) -> bool {
    let group = |version: &str| version.rsplit_once('/').map(|(group, _)| group.to_owned());
    reference.kind == K::kind(&())
        && reference.name == owner.name()
        && group(&reference.api_version) == group(&K::api_version(&()))
}

/// The owner of a claim that is made for a pod in the range.
pub fn owner_at_creation(set: &StatefulSet, spec: &StatefulSetSpec) -> Option<OwnerReference> {
    deletes(spec, When::Deleted).then(|| controller_reference(set))
}

/// Whether a claim still goes with a pod of that name that is no more. A new pod must not take it: it is
/// about to be collected.
pub fn goes_with_an_earlier_pod(claim: &PersistentVolumeClaim, spec: &StatefulSetSpec, pod: &str) -> bool {
    deletes(spec, When::Scaled)
        && claim.metadata.owner_references.iter().flatten().any(|reference| {
            reference.kind == "Pod" && reference.api_version == "v1" && reference.name == pod
        })
}

/// The claim with its owners put right; nothing when they are, or when others look after it.
pub fn corrected(
    claim: &PersistentVolumeClaim,
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    pod: &Pod,
    in_range: bool,
) -> Option<PersistentVolumeClaim> {
    let references = claim.metadata.owner_references.as_deref().unwrap_or_default();
    let ours = |reference: &OwnerReference| names(reference, set) || names(reference, pod);
    let stale = |reference: &OwnerReference| {
        names(reference, set) && reference.uid != set.uid()
            || names(reference, pod) && reference.uid != pod.uid()
    };
    if references.iter().any(stale) {
        return None;
    }
    let (deleted, scaled) = (deletes(spec, When::Deleted), deletes(spec, When::Scaled));
    let another = controller_of(&claim.metadata).is_some_and(|controller| !ours(controller));
    let wanted = match (scaled && !in_range, deleted) {
        // An object has one controller, and this one has another.
        _ if another => None,
        (true, _) => Some(controller_reference(pod)),
        (false, true) => Some(controller_reference(set)),
        (false, false) => None,
    };
    let present: Vec<&OwnerReference> = references.iter().filter(|reference| ours(reference)).collect();
    let right = match &wanted {
        None => present.is_empty(),
        Some(wanted) => {
            matches!(present[..], [only] if only.uid == wanted.uid && only.controller == Some(true))
        }
    };
    if right {
        return None;
    }
    let mut claim = claim.clone();
    let references = claim.metadata.owner_references.get_or_insert_default();
    references.retain(|reference| !ours(reference));
    references.extend(wanted);
    Some(claim)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SET: (&str, &str, &str) = ("apps/v1", "StatefulSet", "db");
    const POD: (&str, &str, &str) = ("v1", "Pod", "db-1");

    fn owner((version, kind, name): (&str, &str, &str), uid: &str, controller: bool) -> Value {
        json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid,
            "controller": controller, "blockOwnerDeletion": true})
    }

    fn set(deleted: &str, scaled: &str) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "n", "uid": "set"},
            "spec": {"selector": {}, "serviceName": "db", "template": {},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}},
        }))
        .unwrap()
    }

    fn claim(owners: &[Value]) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": "data-db-1", "ownerReferences": owners}})).unwrap()
    }

    #[test]
    fn a_claim_is_owned_by_what_it_is_to_go_with() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "db-1", "namespace": "n", "uid": "pod"}}))
                .unwrap();
        let (of_set, of_pod) = (owner(SET, "set", true), owner(POD, "pod", true));
        let weak = owner(SET, "set", false);
        let (old_set, old_pod) = (owner(SET, "before", true), owner(POD, "before", true));
        let other = owner(("example.org/v1", "Database", "x"), "x", true);
        let bystander = owner(("v1", "ConfigMap", "x"), "x", false);
        let (keep, delete) = ("Retain", "Delete");
        // whenDeleted, whenScaled, in the range, owners; the owners it gets.
        for (deleted, scaled, in_range, owners, want) in [
            (keep, keep, true, vec![], None),
            (keep, keep, false, vec![&of_set], Some(vec![])),
            (keep, keep, true, vec![&other, &of_pod], Some(vec![&other])),
            (delete, keep, true, vec![], Some(vec![&of_set])),
            (delete, keep, false, vec![&of_set], None),
            (delete, keep, true, vec![&weak], Some(vec![&of_set])),
            (
                delete,
                keep,
                true,
                vec![&of_pod, &bystander],
                Some(vec![&bystander, &of_set]),
            ),
            (keep, delete, true, vec![], None),
            (keep, delete, false, vec![], Some(vec![&of_pod])),
            (keep, delete, true, vec![&of_pod], Some(vec![])),
            (delete, delete, true, vec![], Some(vec![&of_set])),
            (delete, delete, false, vec![&of_set], Some(vec![&of_pod])),
            (delete, delete, true, vec![&of_pod], Some(vec![&of_set])),
            // What is left of an earlier set or pod is the garbage collector's.
            (delete, keep, true, vec![&old_set], None),
            (keep, delete, false, vec![&old_pod], None),
            // Another controller looks after it.
            (delete, keep, true, vec![&other], None),
            (delete, keep, true, vec![&other, &of_set], Some(vec![&other])),
        ] {
            let set = set(deleted, scaled);
            let owners: Vec<Value> = owners.into_iter().cloned().collect();
            let got = corrected(&claim(&owners), &set, set.spec.as_ref().unwrap(), &pod, in_range)
                .map(|claim| json!(claim.metadata.owner_references));
            let want: Option<Value> = want.map(|owners: Vec<&Value>| json!(owners));
            assert_eq!(got, want, "{deleted} {scaled} {in_range} {owners:?}");
        }
    }

    #[test]
    fn a_new_pod_waits_for_the_claim_of_an_earlier_one_to_go() {
        let stale = claim(&[owner(POD, "before", true)]);
        for (scaled, claim, pod, want) in [
            ("Delete", &stale, "db-1", true),
            ("Delete", &stale, "db-2", false),
            ("Delete", &claim(&[]), "db-1", false),
            ("Retain", &stale, "db-1", false),
        ] {
            let set = set("Retain", scaled);
            let got = goes_with_an_earlier_pod(claim, set.spec.as_ref().unwrap(), pod);
            assert_eq!(got, want, "{scaled} {pod}");
        }
    }
}
