//! Carries out what was decided: bindings, conditions, deletions, events.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use client::events::{EventApi, Recorder, Type};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self, ObjectReference};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::Value;

use super::binding;
use super::core::{Bind, Nomination, Reject};
use super::inputs::Watches;
use super::status;
use crate::framework::Profile;
use crate::model::Pod;

/// What carrying out needs; clones share it.
#[derive(Clone)]
pub struct Effects {
    client: Client,
    watches: Arc<Watches>,
    /// By scheduler name.
    profiles: Arc<AHashMap<String, ProfileEffects>>,
}

struct ProfileEffects {
    recorder: Recorder,
    bind_timeout: Duration,
}

impl Effects {
    pub fn new(client: Client, watches: Arc<Watches>, profiles: &[Profile], host: &str) -> Self {
        let profiles = profiles.iter().map(|profile| {
            let name = &profile.scheduler_name;
            let recorder = Recorder::start(client.clone(), name, host, EventApi::EventsV1);
            let seconds = profile.arguments.volume_binding.bind_timeout_seconds.max(0) as u64;
            (
                name.clone(),
                ProfileEffects {
                    recorder,
                    bind_timeout: Duration::from_secs(seconds),
                },
            )
        });
        let profiles = Arc::new(profiles.collect());
        Self {
            client,
            watches,
            profiles,
        }
    }

    fn event(
        &self,
        scheduler_name: &str,
        about: &Pod,
        related: Option<&Pod>,
        kind: Type,
        (reason, action): (&str, &str),
        message: impl Into<String>,
    ) {
        if let Some(profile) = self.profiles.get(scheduler_name) {
            let recorder = &profile.recorder;
            recorder.event_with_action(
                reference(about),
                related.map(reference),
                kind,
                reason,
                action,
                message,
            );
        }
    }

    /// Binds the pod's volumes and the pod.
    pub async fn bind(&self, bind: &Bind) -> Result<(), String> {
        let pod = &bind.pod;
        let result = async {
            if !bind.volumes.is_empty() {
                let timeout = self
                    .profiles
                    .get(&pod.scheduler_name)
                    .map_or(Duration::ZERO, |one| one.bind_timeout);
                let (claims, volumes) = (&self.watches.claims, &self.watches.volumes);
                binding::bind_volumes(&self.client, claims, volumes, &bind.volumes, &bind.node, timeout)
                    .await?;
            }
            binding::bind(&self.client, pod, &bind.node).await
        };
        match result.await {
            Ok(()) => {
                let message = format!("Successfully assigned {} to {}", pod.key(), bind.node);
                self.event(
                    &pod.scheduler_name,
                    pod,
                    None,
                    Type::Normal,
                    ("Scheduled", "Binding"),
                    message,
                );
                Ok(())
            }
            Err(error) => Err(format!("{error:#}")),
        }
    }

    /// Says why the pod has no node.
    pub async fn report(&self, pod: &Pod, reason: &str, message: &str, nomination: &Nomination) {
        let kind = ("FailedScheduling", "Scheduling");
        self.event(&pod.scheduler_name, pod, None, Type::Warning, kind, message);
        if let Some(patch) = status::unscheduled(pod, reason, message, nomination, Timestamp::now())
            && let Err(error) = self.patch_status(pod, patch).await
        {
            tracing::warn!(pod = pod.key(), %error, "cannot write the pod's condition");
        }
    }

    /// Deletes the victims and takes back what is displaced. The first error ends it: the pod looks again.
    pub async fn preempt(&self, reject: &Reject) -> Result<(), String> {
        for rival in &reject.displaced {
            if let Err(error) = self.patch_status(rival, status::not_nominated(rival)).await {
                tracing::warn!(pod = rival.key(), %error, "cannot take the nomination back");
            }
        }
        for victim in &reject.victims {
            self.evict(victim, reject)
                .await
                .map_err(|error| format!("cannot preempt {}: {error}", victim.key()))?;
        }
        Ok(())
    }

    async fn evict(&self, victim: &Pod, reject: &Reject) -> Result<(), kube::Error> {
        let preemptor = &reject.pod;
        if !victim.has_disruption_target {
            let patch = status::disrupted(victim, &preemptor.scheduler_name, Timestamp::now());
            match self.patch_status(victim, patch).await {
                Err(error) if is_gone(&error) => return Ok(()),
                other => other?,
            }
        }
        let pods: Api<v1::Pod> = Api::namespaced(self.client.clone(), &victim.namespace);
        let preconditions = Preconditions {
            uid: Some(victim.uid.to_string()),
            ..Preconditions::default()
        };
        let parameters = DeleteParams {
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match pods.delete(&victim.name, &parameters).await {
            Err(error) if is_gone(&error) => return Ok(()),
            other => other?,
        };
        let node = match &reject.nomination {
            Nomination::Node(node) => node.as_str(),
            _ => "",
        };
        let message = format!("Preempted by pod {} on node {node}", preemptor.uid);
        let kind = ("Preempted", "Preempting");
        self.event(
            &preemptor.scheduler_name,
            victim,
            Some(preemptor),
            Type::Normal,
            kind,
            message,
        );
        tracing::info!(
            victim = victim.key(),
            preemptor = preemptor.key(),
            node,
            "preempted"
        );
        Ok(())
    }

    async fn patch_status(&self, pod: &Pod, patch: Value) -> Result<(), kube::Error> {
        let pods: Api<v1::Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        match pods
            .patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(&patch))
            .await
        {
            // A pod that is gone has no status to keep.
            Err(error) if is_gone(&error) => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Not found, or a namesake with another UID has its place.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name.clone()),
        namespace: Some(pod.namespace.clone()),
        uid: Some(pod.uid.to_string()),
        ..ObjectReference::default()
    }
}
