//! patch: JSON patch, merge patch, strategic merge patch and server-side apply.

use super::options::{self, FieldValidation};
use super::target::{Target, check_key};
use super::write::{self, Existing, Made, Write};
use crate::kinds::{self, Body};
use crate::media::{self, Answer};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use api::Resource;
use apimachinery::decode::Unchanged;
use apimachinery::field::{BadValue, Error, Path};
use apimachinery::managed_fields::Compact;
use apimachinery::patch::{self, PatchError};
use apimachinery::{ApiError, GroupVersionKind, Reason, decode, json, meta};
use http::StatusCode;
use serde_json::{Map, Value};
use storage::spans;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// How the body changes the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Form {
    pub fn of(row: &Resource, media_type: &str) -> Result<Self, ApiError> {
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
    let form = Form::of(&target.row, &media::content_type(&request.headers))
        .inspect_err(|_| request.note_undecoded())?;
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = options::write(request, "PatchOptions", form == Form::Apply)?;
    check_key(&target.name)?;
    spans::event("Recorded the audit event");
    let body = parse(request, form)?;
    if form == Form::Apply && !matches!(body.value, Value::Object(_) | Value::Null) {
        return Err(ApiError::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            decode::noun(&body.value)
        )));
    }
    let strict = match options.field_validation {
        FieldValidation::Ignore => Vec::new(),
        _ => strict_problems(request, form, &body),
    };
    let body = body.value;
    let wanted = Write {
        apply: form == Form::Apply,
        ..Write::default()
    };
    // The patch is made within the store's own span.
    let span = spans::outer();
    let outcome = write::change(server, request, target, &options, wanted, |existing| {
        span.event("About to apply patch");
        let mut new = match form {
            Form::Apply => {
                let new = apply(target, existing, &body, &options)?;
                check_apply(request, &strict, options.field_validation)?;
                new
            }
            _ => {
                let Some(old) = &existing.old else {
                    return Err(write::missing(target));
                };
                patched(
                    server,
                    target,
                    old,
                    form,
                    &body,
                    &strict,
                    request,
                    options.field_validation,
                )?
            }
        };
        kinds::drop_conversions(&target.row.gvk, &mut new.object);
        span.event("About to check admission control");
        Ok(new)
    })
    .await?;
    spans::event("Object stored in database");
    let code = if outcome.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    present::one(server, request, &target.row, outcome.object, code, &accepted)
}

pub fn parse(request: &ApiRequest, form: Form) -> Result<Body<Value>, ApiError> {
    let media_type = if form == Form::Apply {
        media::YAML
    } else {
        media::JSON
    };
    kinds::parse_body(&request.body, media_type).map_err(|error| {
        let what = if form == Form::Apply { "YAML" } else { "patch" };
        ApiError::bad_request(format!("error decoding {what}: {error}"))
    })
}

/// What strict decoding says of the patch itself: keys that are there twice, and fields that no operation has.
fn strict_problems(request: &ApiRequest, form: Form, body: &Body<Value>) -> Vec<String> {
    match form {
        Form::Apply if body.is_yaml => kinds::yaml::duplicates(&request.body),
        Form::Json => {
            let mut unknown = Vec::new();
            for (position, operation) in body.value.as_array().into_iter().flatten().enumerate() {
                let fields = operation
                    .as_object()
                    .into_iter()
                    .flat_map(|operation| operation.keys());
                let foreign =
                    fields.filter(|name| !matches!(name.as_str(), "op" | "path" | "from" | "value"));
                unknown.extend(foreign.map(|name| format!("[{position}].{name}")));
            }
            json::problems(&request.body, &body.duplicates, &unknown)
                .into_iter()
                .map(|problem| format!("json patch {problem}"))
                .collect()
        }
        _ => json::problems(&request.body, &body.duplicates, &[]),
    }
}

/// Refuses or warns of what strict decoding says of an applied configuration, once it could be applied.
fn check_apply(request: &ApiRequest, lines: &[String], mode: FieldValidation) -> Result<(), ApiError> {
    match kinds::yaml::error(lines) {
        Some(error) if mode == FieldValidation::Strict => Err(ApiError::bad_request(format!(
            "error strict decoding YAML: error converting YAML to JSON: {error}"
        ))),
        _ => {
            lines.iter().for_each(|line| request.warn(line.as_str()));
            Ok(())
        }
    }
}

fn patched(
    server: &Server,
    target: &Target,
    old: &Compact,
    form: Form,
    body: &Value,
    strict: &[String],
    request: &ApiRequest,
    mode: FieldValidation,
) -> Result<Made, ApiError> {
    let row = &target.row;
    let mut new = change(row, old, form, body).map_err(|error| refusal(form, error))?;
    // A strategic patch is made to the type and can't change which it is.
    if form != Form::Strategic && row.custom.is_none() {
        kinds::said::read(&server.registry.load(), row, &row.gvk, &mut new)
            .map_err(|error| unfit(shown(row, old, form, body), &error.to_string()))?;
    }
    if row.custom.is_some() && meta::kind(&new).is_empty() {
        let text = new.to_whole().to_string();
        let why = kinds::without_kind(&text);
        return Err(unfit(BadValue::from(text), &why));
    }
    let mut unchanged = match members(form, body) {
        Some(members) => Unchanged::beside(old, &new, |name| members.contains_key(name)),
        None => Unchanged::between(old, &new),
    };
    let unknown = match form {
        // Upstream converts a strategically patched object without JSON, and words errors about types differently.
        Form::Strategic => decode::fit_unstructured(&row.schemas, row.schema_id, &mut new, &unchanged)
            .map_err(|error| error.to_string()),
        _ => kinds::fit_change(row, &mut new, &unchanged),
    }
    .map_err(|error| unfit(shown(row, old, form, body), &error))?;
    let unknown = json::listed(&[], &unknown);
    let mut problems = strict.iter().cloned().chain(unknown).peekable();
    match mode {
        FieldValidation::Strict if problems.peek().is_some() => {
            let joined = problems.collect::<Vec<_>>().join(", ");
            let error = format!("strict decoding error: {joined}");
            return Err(unfit(shown(row, old, form, body), &error));
        }
        FieldValidation::Warn => problems.for_each(|problem| request.warn(problem)),
        _ => {}
    }
    api::defaults::apply_change(row, &mut new, &mut unchanged);
    if row.namespaced && meta::namespace(&new).is_empty() {
        meta::set(&mut new, "namespace", target.namespace.as_str());
        unchanged.forget("metadata");
    }
    check_identity(target, &new)?;
    Ok(Made {
        object: new,
        unchanged,
    })
}

/// The answer to a patch that can't be made.
pub fn refusal(form: Form, error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(message) => ApiError::bad_request(message),
        PatchError::TooLarge(message) => ApiError::request_entity_too_large(&message),
        PatchError::Failed(message) => ApiError::new(500, Reason::Unknown, message, None),
        PatchError::Rejected(_) | PatchError::TestFailed(_) if form == Form::Json => ApiError::new(
            422,
            Reason::Invalid,
            "the server rejected our request due to an error in our request",
            Some(Default::default()),
        ),
        PatchError::Rejected(message) | PatchError::TestFailed(message) => {
            ApiError::new(422, Reason::Invalid, message, Some(Default::default()))
        }
    }
}

/// The members of a patch that changes none of an object but those that it names.
fn members(form: Form, body: &Value) -> Option<&Map<String, Value>> {
    let members = body.as_object().filter(|_| form != Form::Json)?;
    (form == Form::Merge || !is_directed(members)).then_some(members)
}

/// Whether a strategic patch has directives here, which replace or delete what isn't named.
fn is_directed(map: &Map<String, Value>) -> bool {
    map.keys().any(|key| key.starts_with('$'))
}

/// The object after the patch. What a patch might see or change of field sets is made whole for it.
fn change(row: &Resource, old: &Compact, form: Form, body: &Value) -> Result<Compact, PatchError> {
    let apply = |object: &mut Value| match form {
        Form::Json => patch::json::apply(object, body),
        Form::Merge if body.is_object() => {
            patch::merge::apply(object, body);
            Ok(())
        }
        // Go reads null as a map without members.
        Form::Merge if body.is_null() => Ok(()),
        Form::Merge => Err(PatchError::Malformed(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            patch::go_kind(body)
        ))),
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
    match body.as_object() {
        None => true,
        Some(body) if is_directed(body) => true,
        Some(body) => match body.get("metadata") {
            None => false,
            Some(Value::Object(metadata)) => is_directed(metadata) || metadata.contains_key("managedFields"),
            Some(_) => true,
        },
    }
}

/// Name and namespace after a patch must still be those of the URL.
pub fn check_identity(target: &Target, new: &Value) -> Result<(), ApiError> {
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

/// What an error about a patched object shows. It is patched again: what was fitted half is no longer what the client
/// wanted.
fn shown(row: &Resource, old: &Compact, form: Form, body: &Value) -> BadValue {
    if form == Form::Strategic {
        return BadValue::from(go_value(body));
    }
    let text = change(row, old, form, body).map(Compact::into_whole);
    BadValue::from(text.unwrap_or_default().to_string())
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
    existing: &Existing<'_>,
    body: &Value,
    options: &options::WriteOptions,
) -> Result<Made, ApiError> {
    let row = &target.row;
    let mut new = write::apply(row, existing, body, options, &target.subresource)?;
    if row.namespaced && meta::namespace(&new.object).is_empty() {
        meta::set(&mut new.object, "namespace", target.namespace.as_str());
        new.unchanged.forget("metadata");
    }
    check_identity(target, &new.object)?;
    Ok(new)
}
