//! Rolling back to an earlier revision, as asked for by annotation.

use client::events::{Type, reference};
use client::workqueue::Requeue;
use kube::Resource as _;
use kube::api::PostParams;

use super::plan::Set;
use super::reconcile::Pass;
use super::{revision, template};
use crate::error::Result;
use crate::owner::Meta as _;

impl Pass<'_> {
    /// `target` 0 is the revision before the current one. The annotation is taken off whatever happens.
    pub(super) async fn roll_back(&mut self, target: i64) -> Result<Requeue> {
        self.new_and_old(true).await?;
        let target = if target == 0 {
            revision::last(&self.sets)
        } else {
            target
        };
        let found = self
            .sets
            .iter()
            .find(|set| target != 0 && revision::revision(set.meta()) == target)
            .cloned();
        let (kind, reason, message) = match found {
            None if target == 0 => (
                Type::Warning,
                "DeploymentRollbackRevisionNotFound",
                "Unable to find last revision.".to_owned(),
            ),
            None => (
                Type::Warning,
                "DeploymentRollbackRevisionNotFound",
                "Unable to find the revision to rollback to.".to_owned(),
            ),
            Some(set) => self.take_over(&set, target),
        };
        self.controller
            .recorder
            .event(reference(&self.deployment), kind, reason, message);
        if let Some(annotations) = &mut self.deployment.metadata.annotations {
            annotations.remove(revision::ROLLBACK_TO);
        }
        self.deployment.spec = Some(self.spec.clone());
        let api = self.controller.api(self.deployment.namespace());
        api.replace(self.deployment.name(), &PostParams::default(), &self.deployment)
            .await?;
        Ok(Requeue::No)
    }

    fn take_over(&mut self, set: &Set, target: i64) -> (Type, &'static str, String) {
        let name = self.deployment.name().to_owned();
        let earlier = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.clone())
            .unwrap_or_default();
        if template::is_same(&earlier, &self.spec.template) {
            return (
                Type::Warning,
                "DeploymentRollbackTemplateUnchanged",
                format!("The rollback revision contains the same template as current deployment {name:?}"),
            );
        }
        self.spec.template = template::without_hash(&earlier);
        // The user's annotations become those of the earlier revision, the controller's own stay.
        let annotations = self.deployment.metadata.annotations.get_or_insert_default();
        annotations.retain(|key, _| revision::is_own(key));
        for (key, value) in set.metadata.annotations.iter().flatten() {
            if !revision::is_own(key) {
                annotations.insert(key.clone(), value.clone());
            }
        }
        (
            Type::Normal,
            "DeploymentRollback",
            format!("Rolled back deployment {name:?} to revision {target}"),
        )
    }
}
