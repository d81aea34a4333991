//! One object that may have to be deleted: it is read, its owners are looked up, and it stays or goes.

use client::workqueue::Requeue;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::ObjectMeta;
use serde_json::json;

use super::Collector;
use super::graph::{FOREGROUND, Identity, ORPHAN};
use crate::error::{Error, Result, ignore_not_found, is_conflict, is_not_found};

/// What an owner reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// There, and staying.
    Solid,
    /// Does not exist (any more).
    Dangling,
    /// Waits for its dependents to go before it.
    Waiting,
}

/// What to do with an object whose owners are these.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Keep,
    /// Take references to owners that are gone, or going, off.
    Unlink(Vec<String>),
    /// Delete in the foreground, as its owner is waiting and it has dependents itself.
    DeleteForeground,
    /// Delete as its own finalizers say.
    Delete,
}

pub(super) fn decide(owners: &[(String, OwnerState)], has_dependents: bool) -> Decision {
    let any = |state| owners.iter().any(|(_, own)| *own == state);
    if owners.is_empty() {
        return Decision::Keep;
    }
    if any(OwnerState::Solid) {
        let going: Vec<_> = owners
            .iter()
            .filter(|(_, state)| *state != OwnerState::Solid)
            .map(|(uid, _)| uid.clone())
            .collect();
        return if going.is_empty() {
            Decision::Keep
        } else {
            Decision::Unlink(going)
        };
    }
    if any(OwnerState::Waiting) && has_dependents {
        Decision::DeleteForeground
    } else {
        Decision::Delete
    }
}

impl Collector {
    pub(super) fn api(&self, identity: &Identity) -> Result<Api<DynamicObject>> {
        let Some((resource, namespaced)) = self.resources.find(&identity.api_version, &identity.kind) else {
            let kind = format!("{} {}", identity.api_version, identity.kind);
            return Err(Error::invalid(
                "resource of kind",
                kind,
                "is not known to the API server",
            ));
        };
        Ok(if namespaced {
            if identity.namespace.is_empty() {
                return Err(Error::invalid(
                    "owner",
                    &identity.name,
                    "is namespaced, its dependent is not",
                ));
            }
            Api::namespaced_with(self.client.clone(), &identity.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        })
    }

    /// The object's metadata; none when it does not exist, or another one has its name.
    pub(super) async fn read(&self, identity: &Identity) -> Result<Option<ObjectMeta>> {
        match self.api(identity)?.get_metadata(&identity.name).await {
            Ok(object) => Ok(Some(object.metadata).filter(|meta| meta.uid.as_deref() == Some(&identity.uid))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn attempt_to_delete(&self, identity: &Identity) -> Result<Requeue> {
        let Some((being_deleted, waiting)) = self
            .graph
            .lock()
            .get(&identity.uid)
            .map(|node| (node.being_deleted, node.deletes_dependents))
        else {
            return Ok(Requeue::No);
        };
        if being_deleted && !waiting {
            return Ok(Requeue::No);
        }
        let Some(meta) = self.read(identity).await? else {
            return Ok(self.observe_absence(identity));
        };
        if waiting {
            return self.finish_foreground(identity).await;
        }
        let references = meta.owner_references.clone().unwrap_or_default();
        let mut owners = Vec::with_capacity(references.len());
        for reference in &references {
            owners.push((
                reference.uid.clone(),
                self.owner_state(identity, reference).await?,
            ));
        }
        let has_dependents = !self.graph.lock().dependents(&identity.uid).is_empty();
        match decide(&owners, has_dependents) {
            Decision::Keep => Ok(Requeue::No),
            Decision::Unlink(uids) => {
                let left: Vec<_> = references
                    .into_iter()
                    .filter(|reference| !uids.contains(&reference.uid))
                    .collect();
                self.set_owners(identity, &meta, &left).await?;
                Ok(Requeue::No)
            }
            Decision::DeleteForeground => {
                // A circle of owners that all wait would never end: one of them stops blocking.
                let circular = self
                    .graph
                    .lock()
                    .dependents(&identity.uid)
                    .iter()
                    .any(|node| node.deletes_dependents);
                if circular {
                    let unblocked = |mut reference: OwnerReference| {
                        reference.block_owner_deletion = Some(false);
                        reference
                    };
                    let references: Vec<_> = references.into_iter().map(unblocked).collect();
                    self.set_owners(identity, &meta, &references).await?;
                }
                self.delete(identity, None, PropagationPolicy::Foreground).await
            }
            Decision::Delete => {
                let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|own| own == finalizer);
                let policy = if has(ORPHAN) {
                    PropagationPolicy::Orphan
                } else if has(FOREGROUND) {
                    PropagationPolicy::Foreground
                } else {
                    PropagationPolicy::Background
                };
                self.delete(identity, meta.resource_version, policy).await
            }
        }
    }

    async fn owner_state(&self, dependent: &Identity, reference: &OwnerReference) -> Result<OwnerState> {
        if self.graph.lock().is_absent(&reference.uid) {
            return Ok(OwnerState::Dangling);
        }
        let owner = Identity {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            // A namespaced owner is in the dependent's namespace, or it is none.
            namespace: dependent.namespace.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        };
        let Some(meta) = self.read(&owner).await? else {
            self.graph.lock().note_absent(&reference.uid);
            return Ok(OwnerState::Dangling);
        };
        let foreground = meta
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FOREGROUND);
        Ok(if meta.deletion_timestamp.is_some() && foreground {
            OwnerState::Waiting
        } else {
            OwnerState::Solid
        })
    }

    /// An owner that waits: free when nothing blocks it, otherwise its dependents are looked at.
    async fn finish_foreground(&self, identity: &Identity) -> Result<Requeue> {
        let blocking: Vec<_> = {
            let graph = self.graph.lock();
            let nodes = graph.blocking_dependents(&identity.uid);
            nodes
                .iter()
                .map(|node| (node.identity.clone(), node.deletes_dependents))
                .collect()
        };
        if blocking.is_empty() {
            self.remove_finalizer(identity, FOREGROUND).await?;
            return Ok(Requeue::No);
        }
        for (dependent, waiting) in blocking {
            if !waiting {
                self.deletions.add(dependent);
            }
        }
        Ok(Requeue::No)
    }

    async fn delete(
        &self,
        identity: &Identity,
        version: Option<String>,
        policy: PropagationPolicy,
    ) -> Result<Requeue> {
        let parameters = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions {
                uid: Some(identity.uid.clone()),
                resource_version: version,
            }),
            ..DeleteParams::default()
        };
        match self.api(identity)?.delete(&identity.name, &parameters).await {
            // Changed since it was read, so the decision is to be made again.
            Err(error) if is_conflict(&error) => Err(error.into()),
            outcome => ignore_not_found(outcome).map(|()| Requeue::No),
        }
    }

    /// Writes an object's owner references; a change in between is a conflict and tried again.
    pub(super) async fn set_owners(
        &self,
        identity: &Identity,
        meta: &ObjectMeta,
        owners: &[OwnerReference],
    ) -> Result<()> {
        let body = json!({"metadata": {
            "uid": identity.uid,
            "resourceVersion": meta.resource_version,
            "ownerReferences": owners,
        }});
        let outcome = self
            .api(identity)?
            .patch_metadata(&identity.name, &PatchParams::default(), &Patch::Merge(body))
            .await;
        ignore_not_found(outcome)
    }

    pub(super) async fn remove_finalizer(&self, identity: &Identity, finalizer: &str) -> Result<()> {
        let Some(meta) = self.read(identity).await? else {
            return Ok(());
        };
        let mut finalizers = meta.finalizers.unwrap_or_default();
        let before = finalizers.len();
        finalizers.retain(|own| own != finalizer);
        if finalizers.len() == before {
            return Ok(());
        }
        let body = json!({"metadata": {
            "uid": identity.uid,
            "resourceVersion": meta.resource_version,
            "finalizers": finalizers,
        }});
        let outcome = self
            .api(identity)?
            .patch_metadata(&identity.name, &PatchParams::default(), &Patch::Merge(body))
            .await;
        ignore_not_found(outcome)
    }
}
