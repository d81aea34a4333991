//! Removes bootstrap tokens when their time is over.

use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use super::token::{NAMESPACE, is_token, seconds_left};
use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "token-cleaner";

struct Cleaner {
    secrets: Informer<Secret>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let cleaner = Arc::new(Cleaner {
        secrets: super::token::informer(&context),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(cleaner.secrets) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        cleaner.secrets.on_change(move |change: &Change<Secret>| {
            if is_token(change.object()) {
                keys.add(key_of(change.object().as_ref()));
            }
        });
        work(
            "token-cleaner",
            &context,
            queue,
            1,
            cleaner,
            |cleaner, key| async move { cleaner.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

impl Cleaner {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(secret) = self
            .secrets
            .get(NAMESPACE, name)
            .filter(|secret| is_token(secret))
        else {
            return Ok(Requeue::No);
        };
        match seconds_left(&secret, Timestamp::now()) {
            None => Ok(Requeue::No),
            Some(left) if left > 0 => Ok(Requeue::After(Duration::from_secs(left.unsigned_abs()))),
            Some(_) => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
                // A token of the same name may have been made meanwhile.
                let same = Preconditions {
                    uid: Some(secret.uid().to_owned()),
                    resource_version: None,
                };
                ignore_not_found(
                    api.delete(name, &DeleteParams::default().preconditions(same))
                        .await,
                )?;
                Ok(Requeue::No)
            }
        }
    }
}
