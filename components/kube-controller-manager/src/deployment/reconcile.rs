//! One pass over one Deployment.

use std::sync::Arc;

use client::events::{Type, reference};
use client::informer::Key;
use client::workqueue::Requeue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus};
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::controller::Controller;
use super::plan::{self, Scale, Set};
use super::{conditions, revision, status};
use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::selector::Selector;
use crate::workload::claim::claim;
use crate::workload::index::{controlled, orphans};

/// A pass: the Deployment as last written, and its ReplicaSets.
pub(super) struct Pass<'a> {
    pub controller: &'a Controller,
    pub deployment: Deployment,
    pub spec: DeploymentSpec,
    pub sets: Vec<Set>,
}

impl Controller {
    pub(super) async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(deployment) = self.deployments.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let spec = deployment.spec.clone().unwrap_or_default();
        let mut pass = Pass {
            controller: self,
            deployment: deployment.as_ref().clone(),
            spec,
            sets: Vec::new(),
        };
        let selector = match Selector::new(&pass.spec.selector) {
            Ok(selector) if !selector.is_empty() => selector,
            Ok(_) => return pass.refuse_to_select_everything().await,
            Err(reason) => {
                tracing::warn!(
                    namespace = key.0,
                    name = key.1,
                    reason,
                    "the deployment's selector cannot be used"
                );
                return Ok(Requeue::No);
            }
        };
        let mut known = controlled(&self.sets, deployment.uid());
        known.extend(orphans(&self.sets, deployment.namespace()));
        let (api, sets_api) = (self.api(&key.0), self.sets_api(&key.0));
        pass.sets = claim(deployment.as_ref(), &api, &sets_api, &selector, known, None).await?;
        pass.run().await
    }
}

impl Pass<'_> {
    async fn run(&mut self) -> Result<Requeue> {
        if self.deployment.is_deleting() {
            let (new, _) = self.split();
            return self.write_plain_status(new.as_ref()).await;
        }
        if let Some(condition) = status::pause_condition(&self.deployment, &self.spec, Timestamp::now()) {
            let mut status = self.deployment.status.clone().unwrap_or_default();
            conditions::set(&mut status, condition);
            self.write_status(status).await?;
        }
        if self.spec.paused.unwrap_or(false) {
            return self.sync().await;
        }
        if let Some(target) = self
            .deployment
            .annotation(revision::ROLLBACK_TO)
            .and_then(|text| text.parse().ok())
        {
            return self.roll_back(target).await;
        }
        if plan::is_scaling_event(&self.spec, &self.sets) {
            self.new_and_old(false).await?;
            return self.sync().await;
        }
        if plan::is_rolling(&self.spec) {
            self.roll().await
        } else {
            self.recreate().await
        }
    }

    async fn refuse_to_select_everything(&mut self) -> Result<Requeue> {
        self.controller.recorder.event(
            reference(&self.deployment),
            Type::Warning,
            "SelectingAll",
            "This deployment is selecting all pods. A non-empty selector is required.",
        );
        let generation = Some(self.deployment.generation());
        let mut status = self.deployment.status.clone().unwrap_or_default();
        if status.observed_generation < generation {
            status.observed_generation = generation;
            self.write_status(status).await?;
        }
        Ok(Requeue::No)
    }

    pub(super) fn split(&self) -> (Option<Set>, Vec<Set>) {
        revision::split(&self.spec, &self.sets)
    }

    /// Scales outside a rollout, and while paused.
    async fn sync(&mut self) -> Result<Requeue> {
        let (new, old) = self.new_and_old(false).await?;
        let scales = plan::scale(&self.deployment, &self.spec, new.as_ref(), &old);
        for scale in scales {
            self.scale(&scale).await?;
        }
        if self.spec.paused.unwrap_or(false) && self.deployment.annotation(revision::ROLLBACK_TO).is_none() {
            self.clean_up_history().await?;
        }
        let (new, _) = self.split();
        self.write_plain_status(new.as_ref()).await
    }

    async fn write_plain_status(&mut self, new: Option<&Set>) -> Result<Requeue> {
        let status = status::calculate(&self.deployment, &self.spec, new, &self.sets, Timestamp::now());
        if !status::is_same(&status, &self.deployment.status.clone().unwrap_or_default()) {
            self.write_status(status).await?;
        }
        Ok(Requeue::No)
    }

    pub(super) async fn write_status(&mut self, status: DeploymentStatus) -> Result<()> {
        let mut updated = self.deployment.clone();
        updated.status = Some(status);
        let api = self.controller.api(updated.namespace());
        self.deployment = api
            .replace_status(updated.name(), &PostParams::default(), &updated)
            .await?;
        Ok(())
    }

    /// Gives one set its new size and the annotations that go with it; the event only for a new size.
    pub(super) async fn scale(&mut self, scale: &Scale) -> Result<()> {
        let Some(index) = self.sets.iter().position(|set| set.name() == scale.name) else {
            return Ok(());
        };
        let mut set = self.sets[index].as_ref().clone();
        let before = plan::size(&set);
        let annotated = revision::annotate_sizes(&self.spec, &mut set);
        if before == scale.replicas && !annotated {
            return Ok(());
        }
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(scale.replicas);
        }
        let api = self.controller.sets_api(set.namespace());
        let updated = api.replace(set.name(), &PostParams::default(), &set).await?;
        self.sets[index] = Arc::new(updated);
        if before != scale.replicas {
            self.announce_scaling(&scale.name, before, scale.replicas);
        }
        Ok(())
    }

    pub(super) fn announce_scaling(&self, set: &str, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        self.controller.recorder.event(
            reference(&self.deployment),
            Type::Normal,
            "ScalingReplicaSet",
            format!("Scaled {direction} replica set {set} from {from} to {to}"),
        );
    }

    pub(super) async fn clean_up_history(&self) -> Result<()> {
        let (_, old) = self.split();
        for set in plan::surplus_history(&self.spec, &old) {
            let api = self.controller.sets_api(set.namespace());
            let parameters = DeleteParams::default().preconditions(Preconditions {
                uid: Some(set.uid().to_owned()),
                resource_version: None,
            });
            ignore_not_found(api.delete(set.name(), &parameters).await)?;
        }
        Ok(())
    }
}
