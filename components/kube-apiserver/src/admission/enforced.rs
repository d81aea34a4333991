//! What is enforced of webhooks and policies, and what can't be: an object that nobody can read might be about any
//! request.

use super::attributes::Attributes;
use crate::kinds;
use crate::stores::{self, Stores};
use ahash::AHashMap;
use api::Resource;
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::Value;
use std::sync::Arc;
use storage::{ObjectRef, Store};
use tokio::sync::watch;

/// What clients are told, as by upstream's server, whose informers of such objects never get ready.
const NOT_READY: &str = "not yet ready to handle request";

/// All of one kind of webhooks or policies, in their order.
pub struct Enforced<T> {
    all: Vec<Arc<T>>,
    /// One that is missing, because it or what belongs to it can't be read.
    missing: Option<Unread>,
}

impl<T> Default for Enforced<T> {
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl<T> Enforced<T> {
    pub fn new(all: Vec<Arc<T>>, missing: Option<Unread>) -> Self {
        Self { all, missing }
    }

    /// All of them. While one is missing nothing passes but what none of them could be about, which is for the caller
    /// to know.
    pub fn all(&self, attributes: &Attributes<'_>) -> Result<&[Arc<T>], ApiError> {
        match &self.missing {
            Some(unread) => Err(not_ready(attributes, Some(unread))),
            None => Ok(&self.all),
        }
    }

    /// Whether there is nothing to ask, and nothing missing.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.missing.is_none()
    }
}

/// The refusal of a request while it isn't known who would have a say.
pub fn not_ready(attributes: &Attributes<'_>, unread: Option<&Unread>) -> ApiError {
    attributes.forbidden(&match unread {
        Some(Unread { kind, name }) => format!("{NOT_READY}: {kind} {name:?} can't be read"),
        None => NOT_READY.to_owned(),
    })
}

/// An object that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub kind: String,
    pub name: String,
}

/// The objects of one kind at a moment.
pub struct Snapshot {
    /// By name.
    pub objects: Vec<Arc<Value>>,
    pub unread: Option<Unread>,
}

/// The objects of one kind that configures admission, read once per revision.
pub struct Settings {
    store: Store,
    row: Arc<Resource>,
    known: AHashMap<String, (i64, Arc<Value>)>,
}

impl Settings {
    /// `None` when the kind isn't served.
    pub fn new(stores: &Stores, plural: &str) -> Option<Self> {
        let resource = GroupResource::new("admissionregistration.k8s.io", plural);
        let row = stores.stored_row(&resource)?;
        let (store, known) = (stores.of(&row), AHashMap::new());
        Some(Self { store, row, known })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Changes with every change of the kind.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.store.changes()
    }

    /// All objects as they are now. Of one that can't be read any more, what was known before goes on.
    pub fn snapshot(&mut self) -> Snapshot {
        let (current, unknown) = self.store.cached_and_unknown();
        let mut next = AHashMap::with_capacity(current.len());
        let mut unread: Vec<String> = unknown;
        for object in &current {
            let (key, revision) = (object.key(), object.revision().value());
            let known = self.known.remove(key);
            let read = match known {
                Some(known) if known.0 == revision => known,
                older => match read(&self.row, object) {
                    Ok(value) => (revision, Arc::new(value)),
                    Err(why) => {
                        tracing::error!(key, why, "an object that configures admission can't be read");
                        let Some(older) = older else {
                            unread.push(key.to_owned());
                            continue;
                        };
                        older
                    }
                },
            };
            next.insert(key.to_owned(), read);
        }
        self.known = next;
        let mut objects: Vec<Arc<Value>> = self.known.values().map(|known| Arc::clone(&known.1)).collect();
        objects.sort_by(|a, b| meta::name(a).cmp(meta::name(b)));
        let unread = unread.into_iter().min().map(|key| Unread {
            kind: self.row.gvk.kind.clone(),
            name: key.rsplit('/').next().unwrap_or_default().to_owned(),
        });
        if let Some(Unread { kind, name }) = &unread {
            tracing::error!(
                kind,
                name,
                "requests are refused because an object that might be about them can't be read"
            );
        }
        Snapshot { objects, unread }
    }
}

/// The object, if it is what its kind may be: of a list that is none, nothing would be enforced.
fn read(row: &Resource, object: &ObjectRef) -> Result<Value, String> {
    let mut value = stores::parse(object).map_err(|error| error.to_string())?;
    kinds::fit(row, &row.gvk, &mut value)?;
    Ok(value)
}
