//! Mirror pods: what the API server sees of static pods.

use std::sync::Arc;
use std::time::Duration;

use client::Informer;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::is_mirror;
use crate::manager::PodTable;
use crate::pod::members::PodView;
use crate::runtime::annotation;
use crate::status_writer::StatusWriter;

const CHECK: Duration = Duration::from_secs(2);

/// Keeps one mirror pod for each static pod, and none for those that are gone.
pub async fn keep_mirrors(
    client: Client,
    node_name: String,
    pods: Informer<Pod>,
    table: PodTable,
    status: StatusWriter,
    shutdown: CancellationToken,
) {
    if !pods.synced().await {
        return;
    }
    loop {
        if let Err(error) = reconcile(&client, &node_name, &pods, &table, &status).await {
            tracing::warn!(%error, "mirror pods are not up to date");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(CHECK) => {}
        }
    }
}

async fn reconcile(
    client: &Client,
    node_name: &str,
    pods: &Informer<Pod>,
    table: &PodTable,
    status: &StatusWriter,
) -> Result<(), kube::Error> {
    let statics: Vec<Arc<Pod>> = table.list().into_iter().filter(|pod| is_static(pod)).collect();
    for mirror in pods.list().into_iter().filter(|pod| is_mirror(pod)) {
        let wanted = statics
            .iter()
            .find(|pod| pod.name() == mirror.name() && pod.namespace() == mirror.namespace());
        let fits = wanted.is_some_and(|pod| {
            pod.annotation(annotation::CONFIG_HASH) == mirror.annotation(annotation::CONFIG_MIRROR)
        });
        match wanted {
            Some(pod) if fits && !mirror.is_deleted() => status.observed(pod.uid(), &mirror),
            _ => {
                if let Some(pod) = wanted {
                    status.mirror_gone(pod.uid());
                }
                delete(client, &mirror).await?;
            }
        }
    }
    for pod in statics
        .iter()
        .filter(|pod| pods.get(pod.namespace(), pod.name()).is_none())
    {
        let node: Node = Api::<Node>::all(client.clone()).get(node_name).await?;
        let mirror = mirror_of(pod, &node);
        let api: Api<Pod> = Api::namespaced(client.clone(), pod.namespace());
        match api.create(&PostParams::default(), &mirror).await {
            Ok(made) => status.observed(pod.uid(), &made),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn delete(client: &Client, mirror: &Pod) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), mirror.namespace());
    let preconditions = Some(Preconditions {
        uid: mirror.metadata.uid.clone(),
        resource_version: None,
    });
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions,
        ..DeleteParams::default()
    };
    match api.delete(mirror.name(), &parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        result => result.map(|_| ()),
    }
}

/// Whether a pod comes from a file.
pub fn is_static(pod: &Pod) -> bool {
    pod.annotation(annotation::CONFIG_SOURCE)
        .is_some_and(|source| source != "api")
}

fn mirror_of(pod: &Pod, node: &Node) -> Pod {
    let mut mirror = pod.clone();
    let hash = pod
        .annotation(annotation::CONFIG_HASH)
        .unwrap_or_default()
        .to_owned();
    mirror
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(annotation::CONFIG_MIRROR.to_owned(), hash);
    mirror.metadata.uid = None;
    mirror.metadata.generation = None;
    mirror.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    mirror
}
