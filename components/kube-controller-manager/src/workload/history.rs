//! Controller revisions: the templates that a set has had.

use std::sync::Arc;

use client::Informer;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Resource};
use serde_json::{Value, json};

use crate::error::{Result, ignore_not_found, is_already_exists};
use crate::hash;
use crate::owner::{Meta as _, controller_reference};
use crate::selector::Labels;
use crate::workload::index::controlled;

/// What a revision keeps: a patch that brings the template back.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), json!("replace"));
    }
    json!({"spec": {"template": template}})
}

/// The template in a revision; compared as such, so that the writer's JSON style does not matter.
pub fn template_of(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let template = revision.data.as_ref()?.0.get("spec")?.get("template")?.clone();
    let template: PodTemplateSpec = serde_json::from_value(template).ok()?;
    Some(normal(template))
}

/// Empty and absent parts alike.
fn normal(mut template: PodTemplateSpec) -> PodTemplateSpec {
    let meta = template.metadata.get_or_insert_default();
    meta.creation_timestamp = None;
    meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
    meta.annotations = meta
        .annotations
        .take()
        .filter(|annotations| !annotations.is_empty());
    let spec = template.spec.get_or_insert_default();
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        container.resources = container
            .resources
            .take()
            .filter(|resources| *resources != Default::default());
    }
    template
}

/// The revisions of one set, oldest number first.
pub fn list(informer: &Informer<ControllerRevision>, owner_uid: &str) -> Vec<Arc<ControllerRevision>> {
    let mut revisions = controlled(informer, owner_uid);
    revisions.sort_by(|a, b| {
        a.revision.cmp(&b.revision).then_with(|| {
            let created = |revision: &ControllerRevision| {
                revision.metadata.creation_timestamp.as_ref().map(|time| time.0)
            };
            created(a).cmp(&created(b)).then_with(|| a.name().cmp(b.name()))
        })
    });
    revisions
}

/// How a set's revisions are written.
pub struct Writer<'a, O> {
    pub api: Api<ControllerRevision>,
    pub owner: &'a O,
    pub template: &'a PodTemplateSpec,
    pub hash_label: &'static str,
    pub labels: Labels,
    pub annotations: Labels,
}

impl<O: Resource<DynamicType = ()>> Writer<'_, O> {
    /// The revision of the current template: an existing one, with the highest number, or a new one.
    /// `collisions` counts names that were taken by other templates, and goes up when that happens.
    pub async fn current(
        &self,
        revisions: &[Arc<ControllerRevision>],
        collisions: &mut i32,
    ) -> Result<ControllerRevision> {
        let template = normal(self.template.clone());
        let next = revisions
            .iter()
            .map(|revision| revision.revision)
            .max()
            .unwrap_or(0)
            + 1;
        let equal = revisions
            .iter()
            .rev()
            .find(|revision| template_of(revision).as_ref() == Some(&template));
        if let Some(equal) = equal {
            if equal.revision + 1 == next {
                return Ok(equal.as_ref().clone());
            }
            // Back to an earlier template: its revision becomes the newest.
            let mut renumbered = equal.as_ref().clone();
            renumbered.revision = next;
            return Ok(self
                .api
                .replace(equal.name(), &PostParams::default(), &renumbered)
                .await?);
        }
        loop {
            let made = self.make(next, *collisions);
            match self.api.create(&PostParams::default(), &made).await {
                Ok(created) => return Ok(created),
                Err(error) if is_already_exists(&error) => {
                    let there = self.api.get(made.name()).await?;
                    if template_of(&there).as_ref() == Some(&template) {
                        return Ok(there);
                    }
                    *collisions += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn make(&self, number: i64, collisions: i32) -> ControllerRevision {
        let data = data(self.template);
        let mut bytes = data.to_string().into_bytes();
        if collisions > 0 {
            bytes.extend(collisions.to_string().bytes());
        }
        let hash = hash::safe_encode(hash::fnv32a(bytes));
        let mut labels = self.labels.clone();
        labels.insert(self.hash_label.to_owned(), hash.clone());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.owner.name())),
                namespace: Some(self.owner.namespace().to_owned()),
                labels: Some(labels),
                annotations: Some(self.annotations.clone()).filter(|annotations| !annotations.is_empty()),
                owner_references: Some(vec![controller_reference(self.owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision: number,
        }
    }

    /// Deletes the oldest revisions beyond `limit` that `live` does not name.
    pub async fn truncate(
        &self,
        revisions: &[Arc<ControllerRevision>],
        live: &[&str],
        limit: Option<i32>,
    ) -> Result<()> {
        let limit = usize::try_from(limit.unwrap_or(10)).unwrap_or(0);
        let idle: Vec<_> = revisions
            .iter()
            .filter(|revision| !live.contains(&revision.name()))
            .collect();
        let surplus = idle.len().saturating_sub(limit);
        for revision in idle.into_iter().take(surplus) {
            ignore_not_found(self.api.delete(revision.name(), &DeleteParams::default()).await)?;
        }
        Ok(())
    }
}
