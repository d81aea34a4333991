//! Writing down where a pod goes: its volumes first, then the pod.

use std::time::Duration;

use anyhow::{Context as _, bail};
use client::Informer;
use k8s_openapi::api::core::v1::{self, PersistentVolume, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::ClaimKey;
use crate::model::Pod;
use crate::plugins::volumes::VolumePlan;

/// How often claims that are being bound are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// POSTs the pod's binding.
pub async fn bind(client: &Client, pod: &Pod, node: &str) -> anyhow::Result<()> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": &*pod.uid},
        "target": {"kind": "Node", "name": node},
    });
    let pods: Api<v1::Pod> = Api::namespaced(client.clone(), &pod.namespace);
    let answer: kube::core::response::Status = pods
        .create_subresource("binding", &pod.name, &PostParams::default(), &binding)
        .await
        .context("binding rejected")?;
    tracing::debug!(pod = pod.key(), node, code = answer.code, "bound");
    Ok(())
}

/// Reserves volumes for claims, asks provisioners for the others and waits until all claims are bound.
pub async fn bind_volumes(
    client: &Client,
    claims: &Informer<PersistentVolumeClaim>,
    volumes: &Informer<PersistentVolume>,
    plan: &VolumePlan,
    node: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    for (claim, volume) in &plan.bind {
        reserve(client, claims, volumes, claim, volume).await?;
    }
    for (namespace, name) in &plan.provision {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
        let patch = json!({"metadata": {"annotations": {"volume.kubernetes.io/selected-node": node}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .with_context(|| {
                format!("cannot select node {node} for persistentvolumeclaim {namespace}/{name}")
            })?;
    }
    let deadline = Instant::now() + timeout;
    let waited: Vec<&ClaimKey> = plan
        .bind
        .iter()
        .map(|(claim, _)| claim)
        .chain(&plan.provision)
        .collect();
    loop {
        let mut unbound = None;
        for (namespace, name) in &waited {
            let Some(claim) = claims.get(namespace, name) else {
                bail!("persistentvolumeclaim {namespace}/{name} is gone");
            };
            let bound = claim
                .annotations()
                .contains_key("pv.kubernetes.io/bind-completed")
                && claim.spec.as_ref().is_some_and(|spec| spec.volume_name.is_some());
            let selected = claim.annotations().get("volume.kubernetes.io/selected-node");
            if !bound {
                // The provisioner takes the node away when it cannot make a volume there.
                let rejected = plan.provision.contains(&(namespace.clone(), name.clone()))
                    && selected.is_none()
                    && Instant::now() + timeout > deadline + Duration::from_secs(1);
                if rejected {
                    bail!("provisioning failed for PVC {name:?}");
                }
                unbound = Some(name);
            }
        }
        match unbound {
            None => return Ok(()),
            Some(name) if Instant::now() >= deadline => {
                bail!("binding volumes: timed out waiting for persistentvolumeclaim {name:?}");
            }
            Some(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

async fn reserve(
    client: &Client,
    claims: &Informer<PersistentVolumeClaim>,
    volumes: &Informer<PersistentVolume>,
    (namespace, name): &ClaimKey,
    volume: &str,
) -> anyhow::Result<()> {
    let claim = claims
        .get(namespace, name)
        .with_context(|| format!("persistentvolumeclaim {namespace}/{name} is gone"))?;
    let current = volumes
        .get("", volume)
        .with_context(|| format!("persistentvolume {volume} is gone"))?;
    // With the version that was decided on: somebody else's reservation is a conflict.
    let patch = json!({
        "metadata": {
            "resourceVersion": current.resource_version(),
            "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name,
            "uid": claim.uid(), "resourceVersion": claim.resource_version(),
        }},
    });
    let api: Api<PersistentVolume> = Api::all(client.clone());
    api.patch(volume, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .with_context(|| format!("cannot bind persistentvolume {volume} to {namespace}/{name}"))?;
    Ok(())
}
