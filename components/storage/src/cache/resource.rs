//! The cache of one resource: how changes become events and a new snapshot.

mod codec;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::event::{CacheEvent, EventKind};
use super::relay::Relays;
use super::ring::Ring;
use super::sent::{Sending, Sent, UnderWay};
use super::unreadable::{Failures, Unreadable};
use super::view::{Scope, View};
use crate::backend::RawEvent;
use crate::encryption::ResourceTransformer;
use crate::error::StorageError;
use crate::metrics::ResourceMetrics;
use crate::object::{Marks, ObjectRef};
use crate::resource::{CacheFor, FieldSpec, ResourceSpec};
use crate::revision::Revision;
use crate::store::Measured;

/// How long a snapshot behind a continue token is kept for the next page.
const PINNED_FOR: Duration = Duration::from_secs(60);
const MOST_PINNED: usize = 64;

/// Where changes from the watch go.
enum Intake {
    /// The resource is gone: nothing is taken in any more.
    Closed,
    /// Nobody has asked for this resource yet.
    Idle,
    /// The first list is under way; changes wait for it.
    Loading(Vec<RawEvent>),
    /// Changes after this revision are applied as they come.
    Ready(Revision),
}

pub(crate) struct ResourceCache {
    spec: Arc<ResourceSpec>,
    fields: Arc<[FieldSpec]>,
    prefix: String,
    transformer: Arc<ResourceTransformer>,
    view: ArcSwap<View>,
    ring: RwLock<Ring>,
    /// Sequence number of the next event; closed state is `u64::MAX`.
    changes: watch::Sender<u64>,
    relays: Relays,
    watchers: Arc<AtomicUsize>,
    intake: Mutex<Intake>,
    ready: AtomicBool,
    pub(super) load_lock: tokio::sync::Mutex<()>,
    pinned: Mutex<VecDeque<(Instant, Revision, Arc<View>)>>,
    unreadable: Unreadable,
    /// What this server wrote and the watch hasn't brought yet, by revision: it is neither decoded nor kept twice.
    written: Mutex<BTreeMap<Revision, ObjectRef>>,
    /// The newest revision that this server has written.
    last_written: AtomicI64,
    sending: Sending,
    metrics: ResourceMetrics,
    /// Whether somebody may ask for what is cached.
    followed: AtomicBool,
    measured: Measured,
    /// Tells watches that don't follow the changes here that the resource is gone.
    gone: CancellationToken,
}

/// A watch that is counted.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A change that can't be told to watchers; they have to list again.
struct Untold;

impl Untold {
    fn because(error: &StorageError) -> Self {
        tracing::error!(%error, "a change can't be read");
        Self
    }
}

/// Written objects that are kept for the watch at most.
const MOST_WRITTEN: usize = 256;

/// Value of `changes` when the resource is gone.
pub(crate) const CLOSED: u64 = u64::MAX;

impl ResourceCache {
    pub(crate) fn new(
        spec: Arc<ResourceSpec>,
        prefix: String,
        transformer: Arc<ResourceTransformer>,
    ) -> Self {
        ResourceCache {
            fields: spec.fields.clone().into(),
            prefix,
            transformer,
            view: ArcSwap::from_pointee(View::new(Revision::ZERO)),
            ring: RwLock::new(Ring::new(Revision::ZERO)),
            changes: watch::Sender::new(0),
            relays: Relays::default(),
            watchers: Arc::default(),
            intake: Mutex::new(Intake::Idle),
            ready: AtomicBool::new(false),
            load_lock: tokio::sync::Mutex::new(()),
            pinned: Mutex::default(),
            unreadable: Unreadable::default(),
            written: Mutex::default(),
            last_written: AtomicI64::new(Revision::ZERO.value()),
            sending: Sending::default(),
            metrics: ResourceMetrics::default(),
            followed: AtomicBool::new(spec.cache != CacheFor::Nobody),
            measured: Measured::default(),
            gone: CancellationToken::new(),
            spec,
        }
    }

    pub(crate) fn spec(&self) -> &ResourceSpec {
        &self.spec
    }

    pub(crate) fn metrics(&self) -> &ResourceMetrics {
        &self.metrics
    }

    pub(crate) fn fields(&self) -> &Arc<[FieldSpec]> {
        &self.fields
    }

    /// Ends in a slash.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn transformer(&self) -> &ResourceTransformer {
        &self.transformer
    }

    /// Values that can't be read, and so are not in the snapshot as they are.
    pub(crate) fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether clients read from the backend instead.
    pub(crate) fn is_bypassed(&self) -> bool {
        self.spec.cache != CacheFor::All
    }

    /// Whether what is cached may be asked for.
    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Acquire)
    }

    /// It is loaded from now on, and asked for what it has.
    pub(crate) fn follow(&self) {
        self.followed.store(true, Ordering::Release);
    }

    /// What is known of objects that aren't cached.
    pub(crate) fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Cancelled when the resource is gone.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Keys of a namespace, or of all.
    pub(crate) fn scope(&self, namespace: Option<&str>) -> Scope {
        match namespace {
            Some(namespace) if self.spec.namespaced && !namespace.is_empty() => {
                Scope::prefix(&format!("{}{namespace}/", self.prefix))
            }
            _ => Scope::prefix(&self.prefix),
        }
    }

    /// The newest snapshot.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The same for the many that follow it on the threads of connections.
    pub(super) fn changes_here(&self) -> watch::Receiver<u64> {
        self.relays.subscribe(&self.changes)
    }

    pub(crate) fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Counts a watch until what it gets is dropped.
    pub(crate) fn count_watcher(&self) -> Counted {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.watchers))
    }

    /// A snapshot together with the sequence number of the first event after it.
    pub(crate) fn view_and_cursor(&self) -> (Arc<View>, u64) {
        let ring = self.ring.read();
        (self.view.load_full(), ring.next_sequence())
    }

    /// Where a watch after `revision` begins in the ring; Err is the oldest revision it may begin at.
    pub(crate) fn cursor_after(&self, revision: Revision) -> Result<u64, Revision> {
        let ring = self.ring.read();
        ring.after(revision).ok_or(ring.floor())
    }

    pub(crate) fn read_ring(&self, cursor: u64, limit: usize, into: &mut Vec<Arc<CacheEvent>>) -> Option<()> {
        self.ring.read().read(cursor, limit, into)
    }

    /// The snapshot at exactly `revision`, if it can be had without the backend. The caller makes sure that the
    /// cache has seen `revision`.
    pub(crate) fn view_at(&self, revision: Revision) -> Option<Arc<View>> {
        let view = self.view();
        if view.revision <= revision {
            return Some(view);
        }
        if let Some((_, _, view)) = self
            .pinned
            .lock()
            .iter()
            .find(|(_, pinned, _)| *pinned == revision)
        {
            return Some(view.clone());
        }
        let ring = self.ring.read();
        if revision < ring.floor() {
            return None;
        }
        let mut view = View::clone(&self.view.load());
        for event in ring.backwards().take_while(|event| event.revision > revision) {
            match &event.previous {
                Some(previous) => view.insert(previous.clone()),
                None => view.remove(event.object.key()),
            };
        }
        view.revision = revision;
        drop(ring);
        let view = Arc::new(view);
        self.pin(revision, view.clone());
        Some(view)
    }

    /// Keeps a snapshot for the following pages of a list.
    pub(crate) fn pin(&self, revision: Revision, view: Arc<View>) {
        let now = Instant::now();
        let mut pinned = self.pinned.lock();
        while pinned
            .front()
            .is_some_and(|(since, _, _)| now.duration_since(*since) > PINNED_FOR)
            || pinned.len() >= MOST_PINNED
        {
            pinned.pop_front();
        }
        if !pinned.iter().any(|(_, other, _)| *other == revision) {
            pinned.push_back((now, revision, view));
        }
    }

    /// Drops snapshots that no page has asked for in time.
    pub(super) fn drop_old_pins(&self) {
        let now = Instant::now();
        self.pinned
            .lock()
            .retain(|(since, _, _)| now.duration_since(*since) <= PINNED_FOR);
    }

    /// The object that a write at `revision` came to: the cached one where the watch was faster, else what `make`
    /// gives, which the watch will find here.
    pub(crate) fn written(
        &self,
        key: &str,
        revision: Revision,
        make: impl FnOnce() -> ObjectRef,
    ) -> ObjectRef {
        self.last_written.fetch_max(revision.value(), Ordering::Release);
        let view = self.view();
        if let Some(object) = view.get(key).filter(|object| object.revision() == revision) {
            return object.clone();
        }
        let object = make();
        if self.is_ready() && view.revision < revision {
            let mut written = self.written.lock();
            written.insert(revision, object.clone());
            if written.len() > MOST_WRITTEN {
                written.pop_first();
            }
        }
        object
    }

    /// What whoever was answered by this server may expect it to know.
    pub(crate) fn last_written(&self) -> Revision {
        Revision::new(self.last_written.load(Ordering::Acquire))
    }

    /// A write begins; the watch finds in it what it would else have to read again.
    pub(crate) fn sending(&self, key: &str, sent: &Arc<Sent>) -> UnderWay<'_> {
        self.sending.begin(key, sent)
    }

    /// What this server wrote, or is still waiting to hear that it has written.
    fn own(&self, key: &str, revision: Revision, kind: EventKind, stored: &[u8]) -> Option<ObjectRef> {
        self.take_written(key, revision, kind).or_else(|| {
            let sent = self.sending.find(key, stored)?;
            Some(Arc::new(sent.at(key, revision, kind, self.fields.clone())))
        })
    }

    /// Takes what was written at the revision of an event. What is older has been seen already.
    fn take_written(&self, key: &str, revision: Revision, kind: EventKind) -> Option<ObjectRef> {
        let mut written = self.written.lock();
        while let Some((at, object)) = written.pop_first() {
            if at == revision {
                return Some(object).filter(|object| object.key() == key && object.frame_kind() == kind);
            }
            if at > revision {
                written.insert(at, object);
                return None;
            }
        }
        None
    }

    /// False when the resource is gone.
    pub(super) fn begin_loading(&self) -> bool {
        let mut intake = self.intake.lock();
        let open = !matches!(*intake, Intake::Closed);
        if open {
            *intake = Intake::Loading(Vec::new());
        }
        open
    }

    pub(super) fn abandon_loading(&self) {
        let mut intake = self.intake.lock();
        if matches!(*intake, Intake::Loading(_)) {
            *intake = Intake::Idle;
        }
    }

    /// Installs the first list and the changes that came in meanwhile.
    pub(super) fn finish_loading(&self, view: View, failures: Failures) {
        let mut intake = self.intake.lock();
        let revision = view.revision;
        let waiting = match &mut *intake {
            Intake::Closed => return,
            Intake::Loading(waiting) => std::mem::take(waiting),
            Intake::Idle | Intake::Ready(_) => Vec::new(),
        };
        *intake = Intake::Ready(revision);
        self.unreadable.set(&self.spec.name, failures);
        {
            let mut ring = self.ring.write();
            ring.raise_floor(revision);
            self.view.store(Arc::new(view));
        }
        self.metrics.initializations.add(1);
        self.apply(revision, waiting);
        self.ready.store(true, Ordering::Release);
        // The first list makes no events, but to those who build on `changes` everything is new.
        self.changes.send_if_modified(|value| *value != CLOSED);
    }

    /// Takes changes from the watch, in order.
    pub(super) fn take_in(&self, events: Vec<RawEvent>) {
        let mut intake = self.intake.lock();
        match &mut *intake {
            Intake::Closed | Intake::Idle => {}
            Intake::Loading(waiting) => waiting.extend(events),
            Intake::Ready(from) => self.apply(*from, events),
        }
    }

    /// Only called with the intake locked.
    fn apply(&self, from: Revision, events: Vec<RawEvent>) {
        let mut view = View::clone(&self.view.load());
        let mut changes = Vec::with_capacity(events.len());
        self.metrics.received.add(events.len());
        self.metrics.told.add(events.len());
        let mut lost = None;
        for event in events.into_iter().filter(|event| event.revision > from) {
            let revision = event.revision;
            match self.change(&mut view, event) {
                Ok(Some(change)) => changes.push(Arc::new(change)),
                Ok(None) => {}
                Err(Untold) => lost = Some(revision),
            }
        }
        self.metrics.dispatched.add(changes.len());
        self.publish(view, changes);
        if let Some(revision) = lost {
            self.forget_until(revision);
        }
    }

    /// Watchers that know of nothing after `revision` have to list again.
    fn forget_until(&self, revision: Revision) {
        let next = {
            let mut ring = self.ring.write();
            ring.forget(revision);
            ring.next_sequence()
        };
        self.announce(next);
    }

    /// Takes in what could not be read when it came, if it is still the newest value of its key. Only its watchers'
    /// next lists tell of it: its revision is older than what they have seen since.
    pub(super) fn mend(&self, objects: Vec<ObjectRef>) {
        let intake = self.intake.lock();
        if !matches!(*intake, Intake::Ready(_)) {
            return;
        }
        let mut view = View::clone(&self.view.load());
        let mut mended = 0;
        for object in objects {
            if self.unreadable.mended(object.key(), object.revision()) {
                view.insert(object);
                mended += 1;
            }
        }
        if mended > 0 {
            tracing::info!(
                resource = self.spec.name,
                mended,
                "objects that were unreadable can be read"
            );
            let next = {
                let mut ring = self.ring.write();
                ring.forget(view.revision);
                self.view.store(Arc::new(view));
                ring.next_sequence()
            };
            self.announce(next);
        }
    }

    fn change(&self, view: &mut View, event: RawEvent) -> Result<Option<CacheEvent>, Untold> {
        let revision = event.revision;
        let was_unreadable = self.unreadable.forget(&event.key);
        let Some(value) = event.value else {
            let Some(previous) = view.remove(&event.key) else {
                // Whom another server has shown it has to learn that it is gone.
                return if was_unreadable { Err(Untold) } else { Ok(None) };
            };
            view.revision = revision;
            let object = match self.take_written(&event.key, revision, EventKind::Deleted) {
                Some(object) => object,
                None => previous
                    .at_revision(revision, EventKind::Deleted)
                    .map(Arc::new)
                    .map_err(|error| Untold::because(&error))?,
            };
            return Ok(Some(CacheEvent::new(revision, object, Some(previous), true)));
        };
        let kind = match view.get(&event.key) {
            Some(_) => EventKind::Modified,
            None => EventKind::Added,
        };
        let object = match self.own(&event.key, revision, kind, &value) {
            Some(object) => object,
            None => match self.decode(&event.key, value.into(), revision, kind) {
                Ok(object) => object,
                Err(error) => {
                    let untold = Untold::because(&error);
                    self.unreadable.note(event.key, revision, error);
                    return Err(untold);
                }
            },
        };
        let previous = view.insert(object.clone());
        view.revision = revision;
        Ok(Some(CacheEvent::new(revision, object, previous, false)))
    }

    /// Makes a new snapshot and its events visible together.
    fn publish(&self, view: View, changes: Vec<Arc<CacheEvent>>) {
        if changes.is_empty() {
            return;
        }
        let now = Instant::now();
        let next = {
            let mut ring = self.ring.write();
            for change in changes {
                ring.push(change, now);
            }
            self.view.store(Arc::new(view));
            ring.next_sequence()
        };
        self.announce(next);
    }

    /// Wakes those who follow; the end of the resource stays the last they hear.
    fn announce(&self, next: u64) {
        self.changes
            .send_if_modified(|value| *value != CLOSED && std::mem::replace(value, next) != next);
    }

    /// After lost history: events that lead from the old snapshot to `newer`, for the watchers that run. Watches
    /// can no longer begin before it.
    pub(super) fn replace(&self, mut newer: View, failures: Failures) {
        let mut intake = self.intake.lock();
        if matches!(*intake, Intake::Closed) {
            return;
        }
        let revision = newer.revision;
        let older = self.view();
        for known in failures.keys().filter_map(|key| older.get(key)) {
            newer.insert(known.clone());
        }
        let everything = self.scope(None);
        let mut changes = Vec::new();
        for object in older.iter(&everything, Marks::default()) {
            let gone = newer
                .get(object.key())
                .is_none_or(|now| now.uid() != object.uid());
            if gone {
                // The revision of the deletion is unknown; for a key made anew it lies before the creation.
                let at = match newer.get(object.key()) {
                    Some(now) => Revision::new(now.revision().value() - 1),
                    None => revision,
                };
                match object.at_revision(at, EventKind::Deleted) {
                    Ok(last) => changes.push(CacheEvent::new(at, Arc::new(last), Some(object.clone()), true)),
                    Err(error) => tracing::error!(key = object.key(), %error, "skipping a deletion"),
                }
            }
        }
        for object in newer.iter(&everything, Marks::default()) {
            match older.get(object.key()) {
                Some(before) if before.revision() == object.revision() => {}
                before => {
                    let previous = before.filter(|before| before.uid() == object.uid()).cloned();
                    changes.push(CacheEvent::new(
                        object.revision(),
                        object.clone(),
                        previous,
                        false,
                    ));
                }
            }
        }
        changes.sort_by_key(|change| (change.revision, !change.deleted));
        *intake = Intake::Ready(revision);
        self.publish(newer, changes.into_iter().map(Arc::new).collect());
        self.ring.write().raise_floor(revision);
        self.pinned.lock().clear();
        // Also when there are none any more: who built on what is known has to look again.
        let lost = !failures.is_empty() || !self.unreadable.is_empty();
        self.unreadable.set(&self.spec.name, failures);
        if lost {
            self.forget_until(revision);
        }
    }

    /// What is cached, and the keys of values that can't be read and of which nothing is known from before. Both of one
    /// moment.
    pub(crate) fn known_and_unknown(&self) -> (Arc<View>, Vec<String>) {
        let _unchanged = self.intake.lock();
        let view = self.view();
        let mut keys = self.unreadable.keys();
        keys.retain(|key| view.get(key).is_none());
        (view, keys)
    }

    /// Ends all watchers; the resource is gone.
    pub(super) fn close(&self) {
        let mut intake = self.intake.lock();
        *intake = Intake::Closed;
        self.ready.store(false, Ordering::Release);
        self.changes.send_replace(CLOSED);
        self.gone.cancel();
    }
}
