//! The version 3 documents of the registry. Each is made when it is first asked for and then kept compressed, until
//! a row of its group and version changes; of those that nobody asked for only the hash is kept.

use super::version3;
use crate::protobuf::document::encode;
use api::{Registry, Resource};
use bytes::Bytes;
use component_config::versions::Version;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Protobuf,
}

/// A document, compressed with gzip, and the hash of its JSON, which names it in both forms.
#[derive(Clone)]
pub struct Document {
    pub hash: Arc<str>,
    pub gzip: Bytes,
}

#[derive(Default)]
pub struct Documents {
    /// The version that they say they are of, if it is not the program's own.
    version: Option<Version>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    of: Option<Arc<Registry>>,
    index: Option<Arc<Value>>,
    groups: HashMap<String, Group>,
}

/// What was made of some rows.
struct Group {
    rows: Vec<Arc<Resource>>,
    hash: Arc<str>,
    json: Option<Bytes>,
    protobuf: Option<Bytes>,
}

impl Group {
    fn kept(&mut self, form: Form) -> &mut Option<Bytes> {
        match form {
            Form::Json => &mut self.json,
            Form::Protobuf => &mut self.protobuf,
        }
    }
}

impl Documents {
    /// Those of a server that behaves as this version.
    pub fn of(version: Version) -> Self {
        Self {
            version: Some(version),
            ..Self::default()
        }
    }

    fn make(&self, registry: &Registry, name: &str) -> Option<Value> {
        let mut document = api::openapi::v3_document(registry, name)?;
        if let Some(version) = self.version {
            document["info"]["version"] = Value::from(version.to_string());
        }
        Some(document)
    }

    /// What is known already and can be had without waiting for another that makes it.
    pub fn at_hand(&self, registry: &Arc<Registry>, name: &str, form: Form) -> Option<Document> {
        let mut known = self.known.try_lock()?;
        if !known.is_of(registry) {
            return None;
        }
        let group = known.groups.get_mut(name)?;
        let gzip = group.kept(form).clone()?;
        let hash = Arc::clone(&group.hash);
        Some(Document { hash, gzip })
    }

    /// The document of that name (`apis/apps/v1`). It may have to be made, which takes milliseconds.
    /// `None` when there is none of that name.
    pub fn get(&self, registry: &Arc<Registry>, name: &str, form: Form) -> io::Result<Option<Document>> {
        let mut known = self.known.lock();
        known.renew(registry);
        if let Some(group) = known.groups.get_mut(name)
            && let Some(gzip) = group.kept(form).clone()
        {
            let hash = Arc::clone(&group.hash);
            return Ok(Some(Document { hash, gzip }));
        }
        let Some(document) = self.make(registry, name) else {
            return Ok(None);
        };
        let json = document.to_string().into_bytes();
        let bytes = match form {
            Form::Json => compress(&json)?,
            Form::Protobuf => compress(&encode(&version3::DOCUMENT, &document))?,
        };
        let group = known.groups.entry(name.to_owned()).or_insert_with(|| Group {
            rows: rows(registry, name),
            hash: hash(&json),
            json: None,
            protobuf: None,
        });
        *group.kept(form) = Some(bytes.clone());
        let hash = Arc::clone(&group.hash);
        Ok(Some(Document { hash, gzip: bytes }))
    }

    /// The index that is known already.
    pub fn index_at_hand(&self, registry: &Arc<Registry>) -> Option<Arc<Value>> {
        let known = self.known.try_lock()?;
        known.index.clone().filter(|_| known.is_of(registry))
    }

    /// Names of all documents, each with its address. Documents whose hash isn't known are made for it.
    pub fn index(&self, registry: &Arc<Registry>) -> Arc<Value> {
        let mut known = self.known.lock();
        known.renew(registry);
        if let Some(index) = &known.index {
            return Arc::clone(index);
        }
        let mut paths = Map::new();
        for name in api::openapi::v3_names(registry) {
            if !known.groups.contains_key(&name) {
                let Some(document) = self.make(registry, &name) else {
                    continue;
                };
                let group = Group {
                    rows: rows(registry, &name),
                    hash: hash(document.to_string().as_bytes()),
                    json: None,
                    protobuf: None,
                };
                known.groups.insert(name.clone(), group);
            }
            let url = address(&name, &known.groups[&name].hash);
            paths.insert(name, json!({ "serverRelativeURL": url }));
        }
        let index = Arc::new(json!({ "paths": paths }));
        known.index = Some(Arc::clone(&index));
        index
    }
}

impl Known {
    fn is_of(&self, registry: &Arc<Registry>) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, registry))
    }

    /// Forgets what a newer registry has changed.
    fn renew(&mut self, registry: &Arc<Registry>) {
        if self.is_of(registry) {
            return;
        }
        self.groups.retain(|name, group| {
            let rows = rows(registry, name);
            let same = |(a, b): (&Arc<Resource>, &Arc<Resource>)| Arc::ptr_eq(a, b);
            rows.len() == group.rows.len() && rows.iter().zip(&group.rows).all(same)
        });
        self.index = None;
        self.of = Some(Arc::clone(registry));
    }
}

fn rows(registry: &Registry, name: &str) -> Vec<Arc<Resource>> {
    api::openapi::v3_rows(registry, name).cloned().collect()
}

/// The path of a document with its hash.
pub fn address(name: &str, hash: &str) -> String {
    format!("/openapi/v3/{name}?hash={hash}")
}

/// The hash of a document: upstream's.
pub fn hash(bytes: &[u8]) -> Arc<str> {
    hex::encode_upper(Sha512::digest(bytes)).into()
}

fn compress(bytes: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// The bytes that were compressed.
pub fn decompress(gzip: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoder = GzDecoder::new(Vec::new());
    decoder.write_all(gzip)?;
    decoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::GroupVersionResource;

    #[test]
    fn a_document_is_kept_until_a_row_of_its_group_changes() {
        let documents = Documents::default();
        let first = Arc::new(Registry::built_in());
        assert!(documents.at_hand(&first, "apis/policy/v1", Form::Json).is_none());
        let made = |registry: &Arc<Registry>, name: &str, form| {
            documents.get(registry, name, form).unwrap().unwrap()
        };
        let policy = made(&first, "apis/policy/v1", Form::Json);
        let message = made(&first, "apis/policy/v1", Form::Protobuf);
        assert_eq!(policy.hash, message.hash);
        assert_ne!(policy.gzip, message.gzip);
        let node = made(&first, "apis/node.k8s.io/v1", Form::Json);

        let mut changed = (*first).clone();
        changed.remove(&GroupVersionResource::new("policy", "v1", "poddisruptionbudgets"));
        let changed = Arc::new(changed);
        // Nothing else would make it again.
        let same = made(&changed, "apis/node.k8s.io/v1", Form::Json);
        assert_eq!(same.gzip.as_ptr(), node.gzip.as_ptr());
        assert!(
            documents
                .at_hand(&changed, "apis/policy/v1", Form::Json)
                .is_none()
        );
        let gone = documents.get(&changed, "apis/policy/v1", Form::Json);
        assert!(gone.unwrap().is_none());
        assert!(documents.index(&changed)["paths"].get("apis/policy/v1").is_none());
        let url = &documents.index(&first)["paths"]["apis/policy/v1"]["serverRelativeURL"];
        assert_eq!(url, &json!(address("apis/policy/v1", &policy.hash)));
    }
}
