//! Objects as they stand in the store, read as upstream reads them: in its encoding too, and with the defaults that the
//! server that wrote them did not know.

use crate::services::{self, families};
use crate::{kinds, protobuf};
use api::Resource;
use apimachinery::managed_fields::Compact;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::StoredDecoder;

/// Reads one kind's stored objects.
pub struct StoredKind {
    row: Arc<Resource>,
    /// Whether its objects may lack defaults.
    has_defaults: bool,
    /// The family of addresses that old services have without saying so; of services only.
    primary: Option<&'static str>,
    hasher: ahash::RandomState,
}

impl StoredKind {
    /// `row` in its storage version.
    pub fn new(row: Arc<Resource>) -> Self {
        Self {
            has_defaults: api::defaults::has_any(&row),
            primary: None,
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

    /// Nearly all objects have all defaults and are served as the bytes that they are. To compare hashes costs a fraction
    /// of a copy of the value.
    fn of_json(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        // What is no JSON is refused by whoever looks for its metadata.
        let Ok(mut object) = Compact::parse_written(stored, &[]) else {
            return Ok(None);
        };
        let before = self.hasher.hash_one(&*object);
        self.fill(&mut object);
        if self.hasher.hash_one(&*object) == before {
            return Ok(None);
        }
        self.complete(&mut object)?;
        Ok(Some(object.to_bytes()))
    }

    fn of_protobuf(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let row = &self.row;
        let envelope = protobuf::open(stored).map_err(|error| error.to_string())?;
        if envelope.api_version != row.storage_version.to_string() || envelope.kind != row.gvk.kind {
            return Err(format!(
                "stored as {} {}, which is not read; expected {} {}",
                envelope.api_version, envelope.kind, row.storage_version, row.gvk.kind
            ));
        }
        let kind = row.storage_version.kind(row.gvk.kind.as_str());
        let mut value = protobuf::decode(&row.schemas, &api::schema_name(&kind), envelope.raw)
            .map_err(|error| error.to_string())?;
        value["kind"] = json!(kind.kind);
        value["apiVersion"] = json!(kind.api_version());
        self.complete(&mut value)?;
        serde_json::to_vec(&value).map_err(|error| error.to_string())
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
    fn decode(&self, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match stored.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') if self.has_defaults => self.of_json(stored),
            Some(b'{') => Ok(None),
            _ => self.of_protobuf(stored).map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
