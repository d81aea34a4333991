//! The pods of a job.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use crate::hash::random_suffix;
use crate::owner::Meta as _;
use crate::workload::pod_control::pod_from_template;

pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

pub fn index(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok().filter(|index| *index >= 0)
}

pub fn is_tracked(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == FINALIZER)
}

/// A new pod; of an indexed job with its index in annotation, label, environment and host name.
pub fn make(job: &Job, index: Option<i32>) -> Pod {
    let template = job
        .spec
        .as_ref()
        .map(|spec| spec.template.clone())
        .unwrap_or_default();
    let mut pod = pod_from_template(&template, job);
    pod.metadata
        .finalizers
        .get_or_insert_default()
        .push(FINALIZER.to_owned());
    let Some(index) = index else { return pod };
    let text = index.to_string();
    pod.metadata
        .annotations
        .get_or_insert_default()
        .insert(INDEX.to_owned(), text.clone());
    pod.metadata
        .labels
        .get_or_insert_default()
        .insert(INDEX.to_owned(), text);
    let prefix = format!("{}-{index}", job.name());
    pod.metadata.generate_name = Some(format!("{prefix}-"));
    // Named here, since a generated name may be cut, and with it the index.
    pod.metadata.name = Some(format!("{prefix}-{}", random_suffix(5)));
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(prefix);
    let variable = EnvVar {
        name: INDEX_VARIABLE.to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        let env = container.env.get_or_insert_default();
        if env.iter().all(|own| own.name != INDEX_VARIABLE) {
            env.push(variable.clone());
        }
    }
    pod
}
