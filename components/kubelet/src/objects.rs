//! Config maps and secrets that pods on this node refer to, each watched by itself.
//!
//! The node authorizer lets a kubelet read exactly the named objects of its pods, so there is one watch
//! per object, started when it is first asked for and ended when no pod refers to it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::Informer;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::runtime::watcher;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pod::members::PodView;

/// How long a first answer is waited for.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Namespace and name.
type Key = (String, String);

struct Watched<K> {
    informer: Informer<K>,
    _guard: DropGuard,
}

/// Called with namespace and name of a changed object.
type Changed = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The objects; clones share them.
#[derive(Clone)]
pub struct ObjectCache {
    client: Option<Client>,
    config_maps: Arc<Mutex<HashMap<Key, Watched<ConfigMap>>>>,
    secrets: Arc<Mutex<HashMap<Key, Watched<Secret>>>>,
    changed: Changed,
}

/// An object could not be read; that it does not exist is not an error.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("failed to sync {kind} cache: timed out waiting for the condition")]
    Timeout { kind: &'static str },
    #[error("{kind} \"{name}\" cannot be read: {reason}")]
    Read {
        kind: &'static str,
        name: String,
        reason: String,
    },
    #[error("{kind} \"{name}\": there is no API server to read it from")]
    Standalone { kind: &'static str, name: String },
}

impl ObjectCache {
    /// Without a client nothing can be read.
    pub fn new(client: Option<Client>, changed: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self {
            client,
            config_maps: Arc::default(),
            secrets: Arc::default(),
            changed: Arc::new(changed),
        }
    }

    /// The client that reads them; None without an API server.
    pub fn client(&self) -> Option<Client> {
        self.client.clone()
    }

    pub async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<ConfigMap>>, ObjectError> {
        self.get("configmap", &self.config_maps, namespace, name).await
    }

    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Arc<Secret>>, ObjectError> {
        self.get("secret", &self.secrets, namespace, name).await
    }

    /// The runtime's name for what a RuntimeClass stands for.
    pub async fn runtime_handler(&self, class: &str) -> Result<String, ObjectError> {
        let kind = "runtimeclass";
        let failed = |reason: String| ObjectError::Read {
            kind,
            name: class.to_owned(),
            reason,
        };
        let client = self.client.clone().ok_or_else(|| ObjectError::Standalone {
            kind,
            name: class.to_owned(),
        })?;
        let found = Api::<RuntimeClass>::all(client)
            .get(class)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(found.handler)
    }

    async fn get<K>(
        &self,
        kind: &'static str,
        table: &Mutex<HashMap<Key, Watched<K>>>,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<K>>, ObjectError>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let Some(client) = &self.client else {
            return Err(ObjectError::Standalone {
                kind,
                name: name.to_owned(),
            });
        };
        let key = (namespace.to_owned(), name.to_owned());
        let informer = {
            let mut table = table.lock();
            let watched = table.entry(key).or_insert_with(|| {
                let token = CancellationToken::new();
                let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
                let api = Api::namespaced(client.clone(), namespace);
                let informer = Informer::<K>::start(api, config, token.clone());
                let changed = self.changed.clone();
                informer.on_change(move |change| {
                    let meta = change.object().meta();
                    changed(
                        meta.namespace.as_deref().unwrap_or_default(),
                        meta.name.as_deref().unwrap_or_default(),
                    );
                });
                Watched {
                    informer,
                    _guard: token.drop_guard(),
                }
            });
            watched.informer.clone()
        };
        if !informer.is_synced() {
            let synced = tokio::time::timeout(FIRST_ANSWER, informer.synced()).await;
            if !matches!(synced, Ok(true)) {
                return Err(ObjectError::Timeout { kind });
            }
        }
        Ok(informer.get(namespace, name))
    }

    /// Ends the watches of objects that none of `pods` refers to.
    pub fn retain(&self, pods: &[Arc<Pod>]) {
        let mut config_maps = BTreeSet::new();
        let mut secrets = BTreeSet::new();
        for pod in pods {
            let (own_config_maps, own_secrets) = referenced(pod);
            config_maps.extend(
                own_config_maps
                    .into_iter()
                    .map(|name| (pod.namespace().to_owned(), name)),
            );
            secrets.extend(
                own_secrets
                    .into_iter()
                    .map(|name| (pod.namespace().to_owned(), name)),
            );
        }
        self.config_maps.lock().retain(|key, _| config_maps.contains(key));
        self.secrets.lock().retain(|key, _| secrets.contains(key));
    }
}

/// Names of all config maps and secrets that a pod refers to.
pub fn referenced(pod: &Pod) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut config_maps = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let ephemeral = pod.ephemeral_containers();
    for container in pod
        .init_containers()
        .iter()
        .chain(pod.containers())
        .chain(&ephemeral)
    {
        let (own_config_maps, own_secrets) = crate::pod::environment::referenced(container);
        config_maps.extend(own_config_maps);
        secrets.extend(own_secrets);
    }
    secrets.extend(
        pod.view()
            .image_pull_secrets
            .iter()
            .flatten()
            .map(|reference| reference.name.clone()),
    );
    for volume in pod.view().volumes.iter().flatten() {
        config_maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        secrets.extend(
            volume
                .secret
                .as_ref()
                .and_then(|source| source.secret_name.clone()),
        );
        for source in volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten())
        {
            config_maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    (config_maps, secrets)
}
