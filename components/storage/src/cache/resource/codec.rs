//! Stored values to objects, and back: encryption, encodings and versions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::event::EventKind;
use super::super::hub::panic_message;
use super::super::unreadable::Failures;
use super::super::view::View;
use super::ResourceCache;
use crate::backend::KeyValue;
use crate::cbor;
use crate::error::StorageError;
use crate::object::{Found, ObjectRef, StoredObject};
use crate::revision::Revision;

impl ResourceCache {
    /// Decrypts and indexes a stored value. A value that makes a decoder panic is as unreadable as any other.
    pub(crate) fn decode(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: Revision,
        kind: EventKind,
    ) -> Result<ObjectRef, StorageError> {
        let decoded = catch_unwind(AssertUnwindSafe(|| self.try_decode(key, value, revision, kind)))
            .unwrap_or_else(|panic| Err(StorageError::corrupt(key, panic_message(&*panic))));
        if decoded.is_err() {
            self.metrics.undecodable.add(1);
        }
        decoded
    }

    fn try_decode(
        &self,
        key: &str,
        value: Vec<u8>,
        revision: Revision,
        kind: EventKind,
    ) -> Result<ObjectRef, StorageError> {
        // Before decoding: a configuration that changes meanwhile makes the object look older, never newer.
        let generation = self.transformer.generation();
        let (mut plain, mut stale) = self.transformer.decode(key, value)?;
        let corrupt = |message| StorageError::corrupt(key, message);
        let decoder = self.spec.decoder.as_ref();
        if let Some(decoded) = decoder.and_then(|decoder| decoder.decode(&plain).transpose()) {
            let decoded = decoded.map_err(corrupt)?;
            plain = decoded.json;
            stale |= decoded.is_outdated;
        }
        if let Some(read) = cbor::to_json(&plain) {
            let value = read.map_err(|error| StorageError::corrupt(key, error))?;
            plain = value.to_string().into_bytes();
            stale = true;
        }
        let end = plain.iter().rposition(|byte| !byte.is_ascii_whitespace());
        plain.truncate(end.map_or(0, |end| end + 1));
        let found = Found { stale, generation };
        StoredObject::parse(key, revision, &plain, self.fields.clone(), kind, found).map(Arc::new)
    }

    /// The value that the backend gets for an object's JSON.
    pub(crate) fn encode(&self, key: &str, json: Vec<u8>) -> Result<Vec<u8>, StorageError> {
        let plain = match &self.spec.decoder {
            Some(decoder) => decoder
                .encode(json)
                .map_err(|message| StorageError::corrupt(key, message))?,
            None => json,
        };
        self.transformer.encode(key, plain)
    }

    /// Decodes what a range returned; objects that can't be read are noted.
    pub(crate) fn decode_all(&self, kvs: Vec<KeyValue>, into: &mut View, failures: &mut Failures) {
        for kv in kvs {
            match self.decode(&kv.key, kv.value, kv.mod_revision, EventKind::Added) {
                Ok(object) => {
                    into.insert(object);
                }
                Err(error) => {
                    failures.insert(kv.key, (kv.mod_revision, error));
                }
            }
        }
    }
}
