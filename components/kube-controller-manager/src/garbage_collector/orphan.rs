//! One owner that is deleted without its dependents.

use client::workqueue::Requeue;

use super::Collector;
use super::graph::{Identity, ORPHAN};
use crate::error::{Error, Result};

impl Collector {
    /// Takes the reference to the owner off every dependent, then lets the owner go.
    pub(super) async fn attempt_to_orphan(&self, owner: &Identity) -> Result<Requeue> {
        let dependents: Vec<Identity> = {
            let graph = self.graph.lock();
            graph
                .dependents(&owner.uid)
                .iter()
                .map(|node| node.identity.clone())
                .collect()
        };
        let mut outcomes = Vec::with_capacity(dependents.len());
        for dependent in &dependents {
            outcomes.push(self.unlink(dependent, &owner.uid).await);
        }
        Error::collect(outcomes)?;
        self.remove_finalizer(owner, ORPHAN).await?;
        Ok(Requeue::No)
    }

    async fn unlink(&self, dependent: &Identity, owner_uid: &str) -> Result<()> {
        let Some(meta) = self.read(dependent).await? else {
            return Ok(());
        };
        let mut owners = meta.owner_references.clone().unwrap_or_default();
        owners.retain(|reference| reference.uid != owner_uid);
        self.set_owners(dependent, &meta, &owners).await
    }
}
