//! Empties a namespace that is being deleted, then lets it go.

use std::sync::Arc;
use std::time::Duration;

use client::informer::Key;
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};

use super::conditions::conditions;
use super::content::delete_all;
use crate::discovery::discover;
use crate::error::{Error, Result, is_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "namespace-controller";
const FINALIZER: &str = "kubernetes";

struct Controller {
    namespaces: Informer<Namespace>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        namespaces: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.namespaces) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller.namespaces.on_change(move |change| {
            if let Some(namespace) = &change.new
                && namespace.is_deleting()
            {
                keys.add((String::new(), namespace.name().to_owned()));
            }
        });
        let workers = context.flags.concurrent_namespace_syncs;
        work(
            "namespace",
            &context,
            queue,
            workers,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

fn is_finalized(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    !finalizers.is_some_and(|list| list.iter().any(|finalizer| finalizer == FINALIZER))
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        // Read from the server: content must not be deleted on a stale copy's word.
        let Some(mut namespace) = api.get_opt(name).await? else {
            return Ok(Requeue::No);
        };
        if !namespace.is_deleting() || is_finalized(&namespace) {
            return Ok(Requeue::No);
        }
        let status = namespace.status.get_or_insert_default();
        if status.phase.as_deref() != Some("Terminating") {
            status.phase = Some("Terminating".to_owned());
            namespace = api
                .replace_status(name, &PostParams::default(), &namespace)
                .await?;
        }
        let discovery = discover(&self.client).await?;
        let remaining = delete_all(&self.client, name, &discovery).await;
        let status = namespace.status.get_or_insert_default();
        let now = Timestamp::now();
        let updated = conditions(status.conditions.as_deref().unwrap_or_default(), &remaining, now);
        if status.conditions.as_ref() != Some(&updated) {
            status.conditions = Some(updated);
            namespace = match api.replace_status(name, &PostParams::default(), &namespace).await {
                Ok(namespace) => namespace,
                Err(error) if is_not_found(&error) => return Ok(Requeue::No),
                Err(error) => return Err(error.into()),
            };
        }
        if let Some(failure) = remaining
            .discovery_failures
            .iter()
            .chain(&remaining.deletion_failures)
            .next()
        {
            return Err(Error::invalid("content of namespace", name, failure));
        }
        if !remaining.is_done() {
            return Ok(Requeue::After(Duration::from_secs(remaining.estimate / 2 + 1)));
        }
        self.finalize(&api, namespace).await
    }

    async fn finalize(&self, api: &Api<Namespace>, mut namespace: Namespace) -> Result<Requeue> {
        if let Some(finalizers) = namespace.spec.get_or_insert_default().finalizers.as_mut() {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let name = namespace.name().to_owned();
        let outcome = api
            .replace_subresource("finalize", &name, &PostParams::default(), &namespace)
            .await;
        match outcome {
            Ok(_) => Ok(Requeue::No),
            Err(error) if is_not_found(&error) => Ok(Requeue::No),
            Err(error) => Err(error.into()),
        }
    }
}
