//! One metadata watch per deletable resource; the set follows discovery.

use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use futures::StreamExt as _;
use kube::Api;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio_util::sync::CancellationToken;

use super::Collector;
use super::graph::Identity;
use crate::discovery::{Discovered, discover};
use crate::runtime::{Context, every};

const REDISCOVER: Duration = Duration::from_secs(30);

/// Keeps the watches until the context ends.
pub(super) async fn run(context: Arc<Context>, collector: Arc<Collector>) {
    let mut watched: AHashMap<Discovered, CancellationToken> = AHashMap::new();
    // Until the first success it is tried faster.
    while watched.is_empty() && !context.shutdown.is_cancelled() {
        refresh(&context, &collector, &mut watched).await;
        if watched.is_empty() {
            tokio::select! {
                () = context.shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
    let watched = tokio::sync::Mutex::new(watched);
    every(&context, REDISCOVER, || async {
        refresh(&context, &collector, &mut *watched.lock().await).await;
    })
    .await;
}

async fn refresh(
    context: &Arc<Context>,
    collector: &Arc<Collector>,
    watched: &mut AHashMap<Discovered, CancellationToken>,
) {
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
    watched.retain(|resource, stop| {
        let keep = wanted.contains(resource) || discovery.failed.contains(&resource.resource.api_version);
        if !keep {
            stop.cancel();
        }
        keep
    });
    for resource in wanted {
        if !watched.contains_key(&resource) {
            let stop = context.shutdown.child_token();
            watched.insert(resource.clone(), stop.clone());
            let api: Api<PartialObjectMeta<DynamicObject>> =
                Api::all_with(context.root.client.clone(), &resource.resource);
            tokio::spawn(watch(collector.clone(), resource, api, stop));
        }
    }
}

/// Events own nothing, are owned by nothing, and are many.
fn is_collected(resource: &Discovered) -> bool {
    resource.can("list")
        && resource.can("watch")
        && resource.can("delete")
        && resource.resource.plural != "events"
}

async fn watch(
    collector: Arc<Collector>,
    resource: Discovered,
    api: Api<PartialObjectMeta<DynamicObject>>,
    stop: CancellationToken,
) {
    let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut listed: Option<AHashSet<String>> = None;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = stream.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => listed = Some(AHashSet::new()),
            Some(Ok(watcher::Event::InitApply(object))) => {
                if let Some(listed) = &mut listed {
                    listed.extend(object.metadata.uid.clone());
                }
                upsert(&collector, &resource, &object);
            }
            Some(Ok(watcher::Event::InitDone)) => {
                if let Some(listed) = listed.take() {
                    remove_unlisted(&collector, &resource, &listed);
                }
            }
            Some(Ok(watcher::Event::Apply(object))) => upsert(&collector, &resource, &object),
            Some(Ok(watcher::Event::Delete(object))) => {
                let uid = object.metadata.uid.as_deref().unwrap_or_default();
                let effects = collector.graph.lock().remove(uid);
                collector.apply(effects);
            }
            Some(Err(error)) => {
                tracing::debug!(resource = resource.resource.plural, group = resource.resource.group, %error, "watch failed, trying again");
            }
            None => return,
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
    let effects = collector.graph.lock().upsert(identity, meta);
    collector.apply(effects);
}

fn remove_unlisted(collector: &Collector, resource: &Discovered, listed: &AHashSet<String>) {
    let mut graph = collector.graph.lock();
    let known = graph.seen_of(&resource.resource.api_version, &resource.resource.kind);
    for uid in known.into_iter().filter(|uid| !listed.contains(uid)) {
        let effects = graph.remove(&uid);
        collector.apply(effects);
    }
}
