//! Objects that upstream has stored as protobuf.

use super::{decode, open};
use api::Resource;
use serde_json::json;
use std::sync::Arc;
use storage::ForeignDecoder;

/// Reads one kind's stored objects.
pub struct StoredProtobuf {
    row: Arc<Resource>,
}

impl StoredProtobuf {
    /// `row` in its storage version.
    pub fn new(row: Arc<Resource>) -> Self {
        Self { row }
    }
}

impl ForeignDecoder for StoredProtobuf {
    fn to_json(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let row = &self.row;
        let envelope = open(stored).map_err(|error| error.to_string())?;
        if envelope.api_version != row.storage_version.to_string() || envelope.kind != row.gvk.kind {
            return Err(format!(
                "stored as {} {}, which is not read; expected {} {}",
                envelope.api_version, envelope.kind, row.storage_version, row.gvk.kind
            ));
        }
        let kind = row.storage_version.kind(row.gvk.kind.as_str());
        let mut value = decode(&row.schemas, &api::schema_name(&kind), envelope.raw)
            .map_err(|error| error.to_string())?;
        value["kind"] = json!(kind.kind);
        value["apiVersion"] = json!(kind.api_version());
        crate::kinds::fit(row, &kind, &mut value)?;
        // An older server may have stored it, before there was a field that has a default.
        api::defaults::apply(row, &mut value);
        serde_json::to_vec(&value).map_err(|error| error.to_string())
    }
}
