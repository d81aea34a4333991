//! Immutable ordered snapshots.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Bound;

use crate::backend::prefix_end;
use crate::object::{Marks, ObjectRef};
use crate::revision::Revision;

/// An object ordered by its key, so that the key is kept once. Its marks lie in the tree itself.
#[derive(Clone)]
struct ByKey(ObjectRef, Marks);

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key().cmp(other.0.key())
    }
}

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.0.key()
    }
}

/// All objects of a resource at one revision. A copy shares the tree.
#[derive(Clone)]
pub(crate) struct View {
    objects: imbl::OrdSet<ByKey>,
    /// Of all objects, as JSON.
    bytes: usize,
    /// Last change in this resource.
    pub revision: Revision,
}

/// A range of keys, both ends exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub start: String,
    pub end: String,
}

impl Scope {
    pub(crate) fn prefix(prefix: &str) -> Self {
        Scope {
            start: prefix.to_owned(),
            end: prefix_end(prefix),
        }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        key >= self.start.as_str() && key < self.end.as_str()
    }
}

impl View {
    pub(crate) fn new(revision: Revision) -> Self {
        View {
            objects: imbl::OrdSet::new(),
            bytes: 0,
            revision,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&ObjectRef> {
        self.objects.get(key).map(|found| &found.0)
    }

    pub(crate) fn insert(&mut self, object: ObjectRef) -> Option<ObjectRef> {
        let marks = Marks::of(&object);
        self.bytes += object.json_bytes().len();
        let previous = self.objects.insert(ByKey(object, marks))?.0;
        self.bytes -= previous.json_bytes().len();
        Some(previous)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<ObjectRef> {
        let previous = self.objects.remove(key)?.0;
        self.bytes -= previous.json_bytes().len();
        Some(previous)
    }

    pub(crate) fn len(&self) -> usize {
        self.objects.len()
    }

    /// Bytes of all objects, as JSON.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Objects in order, at least all those that have these marks.
    pub(crate) fn iter<'a>(
        &'a self,
        scope: &'a Scope,
        marks: Marks,
    ) -> impl Iterator<Item = &'a ObjectRef> + 'a {
        let bounds = (
            Bound::Included(scope.start.as_str()),
            Bound::Excluded(scope.end.as_str()),
        );
        // A continue key can lie behind the end of its scope; such a range is empty, not an error.
        let empty = scope.start >= scope.end;
        let range = (!empty).then(|| self.objects.range::<_, str>(bounds));
        range
            .into_iter()
            .flatten()
            .filter(move |found| found.1.may_have(marks))
            .map(|found| &found.0)
    }
}
