//! Accepted names and conditions, written to the definition's status.

use super::names::{self, Condition};
use crate::stores;
use api::Resource;
use apimachinery::managed_fields::Writer;
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};

/// Who the statuses' fields belong to.
const MANAGER: &str = "kube-apiserver";

/// Accepts names and says so, if that isn't said yet.
pub async fn step(store: &Store, definitions: &[Arc<Value>], definition: &Value) -> Result<(), ApiError> {
    if wanted(definitions, definition).is_none() {
        return Ok(());
    }
    change(store, definition, |current| wanted(definitions, current)).await
}

/// The definition with the status that it should have; `None` when it has.
fn wanted(definitions: &[Arc<Value>], definition: &Value) -> Option<Value> {
    let now = apimachinery::time::format_time(jiff::Timestamp::now());
    let (accepted, conditions) = names::decide(definitions, definition);
    let mut new = definition.clone();
    let mut changed = definition["status"]["acceptedNames"] != accepted;
    if changed {
        if !new["status"].is_object() {
            new["status"] = json!({});
        }
        new["status"]["acceptedNames"] = accepted;
    }
    for condition in names::approval(definition).iter().chain(&conditions) {
        changed |= names::set(&mut new, condition, &now);
    }
    changed |= match names::structure(definition) {
        Some(condition) => names::set(&mut new, &condition, &now),
        None => names::forget_structure(&mut new),
    };
    changed.then_some(new)
}

/// Marks a definition as one whose objects are being deleted, or couldn't be.
pub async fn terminating(store: &Store, definition: &Value, condition: &Condition) -> Result<(), ApiError> {
    change(store, definition, |current| {
        let mut new = current.clone();
        let now = apimachinery::time::format_time(jiff::Timestamp::now());
        names::set(&mut new, condition, &now).then_some(new)
    })
    .await
}

/// Takes the finalizer from a definition whose objects need no more deleting, and says why. With the last finalizer, the
/// definition goes.
pub async fn finalized(store: &Store, definition: &Value, condition: &Condition) -> Result<(), ApiError> {
    change(store, definition, |current| {
        let mut new = current.clone();
        let now = apimachinery::time::format_time(jiff::Timestamp::now());
        let mut changed = names::set(&mut new, condition, &now);
        let finalizers = meta::finalizers(current);
        let rest: Vec<&str> = finalizers
            .filter(|finalizer| *finalizer != super::FINALIZER)
            .collect();
        changed |= rest.len() < meta::finalizers(current).count();
        if rest.is_empty() {
            meta::remove(&mut new, "finalizers");
        } else {
            meta::set(&mut new, "finalizers", json!(rest));
        }
        changed.then_some(new)
    })
    .await
}

/// Changes the stored definition, if it is still the same one.
async fn change(
    store: &Store,
    definition: &Value,
    make: impl Fn(&Value) -> Option<Value> + Send + Sync,
) -> Result<(), ApiError> {
    let name = meta::name(definition).to_owned();
    let uid = meta::uid(definition).to_owned();
    let row = row()?;
    let decide = |current: Option<ObjectRef>| {
        let (make, uid, row) = (&make, &uid, &row);
        async move {
            let Some(current) = current else {
                return Ok(Change::Nothing);
            };
            let old = stores::parse(&current)?;
            let Some(mut new) = (meta::uid(&old) == uid).then(|| make(&old)).flatten() else {
                return Ok(Change::Nothing);
            };
            if meta::deletion_timestamp(&new).is_some() && meta::finalizers(&new).next().is_none() {
                return Ok(Change::Delete);
            }
            let now = apimachinery::time::format_time(jiff::Timestamp::now());
            let writer = Writer {
                manager: MANAGER,
                subresource: "status",
                now: &now,
            };
            api::managed::track_whole(row, Some(&old), &mut new, writer);
            meta::remove(&mut new, "resourceVersion");
            let json = serde_json::to_vec(&new).map_err(|error| StorageError::Unavailable {
                message: error.to_string(),
            })?;
            Ok::<Change, StorageError>(Change::Write {
                json: json.into(),
                ttl: None,
            })
        }
    };
    let updated = store
        .update::<_, _, StorageError>("", &name, &Preconditions::default(), decide)
        .await;
    match updated {
        Ok(_) | Err(StorageError::NotFound { .. }) => Ok(()),
        Err(error) => {
            let resource = GroupResource::new(super::GROUP, super::PLURAL);
            Err(stores::to_api_error(error, &resource, &name))
        }
    }
}

/// The row of the definitions themselves.
fn row() -> Result<Arc<Resource>, ApiError> {
    static REGISTRY: std::sync::LazyLock<Option<Arc<Resource>>> = std::sync::LazyLock::new(|| {
        api::Registry::built_in()
            .resource(super::GROUP, "v1", super::PLURAL)
            .cloned()
    });
    REGISTRY
        .clone()
        .ok_or_else(|| ApiError::internal("definitions are not registered"))
}
