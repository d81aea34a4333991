//! One metadata watch per deletable resource; the set follows discovery.

use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use client::supervise;
use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Collector;
use super::graph::Identity;
use crate::discovery::{Discovered, discover};
use crate::runtime::census::Event;
use crate::runtime::{Context, every};

const REDISCOVER: Duration = Duration::from_secs(30);

/// Asked for as metadata only.
type Watched = PartialObjectMeta<DynamicObject>;

/// The watches by what they watch, and the tasks that run them; dropped, they end.
#[derive(Default)]
struct Watches {
    stops: AHashMap<Discovered, CancellationToken>,
    tasks: JoinSet<()>,
}

/// Keeps the watches until the context ends.
pub(super) async fn run(context: Arc<Context>, collector: Arc<Collector>) {
    let mut watches = Watches::default();
    // Until the first success it is tried faster.
    while watches.stops.is_empty() && !context.shutdown.is_cancelled() {
        refresh(&context, &collector, &mut watches).await;
        if watches.stops.is_empty() {
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
    let watches = tokio::sync::Mutex::new(watches);
    every(&context, REDISCOVER, || async {
        refresh(&context, &collector, &mut *watches.lock().await).await;
    })
    .await;
}

async fn refresh(context: &Arc<Context>, collector: &Arc<Collector>, watches: &mut Watches) {
    let discovery = match discover(&context.root.client).await {
        Ok(discovery) => discovery,
        Err(error) => {
            tracing::warn!(%error, "cannot discover resources");
            return;
        }
    };
    collector.resources.replace(&discovery.resources);
    let wanted: AHashSet<Discovered> = discovery.resources.into_iter().filter(is_collected).collect();
    // A group that could not be asked keeps its watches.
    watches.stops.retain(|resource, stop| {
        let keep = wanted.contains(resource) || discovery.failed.contains(&resource.resource.api_version);
        if !keep {
            stop.cancel();
        }
        keep
    });
    for resource in wanted {
        if !watches.stops.contains_key(&resource) {
            let stop = context.shutdown.child_token();
            watches.stops.insert(resource.clone(), stop.clone());
            let api: Api<Watched> = Api::all_with(context.root.client.clone(), &resource.resource);
            let collector = collector.clone();
            watches.tasks.spawn(async move {
                let task = format!("garbage collector's watch of {}", resource.resource.plural);
                supervise::keep_running(&task, &stop, || watch(&collector, &resource, api.clone())).await;
            });
        }
    }
    // Those that were stopped, now or before.
    while watches.tasks.try_join_next().is_some() {}
}

/// Events own nothing, are owned by nothing, and are many.
fn is_collected(resource: &Discovered) -> bool {
    resource.can("list")
        && resource.can("watch")
        && resource.can("delete")
        && resource.resource.plural != "events"
}

/// Feeds the graph for as long as it is polled. A new list after an interruption also tells what has gone meanwhile.
async fn watch(collector: &Collector, resource: &Discovered, api: Api<Watched>) {
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let mut listed: Option<AHashSet<String>> = None;
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Some(AHashSet::new()),
            Ok(watcher::Event::InitApply(object)) => {
                if let Some(listed) = &mut listed {
                    listed.extend(object.metadata.uid.clone());
                }
                upsert(collector, resource, &object);
            }
            Ok(watcher::Event::InitDone) => {
                if let Some(listed) = listed.take() {
                    remove_unlisted(collector, resource, &listed);
                }
            }
            Ok(watcher::Event::Apply(object)) => upsert(collector, resource, &object),
            Ok(watcher::Event::Delete(object)) => {
                let meta = &object.metadata;
                let effects = collector
                    .graph
                    .lock()
                    .remove(meta.uid.as_deref().unwrap_or_default());
                collector.apply(effects);
                let namespace = meta.namespace.as_deref().unwrap_or_default();
                collector.census.tell(resource, namespace, Event::Gone);
            }
            Err(error) => {
                let (plural, group) = (&resource.resource.plural, &resource.resource.group);
                tracing::warn!(resource = plural, group, %error, "watch failed, trying again");
            }
        }
    }
}

fn upsert(collector: &Collector, resource: &Discovered, object: &PartialObjectMeta<DynamicObject>) {
    let meta = &object.metadata;
    let Some(uid) = meta.uid.clone() else { return };
    let identity = Identity {
        api_version: resource.resource.api_version.clone(),
        kind: resource.resource.kind.clone(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        uid,
    };
    let (known, effects) = {
        let mut graph = collector.graph.lock();
        let known = graph.get(&identity.uid).is_some_and(|node| !node.is_virtual);
        (known, graph.upsert(identity, meta))
    };
    collector.apply(effects);
    if !known {
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        collector.census.tell(resource, namespace, Event::Came);
    }
}

fn remove_unlisted(collector: &Collector, resource: &Discovered, listed: &AHashSet<String>) {
    let mut graph = collector.graph.lock();
    let known = graph.seen_of(&resource.resource.api_version, &resource.resource.kind);
    let mut namespaces = AHashSet::new();
    for uid in known.into_iter().filter(|uid| !listed.contains(uid)) {
        namespaces.extend(graph.get(&uid).map(|node| node.identity.namespace.clone()));
        let effects = graph.remove(&uid);
        collector.apply(effects);
    }
    drop(graph);
    for namespace in namespaces {
        collector.census.tell(resource, &namespace, Event::Gone);
    }
}
