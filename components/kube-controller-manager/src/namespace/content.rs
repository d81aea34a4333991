//! Deletes what is in a namespace and reports what is left.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams, PartialObjectMeta};
use kube::core::ObjectList;
use kube::{Api, Client};

use super::conditions::Remaining;
use crate::discovery::{Discovered, Discovery};
use crate::error::{is_not_found, status};

/// How long finalizers usually take, in seconds.
const FINALIZER_ESTIMATE: u64 = 15;
const AT_ONCE: usize = 8;

/// Deletes pods first and, when none is left, everything else.
pub async fn delete_all(client: &Client, namespace: &str, discovery: &Discovery) -> Remaining {
    let mut remaining = Remaining {
        discovery_failures: discovery.failed.clone(),
        ..Remaining::default()
    };
    let deletable =
        |resource: &&Discovered| resource.namespaced && resource.can("delete") && resource.can("list");
    let (pods, others): (Vec<&Discovered>, Vec<&Discovered>) = discovery
        .resources
        .iter()
        .filter(deletable)
        .partition(|resource| resource.resource.group.is_empty() && resource.resource.plural == "pods");
    for resource in pods {
        delete_resource(client, namespace, resource)
            .await
            .fold_into(&mut remaining, resource);
    }
    // What pods need (their volumes, secrets, policies) must not go before them.
    if !remaining.instances.is_empty() {
        return remaining;
    }
    let outcomes: Vec<_> = futures::stream::iter(others.into_iter().cloned().map(|resource| async move {
        let outcome = delete_resource(client, namespace, &resource).await;
        (resource, outcome)
    }))
    .buffer_unordered(AT_ONCE)
    .collect()
    .await;
    for (resource, outcome) in outcomes {
        outcome.fold_into(&mut remaining, &resource);
    }
    remaining
}

#[derive(Default)]
struct Outcome {
    left: Vec<PartialObjectMeta<DynamicObject>>,
    failure: Option<String>,
    estimate: u64,
}

impl Outcome {
    fn failed(error: &kube::Error) -> Self {
        Self {
            failure: Some(status(error).map_or_else(|| error.to_string(), |status| status.message.clone())),
            ..Self::default()
        }
    }

    fn fold_into(self, remaining: &mut Remaining, resource: &Discovered) {
        let name = format!("{}.{}", resource.resource.plural, resource.resource.group);
        if let Some(failure) = self.failure {
            remaining.deletion_failures.push(format!("{name}: {failure}"));
        }
        if !self.left.is_empty() {
            remaining.instances.insert(name, self.left.len());
        }
        for finalizer in self
            .left
            .iter()
            .flat_map(|object| object.metadata.finalizers.iter().flatten())
        {
            *remaining.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        remaining.estimate = remaining.estimate.max(self.estimate);
    }
}

async fn delete_resource(client: &Client, namespace: &str, resource: &Discovered) -> Outcome {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource.resource);
    let found = match list(&api).await {
        Ok(found) if found.items.is_empty() => return Outcome::default(),
        Ok(found) => found,
        Err(error) if is_not_found(&error) => return Outcome::default(),
        Err(error) => return Outcome::failed(&error),
    };
    let estimate = estimate(client, namespace, resource, &found).await;
    let background = DeleteParams::background();
    if resource.can("deletecollection") {
        if let Err(error) = api.delete_collection(&background, &ListParams::default()).await
            && !is_not_found(&error)
        {
            return Outcome::failed(&error);
        }
    } else {
        for object in &found.items {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &background).await {
                Err(error) if !is_not_found(&error) => return Outcome::failed(&error),
                _ => {}
            }
        }
    }
    match list(&api).await {
        Ok(left) if left.items.is_empty() => Outcome::default(),
        Ok(left) => {
            let finalized = left.items.iter().any(|object| {
                object
                    .metadata
                    .finalizers
                    .as_ref()
                    .is_some_and(|list| !list.is_empty())
            });
            Outcome {
                left: left.items,
                failure: None,
                estimate: estimate.max(if finalized { FINALIZER_ESTIMATE } else { 0 }),
            }
        }
        Err(error) => Outcome::failed(&error),
    }
}

async fn list(api: &Api<DynamicObject>) -> Result<ObjectList<PartialObjectMeta<DynamicObject>>, kube::Error> {
    api.list_metadata(&ListParams::default()).await
}

/// For pods their longest grace period.
async fn estimate(
    client: &Client,
    namespace: &str,
    resource: &Discovered,
    found: &ObjectList<PartialObjectMeta<DynamicObject>>,
) -> u64 {
    if !(resource.resource.group.is_empty() && resource.resource.plural == "pods") || found.items.is_empty() {
        return 0;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Ok(pods) = pods.list(&ListParams::default()).await else {
        return 0;
    };
    let grace = |pod: &Pod| {
        pod.spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds)
            .unwrap_or(30)
    };
    pods.items
        .iter()
        .map(grace)
        .max()
        .and_then(|seconds| u64::try_from(seconds).ok())
        .unwrap_or(0)
}
