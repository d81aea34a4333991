//! Conversion between versions by a webhook. Objects of one list are converted in one call.

use super::read;
use crate::metrics::conversion::Trouble;
use crate::present;
use crate::server::Server;
use crate::webhook::{Credentials, Endpoint, Place};
use api::Resource;
use api::custom::{self, Conversion, Definition};
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, Reason, meta};
use base64::Engine;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::ObjectRef;

/// Longest wait for a conversion.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes sure that stored objects can be read in the row's version without waiting.
pub async fn ensure(server: &Server, row: &Resource, objects: &[ObjectRef]) -> Result<(), ApiError> {
    let Some(definition) = &row.custom else {
        return Ok(());
    };
    if definition.conversion == Conversion::None {
        return Ok(());
    }
    let wanted = row.gvk.api_version();
    let mut waiting = Vec::new();
    let mut bodies = Vec::new();
    for object in objects {
        let known = object.encoding(read::encoding(definition), |_| Err::<_, ()>(()));
        if known.is_ok() {
            continue;
        }
        let mut body = crate::stores::parse(object).map_err(ApiError::internal)?;
        if meta::api_version(&body) != wanted {
            read::fit_own(definition, &mut body);
            waiting.push(object);
            bodies.push(body);
        }
    }
    if bodies.is_empty() {
        return Ok(());
    }
    let converted = call(server, row, definition, bodies, &wanted).await?;
    for (object, mut body) in waiting.into_iter().zip(converted) {
        custom::fit_stored(definition, &mut body);
        let bytes = serde_json::to_vec(&body).map_err(ApiError::internal)?;
        object.encoding(read::encoding(definition), |_| Ok::<_, ApiError>(bytes.into()))?;
    }
    Ok(())
}

/// Whether objects may have to be converted by a webhook.
pub fn by_webhook(row: &Resource) -> bool {
    let custom = row.custom.as_ref();
    custom.is_some_and(|definition| definition.conversion != Conversion::None)
}

/// A stored object in compact form, in the row's version.
pub async fn compact(server: &Server, row: &Resource, object: &ObjectRef) -> Result<Compact, ApiError> {
    ensure(server, row, std::slice::from_ref(object)).await?;
    present::compact(row, object)
}

/// A stored object's value in the row's version.
pub async fn value(server: &Server, row: &Resource, object: &ObjectRef) -> Result<Value, ApiError> {
    ensure(server, row, std::slice::from_ref(object)).await?;
    present::value_of(row, object)
}

/// An object in the version in which it is stored.
pub async fn to_storage(server: &Server, row: &Resource, object: Value) -> Result<Value, ApiError> {
    match &row.custom {
        Some(definition)
            if definition.conversion != Conversion::None
                && row.storage_version != row.gvk.group_version() =>
        {
            let wanted = row.storage_version.to_string();
            let mut converted = call(server, row, definition, vec![object], &wanted).await?;
            Ok(converted.pop().unwrap_or_default())
        }
        _ => crate::kinds::to_storage(row, object),
    }
}

/// An object of a custom kind in another of its versions, as the webhook gives it.
pub async fn to(
    server: &Server,
    row: &Resource,
    object: Value,
    api_version: &str,
) -> Result<Value, ApiError> {
    let Some(definition) = &row.custom else {
        return Ok(object);
    };
    let mut converted = call(server, row, definition, vec![object], api_version).await?;
    Ok(converted.pop().unwrap_or_default())
}

/// An object of one version of a kind in another.
pub async fn between(
    server: &Server,
    from: &Resource,
    to: &Resource,
    object: Value,
) -> Result<Value, ApiError> {
    match &from.custom {
        Some(definition) if definition.conversion != Conversion::None => {
            let wanted = to.gvk.api_version();
            let mut converted = call(server, from, definition, vec![object], &wanted).await?;
            Ok(converted.pop().unwrap_or_default())
        }
        _ => crate::kinds::to_version(to, crate::kinds::to_storage(from, object)?),
    }
}

fn failed(row: &Resource, from: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::new(
        500,
        Reason::Unknown,
        format!(
            "conversion webhook for {from}, Kind={} failed: {why}",
            row.gvk.kind
        ),
        None,
    )
}

async fn call(
    server: &Server,
    row: &Resource,
    definition: &Definition,
    objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, ApiError> {
    let Conversion::Webhook {
        client,
        review_versions,
    } = &definition.conversion
    else {
        return Ok(objects);
    };
    let from = objects
        .first()
        .map_or("", |object| meta::api_version(object))
        .to_owned();
    let version = review_versions
        .iter()
        .find(|version| matches!(version.as_str(), "v1" | "v1beta1"))
        .ok_or_else(|| failed(row, &from, "no supported conversion review version is accepted"))?;
    let place = Place::from_client_config(client).map_err(|error| failed(row, &from, error))?;
    let bundle = client["caBundle"]
        .as_str()
        .map(|text| base64::engine::general_purpose::STANDARD.decode(text))
        .transpose()
        .map_err(|error| failed(row, &from, error))?
        .unwrap_or_default();
    let endpoint = server
        .webhooks
        .endpoint(place, &bundle, Arc::new(Credentials::default()))
        .map_err(|error| failed(row, &from, error))?;
    let begun = Instant::now();
    let outcome = exchange(&endpoint, row, version, &from, objects, wanted).await;
    let trouble = outcome.as_ref().map(|_| ()).map_err(|(trouble, _)| *trouble);
    let name = format!("{}.{}", row.plural, row.gvk.group);
    let metrics = &server.metrics.conversion;
    metrics.converted(name, (&from, wanted), trouble, begun.elapsed());
    outcome.map_err(|(_, error)| error)
}

/// Asks the webhook and checks what it answers.
async fn exchange(
    endpoint: &Endpoint,
    row: &Resource,
    version: &str,
    from: &str,
    objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, (Trouble, ApiError)> {
    let uid = crate::metadata::new_uid();
    let review = json!({
        "kind": "ConversionReview", "apiVersion": format!("{}/{version}", super::GROUP),
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    });
    let body = serde_json::to_vec(&review).map_err(|error| (Trouble::Call, ApiError::internal(error)))?;
    let answer = endpoint
        .post(body.into(), TIMEOUT)
        .await
        .map_err(|error| (Trouble::Call, failed(row, from, error)))?;
    let mut answer: Value =
        serde_json::from_slice(&answer).map_err(|error| (Trouble::Malformed, failed(row, from, error)))?;
    check(row, from, &answer, &uid, objects.len())?;
    let converted = match answer["response"]["convertedObjects"].take() {
        Value::Array(converted) => converted,
        _ => Vec::new(),
    };
    objects
        .iter()
        .zip(converted)
        .enumerate()
        .map(|(index, (before, after))| {
            restored(before, after, wanted).map_err(|why| {
                let message = format!(
                    "conversion webhook for {from}, Kind={} returned invalid converted object at index {index}: {why}",
                    row.gvk.kind
                );
                let error = ApiError::new(500, Reason::Unknown, message, None);
                (Trouble::InvalidObject, error)
            })
        })
        .collect()
}

/// Whether the answer is one to this question, and a success.
fn check(
    row: &Resource,
    from: &str,
    answer: &Value,
    uid: &str,
    count: usize,
) -> Result<(), (Trouble, ApiError)> {
    let malformed = |why: &str| Err((Trouble::Malformed, failed(row, from, why)));
    let response = &answer["response"];
    if response.is_null() {
        return malformed("the conversion webhook returned no response");
    }
    if response["uid"].as_str() != Some(uid) {
        return malformed(&format!("expected response.uid={uid:?}, got {}", response["uid"]));
    }
    if response["result"]["status"] != "Success" {
        return malformed(response["result"]["message"].as_str().unwrap_or(""));
    }
    let given = response["convertedObjects"].as_array().map_or(0, Vec::len);
    if given != count {
        let message = format!(
            "conversion webhook for {from}, Kind={} returned {given} objects, expected {count}",
            row.gvk.kind
        );
        let error = ApiError::new(500, Reason::Unknown, message, None);
        return Err((Trouble::Partial, error));
    }
    Ok(())
}

/// The converted object, if it is still the same one: of metadata only labels and annotations may change.
fn restored(before: &Value, mut after: Value, wanted: &str) -> Result<Value, String> {
    if meta::api_version(&after) != wanted {
        return Err(format!(
            "invalid groupVersion (expected {wanted}, received {})",
            meta::api_version(&after)
        ));
    }
    if meta::kind(&after) != meta::kind(before) {
        return Err(format!(
            "invalid kind (expected {}, received {})",
            meta::kind(before),
            meta::kind(&after)
        ));
    }
    for (what, same) in [
        ("name", meta::name(&after) == meta::name(before)),
        ("namespace", meta::namespace(&after) == meta::namespace(before)),
        ("UID", meta::uid(&after) == meta::uid(before)),
    ] {
        if !same {
            return Err(format!("must have the same {what} as before"));
        }
    }
    if !after["metadata"].is_object() {
        return Err("metadata must be an object".to_owned());
    }
    let mut metadata = before.get("metadata").cloned().unwrap_or_else(|| json!({}));
    for field in ["labels", "annotations"] {
        match after["metadata"].get(field).filter(|value| !value.is_null()) {
            Some(value) => metadata[field] = value.clone(),
            None => {
                if let Some(map) = metadata.as_object_mut() {
                    map.remove(field);
                }
            }
        }
    }
    after["metadata"] = metadata;
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_changes_no_identity() {
        let before = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x", "uid": "1", "labels": {"a": "b"}}, "old": 1});
        let converted = json!({"apiVersion": "a/v2", "kind": "A", "metadata": {"name": "x", "uid": "1", "annotations": {"c": "d"}, "generation": 9}, "new": 1});
        let after = restored(&before, converted.clone(), "a/v2").unwrap();
        assert_eq!(
            after,
            json!({"apiVersion": "a/v2", "kind": "A", "metadata": {"name": "x", "uid": "1", "annotations": {"c": "d"}}, "new": 1})
        );
        assert!(restored(&before, converted.clone(), "a/v3").is_err());
        let mut other = converted;
        other["metadata"]["uid"] = json!("2");
        assert!(restored(&before, other, "a/v2").is_err());
    }
}
