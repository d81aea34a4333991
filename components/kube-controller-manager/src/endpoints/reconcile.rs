//! Reads one service and what is behind it, writes its Endpoints object.

use std::sync::Arc;

use client::events::{Recorder, Type, reference};
use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use super::plan::subsets;
use crate::error::{
    Error, Result, ignore_not_found, is_already_exists, is_conflict, is_namespace_terminating,
};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};
use crate::selector::Labels;
use crate::services::{self, HEADLESS_LABEL, TRIGGER_TIME, trigger::Triggers};

const ACCOUNT: &str = "endpoint-controller";
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

struct Controller {
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    client: Client,
    recorder: Recorder,
    triggers: Triggers,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        services: context.informer(),
        pods: context.informer(),
        endpoints: context.informer(),
        client: context.client(ACCOUNT),
        recorder: context.recorder(ACCOUNT),
        triggers: Triggers::default(),
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(controller.services, controller.pods, controller.endpoints) {
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
        let queue = controller.queue.clone();
        controller.endpoints.on_change(move |change: &Change<Endpoints>| {
            if change.object().label(MANAGED_BY) == Some(MANAGER) {
                queue.add(key_of(change.object().as_ref()));
            }
        });
        let (queue, workers) = (controller.queue.clone(), context.flags.concurrent_endpoint_syncs);
        work(
            "endpoint",
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
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.0);
        let known = self.endpoints.get(&key.0, &key.1);
        let Some(service) = self.services.get(&key.0, &key.1) else {
            self.triggers.forget(key);
            if known.is_some() {
                ignore_not_found(api.delete(&key.1, &DeleteParams::default()).await)?;
            }
            return Ok(Requeue::No);
        };
        let external = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        let Some(selector) = services::selector(&service).filter(|_| !external) else {
            return Ok(Requeue::No);
        };
        let mut behind = self.pods.list_namespace(&key.0);
        behind.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
        let trigger = self.triggers.next(key, &service, behind.iter().map(Arc::as_ref));
        let (subsets, truncated) = subsets(&service, &behind);
        let labels = labels(&service);
        let present = known
            .as_ref()
            .and_then(|known| known.subsets.clone())
            .unwrap_or_default();
        let marked = known
            .as_ref()
            .is_some_and(|known| known.annotation(OVER_CAPACITY).is_some());
        if let Some(known) = &known
            && present == subsets
            && known.metadata.labels.as_ref() == Some(&labels)
            && marked == truncated
        {
            return Ok(Requeue::No);
        }
        let exists = known
            .as_ref()
            .is_some_and(|known| known.metadata.resource_version.is_some());
        let mut object = known.map_or_else(|| new_object(&service), |known| known.as_ref().clone());
        object.subsets = Some(subsets);
        object.metadata.labels = Some(labels);
        annotate(&mut object, trigger, truncated);
        let outcome = if exists {
            api.replace(&key.1, &PostParams::default(), &object).await
        } else {
            api.create(&PostParams::default(), &object).await
        };
        match outcome {
            Ok(_) => Ok(Requeue::No),
            Err(error) if is_namespace_terminating(&error) => Ok(Requeue::No),
            // Our copy was old; the next try has the new one.
            Err(error) if is_conflict(&error) || is_already_exists(&error) => {
                self.triggers.forget(key);
                Err(error.into())
            }
            Err(error) => {
                self.triggers.forget(key);
                let error = Error::from(error);
                let (reason, what) = if exists {
                    ("FailedToUpdateEndpoint", "update")
                } else {
                    ("FailedToCreateEndpoint", "create")
                };
                let message = format!(
                    "Failed to {what} endpoint for service {}/{}: {error}",
                    key.0, key.1
                );
                self.recorder
                    .event(reference(service.as_ref()), Type::Warning, reason, message);
                Err(error)
            }
        }
    }
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS_LABEL);
    if services::is_headless(service) {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn new_object(service: &Service) -> Endpoints {
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    }
}

fn annotate(object: &mut Endpoints, trigger: Option<Timestamp>, truncated: bool) {
    let annotations = object.metadata.annotations.get_or_insert_default();
    match trigger {
        Some(time) => annotations.insert(TRIGGER_TIME.to_owned(), time.to_string()),
        None => annotations.remove(TRIGGER_TIME),
    };
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
}
