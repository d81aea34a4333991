//! What is being written: the watch often brings it before the answer to the write has been read.

use ahash::AHashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::event::EventKind;
use crate::object::{Found, Shape, StoredObject};
use crate::resource::FieldSpec;
use crate::revision::Revision;

/// JSON that has been looked at and is on its way to the backend.
pub(crate) struct Sent {
    pub json: Bytes,
    pub shape: Shape,
    /// The encryption configuration that it is written under.
    pub generation: u32,
    /// What the backend gets.
    pub stored: Bytes,
}

impl Sent {
    /// The object that it is once it is stored.
    pub(crate) fn at(
        &self,
        key: &str,
        revision: Revision,
        kind: EventKind,
        fields: Arc<[FieldSpec]>,
    ) -> StoredObject {
        let found = Found {
            stale: false,
            generation: self.generation,
        };
        StoredObject::from_shape(key, revision, &self.json, self.shape.clone(), fields, kind, found)
    }
}

/// Writes under way, by key.
#[derive(Default)]
pub(super) struct Sending(Mutex<AHashMap<Box<str>, Arc<Sent>>>);

impl Sending {
    /// Makes it known until what this gives is dropped.
    pub(super) fn begin(&self, key: &str, sent: &Arc<Sent>) -> UnderWay<'_> {
        self.0.lock().insert(key.into(), Arc::clone(sent));
        UnderWay {
            all: self,
            key: key.into(),
            sent: Arc::clone(sent),
        }
    }

    /// What is being written under this key, if it is what is stored there now.
    pub(super) fn find(&self, key: &str, stored: &[u8]) -> Option<Arc<Sent>> {
        let all = self.0.lock();
        all.get(key).filter(|sent| sent.stored == stored).cloned()
    }
}

/// A write under way.
pub(crate) struct UnderWay<'a> {
    all: &'a Sending,
    key: Box<str>,
    sent: Arc<Sent>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        // Another write of the key may have begun meanwhile.
        if all
            .get(&self.key)
            .is_some_and(|sent| Arc::ptr_eq(sent, &self.sent))
        {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(stored: &'static str) -> Arc<Sent> {
        Arc::new(Sent {
            json: Bytes::new(),
            shape: Shape::default(),
            generation: 0,
            stored: Bytes::from_static(stored.as_bytes()),
        })
    }

    #[test]
    fn a_write_is_known_by_what_it_stores_until_it_ends() {
        let sending = Sending::default();
        let (first, second) = (sent("1"), sent("2"));
        let one = sending.begin("/a", &first);
        assert!(sending.find("/a", b"1").is_some());
        assert!(sending.find("/a", b"2").is_none(), "somebody else's");
        assert!(sending.find("/b", b"1").is_none());
        let two = sending.begin("/a", &second);
        drop(one);
        assert!(
            sending.find("/a", b"2").is_some(),
            "the later one is still under way"
        );
        drop(two);
        assert!(sending.find("/a", b"2").is_none());
    }
}
