//! CustomResourceDefinitions: what they define is served as long as they are there, on every server that sees them.

mod cleanup;
pub mod conversion;
mod names;
pub mod read;
mod served;
mod status;

pub use cleanup::begin as begin_deletion;

use crate::server::Server;
use crate::stores;
use apimachinery::meta;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use storage::Store;

pub const GROUP: &str = "apiextensions.k8s.io";
pub const PLURAL: &str = "customresourcedefinitions";
/// Keeps a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";
/// What readiness calls the first look at all definitions.
pub const STEP: &str = "crd-informer-synced";
/// Failed work is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Serves what the definitions define, and keeps their statuses. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let store = server
        .stores
        .named(GROUP, PLURAL)
        .ok_or_else(|| anyhow::anyhow!("{PLURAL} is not registered"))?;
    while let Err(error) = store.warm_up().await {
        tracing::warn!(%error, "the definitions can't be loaded yet");
        tokio::time::sleep(RETRY).await;
    }
    let mut changes = store.changes();
    let mut served = served::Served::default();
    loop {
        changes.mark_unchanged();
        let definitions = snapshot(&store);
        served.update(&server, &definitions);
        server.lifecycle.finished(STEP);
        let all_done = work(&server, &store, &definitions).await;
        if all_done {
            changes.changed().await?;
        } else if let Ok(changed) = tokio::time::timeout(RETRY, changes.changed()).await {
            changed?;
        }
    }
}

/// All definitions, by name. One that can't be read is left out.
fn snapshot(store: &Store) -> Vec<Arc<Value>> {
    store
        .cached(None)
        .iter()
        .filter_map(|object| match stores::parse(object) {
            Ok(value) => Some(Arc::new(value)),
            Err(error) => {
                tracing::error!(key = object.key(), %error, "a definition can't be read");
                None
            }
        })
        .collect()
}

/// Brings statuses up to date and goes on with deletions; false when some of it has to be tried again.
async fn work(server: &Arc<Server>, store: &Store, definitions: &[Arc<Value>]) -> bool {
    let mut done = true;
    for definition in definitions {
        let name = meta::name(definition);
        let outcome = if meta::deletion_timestamp(definition).is_some() {
            cleanup::step(server, store, definition).await
        } else {
            status::step(store, definitions, definition).await
        };
        if let Err(error) = outcome {
            tracing::warn!(name, error = %error.message(), "a definition can't be brought up to date yet");
            done = false;
        }
    }
    done
}
