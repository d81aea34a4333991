//! Indexes kept over watch caches: RBAC rules, and which node needs what.

use crate::authorization::Authorizer;
use crate::authorization::node::graph::Kind;
use crate::authorization::rbac::index::{Binding, RbacIndex, Role};
use crate::nulls;
use crate::stores::{self, Stores};
use ahash::AHashMap;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{EventKind, ObjectRef, RequestedRevision, Store, WatchItem, WatchRequest};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";
/// Changes that come together are taken in together.
pub const SETTLE: Duration = Duration::from_millis(5);

/// Objects parsed once per revision.
pub struct Parsed<T> {
    store: Store,
    known: AHashMap<String, (i64, Arc<T>)>,
}

impl<T: DeserializeOwned + Default> Parsed<T> {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: AHashMap::new(),
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Changes with every change of the resource.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.store.changes()
    }

    /// All objects as they are now; only those that changed are parsed.
    pub fn snapshot(&mut self) -> Vec<Arc<T>> {
        let current = self.store.cached(None);
        let mut next = AHashMap::with_capacity(current.len());
        let mut all = Vec::with_capacity(current.len());
        for object in &current {
            let parsed = match self.known.get(object.key()) {
                Some((revision, parsed)) if *revision == object.revision().value() => Arc::clone(parsed),
                _ => match parse(object) {
                    Some(parsed) => Arc::new(parsed),
                    None => continue,
                },
            };
            all.push(Arc::clone(&parsed));
            next.insert(object.key().to_owned(), (object.revision().value(), parsed));
        }
        self.known = next;
        all
    }
}

fn parse<T: DeserializeOwned>(object: &ObjectRef) -> Option<T> {
    match nulls::from_slice(object.json_bytes()) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            // One bad object must not take everybody's rights away.
            tracing::error!(key = object.key(), %error, "an object can't be read");
            None
        }
    }
}

/// Waits until the caches of stores are loaded.
pub async fn loaded<'a>(stores: impl IntoIterator<Item = &'a Store>) {
    for store in stores {
        while let Err(error) = store.warm_up().await {
            tracing::warn!(resource = store.resource().name, %error, "a cache can't be loaded yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// What readiness calls the first RBAC index. A server that took requests before it has one would refuse
/// everybody.
pub const RBAC_STEP: &str = "rbac-sync";

/// Rebuilds the RBAC index whenever a role or binding changes. `built` is called once the first index over
/// loaded caches is in use. Never ends.
pub async fn rbac(stores: Stores, authorizer: Arc<Authorizer>, built: impl FnOnce()) -> anyhow::Result<()> {
    let named = |plural: &str| {
        stores
            .named(RBAC_GROUP, plural)
            .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    let mut cluster_roles = Parsed::<Role>::new(named("clusterroles")?);
    let mut roles = Parsed::<Role>::new(named("roles")?);
    let mut cluster_bindings = Parsed::<Binding>::new(named("clusterrolebindings")?);
    let mut bindings = Parsed::<Binding>::new(named("rolebindings")?);
    let mut changes = [
        cluster_roles.store.changes(),
        roles.store.changes(),
        cluster_bindings.store.changes(),
        bindings.store.changes(),
    ];
    let mut built = Some(built);
    loaded([
        &cluster_roles.store,
        &roles.store,
        &cluster_bindings.store,
        &bindings.store,
    ])
    .await;
    for generation in 1u64.. {
        for change in &mut changes {
            change.mark_unchanged();
        }
        let index = RbacIndex::build(
            generation,
            &cluster_roles.snapshot(),
            &roles.snapshot(),
            &cluster_bindings.snapshot(),
            &bindings.snapshot(),
        );
        authorizer.rbac.replace(index);
        if let Some(built) = built.take() {
            built();
        }
        let waits = changes.iter_mut().map(|change| Box::pin(change.changed()));
        let (outcome, _, _) = futures::future::select_all(waits).await;
        outcome?;
        tokio::time::sleep(SETTLE).await;
    }
    Ok(())
}

/// Keeps the Node authorizer's graph. Never ends.
pub async fn node_graph(stores: Stores, authorizer: Arc<Authorizer>) -> anyhow::Result<()> {
    let named = |group: &str, plural: &str| {
        stores
            .named(group, plural)
            .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
    };
    tokio::try_join!(
        follow(named("", "pods")?, &authorizer, Kind::Pod),
        follow(named("", "persistentvolumes")?, &authorizer, Kind::Volume),
        follow(
            named("storage.k8s.io", "volumeattachments")?,
            &authorizer,
            Kind::Attachment
        ),
        async {
            match stores.named("resource.k8s.io", "resourceslices") {
                Some(slices) => follow(slices, &authorizer, Kind::Slice).await,
                None => Ok(()),
            }
        },
    )?;
    Ok(())
}

async fn follow(store: Store, authorizer: &Authorizer, kind: Kind) -> anyhow::Result<()> {
    loop {
        let request = WatchRequest {
            revision: RequestedRevision::Any,
            ..WatchRequest::default()
        };
        let mut watcher = match store.watch_cached(request).await {
            Ok(watcher) => watcher,
            Err(error) => {
                tracing::warn!(resource = store.resource().name, %error, "the node graph can't watch yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        // A watch that starts anew sends everything that is there; what went away in between must not stay.
        authorizer.node.graph.write().clear(kind);
        while let WatchItem::Event(event) = watcher.next().await {
            take_in(authorizer, kind, event.kind, event.object());
        }
    }
}

fn take_in(authorizer: &Authorizer, kind: Kind, event: EventKind, object: &ObjectRef) {
    let mut graph = authorizer.node.graph.write();
    let begun = Instant::now();
    if event == EventKind::Deleted {
        match kind {
            Kind::Volume => graph.remove_volume(object.name()),
            _ => graph.remove(kind, object.namespace(), object.name()),
        }
        authorizer.node.actions.done(kind, true, begun.elapsed());
        return;
    }
    if kind == Kind::Pod && graph.knows_pod(object) {
        return;
    }
    let Ok(value) = stores::parse(object) else {
        tracing::error!(key = object.key(), "an object can't be read");
        return;
    };
    match kind {
        Kind::Pod => graph.set_pod(&value),
        Kind::Volume => graph.set_volume(&value),
        _ => graph.set_own(kind, &value),
    }
    authorizer.node.actions.done(kind, false, begun.elapsed());
}
