//! The service account `default` of every namespace, and the tokens of accounts.

pub mod tokens;

use std::sync::Arc;

use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::error::{Result, is_already_exists, is_namespace_terminating, is_not_found};
use crate::namespace::is_active;
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "service-account-controller";
const NAME: &str = "default";

struct Controller {
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        namespaces: context.informer(),
        accounts: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.namespaces, controller.accounts) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .namespaces
            .on_change(move |change| keys.add((String::new(), change.object().name().to_owned())));
        let keys = queue.clone();
        controller
            .accounts
            .on_change(move |change: &Change<ServiceAccount>| {
                if change.new.is_none() && change.object().name() == NAME {
                    keys.add((String::new(), change.object().namespace().to_owned()));
                }
            });
        work(
            "serviceaccount",
            &context,
            queue,
            1,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

impl Controller {
    async fn reconcile(&self, namespace: &str) -> Result<Requeue> {
        let active = self
            .namespaces
            .get("", namespace)
            .is_some_and(|namespace| is_active(&namespace));
        if !active || self.accounts.get(namespace, NAME).is_some() {
            return Ok(Requeue::No);
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &account).await {
            Ok(_) => Ok(Requeue::No),
            Err(error)
                if is_already_exists(&error) || is_namespace_terminating(&error) || is_not_found(&error) =>
            {
                Ok(Requeue::No)
            }
            Err(error) => Err(error.into()),
        }
    }
}
