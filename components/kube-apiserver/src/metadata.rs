//! The part of an object that the server itself writes.

use api::Resource;
use apimachinery::{ApiError, meta, time};
use serde_json::{Value, json};

/// Checks that the body is for the namespace of the URL, and puts it there.
pub fn ensure_namespace(row: &Resource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    let given = meta::namespace(object).to_owned();
    if !row.namespaced {
        if !given.is_empty() {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        return Ok(());
    }
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    meta::set(object, "namespace", namespace);
    Ok(())
}

/// Drops what a client has no say in from an object that is sent to be created.
pub fn wipe_system_fields(object: &mut Value) {
    for field in [
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "selfLink",
        "uid",
    ] {
        meta::remove(object, field);
    }
}

/// A random UUID. Its bytes come from this thread's own generator: with the kernel's each request would make a system call
/// for its audit ID.
pub fn new_uid() -> String {
    uuid::Builder::from_random_bytes(rand::random())
        .into_uuid()
        .to_string()
}

/// What the server sets on a new object.
pub fn prepare_create(object: &mut Value) {
    for field in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta::remove(object, field);
    }
    meta::set(
        object,
        "creationTimestamp",
        time::format_time(jiff::Timestamp::now()),
    );
    meta::set(object, "uid", new_uid());
    if meta::name(object).is_empty() && !meta::generate_name(object).is_empty() {
        let base = meta::generate_name(object).to_owned();
        meta::set(object, "name", meta::generated_name(&base, rand::random()));
    }
}

/// What a client can't change on an existing object.
pub fn prepare_update(old: &Value, new: &mut Value) {
    for field in [
        "creationTimestamp",
        "uid",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "selfLink",
        "namespace",
        "name",
    ] {
        match meta::get(old, field) {
            Some(value) => {
                let value = value.clone();
                meta::set(new, field, value);
            }
            None => {
                meta::remove(new, field);
            }
        }
    }
}

/// Marks an object as being deleted.
pub fn mark_deleted(object: &mut Value, grace_seconds: i64) {
    let now = jiff::Timestamp::now();
    let at = now
        .checked_add(jiff::SignedDuration::from_secs(grace_seconds.max(0)))
        .unwrap_or(now);
    meta::set(object, "deletionTimestamp", time::format_time(at));
    meta::set(object, "deletionGracePeriodSeconds", json!(grace_seconds.max(0)));
}

/// Adds one to the generation.
pub fn bump_generation(object: &mut Value) {
    let next = meta::generation(object) + 1;
    meta::set(object, "generation", json!(next));
}
