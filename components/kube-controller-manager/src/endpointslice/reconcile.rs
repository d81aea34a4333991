//! Reads one service and what is behind it, writes its slices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use super::endpoints::{address_types, desired};
use super::plan::{PortKey, plan};
use super::written::Written;
use crate::error::{Error, Result, ignore_not_found, is_namespace_terminating};
use crate::owner::{Meta as _, controller_reference};
use crate::runtime::{Context, work};
use crate::selector::Labels;
use crate::services::{self, HEADLESS_LABEL, TRIGGER_TIME, trigger::Triggers};

const ACCOUNT: &str = "endpointslice-controller";
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const INDEX: &str = "service";
/// How long to wait for the informer to show what was written last, when no event comes.
const CATCH_UP: Duration = Duration::from_millis(200);

struct Controller {
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
    client: Client,
    recorder: Recorder,
    triggers: Triggers,
    written: Written,
    max: usize,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        services: context.informer(),
        pods: context.informer(),
        nodes: context.informer(),
        slices: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT),
        triggers: Triggers::default(),
        written: Written::default(),
        max: context.flags.max_endpoints_per_slice.max(1),
        queue: Queue::new(),
    });
    controller.slices.add_index(INDEX, |slice: &EndpointSlice| {
        let service = slice
            .label(SERVICE_NAME)
            .map(|name| format!("{}/{name}", slice.namespace()));
        service.into_iter().collect()
    });
    async move {
        if !crate::synced!(
            controller.services,
            controller.pods,
            controller.nodes,
            controller.slices
        ) {
            return;
        }
        let queue = controller.queue.clone();
        controller
            .services
            .on_change(move |change| queue.add(key_of(change.object().as_ref())));
        let (services, queue) = (controller.services.clone(), controller.queue.clone());
        controller
            .pods
            .on_change(move |change| services::in_front(&services, change).for_each(|key| queue.add(key)));
        let this = controller.clone();
        controller
            .slices
            .on_change(move |change| this.slice_changed(change));
        let this = controller.clone();
        controller
            .nodes
            .on_change(move |change| this.node_changed(change));
        let (queue, workers) = (
            controller.queue.clone(),
            context.flags.concurrent_service_endpoint_syncs,
        );
        work(
            "endpointslice",
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
    fn slice_changed(&self, change: &Change<EndpointSlice>) {
        let slice = change.object();
        let (Some(service), Some(MANAGER)) = (slice.label(SERVICE_NAME), slice.label(MANAGED_BY)) else {
            return;
        };
        let key = (slice.namespace().to_owned(), service.to_owned());
        if change.new.is_none() {
            self.written.forget_slice(&key, slice.name());
        }
        self.queue.add(key);
    }

    /// Of nodes only the zone is in slices.
    fn node_changed(&self, change: &Change<Node>) {
        const ZONE: &str = "topology.kubernetes.io/zone";
        let zone =
            |node: &Option<Arc<Node>>| node.as_ref().and_then(|node| node.label(ZONE).map(str::to_owned));
        if zone(&change.old) != zone(&change.new) {
            self.services
                .list()
                .iter()
                .for_each(|service| self.queue.add(key_of(service.as_ref())));
        }
    }

    fn api(&self, namespace: &str) -> Api<EndpointSlice> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        // Slices of a service that has gone are the garbage collector's.
        let Some(service) = self.services.get(&key.0, &key.1) else {
            self.triggers.forget(key);
            self.written.forget(key);
            return Ok(Requeue::No);
        };
        let external = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        let Some(selector) = services::selector(&service).filter(|_| !external) else {
            return Ok(Requeue::No);
        };
        if service.is_deleting() {
            return Ok(Requeue::No);
        }
        if !self.written.is_seen(key, |name| self.slices.get(&key.0, name)) {
            return Ok(Requeue::After(CATCH_UP));
        }
        let mut behind = self.pods.list_namespace(&key.0);
        behind.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        behind.sort_by(|a, b| a.name().cmp(b.name()));
        let mut existing = self.slices.by_index(INDEX, &format!("{}/{}", key.0, key.1));
        existing.retain(|slice| slice.label(MANAGED_BY) == Some(MANAGER) && !slice.is_deleting());
        existing.sort_by(|a, b| a.name().cmp(b.name()));
        let trigger = self.triggers.next(key, &service, behind.iter().map(Arc::as_ref));
        let outcome = self.write(key, &service, &behind, &existing, trigger).await;
        if let Err(error) = &outcome {
            // Answered too late now, but answered: the next try gives the time again.
            self.triggers.forget(key);
            // A conflict only means that our copy was old.
            if error
                .api_status()
                .is_some_and(|status| status.reason == "Conflict")
            {
                return outcome.map(|()| Requeue::No);
            }
            self.recorder.event(
                reference(service.as_ref()),
                Type::Warning,
                "FailedToUpdateEndpointSlices",
                format!(
                    "Error updating Endpoint Slices for Service {}/{}: {error}",
                    key.0, key.1
                ),
            );
        }
        outcome.map(|()| Requeue::No)
    }

    async fn write(
        &self,
        key: &Key,
        service: &Service,
        behind: &[Arc<Pod>],
        existing: &[Arc<EndpointSlice>],
        trigger: Option<Timestamp>,
    ) -> Result<()> {
        let types = address_types(service);
        let node = |name: &str| self.nodes.get("", name);
        let labels = labels(service);
        let owner = vec![controller_reference(service)];
        for slice in existing
            .iter()
            .filter(|slice| !types.contains(slice.address_type.as_str()))
        {
            self.delete(key, slice).await?;
        }
        for address_type in types {
            let own: Vec<_> = existing
                .iter()
                .filter(|slice| slice.address_type == address_type)
                .cloned()
                .collect();
            let writes = plan(&own, desired(service, behind, address_type, node), self.max);
            for slice in writes.delete {
                self.delete(key, &slice).await?;
            }
            for (ports, endpoints) in writes.create {
                let slice = new_slice(service, address_type, &ports, endpoints, labels.clone());
                self.create(key, annotated(slice, trigger)).await?;
            }
            let relabelled = writes.keep.iter().filter(|slice| {
                slice.metadata.labels.as_ref() != Some(&labels)
                    || slice.metadata.owner_references.as_ref() != Some(&owner)
            });
            let updates = relabelled
                .map(|slice| slice.as_ref().clone())
                .chain(writes.update);
            for mut slice in updates {
                slice.metadata.labels = Some(labels.clone());
                slice.metadata.owner_references = Some(owner.clone());
                let slice = annotated(slice, trigger);
                let updated = self
                    .api(&key.0)
                    .replace(slice.name(), &PostParams::default(), &slice)
                    .await?;
                self.written.wrote(key, &updated);
            }
        }
        Ok(())
    }

    async fn create(&self, key: &Key, slice: EndpointSlice) -> Result<()> {
        match self.api(&key.0).create(&PostParams::default(), &slice).await {
            Ok(created) => {
                self.written.wrote(key, &created);
                Ok(())
            }
            Err(error) if is_namespace_terminating(&error) => Ok(()),
            Err(error) => Err(Error::from(error)),
        }
    }

    async fn delete(&self, key: &Key, slice: &EndpointSlice) -> Result<()> {
        let outcome = self
            .api(&key.0)
            .delete(slice.name(), &DeleteParams::default())
            .await;
        ignore_not_found(outcome)?;
        self.written.deleted(key, slice);
        Ok(())
    }
}

/// The service's own labels, and those by which slices are found.
fn labels(service: &Service) -> Labels {
    let mut labels: Labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    if services::is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.name().to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn new_slice(
    service: &Service,
    address_type: &str,
    ports: &PortKey,
    endpoints: Vec<Endpoint>,
    labels: Labels,
) -> EndpointSlice {
    EndpointSlice {
        address_type: address_type.to_owned(),
        endpoints: Some(endpoints),
        ports: Some(ports.ports()),
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.name())),
            namespace: Some(service.namespace().to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![controller_reference(service)]),
            ..ObjectMeta::default()
        },
    }
}

fn annotated(mut slice: EndpointSlice, trigger: Option<Timestamp>) -> EndpointSlice {
    let annotations = slice.metadata.annotations.get_or_insert_with(BTreeMap::new);
    match trigger {
        Some(time) => {
            annotations.insert(TRIGGER_TIME.to_owned(), time.to_string());
        }
        None => {
            annotations.remove(TRIGGER_TIME);
        }
    }
    slice
}
