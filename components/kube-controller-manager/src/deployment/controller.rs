//! What makes a Deployment be looked at.

use std::sync::Arc;

use client::events::Recorder;
use client::informer::{Change, Key, key_of};
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

use crate::owner::{Meta as _, controller_of};
use crate::runtime::{Context, work};
use crate::selector::Selector;
use crate::workload::claim::adopters;
use crate::workload::index::by_controller;

use super::plan;

const ACCOUNT: &str = "deployment-controller";

pub(super) struct Controller {
    pub deployments: Informer<Deployment>,
    pub sets: Informer<ReplicaSet>,
    pub pods: Informer<Pod>,
    pub client: Client,
    pub recorder: Recorder,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        deployments: context.informer(),
        sets: by_controller(&context),
        pods: by_controller(&context),
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT),
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(controller.deployments, controller.sets, controller.pods) {
            return;
        }
        let queue = controller.queue.clone();
        controller
            .deployments
            .on_change(move |change| queue.add(key_of(change.object().as_ref())));
        let this = controller.clone();
        controller.sets.on_change(move |change| this.set_changed(change));
        let this = controller.clone();
        controller.pods.on_change(move |change| this.pod_changed(change));
        let (queue, workers) = (
            controller.queue.clone(),
            context.flags.concurrent_deployment_syncs,
        );
        work(
            "deployment",
            &context,
            queue,
            workers,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

impl Controller {
    pub fn api(&self, namespace: &str) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub fn sets_api(&self, namespace: &str) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn owner(&self, set: &ReplicaSet) -> Option<Arc<Deployment>> {
        let reference = controller_of(&set.metadata).filter(|reference| reference.kind == "Deployment")?;
        let deployment = self.deployments.get(set.namespace(), &reference.name)?;
        (deployment.uid() == reference.uid).then_some(deployment)
    }

    fn set_changed(&self, change: &Change<ReplicaSet>) {
        for set in change.old.iter().chain(&change.new) {
            if let Some(deployment) = self.owner(set) {
                self.queue.add(key_of(deployment.as_ref()));
            }
        }
        let Some(set) = &change.new else { return };
        if controller_of(&set.metadata).is_some() {
            return;
        }
        let selector = |deployment: &Deployment| Selector::new(&deployment.spec.as_ref()?.selector).ok();
        adopters(&self.deployments, set.as_ref(), selector).for_each(|key| self.queue.add(key));
    }

    /// Of pods only the end matters, and only where new ones wait for it.
    fn pod_changed(&self, change: &Change<Pod>) {
        let (Some(pod), None) = (&change.old, &change.new) else {
            return;
        };
        let deployment = controller_of(&pod.metadata)
            .and_then(|reference| self.sets.get(pod.namespace(), &reference.name))
            .and_then(|set| self.owner(&set));
        if let Some(deployment) = deployment
            && deployment
                .spec
                .as_ref()
                .is_some_and(|spec| !plan::is_rolling(spec))
        {
            self.queue.add(key_of(deployment.as_ref()));
        }
    }
}
