//! Claims of pods' ephemeral volumes.

use std::sync::Arc;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::error::{Error, Result};
use crate::owner::{Meta as _, controller_reference, is_controlled_by};
use crate::runtime::{Context, work};
use crate::workload::pods;

const ACCOUNT: &str = "ephemeral-volume-controller";

struct Controller {
    pods: Informer<Pod>,
    claims: Informer<PersistentVolumeClaim>,
    client: Client,
    recorder: Recorder,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        pods: context.informer(),
        claims: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder_as(ACCOUNT, "ephemeral_volume"),
    });
    async move {
        if !crate::synced!(controller.pods, controller.claims) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller.pods.on_change(move |change: &Change<Pod>| {
            if change.new.is_some() && change.old.is_none() && ephemeral(change.object()).next().is_some() {
                keys.add(key_of(change.object().as_ref()));
            }
        });
        let (this, keys) = (controller.clone(), queue.clone());
        controller
            .claims
            .on_change(move |change: &Change<PersistentVolumeClaim>| {
                let claim = change.object();
                let owner = crate::owner::controller_of(&claim.metadata).filter(|owner| owner.kind == "Pod");
                // A claim that was deleted has to be made again for a pod that is still there.
                if let (None, Some(owner)) = (&change.new, owner)
                    && this.pods.get(claim.namespace(), &owner.name).is_some()
                {
                    keys.add((claim.namespace().to_owned(), owner.name.clone()));
                }
            });
        work(
            "ephemeral-volume",
            &context,
            queue,
            5,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

fn ephemeral(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    volumes.iter().filter(|volume| volume.ephemeral.is_some())
}

/// The claim that a pod's volume stands for.
fn claim_for(pod: &Pod, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.clone()?;
    let own = template.metadata.unwrap_or_default();
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", pod.name(), volume.name)),
            namespace: pod.metadata.namespace.clone(),
            labels: own.labels,
            annotations: own.annotations,
            owner_references: Some(vec![controller_reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: Some(template.spec),
        status: None,
    })
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(pod) = self.pods.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        // What is on its way out needs nothing new.
        if pod.is_deleting() || pods::is_terminal(&pod) {
            return Ok(Requeue::No);
        }
        let mut outcomes = Vec::new();
        for volume in ephemeral(&pod) {
            let outcome = self.make(&pod, volume).await;
            if let Err(error) = &outcome {
                let message = format!("ephemeral volume {}: {error}", volume.name);
                self.recorder
                    .event(reference(pod.as_ref()), Type::Warning, "FailedBinding", message);
            }
            outcomes.push(outcome);
        }
        Error::collect(outcomes)?;
        Ok(Requeue::No)
    }

    async fn make(&self, pod: &Pod, volume: &Volume) -> Result<()> {
        let Some(claim) = claim_for(pod, volume) else {
            return Ok(());
        };
        match self.claims.get(claim.namespace(), claim.name()) {
            Some(known) if is_controlled_by(&known.metadata, pod.uid()) => Ok(()),
            Some(_) => {
                let reason = format!(
                    "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
                    claim.namespace(),
                    claim.name(),
                    pod.namespace(),
                    pod.name()
                );
                Err(Error::Other(reason))
            }
            None => {
                let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), claim.namespace());
                api.create(&PostParams::default(), &claim).await?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_made_after_the_template_and_owned_by_the_pod() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "w", "emptyDir": {}}]}
        }))
        .unwrap();
        let claims: Vec<_> = ephemeral(&pod)
            .filter_map(|volume| claim_for(&pod, volume))
            .collect();
        assert_eq!(claims.len(), 1);
        assert_eq!(
            (claims[0].namespace(), claims[0].name(), claims[0].label("a")),
            ("n", "p-v", Some("b"))
        );
        assert!(is_controlled_by(&claims[0].metadata, "u"));
        assert_eq!(
            claims[0].spec.as_ref().and_then(|spec| spec.access_modes.clone()),
            Some(vec!["ReadWriteOnce".to_owned()])
        );
    }
}
