//! The scale subresource: replicas of any kind that has them.

use crate::definitions::conversion;
use crate::kinds;
use crate::media;
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::body;
use crate::verbs::options::{self, WriteOptions};
use crate::verbs::patch::{self, Form};
use crate::verbs::target::Target;
use crate::verbs::write::{self, View, Write};
use api::Resource;
use api::custom::{Scale, SimplePath};
use apimachinery::field::BadValue;
use apimachinery::managed_fields::Compact;
use apimachinery::selector::LabelSelector;
use apimachinery::{ApiError, GroupVersionKind, Reason, meta};
use http::StatusCode;
use serde_json::{Value, json};
use storage::RequestedRevision;

fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// What stands for replicas that a custom object doesn't have, so that a patch that says none is told from one that says zero.
const UNSET: i64 = i32::MIN as i64;

fn scale_of(row: &Resource) -> Option<&Scale> {
    row.custom.as_ref()?.scale.as_ref()
}

/// The scale of an object of this kind; no replicas are none.
fn of_kind(row: &Resource, object: &Value) -> Result<Value, ApiError> {
    match scale_of(row) {
        Some(scale) => custom(scale, object).map(|(made, _)| made),
        None => Ok(of(object)),
    }
}

/// What is wrong with where a definition says that replicas are. Upstream doesn't say that it's its own fault.
fn misplaced(why: String) -> ApiError {
    ApiError::new(500, Reason::Unknown, why, None)
}

/// The scale of a custom object, from where its definition says, and whether it has replicas.
fn custom(scale: &Scale, object: &Value) -> Result<(Value, bool), ApiError> {
    let number = |path: &SimplePath| Scale::number(path, object).map_err(misplaced);
    let mut made = of(&json!({"metadata": object["metadata"]}));
    let replicas = number(&scale.spec_replicas)?;
    if let Some(replicas) = replicas.filter(|replicas| *replicas != 0) {
        made["spec"]["replicas"] = json!(replicas);
    }
    made["status"]["replicas"] = json!(number(&scale.status_replicas)?.unwrap_or(0));
    if let Some(selector) = scale.selector(object).map_err(misplaced)?
        && !selector.is_empty()
    {
        made["status"]["selector"] = json!(selector);
    }
    Ok((made, replicas.is_some()))
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
    // A replication controller's may have a label of that name.
    let structured = ["matchLabels", "matchExpressions"]
        .iter()
        .any(|field| selector.get(field).is_some_and(|part| !part.is_string()));
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
    let accepted = media::negotiate_scale(request, &target.row)?;
    let object = target
        .store
        .get(&target.namespace, &target.name, RequestedRevision::Unset)
        .await
        .map_err(|error| target.error(error))?;
    let object = conversion::value(server, &target.row, &object).await?;
    let scale = match scale_of(&target.row) {
        None => of(&object),
        Some(scale) => match custom(scale, &object)? {
            (made, true) => made,
            (_, false) => {
                return Err(ApiError::internal(format!(
                    "the spec replicas field {:?} does not exist",
                    scale.spec_replicas.as_str()
                )));
            }
        },
    };
    let shaped = present::scale(&target.row, scale, &accepted.shape, request);
    present::value(request, &scale_kind(), &accepted, StatusCode::OK, &shaped)
}

/// update and patch.
pub async fn change(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let media_type = media::content_type(&request.headers);
    let form = match request.info.verb.as_str() {
        "patch" => Some(Form::of(&target.row, &media_type)?),
        _ => None,
    };
    let accepted = media::negotiate_scale(request, &target.row)?;
    let applies = form == Some(Form::Apply);
    let kind = if form.is_some() {
        "PatchOptions"
    } else {
        "UpdateOptions"
    };
    let options = options::write(request, kind, applies)?;
    let body = match form {
        Some(form) => patch::parse(request, form)?.value,
        None => {
            let mut scale = body::object(&target.row, &scale_kind(), request, &options)?;
            metadata::ensure_namespace(&target.row, &target.namespace, &mut scale)?;
            write::check_name(target, &scale)?;
            scale.into_whole()
        }
    };
    let uid = Some(meta::uid(&body)).filter(|uid| form.is_none() && !uid.is_empty());
    let wanted = Write {
        uid: uid.map(str::to_owned),
        apply: applies,
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
        let scale = match form {
            None => body.clone(),
            Some(form) => patched(request, target, form, seen(&target.row, old)?, &body, &options)?,
        };
        let new = apply(target, old, &scale)?;
        if !applies {
            return Ok(new.into());
        }
        let replicas = json!(scale["spec"]["replicas"].as_i64().unwrap_or(0));
        let mut wanted = json!({
            "apiVersion": target.row.gvk.api_version(),
            "kind": target.row.gvk.kind,
            "metadata": { "name": target.name },
        });
        if body["spec"].get("replicas").is_some() {
            set_replicas(&target.row, &mut wanted, replicas);
        }
        if target.row.namespaced {
            meta::set(&mut wanted, "namespace", target.namespace.as_str());
        }
        write::apply(&target.row, existing, &wanted, &options, &target.subresource)
    })
    .await?;
    let object = outcome.object.into_value(&target.row)?;
    let scale = of_kind(&target.row, &object)?;
    let shaped = present::scale(&target.row, scale, &accepted.shape, request);
    present::value(request, &scale_kind(), &accepted, StatusCode::OK, &shaped)
}

/// The scale that a patch is made to.
fn seen(row: &Resource, old: &Value) -> Result<Value, ApiError> {
    let Some(scale) = scale_of(row) else {
        return Ok(of(old));
    };
    let (mut made, has_replicas) = custom(scale, old)?;
    if !has_replicas {
        made["spec"]["replicas"] = json!(UNSET);
    }
    Ok(made)
}

fn patched(
    request: &ApiRequest,
    target: &Target,
    form: Form,
    mut scale: Value,
    body: &Value,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    match form {
        Form::Json => {
            apimachinery::patch::json::apply(&mut scale, body).map_err(|error| patch::refusal(form, error))?
        }
        Form::Apply => {
            check_applied(body)?;
            apimachinery::patch::merge::apply(&mut scale, body);
        }
        _ => apimachinery::patch::merge::apply(&mut scale, body),
    }
    let bytes = serde_json::to_vec(&scale).map_err(ApiError::internal)?;
    let mode = options.field_validation;
    let decoded = kinds::decode(&target.row, &scale_kind(), &bytes, media::JSON, mode);
    let mut made = match decoded {
        Ok(decoded) => {
            decoded
                .warnings
                .into_iter()
                .for_each(|warning| request.warn(warning));
            decoded.value.into_whole()
        }
        Err(error) => {
            let why = error
                .message()
                .split_once(": ")
                .map_or(error.message(), |(_, why)| why);
            return Err(patch::unfit(BadValue::from(scale.to_string()), why));
        }
    };
    if target.row.namespaced && meta::namespace(&made).is_empty() {
        meta::set(&mut made, "namespace", target.namespace.as_str());
    }
    patch::check_identity(target, &made)?;
    Ok(made)
}

/// An applied scale is one of the version that there is.
fn check_applied(body: &Value) -> Result<(), ApiError> {
    let kind = scale_kind();
    let (version, expected) = (meta::api_version(body), kind.api_version());
    if version != expected {
        return Err(ApiError::bad_request(format!(
            "incorrect version specified in apply patch. Specified patch version: {version}, expected: {expected}"
        )));
    }
    Ok(())
}

fn set_replicas(row: &Resource, object: &mut Value, replicas: Value) {
    match scale_of(row) {
        Some(scale) => scale.spec_replicas.set(object, replicas),
        None => object["spec"]["replicas"] = replicas,
    }
}

/// The object with the replicas of a scale. Replicas of custom objects are checked with the object.
fn apply(target: &Target, old: &Compact, scale: &Value) -> Result<Compact, ApiError> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    match scale_of(&target.row) {
        Some(paths) if replicas == UNSET => {
            return Err(ApiError::bad_request(format!(
                "the spec replicas field {:?} cannot be empty",
                paths.spec_replicas.as_str()
            )));
        }
        Some(_) => {}
        None => check(target, old, scale)?,
    }
    let version = meta::resource_version(scale);
    if !version.is_empty() && version != meta::resource_version(old) {
        return Err(ApiError::modified(&target.resource(), &target.name));
    }
    let mut new = old.clone();
    set_replicas(&target.row, &mut new, json!(replicas));
    Ok(new)
}

/// What scales of built-in kinds have to be.
fn check(target: &Target, old: &Value, scale: &Value) -> Result<(), ApiError> {
    let errors = api::validate::scale(scale);
    if !errors.is_empty() {
        return Err(ApiError::invalid(&scale_kind(), &target.name, &errors));
    }
    let (given, wanted) = (meta::uid(scale), meta::uid(old));
    if !given.is_empty() && given != wanted {
        let mut resource = target.resource();
        resource.resource.push_str("/scale");
        let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {wanted}");
        return Err(ApiError::conflict(&resource, &target.name, &why));
    }
    Ok(())
}
