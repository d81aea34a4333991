//! patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use super::options::{self, FieldValidation};
use super::target::Target;
use super::write::{self, Existing, Write};
use crate::answer;
use crate::kinds;
use crate::media::{self, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use api::Resource;
use apimachinery::patch::{self, PatchError};
use apimachinery::{ApiError, Reason, meta};
use http::StatusCode;
use serde_json::Value;

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
            STRATEGIC_PATCH if !row.custom => Ok(Self::Strategic),
            APPLY_PATCH => Ok(Self::Apply),
            _ if row.custom => Err(ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH, APPLY_PATCH, "application/apply-patch+cbor"])),
            _ => Err(ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH])),
        }
    }
}

pub async fn patch(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let form = Form::of(&target.row, &media::content_type(&request.headers))?;
    let accepted = media::negotiate(&request.headers, request.query.get("pretty"), |shape| !matches!(shape, Shape::PartialList(_)))?;
    let options = options::write(request, "PatchOptions", form == Form::Apply)?;
    let body = parse(request, form)?;
    let wanted = Write { apply: form == Form::Apply, ..Write::default() };
    let outcome = write::change(server, request, target, &options, wanted, |existing| {
        let new = match form {
            Form::Apply => apply(target, existing, &body, &options)?,
            _ => {
                let Some(old) = &existing.old else { return Err(write::missing(target)) };
                patched(target, old, form, &body, request, options.field_validation)?
            }
        };
        Ok(new)
    })
    .await?;
    let shaped = present::shape_one(&server.registry.load(), &target.row, outcome.object, &accepted.shape, request)?;
    let code = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::value(code, &shaped, &accepted))
}

fn parse(request: &ApiRequest, form: Form) -> Result<Value, ApiError> {
    let media_type = if form == Form::Apply { media::YAML } else { media::JSON };
    match kinds::parse_body(&request.body, media_type) {
        Ok((value, _)) => Ok(value),
        Err(error) if form == Form::Apply => Err(ApiError::bad_request(format!("error decoding YAML: {error}"))),
        Err(error) => Err(ApiError::bad_request(format!("error decoding patch: {error}"))),
    }
}

fn patched(target: &Target, old: &Value, form: Form, body: &Value, request: &ApiRequest, mode: FieldValidation) -> Result<Value, ApiError> {
    let row = &target.row;
    let mut new = old.clone();
    match form {
        Form::Json => patch::json::apply(&mut new, body),
        Form::Merge if body.is_object() => {
            patch::merge::apply(&mut new, body);
            Ok(())
        }
        Form::Merge => Err(PatchError::Malformed("the patch is not a JSON object".to_owned())),
        _ => patch::strategic::apply(&row.schemas, row.schema_id, &mut new, body),
    }
    .map_err(|error| match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::Rejected(message) => ApiError::new(422, Reason::Invalid, message, None),
    })?;
    let unknown = kinds::fit(row, &row.gvk, &mut new)
        .map_err(|error| ApiError::new(422, Reason::Invalid, error, None))?;
    if !unknown.is_empty() {
        let problems: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
        match mode {
            FieldValidation::Ignore => {}
            FieldValidation::Warn => problems.into_iter().for_each(|problem| request.warn(problem)),
            FieldValidation::Strict => {
                return Err(ApiError::new(422, Reason::Invalid, format!("strict decoding error: {}", problems.join(", ")), None));
            }
        }
    }
    kinds::default(row, &mut new);
    write::check_name(target, &mut new)?;
    Ok(new)
}

fn apply(target: &Target, existing: &Existing, body: &Value, options: &options::WriteOptions) -> Result<Value, ApiError> {
    let row = &target.row;
    let mut wanted = body.clone();
    if !meta::name(&wanted).is_empty() && meta::name(&wanted) != target.name {
        return Err(ApiError::bad_request(format!("the name of the object ({}) does not match the name on the URL ({})", meta::name(&wanted), target.name)));
    }
    meta::set(&mut wanted, "name", target.name.as_str());
    if row.namespaced {
        meta::set(&mut wanted, "namespace", target.namespace.as_str());
    }
    write::apply(row, existing.old.as_ref(), &wanted, options, &target.subresource)
}
