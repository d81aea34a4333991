//! Which scalar fields tell zero from absent, learned from recorded protobuf: the reference always
//! writes a plain scalar and leaves out an unset optional one.
use super::prost::{Field, Messages};
use base64::Engine;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of one schema: per field, in how many instances it was there; and the instances.
#[derive(Default)]
pub struct Seen {
    pub instances: usize,
    pub fields: BTreeMap<String, usize>,
}

/// By schema name.
pub type Presence = BTreeMap<String, Seen>;

/// Learns presence from pairs of JSON and protobuf.
pub fn learn(raw: &Value, messages: &Messages, pairs: &Value) -> Presence {
    let mut learner = Learner {
        raw,
        messages,
        presence: Presence::new(),
        kinds: kinds(raw),
    };
    for pair in pairs.as_array().into_iter().flatten() {
        let text = |key: &str| pair["json"][key].as_str().unwrap_or("").to_owned();
        let Some(schema) = learner.kinds.get(&(text("apiVersion"), text("kind"))).cloned() else {
            continue;
        };
        let Ok(bytes) =
            base64::engine::general_purpose::STANDARD.decode(pair["protobuf"].as_str().unwrap_or(""))
        else {
            continue;
        };
        // "k8s\0" and then runtime.Unknown, whose field 2 is the object.
        for (tag, payload) in fields(bytes.get(4..).unwrap_or(&[])) {
            if let (2, Some(object)) = (tag, payload) {
                learner.message(&schema, &message_name(&schema), object, true);
            }
        }
    }
    learner.presence
}

struct Learner<'a> {
    raw: &'a Value,
    messages: &'a Messages,
    presence: Presence,
    kinds: BTreeMap<(String, String), String>,
}

impl Learner<'_> {
    fn message(&mut self, schema: &str, message: &str, bytes: &[u8], count: bool) {
        let Some(shape) = self.messages.get(message) else {
            return;
        };
        let properties = &self.raw[schema]["properties"];
        let mut there = BTreeSet::new();
        for (tag, payload) in fields(bytes) {
            let Some(field) = shape.fields.iter().find(|field| field.tag == tag) else {
                continue;
            };
            match property(properties, &field.name) {
                Some((name, property)) => {
                    there.insert(name.to_owned());
                    if let (Some(payload), Some(below)) = (payload, reference(property)) {
                        self.nested(field, &below, payload);
                    }
                }
                // An embedded struct: nested in protobuf, flat in JSON.
                None => {
                    let inner = format!(
                        "{}.{}",
                        message.rsplit_once('.').map_or("", |(module, _)| module),
                        field.ty
                    );
                    if let Some(payload) = payload {
                        self.message(schema, &inner, payload, false);
                    }
                }
            }
        }
        let seen = self.presence.entry(schema.to_owned()).or_default();
        seen.instances += usize::from(count);
        for name in there {
            *seen.fields.entry(name).or_default() += 1;
        }
    }

    fn nested(&mut self, field: &Field, below: &str, payload: &[u8]) {
        if !field.map {
            return self.message(below, &message_name(below), payload, true);
        }
        for (tag, value) in fields(payload) {
            if let (2, Some(value)) = (tag, value) {
                self.message(below, &message_name(below), value, true);
            }
        }
    }
}

/// `io.k8s.api.core.v1.Pod` is `api.core.v1.Pod` in the crate.
pub fn message_name(schema: &str) -> String {
    schema
        .replace("io.k8s.", "")
        .replace("kube-aggregator", "kube_aggregator")
        .replace("apiextensions-apiserver", "apiextensions_apiserver")
}

/// The property whose name is the field's but for case and underscores.
pub fn property<'a>(properties: &'a Value, field: &str) -> Option<(&'a str, &'a Value)> {
    let plain = |name: &str| name.replace(['_', '$'], "").to_lowercase();
    let wanted = plain(field);
    properties
        .as_object()?
        .iter()
        .find(|(name, _)| plain(name) == wanted)
        .map(|(name, property)| (name.as_str(), property))
}

/// The schema that a property, its items or its values refer to.
pub fn reference(property: &Value) -> Option<String> {
    let target = |value: &Value| {
        value["$ref"]
            .as_str()
            .map(|text| text.trim_start_matches("#/components/schemas/").to_owned())
    };
    target(property)
        .or_else(|| property["allOf"].get(0).and_then(target))
        .or_else(|| property.get("items").and_then(reference))
        .or_else(|| property.get("additionalProperties").and_then(reference))
}

fn kinds(raw: &Value) -> BTreeMap<(String, String), String> {
    let mut kinds = BTreeMap::new();
    for (name, schema) in raw.as_object().into_iter().flatten() {
        for gvk in schema["x-kubernetes-group-version-kind"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |key: &str| gvk[key].as_str().unwrap_or("");
            let version = if text("group").is_empty() {
                text("version").to_owned()
            } else {
                format!("{}/{}", text("group"), text("version"))
            };
            kinds.insert((version, text("kind").to_owned()), name.clone());
        }
    }
    kinds
}

/// Field numbers of a message with the payload of length-delimited ones; stops at what isn't protobuf.
fn fields(mut bytes: &[u8]) -> Vec<(u32, Option<&[u8]>)> {
    let mut out = Vec::new();
    while let Some((key, rest)) = varint(bytes) {
        let tag = (key >> 3) as u32;
        let (payload, rest) = match key & 7 {
            0 => match varint(rest) {
                Some((_, rest)) => (None, rest),
                None => break,
            },
            1 if rest.len() >= 8 => (None, &rest[8..]),
            5 if rest.len() >= 4 => (None, &rest[4..]),
            2 => match varint(rest) {
                Some((length, rest)) if rest.len() >= length as usize => {
                    (Some(&rest[..length as usize]), &rest[length as usize..])
                }
                _ => break,
            },
            _ => break,
        };
        out.push((tag, payload));
        bytes = rest;
    }
    out
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}
