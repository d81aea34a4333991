//! The pods and claims of a StatefulSet, by ordinal.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume,
};

use super::retention;
use crate::owner::Meta as _;
use crate::workload::pod_control::pod_from_template;

pub const REVISION_LABEL: &str = "controller-revision-hash";
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in a pod's name, when it is one of the set's.
pub fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    let rest = pod.name().strip_prefix(set.name())?.strip_prefix('-')?;
    rest.parse()
        .ok()
        .filter(|ordinal: &i32| ordinal.to_string() == rest)
}

pub fn revision(pod: &Pod) -> &str {
    pod.label(REVISION_LABEL).unwrap_or_default()
}

pub fn claim_name(set: &StatefulSet, template: &PersistentVolumeClaim, ordinal: i32) -> String {
    format!("{}-{}-{ordinal}", template.name(), set.name())
}

/// The claims that a pod's volumes need.
pub fn claims(set: &StatefulSet, spec: &StatefulSetSpec, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let templates = spec.volume_claim_templates.iter().flatten();
    templates
        .map(|template| {
            let mut claim = template.clone();
            claim.metadata.name = Some(claim_name(set, template, ordinal));
            claim.metadata.namespace = set.metadata.namespace.clone();
            let labels = claim.metadata.labels.get_or_insert_default();
            labels.extend(spec.selector.match_labels.clone().unwrap_or_default());
            claim
                .metadata
                .owner_references
                .get_or_insert_default()
                .extend(retention::owner_at_creation(set, spec));
            claim.status = None;
            claim
        })
        .collect()
}

/// The pod of one ordinal from the template of one revision.
pub fn pod(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    template: &PodTemplateSpec,
    revision: &str,
    ordinal: i32,
) -> Pod {
    let mut pod = pod_from_template(template, set);
    let name = format!("{}-{ordinal}", set.name());
    pod.metadata.name = Some(name.clone());
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(REVISION_LABEL.to_owned(), revision.to_owned());
    set_identity(&mut pod, ordinal);
    let pod_spec = pod.spec.get_or_insert_default();
    pod_spec.hostname = Some(name);
    pod_spec.subdomain = spec.service_name.clone();
    let volumes = pod_spec.volumes.get_or_insert_default();
    for template in spec.volume_claim_templates.iter().flatten() {
        volumes.retain(|volume| volume.name != template.name());
        volumes.push(Volume {
            name: template.name().to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, template, ordinal),
                read_only: Some(false),
            }),
            ..Volume::default()
        });
    }
    pod
}

/// Writes the labels that tell the pod's place. True when one was missing or wrong.
pub fn set_identity(pod: &mut Pod, ordinal: i32) -> bool {
    let name = pod.name().to_owned();
    let labels = pod.metadata.labels.get_or_insert_default();
    let mut changed = false;
    for (key, value) in [(NAME_LABEL, name), (INDEX_LABEL, ordinal.to_string())] {
        changed |= labels.insert(key.to_owned(), value.clone()) != Some(value);
    }
    changed
}
