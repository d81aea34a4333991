//! Stored objects as protobuf. An object's message is made once and kept beside it.

use crate::kinds;
use crate::media::Shape;
use crate::protobuf::{ProtobufError, encode, envelope};
use crate::serving::body::Body;
use api::Resource;
use apimachinery::ApiError;
use bytes::Bytes;
use serde_json::Value;
use storage::{EncodingId, ObjectRef};

/// The whole message in the storage version.
const MESSAGE: EncodingId = EncodingId(1);

/// The kind that an object is answered as.
fn kind_of(row: &Resource, shape: &Shape) -> (String, String) {
    match shape {
        Shape::PartialObject(version) | Shape::PartialList(version) => (
            format!("meta.k8s.io/{version}"),
            "PartialObjectMetadata".to_owned(),
        ),
        _ => (row.gvk.api_version(), row.gvk.kind.clone()),
    }
}

fn unencodable(error: ProtobufError) -> ApiError {
    ApiError::internal(error)
}

/// The object's message, without an envelope.
fn message(row: &Resource, object: &ObjectRef, shape: &Shape) -> Result<Bytes, ApiError> {
    if *shape != Shape::Object {
        let json = match row.custom {
            Some(_) => super::json_bytes(row, object)?,
            None => object.json(),
        };
        let made = encode::metadata(&row.schemas, &json);
        return made.map(Bytes::from).map_err(unencodable);
    }
    let schema = api::schema_name(&row.gvk);
    if kinds::needs_conversion(row) {
        let json = super::json_bytes(row, object)?;
        let made = encode::message(&row.schemas, &schema, &json);
        return made.map(Bytes::from).map_err(unencodable);
    }
    object.encoding(MESSAGE, |object| {
        encode::message(&row.schemas, &schema, object.json_bytes())
            .map(Bytes::from)
            .map_err(unencodable)
    })
}

/// One object in its envelope.
pub fn one(row: &Resource, object: &ObjectRef, shape: &Shape) -> Result<Body, ApiError> {
    let message = message(row, object, shape)?;
    let (api_version, kind) = kind_of(row, shape);
    let around = envelope::around(&api_version, &kind, message.len());
    Ok(Body::slices(vec![
        around.start.into(),
        message,
        Bytes::from_static(around.end),
    ]))
}

/// A list in its envelope: slices of the objects' messages.
pub fn list(
    row: &Resource,
    objects: &[ObjectRef],
    metadata: &Value,
    shape: &Shape,
) -> Result<Body, ApiError> {
    let header = encode::list_metadata(&api::schema::built_in(), metadata).map_err(unencodable)?;
    let mut slices = Vec::with_capacity(objects.len() * 2 + 3);
    slices.push(Bytes::new());
    slices.push(envelope::field(1, header.len(), &header).into());
    for object in objects {
        let message = message(row, object, shape)?;
        slices.push(envelope::field(2, message.len(), &[]).into());
        slices.push(message);
    }
    let (api_version, kind) = kind_of(row, shape);
    let kind = match shape {
        Shape::Object => row.list_kind.clone(),
        _ => format!("{kind}List"),
    };
    let length = slices.iter().map(Bytes::len).sum();
    let around = envelope::around(&api_version, &kind, length);
    slices[0] = around.start.into();
    slices.push(Bytes::from_static(around.end));
    Ok(Body::slices(slices))
}

/// A frame of a watch.
pub fn frame(event: &str, row: &Resource, object: &ObjectRef, shape: &Shape) -> Result<Bytes, ApiError> {
    let (api_version, kind) = kind_of(row, shape);
    Ok(envelope::watch_frame(
        event,
        &api_version,
        &kind,
        &message(row, object, shape)?,
    ))
}

/// A frame with an object that isn't stored: a bookmark's, or the Status of an error.
pub fn frame_of(event: &str, object: &Value) -> Result<Bytes, ApiError> {
    let object = encode::answer(&api::schema::built_in(), object).map_err(unencodable)?;
    Ok(envelope::watch_frame_of(event, &object))
}
