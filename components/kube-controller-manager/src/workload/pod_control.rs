//! Creating and deleting pods on behalf of an owner, with events about it.

use std::future::Future;

use client::events::{Recorder, Type, reference};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource};

use crate::error::{Error, Result, is_namespace_terminating, is_not_found};
use crate::owner::{Meta as _, controller_reference};

/// Creates and deletes pods as one controller.
#[derive(Clone)]
pub struct PodControl {
    pub client: Client,
    pub recorder: Recorder,
}

/// The pod that a template makes for an owner; its name is left to the API server.
pub fn pod_from_template<O: Resource<DynamicType = ()>>(template: &PodTemplateSpec, owner: &O) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name())),
            namespace: Some(owner.namespace().to_owned()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

impl PodControl {
    pub fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn create<O: Resource<DynamicType = ()>>(&self, owner: &O, pod: &Pod) -> Result<Pod> {
        match self
            .pods(owner.namespace())
            .create(&PostParams::default(), pod)
            .await
        {
            Ok(made) => {
                self.recorder.event(
                    reference(owner),
                    Type::Normal,
                    "SuccessfulCreate",
                    format!("Created pod: {}", made.name()),
                );
                Ok(made)
            }
            Err(error) => {
                let terminating = is_namespace_terminating(&error);
                let error = Error::from(error);
                if !terminating {
                    self.recorder.event(
                        reference(owner),
                        Type::Warning,
                        "FailedCreate",
                        format!("Error creating: {error}"),
                    );
                }
                Err(error)
            }
        }
    }

    /// True when the pod was there to be deleted.
    pub async fn delete<O: Resource<DynamicType = ()>>(&self, owner: &O, name: &str) -> Result<bool> {
        match self
            .pods(owner.namespace())
            .delete(name, &DeleteParams::default())
            .await
        {
            Ok(_) => {
                self.recorder.event(
                    reference(owner),
                    Type::Normal,
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                );
                Ok(true)
            }
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => {
                let error = Error::from(error);
                self.recorder.event(
                    reference(owner),
                    Type::Warning,
                    "FailedDelete",
                    format!("Error deleting: {error}"),
                );
                Err(error)
            }
        }
    }
}

/// Does `count` things in batches of 1, 2, 4, … at once, and stops after the first batch that has a
/// failure: a quota that is exceeded is then asked once and not a thousand times.
/// Returns how many succeeded, and the first failure.
pub async fn slow_start<F, Fut>(count: usize, mut operation: F) -> (usize, Result<()>)
where
    F: FnMut(usize) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let (mut done, mut next, mut batch) = (0, 0, 1);
    while next < count {
        let size = batch.min(count - next);
        let outcomes = join_all((next..next + size).map(&mut operation)).await;
        next += size;
        done += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        if let Some(failure) = outcomes.into_iter().find(Result::is_err) {
            return (done, failure);
        }
        batch *= 2;
    }
    (done, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slow_start_stops_at_the_first_failing_batch() {
        for (count, fails_at, want_done, want_tried) in [
            (10, usize::MAX, 10, 10),
            (10, 0, 0, 1),
            (10, 4, 6, 7),
            (0, 0, 0, 0),
        ] {
            let mut tried = 0;
            let (done, outcome) = slow_start(count, |index| {
                tried += 1;
                async move {
                    if index == fails_at {
                        Err(Error::Other("no".to_owned()))
                    } else {
                        Ok(())
                    }
                }
            })
            .await;
            assert_eq!(
                (done, tried, outcome.is_ok()),
                (want_done, want_tried, fails_at >= count)
            );
        }
    }
}
