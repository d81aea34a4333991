//! Conversion between versions by a webhook. Objects of one list are converted in one call.

mod answer;

use super::read;
use crate::metrics::conversion::Trouble;
use crate::present;
use crate::server::Server;
use crate::webhook::{Credentials, Endpoint, Place};
use answer::Question;
use api::Resource;
use api::custom::{self, Conversion, Definition};
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, meta};
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
    let converted = call_for_stored(server, row, definition, bodies, &wanted).await?;
    for (object, mut body) in waiting.into_iter().zip(converted) {
        custom::fit_stored(definition, &mut body);
        let bytes = serde_json::to_vec(&body).map_err(ApiError::internal)?;
        object.encoding(read::encoding(definition), |_| Ok::<_, ApiError>(bytes.into()))?;
    }
    Ok(())
}

/// A stored object in the row's version as the webhook converts it now, though it may have done so before: what it does can
/// change while the object doesn't.
pub async fn anew(server: &Server, row: &Resource, object: &ObjectRef) -> Result<Compact, ApiError> {
    let (Some(definition), true) = (&row.custom, by_webhook(row)) else {
        return present::compact(row, object);
    };
    let mut body = crate::stores::parse(object).map_err(ApiError::internal)?;
    let wanted = row.gvk.api_version();
    if meta::api_version(&body) == wanted {
        return present::compact(row, object);
    }
    read::fit_own(definition, &mut body);
    let mut converted = call_for_stored(server, row, definition, vec![body], &wanted).await?;
    let mut made = converted.pop().unwrap_or_default();
    custom::fit_stored(definition, &mut made);
    Ok(Compact::of(made))
}

/// A new object as it would be read once it had been stored.
pub async fn as_stored(server: &Server, row: &Resource, object: Compact) -> Result<Compact, ApiError> {
    let (Some(definition), true) = (&row.custom, by_webhook(row)) else {
        return Ok(object);
    };
    if !crate::kinds::needs_conversion(row) {
        return Ok(object);
    }
    let stored = to_storage(server, row, object.into_whole()).await?;
    let mut made = to(server, row, stored, &row.gvk.api_version()).await?;
    custom::fit_stored(definition, &mut made);
    Ok(Compact::of(made))
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

/// Converts stored objects. Which version of them is stored is no concern of the webhook's.
async fn call_for_stored(
    server: &Server,
    row: &Resource,
    definition: &Definition,
    mut objects: Vec<Value>,
    wanted: &str,
) -> Result<Vec<Value>, ApiError> {
    let versions: Vec<_> = objects
        .iter_mut()
        .map(|object| meta::remove(object, "resourceVersion"))
        .collect();
    let mut converted = call(server, row, definition, objects, wanted).await?;
    for (object, version) in converted.iter_mut().zip(versions) {
        if let Some(version) = version {
            meta::set(object, "resourceVersion", version);
        }
    }
    Ok(converted)
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
    let uid = crate::metadata::new_uid();
    let mut question = Question {
        row,
        from: &from,
        wanted,
        review: "",
        uid: &uid,
    };
    let failed =
        |question: &Question<'_>, why: &dyn std::fmt::Display| question.error(format!("failed: {why}"));
    question.review = review_versions
        .iter()
        .find(|version| matches!(version.as_str(), "v1" | "v1beta1"))
        .ok_or_else(|| failed(&question, &"no supported conversion review version is accepted"))?;
    let place = Place::from_client_config(client).map_err(|error| failed(&question, &error))?;
    let bundle = client["caBundle"]
        .as_str()
        .map(|text| base64::engine::general_purpose::STANDARD.decode(text))
        .transpose()
        .map_err(|error| failed(&question, &error))?
        .unwrap_or_default();
    let endpoint = server
        .webhooks
        .endpoint(place, &bundle, Arc::new(Credentials::default()))
        .map_err(|error| failed(&question, &error))?;
    let begun = Instant::now();
    let outcome = exchange(&endpoint, &question, objects).await;
    let trouble = outcome.as_ref().map(|_| ()).map_err(|(trouble, _)| *trouble);
    let name = format!("{}.{}", row.plural, row.gvk.group);
    let metrics = &server.metrics.conversion;
    metrics.converted(name, (&from, wanted), trouble, begun.elapsed());
    outcome.map_err(|(_, error)| error)
}

/// Asks the webhook and checks what it answers.
async fn exchange(
    endpoint: &Endpoint,
    question: &Question<'_>,
    objects: Vec<Value>,
) -> Result<Vec<Value>, (Trouble, ApiError)> {
    let review = json!({
        "kind": "ConversionReview", "apiVersion": format!("{}/{}", super::GROUP, question.review),
        "request": {"uid": question.uid, "desiredAPIVersion": question.wanted, "objects": objects},
        // Upstream writes it out, with nothing in it.
        "response": {"uid": "", "convertedObjects": null, "result": {"metadata": {}}},
    });
    let body = serde_json::to_vec(&review).map_err(|error| (Trouble::Call, ApiError::internal(error)))?;
    let failed =
        |trouble: Trouble, why: &dyn std::fmt::Display| (trouble, question.error(format!("failed: {why}")));
    let answer = endpoint
        .post(body.into(), TIMEOUT)
        .await
        .map_err(|error| failed(Trouble::Call, &error))?;
    let answer = serde_json::from_slice(&answer).map_err(|error| failed(Trouble::Malformed, &error))?;
    question.converted(&objects, answer)
}
