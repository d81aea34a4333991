//! What is particular to a kind, in the words of the handlers: versions, decoding, tables.

mod autoscalers;
mod events;

use crate::media;
use crate::protobuf;
use crate::verbs::options::FieldValidation;
use api::{Registry, Resource};
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupVersionKind, meta};
use serde_json::{Value, json};

/// Whether stored objects have to be turned into this row's version.
pub fn needs_conversion(row: &Resource) -> bool {
    row.storage_version != row.gvk.group_version()
}

/// A stored object in the row's version.
pub fn to_version(row: &Resource, mut value: Value) -> Result<Value, ApiError> {
    if needs_conversion(row) {
        value["apiVersion"] = json!(row.gvk.api_version());
        if is_renamed_event(row) {
            events::from_core(&mut value);
        }
        if is_old_autoscaler(row) {
            autoscalers::from_v2(&mut value);
            fit(row, &row.gvk, &mut value).map_err(ApiError::internal)?;
        }
    }
    Ok(value)
}

/// Says of what kind a stored object is, unless it does.
pub fn set_type(row: &Resource, value: &mut Value) {
    if meta::kind(value) != row.gvk.kind {
        value["kind"] = json!(row.gvk.kind);
    }
    let version = row.storage_version.to_string();
    if meta::api_version(value) != version {
        value["apiVersion"] = json!(version);
    }
}

/// An object in the version in which it is stored.
pub fn to_storage(row: &Resource, mut value: Value) -> Result<Value, ApiError> {
    if is_old_autoscaler(row) {
        autoscalers::to_v2(&mut value);
    }
    set_type(row, &mut value);
    if is_renamed_event(row) {
        events::to_core(&mut value);
    }
    Ok(value)
}

fn is_old_autoscaler(row: &Resource) -> bool {
    row.gvk.kind == "HorizontalPodAutoscaler" && row.gvk.version == "v1" && row.custom.is_none()
}

fn is_renamed_event(row: &Resource) -> bool {
    row.gvk.group == "events.k8s.io" && row.gvk.kind == "Event"
}

/// A body as an object, and the warnings about it.
#[derive(Debug)]
pub struct Decoded {
    pub value: Compact,
    pub warnings: Vec<String>,
}

/// The beginning of a body, for an error about it: JSON as it is, anything else in hexadecimal.
fn summary(bytes: &[u8]) -> String {
    const MOST: usize = 30;
    let (start, more) = match bytes.get(..MOST) {
        Some(start) if bytes.len() > MOST => (start, " ..."),
        _ => (bytes, ""),
    };
    match start.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => format!(
            "{}{more}",
            start.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        ),
    }
}

/// What upstream reads first of a body, as its errors print it.
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// Brackets that may be open at once in YAML; values are nested far less.
const MOST_OPEN: usize = 1000;

/// Parses YAML that a client sent. The parser's work grows with the square of the brackets that are open, before it
/// looks at how deep values are nested, so they are counted first; those in texts count too.
pub fn parse_yaml(bytes: &[u8]) -> Result<Value, String> {
    let mut open = 0usize;
    for byte in bytes {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MOST_OPEN {
            return Err(format!("yaml: exceeded max depth of {MOST_OPEN}"));
        }
    }
    serde_yaml_ng::from_slice(bytes).map_err(|error| format!("yaml: {error}"))
}

/// Parses JSON or YAML; duplicate keys are given with their paths.
pub fn parse_body(bytes: &[u8], media_type: &str) -> Result<(Value, Vec<String>), String> {
    let (object, duplicates) = parse_object(bytes, media_type)?;
    Ok((object.into_whole(), duplicates))
}

/// The same for the body that is an object of a kind.
fn parse_object(bytes: &[u8], media_type: &str) -> Result<(Compact, Vec<String>), String> {
    match media_type {
        media::YAML => {
            // Most clients send JSON by that name, which is read as such where both readers agree.
            if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
                && let Ok((object, duplicates)) = Compact::parse(bytes)
                && duplicates.is_empty()
            {
                return Ok((object, duplicates));
            }
            Ok((Compact::of(parse_yaml(bytes)?), Vec::new()))
        }
        _ => Compact::parse(bytes).map_err(|error| error.to_string()),
    }
}

/// Decodes an object of a kind from a request body.
pub fn decode(
    row: &Resource,
    kind: &GroupVersionKind,
    bytes: &[u8],
    media_type: &str,
    mode: FieldValidation,
) -> Result<Decoded, ApiError> {
    let own_custom = row.custom.is_some() && *kind == row.gvk;
    if media_type == media::PROTOBUF && !own_custom {
        return decode_protobuf(row, kind, bytes);
    }
    if own_custom && !matches!(media_type, media::JSON | media::YAML) {
        return Err(ApiError::unsupported_media_type(&[media::JSON, media::YAML]));
    }
    if !matches!(media_type, media::JSON | media::YAML) {
        return Err(ApiError::unsupported_media_type(&[
            media::JSON,
            media::YAML,
            media::PROTOBUF,
        ]));
    }
    let cannot = |why: String| {
        ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.kind, kind.version, kind.kind
        ))
    };
    let unrecognized = |why: String| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; {why} ({})",
            kind.kind,
            summary(bytes)
        ))
    };
    let (mut value, duplicates) = parse_object(bytes, media_type)
        .map_err(|error| unrecognized(format!("json parse error: {error}")))?;
    if !value.is_object() {
        return Err(unrecognized(format!(
            "json parse error: json: cannot unmarshal {} into Go value of type {TYPE_META}",
            apimachinery::decode::noun(&value)
        )));
    }
    check_kind(&mut value, kind)?;
    let unknown = fit(row, kind, &mut value).map_err(cannot)?;
    let mut problems: Vec<String> = duplicates
        .iter()
        .map(|path| format!("duplicate field {path:?}"))
        .collect();
    problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    let warnings = match mode {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => problems,
        FieldValidation::Strict if problems.is_empty() => Vec::new(),
        FieldValidation::Strict => {
            let joined = problems.join(", ");
            return Err(ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {joined}",
                kind.kind, kind.version, kind.kind
            )));
        }
    };
    Ok(Decoded { value, warnings })
}

fn decode_protobuf(row: &Resource, kind: &GroupVersionKind, bytes: &[u8]) -> Result<Decoded, ApiError> {
    let refuse = |why: String| {
        ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.kind, kind.version, kind.kind
        ))
    };
    let envelope = protobuf::open(bytes).map_err(|error| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {error}",
            kind.kind
        ))
    })?;
    let mut typed = json!({ "kind": envelope.kind, "apiVersion": envelope.api_version });
    check_kind(&mut typed, kind)?;
    let built_in;
    let schemas = if row.custom.is_some() {
        built_in = api::schema::built_in();
        &built_in
    } else {
        &row.schemas
    };
    let mut value = protobuf::decode(schemas, &api::schema_name(kind), envelope.raw)
        .map_err(|error| refuse(error.to_string()))?;
    value["kind"] = json!(kind.kind);
    value["apiVersion"] = json!(kind.api_version());
    fit(row, kind, &mut value).map_err(refuse)?;
    Ok(Decoded {
        value: Compact::of(value),
        warnings: Vec::new(),
    })
}

/// Fits a changed object to its row's schema; gives unknown fields, which are dropped. `before` fits.
pub fn fit_change(row: &Resource, value: &mut Value, before: &Value) -> Result<Vec<String>, String> {
    match &row.custom {
        Some(definition) => api::custom::fit(definition, value),
        None => apimachinery::decode::fit_change(&row.schemas, row.schema_id, value, before)
            .map_err(|error| error.to_string()),
    }
}

/// Fits a value to the kind's schema; gives unknown fields, which are dropped.
pub fn fit(row: &Resource, kind: &GroupVersionKind, value: &mut Value) -> Result<Vec<String>, String> {
    if let Some(definition) = row.custom.as_ref().filter(|_| *kind == row.gvk) {
        return api::custom::fit(definition, value);
    }
    let built_in;
    let (schemas, schema) = if *kind == row.gvk {
        (&row.schemas, Some(row.schema_id))
    } else {
        // A subresource's kind is always a built-in one.
        built_in = api::schema::built_in();
        (&built_in, built_in.id(&api::schema_name(kind)))
    };
    match schema {
        Some(id) => apimachinery::decode::fit(schemas, id, value).map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    }
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or("")
}

fn check_kind(value: &mut Value, kind: &GroupVersionKind) -> Result<(), ApiError> {
    let given_kind = meta::kind(value).to_owned();
    let given_version = meta::api_version(value).to_owned();
    if given_kind.is_empty() {
        value["kind"] = json!(kind.kind);
    }
    if given_version.is_empty() {
        value["apiVersion"] = json!(kind.api_version());
    }
    if !given_kind.is_empty() && given_kind != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version {:?} cannot be handled as a {}: converting ({}.{given_kind}) to ({}.{}): unknown conversion",
            version_of(&given_version),
            kind.kind,
            version_of(&given_version),
            kind.group
                .split('.')
                .next()
                .filter(|group| !group.is_empty())
                .unwrap_or("core"),
            kind.kind
        )));
    }
    if !given_version.is_empty() && given_version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    Ok(())
}

/// Fills in what the client left out.
pub fn default(row: &Resource, value: &mut Value) {
    api::defaults::apply(row, value);
}

/// Cells of objects, without what every Table has.
pub fn table(_registry: &Registry, row: &Resource, objects: &[Value]) -> Value {
    api::table::render(row, objects, jiff::Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn open_brackets_are_counted_before_yaml_is_parsed() {
        let begin = Instant::now();
        for open in ["[", "{a: ", "- [", "x: {"] {
            let text = open.repeat(500_000);
            let error = parse_yaml(text.as_bytes()).unwrap_err();
            assert!(error.contains("max depth"), "{error}");
        }
        // Parsing one of them took minutes.
        assert!(begin.elapsed() < Duration::from_secs(10));
        let many = format!("a: [{}]", "[1], {b: 2}, ".repeat(2000));
        assert!(parse_yaml(many.as_bytes()).is_ok());
    }
}
