//! What is particular to a kind, in the words of the handlers: versions, decoding, tables.

pub mod events;
pub mod said;
pub mod yaml;

use crate::media;
use crate::protobuf;
use crate::verbs::options::FieldValidation;
use api::{Registry, Resource};
use apimachinery::decode::{self, DecodeError, Unchanged};
use apimachinery::json::Fraction;
use apimachinery::managed_fields::Compact;
use apimachinery::schema::{SchemaId, SchemaSet};
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
            api::autoscalers::from_v2(&mut value);
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
        api::autoscalers::to_v2(&mut value);
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

/// Takes out of what a client wrote what only a conversion may say.
pub fn drop_conversions(kind: &GroupVersionKind, value: &mut Value) {
    // The version that has fields for everything.
    if kind.kind == "HorizontalPodAutoscaler" && kind.group == "autoscaling" && kind.version == "v2" {
        api::autoscalers::drop_annotations(value);
    }
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
pub const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// What a body says.
pub struct Body<T> {
    pub value: T,
    /// Paths of the keys that JSON has twice.
    pub duplicates: Vec<String>,
    /// Numbers of JSON as it has them.
    pub fractions: Vec<Fraction>,
    /// Read as YAML, of which `yaml::duplicates` tells what it has twice.
    pub is_yaml: bool,
}

/// Parses JSON or YAML.
pub fn parse_body(bytes: &[u8], media_type: &str) -> Result<Body<Value>, String> {
    let body = parse_object(bytes, media_type)?;
    Ok(Body {
        value: body.value.into_whole(),
        duplicates: body.duplicates,
        fractions: body.fractions,
        is_yaml: body.is_yaml,
    })
}

/// The same for the body that is an object of a kind.
fn parse_object(bytes: &[u8], media_type: &str) -> Result<Body<Compact>, String> {
    let json = || {
        Compact::parse(bytes).map(|(value, document)| Body {
            value,
            duplicates: document.duplicates,
            fractions: document.fractions,
            is_yaml: false,
        })
    };
    if media_type != media::YAML {
        return json().map_err(|error| error.to_string());
    }
    // Most clients send JSON by that name, which is read as such where both readers agree.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && let Ok(mut body) = json()
        && body.duplicates.is_empty()
    {
        // Those of YAML are numbers before they are anything else.
        body.fractions.clear();
        return Ok(body);
    }
    Ok(Body {
        value: Compact::of(yaml::parse(bytes)?),
        duplicates: Vec::new(),
        fractions: Vec::new(),
        is_yaml: true,
    })
}

/// Whether objects of a kind are a custom resource's own, not those of a subresource.
pub fn is_own_custom(row: &Resource, kind: &GroupVersionKind) -> bool {
    row.custom.is_some() && *kind == row.gvk
}

/// Upstream looks for the kind in JSON first; YAML must have become that before.
const UNTYPED: &str = "couldn't get version/kind; json parse error: ";

/// Decodes an object of a kind from a request body.
pub fn decode(
    row: &Resource,
    kind: &GroupVersionKind,
    bytes: &[u8],
    media_type: &str,
    mode: FieldValidation,
) -> Result<Decoded, ApiError> {
    let own_custom = is_own_custom(row, kind);
    if media_type == media::PROTOBUF && !own_custom {
        return decode_protobuf(row, kind, bytes);
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
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            kind.kind,
            summary(bytes)
        ))
    };
    let Body {
        mut value,
        duplicates,
        fractions,
        is_yaml,
    } = parse_object(bytes, media_type).map_err(|error| {
        unrecognized(if media_type == media::YAML {
            error
        } else {
            format!("{UNTYPED}{error}")
        })
    })?;
    // Go reads null as an object without fields.
    if value.is_null() {
        value = Compact::of(json!({}));
    }
    if !value.is_object() {
        return Err(unrecognized(format!(
            "{UNTYPED}json: cannot unmarshal {} into Go value of type {TYPE_META}",
            apimachinery::decode::noun(&value)
        )));
    }
    interpret(&value).map_err(unrecognized)?;
    if own_custom {
        check_custom_type(&value, kind, bytes, mode)?;
    } else {
        check_kind(&mut value, kind)?;
    }
    let unknown = fit_by(row, kind, &mut value, |set, id, value| {
        decode::restore_quantities(set, id, value, &fractions);
        decode::fit(set, id, value)
    })
    .map_err(cannot)?;
    drop_conversions(kind, &mut value);
    if mode == FieldValidation::Ignore {
        return Ok(Decoded {
            value,
            warnings: Vec::new(),
        });
    }
    let lines = if is_yaml {
        yaml::duplicates(bytes)
    } else {
        Vec::new()
    };
    // Custom objects are read whole before they are compared with their schema.
    let problems = if own_custom || is_yaml {
        apimachinery::json::listed(&duplicates, &unknown)
    } else {
        apimachinery::json::problems(bytes, &duplicates, &unknown)
    };
    if mode == FieldValidation::Warn || (lines.is_empty() && problems.is_empty()) {
        return Ok(Decoded {
            value,
            warnings: lines.into_iter().chain(problems).collect(),
        });
    }
    let strict = yaml::error(&lines).into_iter().chain(problems);
    let joined = strict.collect::<Vec<_>>().join(", ");
    Err(cannot(format!("strict decoding error: {joined}")))
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

/// Fits a changed object to its row's schema; gives unknown fields, which are dropped. What stays fits.
pub fn fit_change(row: &Resource, value: &mut Value, unchanged: &Unchanged) -> Result<Vec<String>, String> {
    match &row.custom {
        Some(definition) => api::custom::fit(definition, value),
        None => decode::fit_except(&row.schemas, row.schema_id, value, unchanged)
            .map_err(|error| error.to_string()),
    }
}

/// Fits a value to the kind's schema; gives unknown fields, which are dropped.
pub fn fit(row: &Resource, kind: &GroupVersionKind, value: &mut Value) -> Result<Vec<String>, String> {
    fit_by(row, kind, value, decode::fit)
}

/// The same for what admission made of an object; one of a custom kind keeps what its schema doesn't have, until it is settled.
pub fn fit_admitted(
    row: &Resource,
    kind: &GroupVersionKind,
    value: &mut Value,
) -> Result<Vec<String>, String> {
    match row.custom.as_ref().filter(|_| *kind == row.gvk) {
        Some(definition) => api::custom::fit_metadata(definition, value).map(|()| Vec::new()),
        None => fit(row, kind, value),
    }
}

/// Drops of a custom object that admission has changed, and let pass, what isn't stored.
pub fn settle_admitted(row: &Resource, value: &mut Value) -> Result<(), ApiError> {
    let Some(definition) = &row.custom else {
        return Ok(());
    };
    api::custom::fit(definition, value)
        .map(drop)
        .map_err(ApiError::internal)
}

/// As `fit`, for a value that upstream converts to the kind's type without JSON, and words errors accordingly.
pub fn fit_unstructured(
    row: &Resource,
    kind: &GroupVersionKind,
    value: &mut Value,
) -> Result<Vec<String>, String> {
    fit_by(row, kind, value, |set, id, value| {
        decode::fit_unstructured(set, id, value, &Unchanged::default())
    })
}

fn fit_by(
    row: &Resource,
    kind: &GroupVersionKind,
    value: &mut Value,
    how: impl Fn(&SchemaSet, SchemaId, &mut Value) -> Result<Vec<String>, DecodeError>,
) -> Result<Vec<String>, String> {
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
        Some(id) => how(schemas, id, value).map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    }
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or("")
}

/// Evictions are taken in their older version as well, which has the same fields.
const OLD_EVICTION: &str = "policy/v1beta1";

/// What is read of any body first: kind and version must be texts, and the version one of a group.
pub fn interpret(value: &Value) -> Result<(), String> {
    for field in ["kind", "apiVersion"] {
        let given = &value[field];
        if !given.is_string() && !given.is_null() {
            return Err(format!(
                "{UNTYPED}json: cannot unmarshal {} into Go struct field .{field} of type string",
                apimachinery::decode::noun(given)
            ));
        }
    }
    let version = meta::api_version(value);
    if version.matches('/').count() > 1 {
        return Err(format!("unexpected GroupVersion string: {version}"));
    }
    Ok(())
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
    if kind.kind == "Eviction" && given_version == OLD_EVICTION {
        value["apiVersion"] = json!(kind.api_version());
        return Ok(());
    }
    if given_version.is_empty() {
        return Ok(());
    }
    check_version(&given_version, kind)
}

/// What custom objects miss that say nothing of their kind.
pub fn without_kind(object: &str) -> String {
    format!("Object 'Kind' is missing in '{object}'")
}

/// Custom objects name their kind and version. That the kind is the right one is looked at when they are validated.
fn check_custom_type(
    value: &Value,
    kind: &GroupVersionKind,
    bytes: &[u8],
    mode: FieldValidation,
) -> Result<(), ApiError> {
    if meta::kind(value).is_empty() {
        let why = without_kind(&String::from_utf8_lossy(bytes));
        // The strict decoder, which all modes but one use, no longer knows the expected kind.
        return Err(ApiError::bad_request(match mode {
            FieldValidation::Ignore => format!(
                "{} in version {:?} cannot be handled as a {}: {why}",
                kind.kind, kind.version, kind.kind
            ),
            _ => format!(
                "the object provided is unrecognized (must be of type {}): {why} ({})",
                kind.kind,
                summary(bytes)
            ),
        }));
    }
    check_version(meta::api_version(value), kind)
}

fn check_version(given: &str, kind: &GroupVersionKind) -> Result<(), ApiError> {
    let expected = kind.api_version();
    if given == expected {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "the API version in the data ({given}) does not match the expected API version ({expected})"
    )))
}

/// Fills in what the client left out.
pub fn default(row: &Resource, value: &mut Value) {
    api::defaults::apply(row, value);
}

/// Cells of objects, without what every Table has.
pub fn table(_registry: &Registry, row: &Resource, objects: &[Value]) -> Value {
    api::table::render(row, objects, jiff::Timestamp::now())
}
