//! The scale subresource: replicas of any kind that has them.

use crate::answer;
use crate::definitions::conversion;
use crate::kinds;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::body;
use crate::verbs::options::{self, FieldValidation};
use crate::verbs::target::Target;
use crate::verbs::write::{self, View, Write};
use api::Resource;
use api::custom::{Scale, SimplePath};
use apimachinery::field::{BadValue, Error, Path};
use apimachinery::managed_fields::Compact;
use apimachinery::selector::LabelSelector;
use apimachinery::{ApiError, GroupVersionKind, meta, patch};
use http::StatusCode;
use serde_json::{Value, json};
use storage::RequestedRevision;

fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// The scale of an object of this kind.
fn of_kind(row: &Resource, object: &Value) -> Result<Value, ApiError> {
    match row
        .custom
        .as_ref()
        .and_then(|definition| definition.scale.as_ref())
    {
        Some(scale) => custom(scale, object),
        None => Ok(of(object)),
    }
}

/// The scale of a custom object, from where its definition says.
fn custom(scale: &Scale, object: &Value) -> Result<Value, ApiError> {
    let number = |path: &SimplePath| Scale::number(path, object).map_err(ApiError::internal);
    let mut made = of(&json!({"metadata": object["metadata"]}));
    let Some(replicas) = number(&scale.spec_replicas)? else {
        return Err(ApiError::internal(format!(
            "the spec replicas field {:?} does not exist",
            scale.spec_replicas.as_str()
        )));
    };
    if replicas != 0 {
        made["spec"]["replicas"] = json!(replicas);
    }
    made["status"]["replicas"] = json!(number(&scale.status_replicas)?.unwrap_or(0));
    let selector = scale
        .label_selector
        .as_ref()
        .and_then(|path| path.get(object).ok().flatten())
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty());
    if let Some(selector) = selector {
        made["status"]["selector"] = json!(selector);
    }
    Ok(made)
}

/// The scale of an object.
pub fn of(object: &Value) -> Value {
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta::get(object, field) {
            metadata[field] = value.clone();
        }
    }
    let mut spec = json!({});
    if let Some(replicas) = object["spec"]["replicas"]
        .as_i64()
        .filter(|replicas| *replicas != 0)
    {
        spec["replicas"] = json!(replicas);
    }
    let mut status = json!({ "replicas": object["status"]["replicas"].as_i64().unwrap_or(0) });
    let selector = selector_text(&object["spec"]["selector"]);
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status })
}

/// A selector of either form as text.
fn selector_text(selector: &Value) -> String {
    let structured = selector.get("matchLabels").is_some() || selector.get("matchExpressions").is_some();
    if structured {
        return LabelSelector::from_object(Some(selector))
            .map(|parsed| parsed.to_string())
            .unwrap_or_default();
    }
    selector
        .as_object()
        .map(|labels| LabelSelector::from_map(labels).to_string())
        .unwrap_or_default()
}

pub async fn get(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let object = target
        .store
        .get(&target.namespace, &target.name, RequestedRevision::Unset)
        .await
        .map_err(|error| target.error(error))?;
    Ok(answer::value(
        StatusCode::OK,
        &of_kind(
            &target.row,
            &conversion::value(server, &target.row, &object).await?,
        )?,
        &accepted,
    ))
}

/// update and patch.
pub async fn change(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let is_patch = request.info.verb == "patch";
    let options = options::write(
        request,
        if is_patch { "PatchOptions" } else { "UpdateOptions" },
        false,
    )?;
    let media_type = media::content_type(&request.headers);
    let body = if is_patch {
        kinds::parse_body(&request.body, media::YAML)
            .map_err(ApiError::bad_request)?
            .value
    } else {
        body::object(&target.row, &scale_kind(), request, &options)?.into_whole()
    };
    let wanted = Write {
        view: Some(View {
            of: of_kind,
            back: apply,
        }),
        ..Write::default()
    };
    let outcome = write::change(server, request, target, &options, wanted, |existing| {
        let Some(old) = &existing.old else {
            return Err(write::missing(target));
        };
        let scale = if is_patch {
            patched(target, &media_type, of_kind(&target.row, old)?, &body)?
        } else {
            body.clone()
        };
        apply(target, old, &scale).map(Into::into)
    })
    .await?;
    let object = outcome.object.into_value(&target.row)?;
    let scale = of_kind(&target.row, &object)?;
    Ok(answer::value(StatusCode::OK, &scale, &accepted))
}

fn patched(target: &Target, media_type: &str, mut scale: Value, body: &Value) -> Result<Value, ApiError> {
    let outcome = match media_type {
        "application/json-patch+json" => patch::json::apply(&mut scale, body),
        "application/merge-patch+json"
        | "application/strategic-merge-patch+json"
        | "application/apply-patch+yaml" => {
            patch::merge::apply(&mut scale, body);
            Ok(())
        }
        _ => {
            return Err(ApiError::unsupported_media_type(&[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ]));
        }
    };
    outcome.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let bytes = serde_json::to_vec(&scale).map_err(ApiError::internal)?;
    match kinds::decode(
        &target.row,
        &scale_kind(),
        &bytes,
        media::JSON,
        FieldValidation::Ignore,
    ) {
        Ok(decoded) => Ok(decoded.value.into_whole()),
        Err(error) => {
            let why = error
                .message()
                .split_once(": ")
                .map_or(error.message(), |(_, why)| why);
            Err(crate::verbs::patch::unfit(BadValue::from(scale.to_string()), why))
        }
    }
}

/// The object with the replicas of a scale.
fn apply(target: &Target, old: &Compact, scale: &Value) -> Result<Compact, ApiError> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let errors = [Error::invalid(
            &Path::new("spec").child("replicas"),
            json!(replicas),
            "must be greater than or equal to 0",
        )];
        return Err(ApiError::invalid(&scale_kind(), &target.name, &errors));
    }
    let version = meta::resource_version(scale);
    if !version.is_empty() && version != meta::resource_version(old) {
        return Err(ApiError::modified(&target.resource(), &target.name));
    }
    let mut new = old.clone();
    let definition = target.row.custom.as_ref();
    match definition.and_then(|definition| definition.scale.as_ref()) {
        Some(scale) => scale.spec_replicas.set(&mut new, json!(replicas)),
        None => new["spec"]["replicas"] = json!(replicas),
    }
    Ok(new)
}
