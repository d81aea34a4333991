//! The two strategies, and the newest ReplicaSet.

use std::sync::Arc;

use client::events::{Type, reference};
use client::workqueue::Requeue;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::api::PostParams;

use super::conditions::{self, condition};
use super::plan::{self, Scale, Set, wanted};
use super::reconcile::Pass;
use super::{revision, status, template};
use crate::error::{Error, Result, is_already_exists, is_namespace_terminating};
use crate::owner::{Meta as _, controller_of};
use crate::workload::index::controlled;
use crate::workload::pods;

impl Pass<'_> {
    pub(super) async fn roll(&mut self) -> Result<Requeue> {
        let (new, old) = self.new_and_old(true).await?;
        let Some(new) = new else {
            return Err(Error::Other("the newest replica set was not made".to_owned()));
        };
        let grown = if plan::size(&new) > wanted(&self.spec) {
            wanted(&self.spec)
        } else {
            plan::new_set_size(&self.spec, &self.sets, &new)
        };
        if grown != plan::size(&new) {
            let scale = Scale {
                name: new.name().to_owned(),
                replicas: grown,
            };
            self.scale(&scale).await?;
            return self.write_rollout_status().await;
        }
        if plan::old_sets_may_shrink(&self.spec, &new, &old) {
            let unhealthy = plan::remove_unhealthy(&self.spec, &new, &old);
            for scale in &unhealthy {
                self.scale(scale).await?;
            }
            let (_, old) = self.split();
            let healthy = plan::remove_healthy(&self.spec, &new, &old);
            for scale in &healthy {
                self.scale(scale).await?;
            }
            if !(unhealthy.is_empty() && healthy.is_empty()) {
                return self.write_rollout_status().await;
            }
        }
        self.finish().await
    }

    pub(super) async fn recreate(&mut self) -> Result<Requeue> {
        let (new, old) = self.new_and_old(false).await?;
        let mut scaled = false;
        for set in old.iter().filter(|set| plan::size(set) > 0) {
            let scale = Scale {
                name: set.name().to_owned(),
                replicas: 0,
            };
            self.scale(&scale).await?;
            scaled = true;
        }
        if scaled || self.old_pods_run(new.as_ref(), &old) {
            return self.write_rollout_status().await;
        }
        let (new, _) = self.new_and_old(true).await?;
        if let Some(new) = new {
            let scale = Scale {
                name: new.name().to_owned(),
                replicas: wanted(&self.spec),
            };
            if plan::size(&new) != scale.replicas {
                self.scale(&scale).await?;
            }
        }
        self.finish().await
    }

    fn old_pods_run(&self, new: Option<&Set>, old: &[Set]) -> bool {
        let counted = old
            .iter()
            .any(|set| set.status.as_ref().is_some_and(|status| status.replicas > 0));
        counted
            || self
                .sets
                .iter()
                .filter(|set| new.is_none_or(|new| new.uid() != set.uid()))
                .flat_map(|set| controlled(&self.controller.pods, set.uid()))
                .any(|pod| !pods::is_terminal(&pod))
    }

    async fn finish(&mut self) -> Result<Requeue> {
        let written = self.deployment.status.clone().unwrap_or_default();
        if status::is_complete(&self.deployment, &self.spec, &written) {
            self.clean_up_history().await?;
        }
        self.write_rollout_status().await
    }

    async fn write_rollout_status(&mut self) -> Result<Requeue> {
        let now = Timestamp::now();
        let (new, _) = self.split();
        let status = status::rollout(&self.deployment, &self.spec, new.as_ref(), &self.sets, now);
        if !status::is_same(&status, &self.deployment.status.clone().unwrap_or_default()) {
            self.write_status(status.clone()).await?;
        }
        let check = status::deadline_check(&self.deployment, &self.spec, &status, now);
        Ok(check.map_or(Requeue::No, Requeue::After))
    }

    /// The newest set with the right revision and annotations, made when it is missing and `create`; and all others.
    pub(super) async fn new_and_old(&mut self, create: bool) -> Result<(Option<Set>, Vec<Set>)> {
        let (new, old) = self.split();
        let revision = revision::next(&old);
        let new = match new {
            Some(new) => Some(self.update_new(&new, revision).await?),
            None if create => Some(self.create_new(revision).await?),
            None => None,
        };
        Ok((new, old))
    }

    async fn update_new(&mut self, known: &Set, number: i64) -> Result<Set> {
        let mut set = known.as_ref().clone();
        let annotated = revision::annotate_new(&self.deployment, &self.spec, &mut set, number, true);
        let wanted_ready = self.spec.min_ready_seconds.unwrap_or(0);
        let ready = set
            .spec
            .as_ref()
            .and_then(|spec| spec.min_ready_seconds)
            .unwrap_or(0);
        if annotated || ready != wanted_ready {
            if let Some(spec) = &mut set.spec {
                spec.min_ready_seconds = Some(wanted_ready);
            }
            let api = self.controller.sets_api(set.namespace());
            let updated = Arc::new(api.replace(set.name(), &PostParams::default(), &set).await?);
            self.keep(updated.clone());
            return Ok(updated);
        }
        let found = format!("Found new replica set {:?}", set.name());
        let text = set.annotation(revision::REVISION).unwrap_or_default().to_owned();
        let status = self.deployment.status.clone().unwrap_or_default();
        let has_progress = conditions::get(&status, conditions::PROGRESSING).is_some();
        self.note_revision(&text, (!has_progress).then_some(("FoundNewReplicaSet", found)))
            .await?;
        Ok(known.clone())
    }

    /// Writes the revision, and a reason for progress, to the Deployment where they have changed.
    async fn note_revision(&mut self, number: &str, progress: Option<(&str, String)>) -> Result<()> {
        let mut changed = false;
        if self.deployment.annotation(revision::REVISION).unwrap_or_default() != number {
            let annotations = self.deployment.metadata.annotations.get_or_insert_default();
            annotations.insert(revision::REVISION.to_owned(), number.to_owned());
            changed = true;
        }
        let mut status = self.deployment.status.clone().unwrap_or_default();
        if let Some((reason, message)) = progress
            && status::progress_deadline(&self.spec).is_some()
        {
            let progress = condition(conditions::PROGRESSING, "True", reason, message, Timestamp::now());
            conditions::set(&mut status, progress);
            changed = true;
        }
        if changed {
            self.write_status(status).await?;
        }
        Ok(())
    }

    fn keep(&mut self, set: Set) {
        self.sets.retain(|known| known.uid() != set.uid());
        self.sets.push(set);
    }

    async fn create_new(&mut self, number: i64) -> Result<Set> {
        let mut set = template::replica_set(&self.deployment, &self.spec);
        let replicas = plan::new_set_size(&self.spec, &self.sets, &set);
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(replicas);
        }
        revision::annotate_new(&self.deployment, &self.spec, &mut set, number, false);
        let api = self.controller.sets_api(set.namespace());
        let (made, existed) = match api.create(&PostParams::default(), &set).await {
            Ok(made) => (made, false),
            Err(error) if is_already_exists(&error) => {
                let there = api.get(set.name()).await?;
                if !self.is_ours(&there) {
                    return self.count_collision(error.into()).await;
                }
                (there, true)
            }
            Err(error) => return self.creation_failed(set.name(), error).await,
        };
        let made = Arc::new(made);
        self.keep(made.clone());
        if !existed && replicas > 0 {
            self.announce_scaling(made.name(), 0, replicas);
        }
        let created = format!("Created new replica set {:?}", made.name());
        self.note_revision(
            &number.to_string(),
            (!existed).then_some(("NewReplicaSetCreated", created)),
        )
        .await?;
        Ok(made)
    }

    fn is_ours(&self, set: &ReplicaSet) -> bool {
        controller_of(&set.metadata).is_some_and(|owner| owner.uid == self.deployment.uid())
            && set
                .spec
                .as_ref()
                .and_then(|spec| spec.template.as_ref())
                .is_some_and(|own| template::is_same(own, &self.spec.template))
    }

    /// Another template has the same hash: the next pass hashes with the number of collisions.
    async fn count_collision(&mut self, error: Error) -> Result<Set> {
        let mut status = self.deployment.status.clone().unwrap_or_default();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.write_status(status).await?;
        Err(error)
    }

    async fn creation_failed(&mut self, name: &str, error: kube::Error) -> Result<Set> {
        if is_namespace_terminating(&error) {
            return Err(error.into());
        }
        let error = Error::from(error);
        let message = format!("Failed to create new replica set {name:?}: {error}");
        if status::progress_deadline(&self.spec).is_some() {
            let mut status = self.deployment.status.clone().unwrap_or_default();
            let failed = condition(
                conditions::PROGRESSING,
                "False",
                "ReplicaSetCreateError",
                message.clone(),
                Timestamp::now(),
            );
            conditions::set(&mut status, failed);
            if let Err(error) = self.write_status(status).await {
                tracing::warn!(deployment = self.deployment.name(), %error, "cannot write the failure to the status");
            }
        }
        self.controller.recorder.event(
            reference(&self.deployment),
            Type::Warning,
            "ReplicaSetCreateError",
            message,
        );
        Err(error)
    }
}
