//! Counts one namespace's objects and writes what its quota says is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use parking_lot::RwLock;
use serde_json::Value;

use super::usage::{self, DEVICE_CLAIMS, KINDS, Known};
use crate::discovery::{Discovery, discover};
use crate::error::{Result, is_not_found};
use crate::owner::Meta as _;
use crate::runtime::census::Event;
use crate::runtime::{Context, every, work};
use crate::workload::pods::is_terminal;
use api::quota::{Devices, Usage};

const ACCOUNT: &str = "resourcequota-controller";
const REDISCOVER: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(1);

struct Controller {
    quotas: Informer<ResourceQuota>,
    pods: Informer<Pod>,
    services: Informer<Service>,
    claims: Informer<PersistentVolumeClaim>,
    client: Client,
    discovery: RwLock<Discovery>,
    period: Duration,
    /// The gate PodLevelResources.
    pod_level: bool,
    /// The gate DRAExtendedResource.
    extended: bool,
    queue: Queue<Key>,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        quotas: context.informer(),
        pods: context.informer(),
        services: context.informer(),
        claims: context.informer(),
        client: context.client(ACCOUNT),
        discovery: RwLock::default(),
        period: context.flags.resource_quota_sync_period,
        pod_level: context.flags.has_feature("PodLevelResources"),
        extended: context.flags.has_feature("DRAExtendedResource"),
        queue: Queue::new(),
    });
    async move {
        if !crate::synced!(
            controller.quotas,
            controller.pods,
            controller.services,
            controller.claims
        ) {
            return;
        }
        controller.rediscover().await;
        let queue = controller.queue.clone();
        controller
            .quotas
            .on_change(move |change: &Change<ResourceQuota>| {
                // Our own writes, and admission's, change the status only.
                let hard =
                    |quota: &Option<Arc<ResourceQuota>>| quota.as_ref().map(|quota| quota.spec.clone());
                if hard(&change.old) != hard(&change.new) {
                    queue.add(key_of(change.object().as_ref()));
                }
            });
        let this = controller.clone();
        controller.pods.on_change(move |change: &Change<Pod>| {
            let uses = |pod: &Option<Arc<Pod>>| pod.as_ref().is_some_and(|pod| !is_terminal(pod));
            let other = matches!((&change.old, &change.new), (Some(old), Some(new)) if usage::is_other_pod(old, new));
            if other || uses(&change.old) != uses(&change.new) {
                this.recount(change.object().namespace(), !uses(&change.new));
            }
        });
        let this = controller.clone();
        controller.services.on_change(move |change: &Change<Service>| {
            let kind = |service: &Option<Arc<Service>>| {
                service
                    .as_ref()
                    .and_then(|service| service.spec.as_ref()?.type_.clone())
            };
            if change.old.is_none() || kind(&change.old) != kind(&change.new) {
                this.recount(change.object().namespace(), change.old.is_some());
            }
        });
        let this = controller.clone();
        controller
            .claims
            .on_change(move |change: &Change<PersistentVolumeClaim>| {
                let other = matches!((&change.old, &change.new), (Some(old), Some(new)) if usage::is_other_claim(old, new));
                if other || change.old.is_none() || change.new.is_none() {
                    this.recount(change.object().namespace(), change.new.is_none());
                }
            });
        let this = controller.clone();
        context.census.on_change(move |found, namespace, event| {
            if this.counts(namespace, &found.resource.group, &found.resource.plural) {
                this.recount(namespace, event == Event::Gone);
            }
        });
        let rediscovering = every(&context, REDISCOVER, || controller.rediscover());
        let (queue, workers) = (
            controller.queue.clone(),
            context.flags.concurrent_resource_quota_syncs,
        );
        let working = work(
            "resource-quota",
            &context,
            queue,
            workers,
            controller.clone(),
            |controller, key| async move { controller.reconcile(&key).await },
        );
        futures::join!(rediscovering, working);
    }
    .boxed()
}

impl Controller {
    /// What objects give back is counted at once. What they take is usually written by admission already,
    /// so that is looked at a little later, in one go.
    fn recount(&self, namespace: &str, freed: bool) {
        let delay = if freed { Duration::ZERO } else { SETTLE };
        let quotas = self.quotas.list_namespace(namespace);
        quotas
            .iter()
            .for_each(|quota| self.queue.add_after(key_of(quota.as_ref()), delay));
    }

    /// Whether a quota of the namespace limits how many objects of a resource there are.
    fn counts(&self, namespace: &str, group: &str, plural: &str) -> bool {
        if namespace.is_empty() {
            return false;
        }
        let quotas = self.quotas.list_namespace(namespace);
        let mut hard = quotas
            .iter()
            .filter_map(|quota| quota.spec.as_ref()?.hard.as_ref());
        hard.any(|hard| {
            hard.keys().any(|name| {
                usage::counted(name).is_some_and(|counted| counted.0 == group && counted.1 == plural)
            })
        })
    }

    async fn rediscover(&self) {
        match discover(&self.client).await {
            Ok(found) => *self.discovery.write() = found,
            Err(error) => tracing::warn!(%error, "cannot discover resources"),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(quota) = self.quotas.get(&key.0, &key.1) else {
            return Ok(Requeue::No);
        };
        let spec = quota.spec.clone().unwrap_or_default();
        let hard = spec.hard.clone().unwrap_or_default();
        let scoped = to_value(quota.as_ref());
        let known = self.known(&key.0, &hard).await?;
        let mut total = Usage::new();
        for kind in KINDS {
            let devices = self.extended.then_some(&known as &dyn Devices);
            let counter = usage::counter(kind, self.pod_level, devices);
            if usage::is_concerned(&counter, &hard) {
                let objects = self.objects(&key.0, kind, &known);
                for (name, amount) in usage::sum(&counter, &scoped, &hard, objects.into_iter()) {
                    *total.entry(name).or_default() += amount;
                }
            }
        }
        for name in hard.keys() {
            if let Some((group, plural)) = usage::counted(name)
                && !KINDS.contains(&(group.as_str(), plural.as_str()))
            {
                // Objects of other kinds are in no scope.
                let is_scoped = api::quota::scopes::of(&scoped).next().is_some();
                let count = self.count(&key.0, &group, &plural).await?;
                if let Some(count) = count.map(|count| if is_scoped { 0 } else { count }) {
                    total.insert(name.clone(), count.to_string().parse().unwrap_or_default());
                }
            }
        }
        let status = ResourceQuotaStatus {
            used: Some(usage::used(
                &hard,
                quota.status.as_ref().and_then(|status| status.used.as_ref()),
                &total,
            )),
            hard: Some(hard),
        };
        if !is_same(quota.status.as_ref(), &status) {
            let mut updated = quota.as_ref().clone();
            updated.status = Some(status);
            let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.0);
            match api.replace_status(&key.1, &PostParams::default(), &updated).await {
                Err(error) if !is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(Requeue::After(self.period))
    }

    /// The objects of a kind in a namespace.
    fn objects(&self, namespace: &str, kind: (&str, &str), known: &Known) -> Vec<Value> {
        match kind.1 {
            "pods" => values(&self.pods.list_namespace(namespace)),
            "services" => values(&self.services.list_namespace(namespace)),
            "persistentvolumeclaims" => values(&self.claims.list_namespace(namespace)),
            _ => known.claims.clone(),
        }
    }

    /// Claims of devices and what they depend on, which is asked for only when a quota may be about it.
    async fn known(&self, namespace: &str, hard: &BTreeMap<String, Text>) -> Result<Known> {
        let may_concern = |name: &String| {
            name.ends_with(".deviceclass.resource.k8s.io/devices")
                || name == "count/resourceclaims.resource.k8s.io"
                || (name.starts_with("requests.") && name.contains('/'))
        };
        if !hard.keys().any(may_concern) {
            return Ok(Known::default());
        }
        Ok(Known {
            classes: self.list(None, DEVICE_CLAIMS.0, "deviceclasses").await?,
            claims: self
                .list(Some(namespace), DEVICE_CLAIMS.0, DEVICE_CLAIMS.1)
                .await?,
            pods: values(&self.pods.list_namespace(namespace)),
        })
    }

    /// All objects of a resource, of a namespace or of the cluster; none of a resource that does not exist.
    async fn list(&self, namespace: Option<&str>, group: &str, plural: &str) -> Result<Vec<Value>> {
        let Some(resource) = self.discovered(group, plural, namespace.is_some()) else {
            return Ok(Vec::new());
        };
        let client = self.client.clone();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let listed = api.list(&ListParams::default()).await?;
        Ok(listed.items.iter().map(to_value).collect())
    }

    fn discovered(&self, group: &str, plural: &str, namespaced: bool) -> Option<kube::api::ApiResource> {
        let discovery = self.discovery.read();
        let same = |found: &&crate::discovery::Discovered| {
            found.resource.group == group && found.resource.plural == plural
        };
        discovery
            .resources
            .iter()
            .find(same)
            .filter(|found| found.namespaced == namespaced && found.can("list"))
            .map(|found| found.resource.clone())
    }

    /// How many objects of a resource the namespace has; none for a resource that does not exist.
    async fn count(&self, namespace: &str, group: &str, plural: &str) -> Result<Option<usize>> {
        let Some(resource) = self.discovered(group, plural, true) else {
            return Ok(None);
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        Ok(Some(api.list_metadata(&ListParams::default()).await?.items.len()))
    }
}

fn to_value<T: serde::Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn values<T: serde::Serialize>(objects: &[Arc<T>]) -> Vec<Value> {
    objects.iter().map(|object| to_value(object.as_ref())).collect()
}

/// Quantities are compared as numbers, since there are several ways to write one.
fn is_same(old: Option<&ResourceQuotaStatus>, new: &ResourceQuotaStatus) -> bool {
    type List = BTreeMap<String, Text>;
    let numbers = |list: &Option<List>| -> Usage {
        let entries = list.iter().flatten();
        entries
            .map(|(name, text)| (name.clone(), text.0.parse().unwrap_or_default()))
            .collect()
    };
    old.is_some_and(|old| {
        numbers(&old.hard) == numbers(&new.hard) && numbers(&old.used) == numbers(&new.used)
    })
}
