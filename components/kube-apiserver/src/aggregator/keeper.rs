//! Keeps the APIServices of custom groups as the registry has them.

use super::registration::{self, Action, plan};
use super::{GROUP, condition};
use crate::server::Server;
use crate::stores;
use crate::sync::loaded;
use api::Registry;
use apimachinery::managed_fields::Writer;
use apimachinery::{meta, time};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};

/// Follows the registry and the APIServices. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let store = server
        .stores
        .named(GROUP, "apiservices")
        .ok_or_else(|| anyhow::anyhow!("apiservices is not registered"))?;
    server.lifecycle.after(crate::bootstrap::STEPS[0]).await;
    let mut changes = store.changes();
    let mut definitions = server.registry_changed.subscribe();
    loop {
        changes.mark_unchanged();
        definitions.mark_unchanged();
        let registry = server.registry.load_full();
        let mut wanted: Vec<(String, String)> = registry
            .iter()
            .filter(|row| row.custom.is_some())
            .map(|row| (row.gvk.group.clone(), row.gvk.version.clone()))
            .collect();
        wanted.sort();
        wanted.dedup();
        let existing: Vec<Value> = store
            .cached(None)
            .iter()
            .filter_map(|object| stores::parse(object).ok())
            .collect();
        for action in plan(&existing, &wanted) {
            if let Err(error) = act(&server, &store, action).await {
                tracing::warn!(%error, "an APIService of a custom group can't be kept");
            }
        }
        tokio::select! {
            outcome = changes.changed() => outcome?,
            outcome = definitions.changed() => outcome?,
        }
    }
}

async fn act(server: &Server, store: &Store, action: Action) -> Result<(), StorageError> {
    let (name, object, creating) = match action {
        Action::Create(object) => (meta::name(&object).to_owned(), fresh(server, object), true),
        Action::Update(mut object) => {
            meta::remove(&mut object, "resourceVersion");
            (meta::name(&object).to_owned(), object, false)
        }
        Action::Delete(name) => return remove(store, &name).await,
    };
    let object = &object;
    let decide = |current: Option<ObjectRef>| async move {
        // Another server may have been faster.
        if current.is_some() == creating {
            return Ok::<Change, StorageError>(Change::Nothing);
        }
        Ok(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    store
        .update::<_, _, StorageError>("", &name, &Preconditions::default(), decide)
        .await?;
    Ok(())
}

/// Deletes an APIService, which may be gone already.
async fn remove(store: &Store, name: &str) -> Result<(), StorageError> {
    let agree = |_: ObjectRef| async { Ok::<(), StorageError>(()) };
    match store.delete("", name, &Preconditions::default(), agree).await {
        Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes away the APIServices that servers made at their start for built-in groups and versions that this one does not serve: it may
/// be one of an older version, or behave as one. To be done once, at the start: others of the cluster may serve them.
pub async fn remove_unserved(server: &Server) -> Result<(), StorageError> {
    let Some(store) = server.stores.named(GROUP, "apiservices") else {
        return Ok(());
    };
    loaded([&store]).await;
    let registry = server.registry.load_full();
    let stored = store.cached(None);
    let parsed = stored.iter().filter_map(|object| stores::parse(object).ok());
    let made: Vec<Value> = parsed.filter(registration::is_of_start).collect();
    for object in made.iter().filter(|object| !is_served(&registry, object)) {
        remove(&store, meta::name(object)).await?;
    }
    Ok(())
}

/// Whether this server has built-in kinds of the group and version that an APIService is about.
pub fn is_served(registry: &Registry, object: &Value) -> bool {
    let wanted = registration::served(object);
    registry
        .iter()
        .any(|row| row.custom.is_none() && row.gvk.group_version() == wanted)
}

fn fresh(server: &Server, mut object: Value) -> Value {
    let now = time::format_time(jiff::Timestamp::now());
    meta::set(&mut object, "uid", crate::metadata::new_uid());
    meta::set(&mut object, "creationTimestamp", now.as_str());
    let registry = server.registry.load();
    if let Some(row) = registry.resource(GROUP, "v1", "apiservices") {
        let writer = Writer {
            manager: "kube-apiserver",
            subresource: "",
            now: &now,
        };
        api::managed::track_whole(row, None, &mut object, writer);
    }
    if let Some(conditions) = condition::needed(&object, &condition::Finding::local(), &now) {
        object["status"] = json!({ "conditions": conditions });
    }
    object
}
