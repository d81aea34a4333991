//! Counts the pods of one budget and writes its status.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::PostParams;
use kube::{Api, Client};

use super::plan;
use crate::error::Result;
use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;

const ACCOUNT: &str = "disruption-controller";

struct Controller {
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    stateful: Informer<StatefulSet>,
    replication: Informer<ReplicationController>,
    client: Client,
    recorder: Recorder,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        budgets: context.informer(),
        pods: context.informer(),
        sets: context.informer(),
        deployments: context.informer(),
        stateful: context.informer(),
        replication: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder_as(ACCOUNT, "controllermanager"),
        queue: Queue::new(),
    });
    async move {
        let this = controller.clone();
        if !crate::synced!(
            this.budgets,
            this.pods,
            this.sets,
            this.deployments,
            this.stateful,
            this.replication
        ) {
            return;
        }
        let queue = controller.queue.clone();
        controller
            .budgets
            .on_change(move |change: &Change<PodDisruptionBudget>| {
                queue.add(key_of(change.object().as_ref()))
            });
        controller.pods.on_change(move |change: &Change<Pod>| {
            for budget in this.budgets.list_namespace(change.object().namespace()) {
                let selector = selector(&budget);
                let selected = |pod: &Option<Arc<Pod>>| {
                    pod.as_ref()
                        .is_some_and(|pod| selector.matches(pod.metadata.labels.as_ref()))
                };
                if selected(&change.old) || selected(&change.new) {
                    this.queue.add(key_of(budget.as_ref()));
                }
            }
        });
        let queue = controller.queue.clone();
        work(
            "disruption",
            &context,
            queue,
            1,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// A budget without selector takes in no pod, one with an empty selector every pod.
fn selector(budget: &PodDisruptionBudget) -> Selector {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector
        .and_then(|selector| Selector::new(selector).ok())
        .unwrap_or_else(Selector::nothing)
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(budget) = self.budgets.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let spec = budget.spec.clone().unwrap_or_default();
        let selector = selector(&budget);
        let mut matching = self.pods.list_namespace(&key.0);
        matching.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        if matching.is_empty() {
            self.recorder.event(
                reference(budget.as_ref()),
                Type::Normal,
                "NoPods",
                "No matching pods found",
            );
        }
        let old = budget.status.clone().unwrap_or_default();
        let now = Timestamp::now();
        let count = i32::try_from(matching.len()).unwrap_or(i32::MAX);
        let scale = if plan::needs_scale(&spec) {
            self.scale(&matching)
        } else {
            Ok(count)
        };
        let (status, recheck) = match scale {
            Ok(scale) => {
                let numbers = plan::expected_and_desired(&spec, count, scale);
                let (pending, recheck) = plan::pending(&old, &matching, now);
                (
                    plan::status(&old, budget.generation(), &matching, numbers, pending, now),
                    recheck,
                )
            }
            Err(message) => {
                let text = format!("Failed to calculate the number of expected pods: {message}");
                self.recorder.event(
                    reference(budget.as_ref()),
                    Type::Warning,
                    "CalculateExpectedPodCountFailed",
                    text,
                );
                (plan::failed(&old, budget.generation(), message, now), None)
            }
        };
        if budget.status.as_ref() != Some(&status) {
            let mut updated = budget.as_ref().clone();
            updated.status = Some(status);
            let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &key.0);
            api.replace_status(&key.1, &PostParams::default(), &updated)
                .await?;
        }
        let seconds = recheck.and_then(|seconds| u64::try_from(seconds).ok());
        Ok(seconds.map_or(Requeue::No, |seconds| {
            Requeue::After(Duration::from_secs(seconds))
        }))
    }

    /// What the pods' controllers want in all, each counted once.
    fn scale(&self, matching: &[Arc<Pod>]) -> std::result::Result<i32, String> {
        let mut scales: AHashMap<String, i32> = AHashMap::new();
        for pod in matching {
            let Some(reference) = controller_of(&pod.metadata) else {
                return Err(format!("found no controller ref for pod {:?}", pod.name()));
            };
            if scales.contains_key(&reference.uid) {
                continue;
            }
            let found = self.wanted(pod.namespace(), &reference.kind, &reference.name);
            let Some((uid, replicas)) = found else {
                return Err(format!("found no controllers for pod {:?}", pod.name()));
            };
            scales.insert(reference.uid.clone(), 0);
            scales.insert(uid, replicas);
        }
        Ok(scales.values().sum())
    }

    /// The uid and wanted number of what scales the pods: a replica set's deployment rather than itself.
    fn wanted(&self, namespace: &str, kind: &str, name: &str) -> Option<(String, i32)> {
        match kind {
            "ReplicaSet" => {
                let set = self.sets.get(namespace, name)?;
                let deployment = controller_of(&set.metadata).filter(|owner| owner.kind == "Deployment");
                match deployment {
                    Some(owner) => {
                        let deployment = self.deployments.get(namespace, &owner.name)?;
                        let replicas = deployment.spec.as_ref()?.replicas.unwrap_or(1);
                        Some((deployment.uid().to_owned(), replicas))
                    }
                    None => Some((set.uid().to_owned(), set.spec.as_ref()?.replicas.unwrap_or(1))),
                }
            }
            "StatefulSet" => {
                let set = self.stateful.get(namespace, name)?;
                Some((set.uid().to_owned(), set.spec.as_ref()?.replicas.unwrap_or(1)))
            }
            "ReplicationController" => {
                let set = self.replication.get(namespace, name)?;
                Some((set.uid().to_owned(), set.spec.as_ref()?.replicas.unwrap_or(1)))
            }
            _ => None,
        }
    }
}
