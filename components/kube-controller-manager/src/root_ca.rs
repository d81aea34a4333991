//! The cluster's authority, published to every namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::informer::{Change, Key};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::error::{Result, is_already_exists, is_namespace_terminating, is_not_found};
use crate::namespace::is_active;
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "root-ca-cert-publisher";
const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

struct Controller {
    namespaces: Informer<Namespace>,
    maps: Informer<ConfigMap>,
    client: Client,
    bundle: String,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        namespaces: context.informer(),
        maps: Informer::start(
            Api::all(context.root.client.clone()),
            watcher::Config::default().fields(&format!("metadata.name={NAME}")),
            context.shutdown.clone(),
        ),
        client: context.client(ACCOUNT),
        bundle: context.files.root_authority.clone(),
    });
    async move {
        if !crate::synced!(controller.namespaces, controller.maps) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .namespaces
            .on_change(move |change| keys.add((String::new(), change.object().name().to_owned())));
        let keys = queue.clone();
        controller.maps.on_change(move |change: &Change<ConfigMap>| {
            keys.add((String::new(), change.object().namespace().to_owned()));
        });
        work(
            "root-ca",
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
        if !self
            .namespaces
            .get("", namespace)
            .is_some_and(|namespace| is_active(&namespace))
        {
            return Ok(Requeue::No);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = BTreeMap::from([("ca.crt".to_owned(), self.bundle.clone())]);
        let annotations = BTreeMap::from([("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned())]);
        let outcome = match self.maps.get(namespace, NAME) {
            None => {
                let map = ConfigMap {
                    metadata: ObjectMeta {
                        name: Some(NAME.to_owned()),
                        namespace: Some(namespace.to_owned()),
                        annotations: Some(annotations),
                        ..ObjectMeta::default()
                    },
                    data: Some(data),
                    ..ConfigMap::default()
                };
                api.create(&PostParams::default(), &map).await
            }
            Some(known)
                if known.data.as_ref() == Some(&data)
                    && known.annotation("kubernetes.io/description").is_some() =>
            {
                return Ok(Requeue::No);
            }
            Some(known) => {
                let mut map = known.as_ref().clone();
                map.data = Some(data);
                map.metadata.annotations = Some(annotations);
                api.replace(NAME, &PostParams::default(), &map).await
            }
        };
        match outcome {
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
