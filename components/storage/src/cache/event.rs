//! Events as watchers get them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::object::{ObjectRef, StoredObject};
use crate::revision::Revision;

/// Type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

impl EventKind {
    pub(crate) const FRAME_END: &[u8] = b"}\n";

    /// As in the `type` field.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
        }
    }

    pub(crate) fn frame_start(self) -> &'static [u8] {
        match self {
            EventKind::Added => br#"{"type":"ADDED","object":"#,
            EventKind::Modified => br#"{"type":"MODIFIED","object":"#,
            EventKind::Deleted => br#"{"type":"DELETED","object":"#,
        }
    }
}

/// A change of one object, shared by all watchers.
pub(crate) struct CacheEvent {
    pub revision: Revision,
    /// The object after the change; for a deletion as it last was, under the revision of the deletion.
    pub object: ObjectRef,
    pub previous: Option<ObjectRef>,
    pub deleted: bool,
    /// For watchers whose selector the object left: the previous state under this event's revision.
    departed: OnceLock<ObjectRef>,
    /// For watchers whose selector the object entered by a modification.
    entered: OnceLock<Bytes>,
}

impl CacheEvent {
    pub(crate) fn new(
        revision: Revision,
        object: ObjectRef,
        previous: Option<ObjectRef>,
        deleted: bool,
    ) -> Self {
        CacheEvent {
            revision,
            object,
            previous,
            deleted,
            departed: OnceLock::new(),
            entered: OnceLock::new(),
        }
    }

    /// What a watcher with this selector sees of the change.
    pub(crate) fn seen_by(self: &Arc<Self>, matches: &dyn Fn(&StoredObject) -> bool) -> Option<WatchEvent> {
        let before = self.previous.as_deref().is_some_and(matches);
        let after = !self.deleted && matches(&self.object);
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => EventKind::Added,
            (true, true) => EventKind::Modified,
            (true, false) => EventKind::Deleted,
        };
        Some(WatchEvent {
            kind,
            source: Source::Change(self.clone()),
        })
    }

    fn object_for(&self, kind: EventKind) -> &ObjectRef {
        match (&self.previous, kind) {
            (Some(previous), EventKind::Deleted) if !self.deleted => self.departed.get_or_init(|| {
                // The bytes were parsed when they came in, so this can't fail; the new state is the safe answer.
                match previous.at_revision(self.revision, EventKind::Deleted) {
                    Ok(object) => Arc::new(object),
                    Err(_) => self.object.clone(),
                }
            }),
            _ => &self.object,
        }
    }

    pub(crate) fn weight(&self) -> usize {
        self.object.weight() + self.previous.as_ref().map_or(0, |previous| previous.weight())
    }
}

/// One event for one watcher.
#[derive(Clone)]
pub struct WatchEvent {
    /// ADDED, MODIFIED or DELETED as this watcher's selector sees it.
    pub kind: EventKind,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Object(ObjectRef),
    Change(Arc<CacheEvent>),
}

impl WatchEvent {
    /// An object as it is now, or as it is after a change that is for one watcher only.
    pub(crate) fn of(kind: EventKind, object: ObjectRef) -> Self {
        WatchEvent {
            kind,
            source: Source::Object(object),
        }
    }

    /// The object to send, its resourceVersion that of the event.
    pub fn object(&self) -> &ObjectRef {
        match &self.source {
            Source::Object(object) => object,
            Source::Change(event) => event.object_for(self.kind),
        }
    }

    /// The JSON frame, with line end; encoded once for all watchers.
    pub fn frame(&self) -> Bytes {
        match &self.source {
            Source::Change(event) if self.kind == EventKind::Added && event.previous.is_some() => event
                .entered
                .get_or_init(|| event.object.frame(EventKind::Added))
                .clone(),
            _ => self.object().frame(self.kind),
        }
    }

    /// The revision after which a watch continues.
    pub fn revision(&self) -> Revision {
        match &self.source {
            Source::Object(object) => object.revision(),
            Source::Change(event) => event.revision,
        }
    }
}

impl std::fmt::Debug for WatchEvent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} {} {:?}",
            self.kind.as_str(),
            self.object().key(),
            self.revision()
        )
    }
}

/// A BOOKMARK frame in JSON. `initial_events_end` marks the end of the initial events of a watch list.
pub fn bookmark_frame(api_version: &str, kind: &str, revision: Revision, initial_events_end: bool) -> Bytes {
    let mut metadata = serde_json::json!({ "resourceVersion": revision.to_string() });
    if initial_events_end {
        metadata["annotations"] = serde_json::json!({ "k8s.io/initial-events-end": "true" });
    }
    let object = serde_json::json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
    format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n").into()
}
