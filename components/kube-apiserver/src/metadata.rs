//! The part of an object that the server itself writes.

use api::Resource;
use apimachinery::{ApiError, meta, time};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Checks that the body is for the namespace of the URL, and puts it there. What is in no namespace loses what it says of one.
pub fn ensure_namespace(row: &Resource, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    if !row.namespaced {
        meta::remove(object, "namespace");
        return Ok(());
    }
    let given = meta::namespace(object);
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
        generate_name(object);
    }
}

/// Gives an object a name that begins with its generateName.
pub fn generate_name(object: &mut Value) {
    let base = meta::generate_name(object).to_owned();
    meta::set(object, "name", meta::generated_name(&base, rand::random()));
}

/// What a client can't change on an existing object.
pub fn prepare_update(old: &Value, new: &mut Value) {
    // What says which object it is, or that it is being deleted, may be left out, not be changed; that is looked at later.
    for field in ["uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let given = meta::get(new, field).is_some_and(|value| !value.is_null() && value != "");
        if let Some(value) = meta::get(old, field).filter(|_| !given || field == "deletionTimestamp") {
            let value = value.clone();
            meta::set(new, field, value);
        } else if !given {
            meta::remove(new, field);
        }
    }
    for field in ["creationTimestamp", "resourceVersion", "selfLink"] {
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

/// Takes out owner references that are there before already; gives the UIDs of those. Owners that share a UID and differ
/// stay, as with upstream.
pub fn dedup_owners(object: &mut Value) -> Vec<String> {
    let Some(owners) = meta::get(object, "ownerReferences").and_then(Value::as_array) else {
        return Vec::new();
    };
    let mut kept: Vec<&Value> = Vec::with_capacity(owners.len());
    // Most owners have UIDs of their own, and are not looked for among all others.
    let mut seen: HashSet<&str> = HashSet::with_capacity(owners.len());
    let mut twice = Vec::new();
    for owner in owners {
        let uid = owner["uid"].as_str().unwrap_or("");
        if !seen.insert(uid) && kept.contains(&owner) {
            twice.push(uid.to_owned());
        } else {
            kept.push(owner);
        }
    }
    if !twice.is_empty() {
        let kept: Vec<Value> = kept.into_iter().cloned().collect();
        meta::set(object, "ownerReferences", kept);
    }
    twice
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

/// Gives an object that is being deleted a shorter grace period, counted from when its deletion began. Where that is over
/// already it ends now, and who asked for any grace gets the least there is.
pub fn shorten_deletion(object: &mut Value, before: i64, after: i64, now: jiff::Timestamp) {
    let at = meta::deletion_timestamp(object).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let at = at.and_then(|at| {
        let sooner = jiff::SignedDuration::from_secs(before.saturating_sub(after));
        at.checked_sub(sooner).ok()
    });
    let is_over = at.is_some_and(|at| at < now);
    if let Some(at) = at {
        meta::set(object, "deletionTimestamp", time::format_time(at.max(now)));
    }
    let after = if is_over { after.min(1) } else { after };
    meta::set(object, "deletionGracePeriodSeconds", json!(after));
}

/// Adds one to the generation.
pub fn bump_generation(object: &mut Value) {
    let next = meta::generation(object) + 1;
    meta::set(object, "generation", json!(next));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_end_sooner_but_not_in_the_past() {
        let now: jiff::Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        // Seconds of grace before, seconds since the deletion began, seconds asked for; then when it ends and the grace left.
        for (before, since, after, ends, left) in [
            (100, 10, 40, "2026-11-30T12:00:30Z", 40),
            (100, 50, 40, "2026-11-30T12:00:00Z", 1),
            (100, 50, 0, "2026-11-30T12:00:00Z", 0),
            (100, 40, 40, "2026-11-30T12:00:00Z", 40),
        ] {
            let at = now + jiff::SignedDuration::from_secs(before - since);
            let mut object = json!({ "metadata": { "deletionTimestamp": time::format_time(at) } });
            shorten_deletion(&mut object, before, after, now);
            assert_eq!(
                object["metadata"],
                json!({ "deletionTimestamp": ends, "deletionGracePeriodSeconds": left }),
                "{before} {since} {after}"
            );
        }
    }
}
