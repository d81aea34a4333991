//! Objects as protobuf messages, made straight from their JSON text.

mod plan;
mod seed;
pub mod writer;

use super::{ProtobufError, envelope};
use apimachinery::schema::SchemaSet;
use apimachinery::{GroupVersion, meta};
use plan::PLANS;
use seed::MessageSeed;
use serde::de::DeserializeSeed;
use serde_json::Value;
use serde_json::value::RawValue;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The message of a schema, without an envelope. `json` is the object's text; null fields and fields that the
/// message doesn't have are left out, so `kind` and `apiVersion` are.
pub fn message(set: &SchemaSet, schema: &str, json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    // Messages are about two thirds of their JSON.
    let mut out = Vec::with_capacity(json.len() / 4 * 3);
    append(set, schema, json, &mut out, 0)?;
    Ok(out)
}

/// The message of an object reduced to its metadata, from the text of the whole object.
pub fn metadata(set: &SchemaSet, json: &[u8]) -> Result<Vec<u8>, ProtobufError> {
    #[derive(serde::Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: Option<&'a RawValue>,
    }
    let object: Object<'_> =
        serde_json::from_slice(json).map_err(|error| ProtobufError::Unencodable(error.to_string()))?;
    let mut out = Vec::new();
    if let Some(metadata) = object.metadata {
        writer::nested(&mut out, 1, |out| {
            append(set, api::schema::OBJECT_META, metadata.get().as_bytes(), out, 1)
        })?;
    }
    Ok(out)
}

/// The message of a list's metadata.
pub fn list_metadata(set: &SchemaSet, metadata: &Value) -> Result<Vec<u8>, ProtobufError> {
    message(set, &format!("{META}ListMeta"), metadata.to_string().as_bytes())
}

/// An answer in its envelope, of the kind and apiVersion that it carries.
pub fn answer(set: &SchemaSet, value: &Value) -> Result<Vec<u8>, ProtobufError> {
    let (api_version, kind) = (meta::api_version(value), meta::kind(value));
    let json = serde_json::to_vec(value).map_err(|_| ProtobufError::Malformed)?;
    let message = match kind {
        "PartialObjectMetadata" => metadata(set, &json)?,
        _ => message(set, &schema_of(api_version, kind)?, &json)?,
    };
    Ok(envelope::wrap(api_version, kind, &message))
}

/// The schema of a kind that an answer may be of.
fn schema_of(api_version: &str, kind: &str) -> Result<String, ProtobufError> {
    let unknown = || ProtobufError::UnknownKind(format!("{api_version} {kind}"));
    let version = GroupVersion::parse(api_version).map_err(|_| unknown())?;
    let own = api::schema_name(&version.kind(kind));
    if PLANS.contains_key(own.as_str()) {
        return Ok(own);
    }
    // Status and its like are served as v1.
    let shared = format!("{META}{kind}");
    if api_version == "v1" && PLANS.contains_key(shared.as_str()) {
        return Ok(shared);
    }
    Err(unknown())
}

pub(super) fn append(
    set: &SchemaSet,
    schema: &str,
    json: &[u8],
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), ProtobufError> {
    let unknown = || ProtobufError::UnknownKind(schema.to_owned());
    let plan = PLANS.get(schema).ok_or_else(unknown)?;
    let schema = set.by_name(schema).ok_or_else(unknown)?;
    run(
        MessageSeed {
            set,
            schema,
            plan,
            out,
            depth,
        },
        json,
    )
}

fn run(seed: MessageSeed<'_, '_>, json: &[u8]) -> Result<(), ProtobufError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    seed.deserialize(&mut deserializer)
        .map_err(|error| ProtobufError::Unencodable(error.to_string()))
}
