//! Stored objects: the bytes that will be sent, and a small index.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;

use crate::error::StorageError;
use crate::resource::FieldSpec;
use crate::revision::Revision;

mod marks;
mod scan;
mod shape;
#[cfg(test)]
mod tests;

pub use marks::Marks;
pub use shape::OwnerUid;
pub(crate) use shape::Shape;
use shape::Versioned;

use crate::cache::EventKind;

/// How callers hold an object.
pub type ObjectRef = Arc<StoredObject>;

/// Names a cached encoding other than JSON; the caller that makes encodings numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncodingId(pub u16);

/// How an object was found in the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    pub stale: bool,
    pub generation: u32,
}

/// An object at one revision.
pub struct StoredObject {
    key: Box<str>,
    revision: Revision,
    /// A watch frame of `frame_kind`; the object's JSON is a slice of it, so a frame costs no second copy.
    frame: Bytes,
    frame_kind: EventKind,
    /// Bytes of the JSON before its first member besides kind and apiVersion.
    untyped_start: u32,
    /// Where in the frame the number of the resourceVersion begins; 0 if that isn't known.
    version_at: u32,
    name: Box<str>,
    namespace: Box<str>,
    uid: Box<str>,
    owners: Box<[OwnerUid]>,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    notes: Box<[u32]>,
    field_specs: Arc<[FieldSpec]>,
    /// Written by a provider or in a form that should no longer be used.
    stale: bool,
    /// The encryption configuration under which it was read or written.
    generation: u32,
    encodings: Mutex<Vec<(EncodingId, Bytes)>>,
    value: OnceLock<Arc<Value>>,
}

impl StoredObject {
    /// Builds the object from its bytes (with or without resourceVersion) and the result of their scan.
    pub(crate) fn from_shape(
        key: &str,
        revision: Revision,
        bytes: &[u8],
        shape: Shape,
        field_specs: Arc<[FieldSpec]>,
        frame_kind: EventKind,
        found: Found,
    ) -> Self {
        let Versioned {
            text: frame,
            untyped_start,
            version_at,
        } = shape.with_version(
            bytes,
            revision.value(),
            frame_kind.frame_start(),
            EventKind::FRAME_END,
        );
        StoredObject {
            key: key.into(),
            revision,
            frame: frame.into(),
            frame_kind,
            untyped_start: u32::try_from(untyped_start).unwrap_or(u32::MAX),
            version_at: version_at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0),
            name: shape.name,
            namespace: shape.namespace,
            uid: shape.uid,
            owners: shape.owners,
            labels: shape.labels,
            fields: shape.fields,
            notes: shape.notes,
            field_specs,
            stale: found.stale,
            generation: found.generation,
            encodings: Mutex::new(Vec::new()),
            value: OnceLock::new(),
        }
    }

    pub(crate) fn parse(
        key: &str,
        revision: Revision,
        bytes: &[u8],
        field_specs: Arc<[FieldSpec]>,
        frame_kind: EventKind,
        found: Found,
    ) -> Result<Self, StorageError> {
        let shape =
            Shape::scan(bytes, &[], &field_specs).map_err(|error| StorageError::corrupt(key, error))?;
        Ok(StoredObject::from_shape(
            key,
            revision,
            bytes,
            shape,
            field_specs,
            frame_kind,
            found,
        ))
    }

    /// The same object under another revision, as DELETED events carry it.
    pub(crate) fn at_revision(
        &self,
        revision: Revision,
        frame_kind: EventKind,
    ) -> Result<Self, StorageError> {
        let Some(frame) = self.frame_at(revision, frame_kind) else {
            let object = StoredObject::parse(
                &self.key,
                revision,
                self.json_bytes(),
                self.field_specs.clone(),
                frame_kind,
                self.found(),
            )?;
            return Ok(StoredObject {
                notes: self.notes.clone(),
                ..object
            });
        };
        let shift = frame_kind.frame_start().len() as i64 - self.frame_kind.frame_start().len() as i64;
        Ok(StoredObject {
            key: self.key.clone(),
            revision,
            frame: frame.into(),
            frame_kind,
            untyped_start: self.untyped_start,
            version_at: u32::try_from(i64::from(self.version_at) + shift).unwrap_or(0),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: self.uid.clone(),
            owners: self.owners.clone(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            notes: self.notes.clone(),
            field_specs: self.field_specs.clone(),
            stale: self.stale,
            generation: self.generation,
            encodings: Mutex::new(Vec::new()),
            value: OnceLock::new(),
        })
    }

    /// The frame of the same object under another revision, if it is known where that is written.
    fn frame_at(&self, revision: Revision, frame_kind: EventKind) -> Option<Vec<u8>> {
        let own = self.revision.to_string();
        let at = self.version_at as usize;
        let (before, rest) = self.frame.split_at_checked(at)?;
        let after = rest.strip_prefix(own.as_bytes())?.strip_prefix(b"\"")?;
        let before = before.strip_prefix(self.frame_kind.frame_start())?;
        let number = revision.to_string();
        let parts = [frame_kind.frame_start(), before, number.as_bytes(), b"\"", after];
        before.ends_with(b"\"").then(|| parts.concat())
    }

    /// The kind of event it arrived as.
    pub(crate) fn frame_kind(&self) -> EventKind {
        self.frame_kind
    }

    pub(crate) fn found(&self) -> Found {
        Found {
            stale: self.stale,
            generation: self.generation,
        }
    }

    /// The key in etcd.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The revision of the last change, which is the object's resourceVersion.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object as JSON, resourceVersion in place; shares memory.
    pub fn json(&self) -> Bytes {
        let start = self.frame_kind.frame_start().len();
        self.frame
            .slice(start..self.frame.len() - EventKind::FRAME_END.len())
    }

    /// Its JSON as a slice.
    pub fn json_bytes(&self) -> &[u8] {
        let start = self.frame_kind.frame_start().len();
        &self.frame[start..self.frame.len() - EventKind::FRAME_END.len()]
    }

    /// What its writer noted of its JSON; empty for an object that was read from the backend.
    pub fn notes(&self) -> &[u32] {
        &self.notes
    }

    /// What follows kind and apiVersion in its JSON: with `{` in front it is the item of a typed list. Shares memory.
    pub fn untyped_json(&self) -> Bytes {
        let json = self.json();
        json.slice((self.untyped_start as usize).min(json.len())..)
    }

    /// `{"type":…,"object":…}` and a line end. Free for the kind the object arrived as, a copy for others.
    pub fn frame(&self, kind: EventKind) -> Bytes {
        if kind == self.frame_kind {
            return self.frame.clone();
        }
        [kind.frame_start(), self.json_bytes(), EventKind::FRAME_END]
            .concat()
            .into()
    }

    /// metadata.name
    pub fn name(&self) -> &str {
        &self.name
    }

    /// metadata.namespace; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// metadata.uid
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The uids of metadata.ownerReferences, in order.
    pub fn owner_uids(&self) -> impl Iterator<Item = &str> {
        self.owners.iter().map(|owner| &*owner.0)
    }

    /// All labels, in the order of the object.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The value of one label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(candidate, _)| &**candidate == key)
            .map(|(_, value)| &**value)
    }

    /// The selectable fields besides name and namespace, as they are declared.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.field_specs.iter().map(|field| field.name.as_str());
        names.zip(self.fields.iter().map(|value| &**value))
    }

    /// The value of a selectable field; None when the resource doesn't have this field.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            name => {
                let position = self.field_specs.iter().position(|field| field.name == name)?;
                self.fields.get(position).map(|value| &**value)
            }
        }
    }

    /// Whether it should be rewritten: another encryption key or encoding is in use now.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Another encoding of the object, made once and kept beside it.
    pub fn encoding<E>(
        &self,
        id: EncodingId,
        make: impl FnOnce(&Self) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let find = |made: &[(EncodingId, Bytes)]| {
            made.iter()
                .find(|(other, _)| *other == id)
                .map(|(_, b)| b.clone())
        };
        if let Some(bytes) = find(&self.encodings.lock()) {
            return Ok(bytes);
        }
        // Not under the lock: two callers may both make it, the first one kept wins.
        let bytes = make(self)?;
        let mut encodings = self.encodings.lock();
        if let Some(bytes) = find(&encodings) {
            return Ok(bytes);
        }
        encodings.push((id, bytes.clone()));
        Ok(bytes)
    }

    /// The object as a value, which is kept: for objects of which there are few.
    pub fn kept_value<E>(&self, parse: impl FnOnce() -> Result<Value, E>) -> Result<Arc<Value>, E> {
        if let Some(value) = self.value.get() {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(parse()?);
        Ok(Arc::clone(self.value.get_or_init(|| value)))
    }

    /// Rough bytes held, for bounding caches.
    pub(crate) fn weight(&self) -> usize {
        self.frame.len() + self.key.len() + 256
    }
}

impl std::fmt::Debug for StoredObject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredObject")
            .field("key", &self.key)
            .field("revision", &self.revision)
            .finish()
    }
}
