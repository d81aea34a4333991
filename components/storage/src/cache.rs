//! The watch cache: a snapshot and the recent events of each resource, fed by one watch.

mod consistent;
mod event;
mod hub;
mod load;
mod mend;
mod relay;
mod resource;
mod ring;
mod sent;
#[cfg(test)]
mod tests;
mod unreadable;
mod view;
mod watcher;

#[cfg(test)]
pub(crate) use event::CacheEvent;
pub use event::{EventKind, WatchEvent, bookmark_frame};
pub(crate) use hub::{CacheOptions, Hub, RunningHub};
pub(crate) use load::fetch;
pub(crate) use resource::{Counted, ResourceCache};
pub(crate) use sent::Sent;
pub(crate) use unreadable::Failures;
pub(crate) use view::{Scope, View};
pub(crate) use watcher::{Begin, CachedWatcher, WatcherParts};
