//! Deletion of a definition: its objects first, then its finalizer.

use super::names::Condition;
use super::{FINALIZER, status};
use crate::server::Server;
use crate::stores;
use api::Resource;
use apimachinery::{ApiError, Reason, meta};
use serde_json::{Value, json};
use storage::{Change, ListRequest, ObjectRef, Preconditions, StorageError, Store};

/// Goes on with the deletion of a definition that has the finalizer. An error means that objects are left.
pub async fn step(server: &Server, store: &Store, definition: &Value) -> Result<(), ApiError> {
    if !meta::finalizers(definition).any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    if super::names::is_true(definition, "Established")
        && let Some(row) = stored_row(definition)
    {
        let left = delete_all(server, &row).await?;
        if left > 0 {
            let condition = Condition::new(
                "Terminating",
                "True",
                "InstanceDeletionInProgress",
                "CustomResource deletion is in progress",
            );
            status::terminating(store, definition, &condition).await?;
            return Err(ApiError::new(
                409,
                Reason::Conflict,
                format!("{left} objects of {} are not gone yet", meta::name(definition)),
                None,
            ));
        }
    }
    remove_finalizer(store, definition).await
}

/// The row of the stored objects, whether any version is served or not.
fn stored_row(definition: &Value) -> Option<Resource> {
    let mut definition = definition.clone();
    for version in definition
        .pointer_mut("/spec/versions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        version["served"] = json!(version["storage"] == true);
    }
    api::custom::rows(&definition, &mut || 0).into_iter().next()
}

/// Deletes all objects of a kind; gives how many are left, because their finalizers hold them.
async fn delete_all(server: &Server, row: &Resource) -> Result<usize, ApiError> {
    let store = server.stores.of(row);
    let resource = row.group_resource();
    let error = |error: StorageError| stores::to_api_error(error, &resource, "");
    let page = store.list(ListRequest::default()).await.map_err(error)?;
    for object in &page.items {
        let (namespace, name) = (object.namespace().to_owned(), object.name().to_owned());
        store
            .update::<_, _, StorageError>(
                &namespace,
                &name,
                &Preconditions::default(),
                |current| async move { mark(current) },
            )
            .await
            .map(|_| ())
            .or_else(|failure| match failure {
                StorageError::NotFound { .. } => Ok(()),
                other => Err(error(other)),
            })?;
    }
    let left = store.list(ListRequest::default()).await.map_err(error)?;
    Ok(left.items.len())
}

/// An object without finalizers goes, one with them is marked.
fn mark(current: Option<ObjectRef>) -> Result<Change, StorageError> {
    let Some(current) = current else {
        return Ok(Change::Nothing);
    };
    let mut object = stores::parse(&current)?;
    if meta::finalizers(&object).next().is_none() {
        return Ok(Change::Delete);
    }
    if meta::deletion_timestamp(&object).is_some() {
        return Ok(Change::Nothing);
    }
    crate::metadata::mark_deleted(&mut object, 0);
    crate::metadata::bump_generation(&mut object);
    meta::remove(&mut object, "resourceVersion");
    Ok(Change::Write {
        json: object.to_string().into_bytes().into(),
        ttl: None,
    })
}

async fn remove_finalizer(store: &Store, definition: &Value) -> Result<(), ApiError> {
    let uid = meta::uid(definition).to_owned();
    let name = meta::name(definition).to_owned();
    let decide = |current: Option<ObjectRef>| {
        let uid = uid.clone();
        async move {
            let Some(current) = current else {
                return Ok(Change::Nothing);
            };
            let mut object = stores::parse(&current)?;
            if meta::uid(&object) != uid {
                return Ok(Change::Nothing);
            }
            let rest: Vec<String> = meta::finalizers(&object)
                .filter(|finalizer| *finalizer != FINALIZER)
                .map(str::to_owned)
                .collect();
            if rest.is_empty() {
                return Ok(Change::Delete);
            }
            meta::set(&mut object, "finalizers", json!(rest));
            meta::remove(&mut object, "resourceVersion");
            Ok::<Change, StorageError>(Change::Write {
                json: object.to_string().into_bytes().into(),
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
            let resource = apimachinery::GroupResource::new(super::GROUP, super::PLURAL);
            Err(stores::to_api_error(error, &resource, &name))
        }
    }
}

/// What deleting does to a definition: it stays, marked, until its objects are gone.
pub fn begin(definition: &mut Value) {
    let now = apimachinery::time::format_time(jiff::Timestamp::now());
    meta::set(definition, "deletionTimestamp", now.as_str());
    let mut finalizers: Vec<String> = meta::finalizers(definition).map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    meta::set(definition, "finalizers", json!(finalizers));
    let condition = Condition::new(
        "Terminating",
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    );
    super::names::set(definition, &condition, &now);
}
