//! Objects as they stand in the store, read as upstream reads them: in its encoding too, in older versions, and with the
//! defaults that the server that wrote them did not know.

use super::stamp::Stamp;
use crate::services::{self, families};
use crate::{kinds, protobuf};
use api::Resource;
use api::former::{self, Former, Message};
use apimachinery::managed_fields::Compact;
use apimachinery::{GroupVersion, meta};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Decoded, StoredDecoder};

/// Reads and writes one kind's stored objects.
pub struct StoredKind {
    row: Arc<Resource>,
    /// Whether its objects may lack defaults.
    has_defaults: bool,
    /// The family of addresses that old services have without saying so; of services only.
    primary: Option<&'static str>,
    /// How JSON of the row's version begins, ours and upstream's: nothing else has to be looked at to know it.
    openings: [Vec<u8>; 2],
    /// The version that is written, and whether it is another one than the row's.
    written: GroupVersion,
    is_written_older: bool,
    /// On what needs no look, since this server or one like it wrote it.
    stamp: Option<Stamp>,
    hasher: ahash::RandomState,
}

impl StoredKind {
    /// `row` in its storage version.
    pub fn new(row: Arc<Resource>) -> Self {
        let (version, kind) = (&row.storage_version, &row.gvk.kind);
        let written = row.written_version();
        Self {
            has_defaults: api::defaults::has_any(&row),
            primary: None,
            openings: [
                format!(r#"{{"apiVersion":"{version}","kind":"{kind}""#).into_bytes(),
                format!(r#"{{"kind":"{kind}","apiVersion":"{version}""#).into_bytes(),
            ],
            is_written_older: written != *version,
            written,
            stamp: None,
            row,
            hasher: ahash::RandomState::new(),
        }
    }

    /// The same where `primary` is the family of the cluster's first range of services.
    pub fn in_cluster(row: Arc<Resource>, primary: &'static str) -> Self {
        Self {
            primary: services::is_service(&row).then_some(primary),
            ..Self::new(row)
        }
    }

    /// The same in a server of a build that is known: what its like wrote, watched by each of several servers, isn't parsed.
    #[must_use]
    pub fn written_by(self, build: Option<&'static str>) -> Self {
        let looked_at = self.has_defaults && !self.is_written_older;
        let row = &self.row;
        let (kind, version) = (&row.gvk.kind, row.storage_version.to_string());
        let stamp = build
            .filter(|_| looked_at)
            .map(|build| Stamp::of((build, row.features, kind, version, self.primary)));
        Self { stamp, ..self }
    }

    /// Nearly all objects have all defaults and are served as the bytes that they are. To compare hashes costs a fraction
    /// of a copy of the value.
    fn of_json(&self, stored: &[u8]) -> Result<Option<Decoded>, String> {
        if self.stamp.is_some_and(|stamp| stamp.is_on(stored)) {
            return Ok(None);
        }
        let is_current = self.openings.iter().any(|opening| stored.starts_with(opening));
        if is_current && !self.has_defaults && !self.is_written_older {
            return Ok(None);
        }
        // What is no JSON is refused by whoever looks for its metadata.
        let Ok(mut object) = Compact::parse_written(stored, &[]) else {
            return Ok(None);
        };
        if !is_current && let Some(former) = self.version(meta::api_version(&object), meta::kind(&object))? {
            let is_outdated = meta::api_version(&object) != self.written.to_string();
            former.upgrade(&self.row.storage_version, &mut object);
            self.complete(&mut object)?;
            let json = object.to_bytes();
            return Ok(Some(Decoded { json, is_outdated }));
        }
        let before = self.hasher.hash_one(&*object);
        self.fill(&mut object);
        if self.hasher.hash_one(&*object) != before {
            self.complete(&mut object)?;
        } else if !self.is_written_older {
            return Ok(None);
        }
        Ok(Some(Decoded {
            json: object.to_bytes(),
            is_outdated: true,
        }))
    }

    fn of_protobuf(&self, stored: &[u8]) -> Result<Decoded, String> {
        let row = &self.row;
        let envelope = protobuf::open(stored).map_err(|error| error.to_string())?;
        let former = self.version(&envelope.api_version, &envelope.kind)?;
        let message = former.map_or(Message::Same, |former| former.message);
        let mut value = match message {
            Message::Same => protobuf::decode(&row.schemas, &row.schema().name, envelope.raw),
            Message::Of(schema) => protobuf::decode(&row.schemas, schema, envelope.raw),
            Message::Older => protobuf::former::decode(row.schema_id, envelope.raw),
        }
        .map_err(|error| error.to_string())?;
        value["kind"] = json!(row.gvk.kind);
        value["apiVersion"] = json!(row.storage_version.to_string());
        if let Some(former) = former {
            former.upgrade(&row.storage_version, &mut value);
        }
        self.complete(&mut value)?;
        Ok(Decoded {
            json: serde_json::to_vec(&value).map_err(|error| error.to_string())?,
            is_outdated: true,
        })
    }

    /// What is to be known of the version of a stored object; None when it is the row's, or not told.
    fn version(&self, api_version: &str, kind: &str) -> Result<Option<&'static Former>, String> {
        let (now, row) = (self.row.storage_version.to_string(), &self.row);
        let is_kind = kind.is_empty() || kind == row.gvk.kind;
        if is_kind && (api_version.is_empty() || api_version == now) {
            return Ok(None);
        }
        let former = former::find(&row.gvk, api_version).filter(|_| is_kind);
        former.map(Some).ok_or_else(|| {
            format!(
                "stored as {api_version} {kind}, which is not read; expected {now} {}",
                row.gvk.kind
            )
        })
    }

    fn complete(&self, value: &mut Value) -> Result<(), String> {
        let kind = self.row.storage_version.kind(self.row.gvk.kind.as_str());
        kinds::fit(&self.row, &kind, value)?;
        self.fill(value);
        Ok(())
    }

    fn fill(&self, value: &mut Value) {
        api::defaults::apply(&self.row, value);
        if let Some(primary) = self.primary {
            families::as_read(value, primary);
        }
    }
}

impl StoredDecoder for StoredKind {
    fn decode(&self, stored: &[u8]) -> Result<Option<Decoded>, String> {
        match stored.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => self.of_json(stored),
            _ => self.of_protobuf(stored).map(Some),
        }
    }

    fn encode(&self, mut json: Vec<u8>) -> Result<Vec<u8>, String> {
        if let Some(stamp) = self.stamp {
            stamp.put(&mut json);
        }
        if !self.is_written_older {
            return Ok(json);
        }
        let mut object = Compact::parse_written(&json, &[]).map_err(|error| error.to_string())?;
        former::downgrade(&self.row.gvk.kind, &self.written, &mut object);
        Ok(object.to_bytes())
    }
}

#[cfg(test)]
mod tests;
