//! Stored objects as they are shown: in the requested version and shape.

pub mod protobuf;

use crate::answer;
use crate::definitions::read;
use crate::kinds;
use crate::media::{self, Accepted, Encoding, Shape};
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::{Body, Response};
use crate::traces;
use crate::verbs::write::Shown;
use api::{Registry, Resource};
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupVersionKind, json, meta};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use storage::{ObjectRef, spans};

/// The object's JSON in the row's version; the stored bytes when that is the stored version.
pub fn json_bytes(row: &Resource, object: &ObjectRef) -> Result<Bytes, ApiError> {
    if let Some(definition) = &row.custom {
        return read::json(row, definition, object);
    }
    if !kinds::needs_conversion(row) {
        return Ok(object.json());
    }
    let value = value_of(row, object)?;
    Ok(json::to_bytes(&value).into())
}

/// The object in compact form, in the row's version.
pub fn compact(row: &Resource, object: &ObjectRef) -> Result<Compact, ApiError> {
    if row.custom.is_none() && kinds::needs_conversion(row) {
        return value_of(row, object).map(Compact::of);
    }
    crate::stores::parse_compact(object, &json_bytes(row, object)?)
        .map_err(|error| crate::stores::to_api_error(error, &row.group_resource(), object.name()))
}

/// The object as a value in the row's version.
pub fn value_of(row: &Resource, object: &ObjectRef) -> Result<Value, ApiError> {
    if let Some(definition) = &row.custom {
        return read::value(row, definition, object);
    }
    let value = crate::stores::parse(object).map_err(ApiError::internal)?;
    kinds::to_version(row, value)
}

/// Makes an answer of a kind, and tells the request's span of it.
pub fn told(
    request: &ApiRequest,
    kind: &GroupVersionKind,
    accepted: &Accepted,
    make: impl FnOnce() -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    spans::event("About to write a response");
    let span = traces::serializing(request, kind, accepted);
    let answer = make();
    traces::serialized(span, &answer);
    spans::event("Writing http response done");
    answer
}

/// An answer that is a value of a kind.
pub fn value(
    request: &ApiRequest,
    kind: &GroupVersionKind,
    accepted: &Accepted,
    code: StatusCode,
    value: &Value,
) -> Result<Response, ApiError> {
    told(request, kind, accepted, || {
        Ok(answer::value(code, value, accepted))
    })
}

/// An answer that is one object. What is stored in the wanted form is sent as it is.
pub fn one(
    server: &Server,
    request: &ApiRequest,
    row: &Resource,
    object: Shown,
    code: StatusCode,
    accepted: &Accepted,
) -> Result<Response, ApiError> {
    told(request, &row.gvk, accepted, || {
        made(server, request, row, object, code, accepted)
    })
}

fn made(
    server: &Server,
    request: &ApiRequest,
    row: &Resource,
    object: Shown,
    code: StatusCode,
    accepted: &Accepted,
) -> Result<Response, ApiError> {
    if let Shown::Stored(object) = &object
        && accepted.is_plain_json()
    {
        return Ok(answer::bytes_of(code, media::JSON, json_bytes(row, object)?));
    }
    if let Shown::Stored(object) = &object
        && accepted.encoding == Encoding::Protobuf
        && !matches!(accepted.shape, Shape::Table(_))
    {
        let body = protobuf::one(row, object, &accepted.shape)?;
        return Ok(answer::with_body(code, media::PROTOBUF, body));
    }
    if let Shown::Object(object) = &object
        && accepted.is_plain_json()
    {
        let mut text = object.to_bytes();
        text.push(b'\n');
        return Ok(answer::bytes_of(code, media::JSON, text));
    }
    let value = object.into_value(row)?;
    let shaped = shape_one(&server.registry.load(), row, value, &accepted.shape, request)?;
    Ok(answer::value(code, &shaped, accepted))
}

/// One object in a shape.
pub fn shape_one(
    registry: &Registry,
    row: &Resource,
    value: Value,
    shape: &Shape,
    request: &ApiRequest,
) -> Result<Value, ApiError> {
    match shape {
        Shape::Object | Shape::Discovery { .. } => Ok(value),
        Shape::PartialObject(version) | Shape::PartialList(version) => Ok(partial(&value, version)),
        Shape::Table(version) => {
            let metadata = json!({ "resourceVersion": meta::resource_version(&value) });
            table(registry, row, &[value], metadata, version, request)
        }
    }
}

/// Metadata only.
pub fn partial(value: &Value, version: &str) -> Value {
    let mut metadata = value.get("metadata").cloned().unwrap_or_else(|| json!({}));
    // The count of template changes is a field inside upstream, and an annotation only of whole objects.
    if value["kind"] == "DaemonSet"
        && let Some(map) = metadata.as_object_mut()
        && let Some(annotations) = map.get_mut("annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(api::TEMPLATE_GENERATION);
        if annotations.is_empty() {
            map.remove("annotations");
        }
    }
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": metadata,
    })
}

/// What each row of a Table carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    None,
    Metadata,
    Object,
}

/// Objects as a Table.
pub fn table(
    registry: &Registry,
    row: &Resource,
    objects: &[Value],
    metadata: Value,
    version: &str,
    request: &ApiRequest,
) -> Result<Value, ApiError> {
    let made = kinds::table(registry, row, objects);
    Ok(whole_table(made, objects, metadata, version, request))
}

/// The scale of an object of a kind in a shape.
pub fn scale(row: &Resource, value: Value, shape: &Shape, request: &ApiRequest) -> Value {
    match shape {
        Shape::Object | Shape::Discovery { .. } => value,
        Shape::PartialObject(version) | Shape::PartialList(version) => partial(&value, version),
        Shape::Table(version) => {
            let metadata = json!({ "resourceVersion": meta::resource_version(&value) });
            let made = api::table::render_scale(row, &value, jiff::Timestamp::now());
            whole_table(made, &[value], metadata, version, request)
        }
    }
}

/// Adds to columns and rows what every Table has.
fn whole_table(
    mut table: Value,
    objects: &[Value],
    metadata: Value,
    version: &str,
    request: &ApiRequest,
) -> Value {
    let include = match request.query.get("includeObject").unwrap_or("") {
        "None" => Include::None,
        "Object" => Include::Object,
        // What else it may say was looked at when the form was chosen.
        _ => Include::Metadata,
    };
    table["kind"] = json!("Table");
    table["apiVersion"] = json!(format!("meta.k8s.io/{version}"));
    table["metadata"] = metadata;
    if let Some(rows) = table["rows"].as_array_mut() {
        for (row, object) in rows.iter_mut().zip(objects) {
            match include {
                Include::None => row["object"] = Value::Null,
                Include::Metadata => row["object"] = partial(object, version),
                Include::Object => row["object"] = object.clone(),
            }
        }
    }
    table
}

/// An object as an item of a typed list, where upstream leaves kind and apiVersion out.
pub fn without_type(mut value: Value) -> Value {
    remove_type(&mut value);
    value
}

fn remove_type(value: &mut Value) {
    if let Some(map) = value.as_object_mut() {
        map.remove("kind");
        map.remove("apiVersion");
    }
}

/// The bytes of an object as an item of a list, after its opening brace.
pub fn list_item(row: &Resource, object: &ObjectRef) -> Result<Bytes, ApiError> {
    if row.custom.is_some() {
        return Ok(json_bytes(row, object)?.slice(1..));
    }
    if kinds::needs_conversion(row) {
        let bytes = Bytes::from(json::to_bytes(&without_type(value_of(row, object)?)));
        return Ok(bytes.slice(1..));
    }
    // An opening brace, then the stored bytes after kind and apiVersion, without a copy.
    Ok(object.untyped_json())
}

/// A list as slices: its items, each after its opening brace, between what is the list's own.
pub fn list_of(row: &Resource, metadata: &Value, items: impl IntoIterator<Item = Bytes>) -> Body {
    let header = format!(
        r#"{{"kind":"{}","apiVersion":"{}","metadata":{metadata},"items":["#,
        row.list_kind,
        row.gvk.api_version()
    );
    let mut slices = vec![Bytes::from(header)];
    for (position, item) in items.into_iter().enumerate() {
        slices.push(Bytes::from_static(if position > 0 { b",{" } else { b"{" }));
        slices.push(item);
    }
    slices.push(Bytes::from_static(b"]}\n"));
    Body::slices(slices)
}
