//! patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use super::options::{self, FieldValidation};
use super::target::Target;
use super::write::{self, Existing, Write};
use crate::kinds;
use crate::media::{self, Answer};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use api::Resource;
use apimachinery::field::{BadValue, Error, Path};
use apimachinery::managed_fields::Compact;
use apimachinery::patch::{self, PatchError};
use apimachinery::{ApiError, GroupVersionKind, Reason, decode, meta};
use http::StatusCode;
use serde_json::{Map, Value};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// How the body changes the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Form {
    fn of(row: &Resource, media_type: &str) -> Result<Self, ApiError> {
        match media_type {
            JSON_PATCH => Ok(Self::Json),
            MERGE_PATCH => Ok(Self::Merge),
            STRATEGIC_PATCH if row.custom.is_none() => Ok(Self::Strategic),
            APPLY_PATCH => Ok(Self::Apply),
            _ if row.custom.is_some() => Err(ApiError::unsupported_media_type(&[
                JSON_PATCH,
                MERGE_PATCH,
                APPLY_PATCH,
            ])),
            _ => Err(ApiError::unsupported_media_type(&[
                JSON_PATCH,
                MERGE_PATCH,
                STRATEGIC_PATCH,
                APPLY_PATCH,
            ])),
        }
    }
}

pub async fn patch(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let form = Form::of(&target.row, &media::content_type(&request.headers))?;
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = options::write(request, "PatchOptions", form == Form::Apply)?;
    let body = parse(request, form)?;
    let wanted = Write {
        apply: form == Form::Apply,
        ..Write::default()
    };
    let outcome = write::change(server, request, target, &options, wanted, |existing| {
        let new = match form {
            Form::Apply => apply(target, existing, &body, &options)?,
            _ => {
                let Some(old) = &existing.old else {
                    return Err(write::missing(target));
                };
                patched(target, old, form, &body, request, options.field_validation)?
            }
        };
        Ok(new)
    })
    .await?;
    let code = if outcome.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    present::one(server, request, &target.row, outcome.object, code, &accepted)
}

fn parse(request: &ApiRequest, form: Form) -> Result<Value, ApiError> {
    let media_type = if form == Form::Apply {
        media::YAML
    } else {
        media::JSON
    };
    match kinds::parse_body(&request.body, media_type) {
        Ok((value, _)) => Ok(value),
        Err(error) if form == Form::Apply => {
            Err(ApiError::bad_request(format!("error decoding YAML: {error}")))
        }
        Err(error) => Err(ApiError::bad_request(format!("error decoding patch: {error}"))),
    }
}

fn patched(
    target: &Target,
    old: &Compact,
    form: Form,
    body: &Value,
    request: &ApiRequest,
    mode: FieldValidation,
) -> Result<Compact, ApiError> {
    let row = &target.row;
    let mut new = change(row, old, form, body).map_err(|error| match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::Rejected(_) if form == Form::Json => ApiError::new(
            422,
            Reason::Invalid,
            "the server rejected our request due to an error in our request",
            Some(Default::default()),
        ),
        PatchError::Rejected(message) => {
            ApiError::new(422, Reason::Invalid, message, Some(Default::default()))
        }
    })?;
    let unknown = match form {
        // Upstream converts a strategically patched object without JSON, and words errors about types differently.
        Form::Strategic => decode::fit_unstructured(&row.schemas, row.schema_id, &mut new, old)
            .map_err(|error| unfit(BadValue::from(go_value(body)), &error.to_string()))?,
        // Patched again: what was fitted half is no longer what the client wanted.
        _ => kinds::fit_change(row, &mut new, old).map_err(|error| {
            let text = change(row, old, form, body).map(Compact::into_whole);
            unfit(BadValue::from(text.unwrap_or_default().to_string()), &error)
        })?,
    };
    if !unknown.is_empty() {
        let problems: Vec<String> = unknown
            .iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect();
        match mode {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => problems.into_iter().for_each(|problem| request.warn(problem)),
            FieldValidation::Strict => {
                return Err(ApiError::new(
                    422,
                    Reason::Invalid,
                    format!("strict decoding error: {}", problems.join(", ")),
                    None,
                ));
            }
        }
    }
    kinds::default(row, &mut new);
    if row.namespaced && meta::namespace(&new).is_empty() {
        meta::set(&mut new, "namespace", target.namespace.as_str());
    }
    check_identity(target, &new)?;
    Ok(new)
}

/// The object after the patch. What a patch might see or change of field sets is made whole for it.
fn change(row: &Resource, old: &Compact, form: Form, body: &Value) -> Result<Compact, PatchError> {
    let apply = |object: &mut Value| match form {
        Form::Json => patch::json::apply(object, body),
        Form::Merge if body.is_object() => {
            patch::merge::apply(object, body);
            Ok(())
        }
        Form::Merge => Err(PatchError::Malformed("the patch is not a JSON object".to_owned())),
        _ => patch::strategic::apply(&row.schemas, row.schema_id, object, body),
    };
    if !concerns_managed_fields(form, body) {
        let mut new = old.clone();
        return apply(&mut new).map(|()| new);
    }
    let mut whole = old.to_whole();
    apply(&mut whole).map(|()| Compact::of(whole))
}

/// False when a patch surely neither looks at `metadata.managedFields` nor changes them.
fn concerns_managed_fields(form: Form, body: &Value) -> bool {
    if form == Form::Json {
        let concerns = |pointer: &Value| {
            let mut names = pointer.as_str().unwrap_or("").split('/').skip(1);
            match (names.next(), names.next()) {
                (None | Some("metadata"), None) => true,
                (first, second) => first == Some("metadata") && second == Some("managedFields"),
            }
        };
        let mut operations = body.as_array().into_iter().flatten();
        return operations.any(|operation| {
            ["path", "from"]
                .into_iter()
                .filter_map(|field| operation.get(field))
                .any(concerns)
        });
    }
    // Directives of a strategic patch replace or delete what isn't named.
    let directs = |map: &Map<String, Value>| map.keys().any(|key| key.starts_with('$'));
    match body.as_object() {
        None => true,
        Some(body) if directs(body) => true,
        Some(body) => match body.get("metadata") {
            None => false,
            Some(Value::Object(metadata)) => directs(metadata) || metadata.contains_key("managedFields"),
            Some(_) => true,
        },
    }
}

/// Name and namespace after a patch must still be those of the URL.
fn check_identity(target: &Target, new: &Value) -> Result<(), ApiError> {
    if target.row.namespaced && meta::namespace(new) != target.namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    match meta::name(new) {
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        ))),
        name if name != target.name => Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        ))),
        _ => Ok(()),
    }
}

/// The patched object isn't one of its kind.
pub fn unfit(value: BadValue, error: &str) -> ApiError {
    let errors = [Error::invalid(&Path::new("patch"), value, error)];
    ApiError::invalid(&GroupVersionKind::default(), "", &errors)
}

/// A value as Go prints it.
fn go_value(value: &Value) -> String {
    match value {
        Value::Object(map) => format!(
            "map[{}]",
            map.iter()
                .map(|(key, value)| format!("{key}:{}", go_value(value)))
                .collect::<Vec<_>>()
                .join(" ")
        ),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn apply(
    target: &Target,
    existing: &Existing,
    body: &Value,
    options: &options::WriteOptions,
) -> Result<Compact, ApiError> {
    let row = &target.row;
    let mut new = write::apply(row, existing.old.as_ref(), body, options, &target.subresource)?;
    if row.namespaced && meta::namespace(&new).is_empty() {
        meta::set(&mut new, "namespace", target.namespace.as_str());
    }
    check_identity(target, &new)?;
    Ok(new)
}
