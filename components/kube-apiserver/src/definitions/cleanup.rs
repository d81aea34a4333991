//! Deletion of a definition: its objects first, then its finalizer.

use super::names::Condition;
use super::{FINALIZER, status};
use crate::server::Server;
use crate::stores;
use api::Resource;
use apimachinery::{ApiError, Reason, meta};
use serde_json::{Value, json};
use storage::{Change, ListRequest, ObjectRef, Preconditions, StorageError, Store};

/// Definitions of these name what is stored where the objects of built-in kinds are, which must not go with them.
const BUILT_IN: [&str; 2] = [
    "apiservices.apiregistration.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
];

/// Goes on with the deletion of a definition that has the finalizer. An error means that objects are left.
pub async fn step(server: &Server, store: &Store, definition: &Value) -> Result<(), ApiError> {
    if !meta::finalizers(definition).any(|finalizer| finalizer == FINALIZER) {
        return Ok(());
    }
    let still = terminating("True", "InstanceDeletionInProgress", PROGRESS);
    status::terminating(store, definition, &still).await?;
    let done = if BUILT_IN.contains(&meta::name(definition)) {
        terminating(
            "False",
            "OverlappingBuiltInResource",
            "instances overlap with built-in resources in storage",
        )
    } else if super::names::is_true(definition, "Established") {
        if let Some(row) = stored_row(definition) {
            delete_objects(server, store, definition, &row).await?;
        }
        terminating("False", "InstanceDeletionCompleted", "removed all instances")
    } else {
        terminating("False", "NeverEstablished", "resource was never established")
    };
    status::finalized(store, definition, &done).await
}

const PROGRESS: &str = "CustomResource deletion is in progress";

fn terminating(status: &'static str, reason: &str, message: impl Into<String>) -> Condition {
    Condition::new("Terminating", status, reason, message)
}

/// Deletes all objects of a definition, and says if that fails. Those that their finalizers hold are an error, too.
async fn delete_objects(
    server: &Server,
    store: &Store,
    definition: &Value,
    row: &Resource,
) -> Result<(), ApiError> {
    match delete_all(server, row).await {
        Ok(0) => Ok(()),
        Ok(left) => Err(ApiError::new(
            409,
            Reason::Conflict,
            format!("{left} objects of {} are not gone yet", meta::name(definition)),
            None,
        )),
        Err((what, error)) => {
            let message = format!("could not {what}: {}", error.message());
            let failed = terminating("True", "InstanceDeletionFailed", message);
            status::terminating(store, definition, &failed).await?;
            Err(error)
        }
    }
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

/// Deletes all objects of a kind; gives how many are left, because their finalizers hold them, or what could not be done.
async fn delete_all(server: &Server, row: &Resource) -> Result<usize, (&'static str, ApiError)> {
    const LIST: &str = "list instances";
    let store = server.stores.of(row);
    let resource = row.group_resource();
    let failed = |what: &'static str| {
        let resource = &resource;
        move |error: StorageError| (what, stores::to_api_error(error, resource, ""))
    };
    let page = store.list(ListRequest::default()).await.map_err(failed(LIST))?;
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
                other => Err(failed("issue all deletes")(other)),
            })?;
    }
    let left = store.list(ListRequest::default()).await.map_err(failed(LIST))?;
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

/// What deleting does to a definition: it stays, marked, until its objects are gone.
pub fn begin(definition: &mut Value) {
    let now = apimachinery::time::format_time(jiff::Timestamp::now());
    meta::set(definition, "deletionTimestamp", now.as_str());
    let mut finalizers: Vec<String> = meta::finalizers(definition).map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    meta::set(definition, "finalizers", json!(finalizers));
    let condition = terminating(
        "True",
        "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    );
    super::names::set(definition, &condition, &now);
}
