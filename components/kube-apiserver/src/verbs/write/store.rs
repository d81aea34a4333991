//! The last step: the object's bytes.
use super::{Shown, version};
use crate::definitions::conversion;
use crate::kinds;
use crate::server::Server;
use crate::verbs::target::Target;
use api::Resource;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, Reason, json, meta};
use std::time::Duration;
use storage::{Json, ObjectRef, StorageError};

/// How long objects of this kind live by themselves.
pub(super) fn time_to_live(server: &Server, row: &Resource) -> Option<Duration> {
    let is_event = row.gvk.kind == "Event" && row.custom.is_none();
    server.flags.event_life().filter(|_| is_event)
}

/// The object as it is stored. One that is stored in the row's version isn't copied: its resourceVersion only stands
/// aside meanwhile.
pub async fn bytes_of(server: &Server, row: &Resource, object: &mut Compact) -> Result<Json, ApiError> {
    if kinds::needs_conversion(row) {
        let mut stored = conversion::to_storage(server, row, object.to_whole()).await?;
        meta::remove(&mut stored, "resourceVersion");
        return Ok(json::to_bytes(&stored).into());
    }
    let version = meta::remove(object, "resourceVersion");
    kinds::set_type(row, object);
    let written = object.to_written();
    if let Some(version) = version {
        meta::set(object, "resourceVersion", version);
    }
    Ok(Json {
        bytes: written.bytes,
        spans: written.spans,
        notes: written.field_sets.into(),
    })
}

/// The name is taken. One that the server was to choose may be free the next time.
fn taken(target: &Target, object: &Compact) -> ApiError {
    let name = meta::name(object);
    match meta::generate_name(object) {
        "" => ApiError::already_exists(&target.resource(), name),
        _ => ApiError::no_free_name(&target.resource(), name),
    }
}

/// The same of a name that may soon be free.
fn already_exists(target: &Target, object: &Compact, there: &ObjectRef) -> ApiError {
    let error = taken(target, object);
    let going = crate::stores::parse(there).is_ok_and(|object| meta::deletion_timestamp(&object).is_some());
    if going {
        let message = format!("object is being deleted: {}", error.message());
        return error.with_message(message);
    }
    error
}

/// Stores a new object; dry runs only look whether the name is free.
pub async fn store_new(
    server: &Server,
    target: &Target,
    object: &mut Compact,
    dry_run: bool,
) -> Result<Shown, ApiError> {
    let row = &target.row;
    let name = meta::name(object).to_owned();
    let error = |error: StorageError| crate::stores::to_api_error(error, &target.resource(), &name);
    if dry_run {
        return match target
            .store
            .get(&target.namespace, &name, storage::RequestedRevision::Unset)
            .await
        {
            Ok(there) => Err(already_exists(target, object, &there)),
            Err(StorageError::NotFound { .. }) => {
                let shown = conversion::as_stored(server, row, object.clone()).await?;
                Ok(Shown::Object(shown))
            }
            Err(other) => Err(error(other)),
        };
    }
    // What is no number is not looked at here.
    if version::number(meta::resource_version(object)).is_ok_and(|version| version != 0) {
        return Err(ApiError::new(
            500,
            Reason::Unknown,
            "resourceVersion should not be set on objects to be created",
            None,
        ));
    }
    meta::remove(object, "resourceVersion");
    let stored = loop {
        let bytes = bytes_of(server, row, object).await?;
        let creating = target
            .store
            .create(&target.namespace, &name, bytes, time_to_live(server, row));
        match creating.await {
            Ok(stored) => break stored,
            // The managers of an object can be larger than the object.
            Err(StorageError::TooLarge { .. }) if meta::remove(object, "managedFields").is_some() => {}
            Err(StorageError::AlreadyExists { .. }) => {
                let there = target
                    .store
                    .get(&target.namespace, &name, storage::RequestedRevision::Unset);
                return Err(match there.await {
                    Ok(there) => already_exists(target, object, &there),
                    Err(_) => taken(target, object),
                });
            }
            Err(failed) => return Err(error(failed)),
        }
    };
    Shown::of(server, row, stored).await
}
