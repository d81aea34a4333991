//! Conditional writes.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::key::object_key;
use super::list::read;
use super::{Change, Json, Preconditions, Store, Updated};
use crate::backend::{KeyValue, TxnOutcome};
use crate::cache::{EventKind, Sent};
use crate::error::StorageError;
use crate::metrics::Operation;
use crate::object::{ObjectRef, Shape, StoredObject};
use crate::revision::Revision;

/// Rounds of a write before it is given up; each lost to another writer.
const MOST_ROUNDS: usize = 256;

/// Looks at JSON and prepares it to be stored.
fn prepare(store: &Store, key: &str, json: Json) -> Result<Sent, StorageError> {
    let Json { bytes, spans, notes } = json;
    let mut shape = Shape::scan(&bytes, &spans, store.cache.fields())
        .map_err(|error| StorageError::corrupt(key, error))?;
    shape.notes = notes;
    let json = Bytes::from(bytes);
    let generation = store.cache.transformer().generation();
    let stored = store.cache.encode(key, shape.without_version(&json))?.into();
    Ok(Sent {
        json,
        shape,
        generation,
        stored,
    })
}

fn is_same(sent: &Sent, object: &StoredObject) -> bool {
    sent.shape
        .is_with_version(&sent.json, object.revision().value(), object.json_bytes())
}

/// The object that a write at `revision` came to.
fn at(store: &Store, key: &str, revision: Revision, kind: EventKind, sent: &Sent) -> ObjectRef {
    let fields = store.cache.fields().clone();
    store
        .cache
        .written(key, revision, || Arc::new(sent.at(key, revision, kind, fields)))
}

pub(super) async fn create(
    store: &Store,
    namespace: &str,
    name: &str,
    json: Json,
    ttl: Option<Duration>,
) -> Result<ObjectRef, StorageError> {
    let key = object_key(store, namespace, name)?;
    let sent = Arc::new(prepare(store, &key, json)?);
    let _under_way = store.cache.sending(&key, &sent);
    let begun = Instant::now();
    let outcome = store.hub.backend().create(&key, sent.stored.clone(), ttl).await;
    store.metrics().asked(Operation::Create, begun, &outcome);
    match outcome {
        Ok(TxnOutcome::Done(revision)) => Ok(at(store, &key, revision, EventKind::Added, &sent)),
        Ok(TxnOutcome::Conflict(_)) => Err(StorageError::AlreadyExists { key }),
        Err(error) => Err(StorageError::from_backend(&key, error)),
    }
}

/// What a round of a write is based on.
struct Base {
    object: Option<ObjectRef>,
    /// Read from the backend for this call, so that a refusal based on it is final.
    fresh: bool,
}

impl Base {
    async fn cached(store: &Store, key: &str) -> Result<Self, StorageError> {
        match store.cache.view().get(key).filter(|_| store.cache.is_ready()) {
            Some(object) => Ok(Base {
                object: Some(object.clone()),
                fresh: false,
            }),
            None => Base::newest(store, key).await,
        }
    }

    async fn newest(store: &Store, key: &str) -> Result<Self, StorageError> {
        Ok(Base {
            object: read(store, key).await?,
            fresh: true,
        })
    }

    fn after_conflict(store: &Store, key: &str, current: Option<KeyValue>) -> Result<Self, StorageError> {
        let object = match current {
            Some(kv) => Some(
                store
                    .cache
                    .decode(key, kv.value, kv.mod_revision, EventKind::Modified)?,
            ),
            None => None,
        };
        Ok(Base { object, fresh: true })
    }

    /// Reads again unless this is fresh; true when the object is another than before.
    async fn refresh(&mut self, store: &Store, key: &str) -> Result<bool, StorageError> {
        if self.fresh {
            return Ok(false);
        }
        let before = self.object.as_ref().map(|object| object.revision());
        *self = Base::newest(store, key).await?;
        Ok(before != self.object.as_ref().map(|object| object.revision()))
    }
}

fn check(preconditions: &Preconditions, key: &str, object: &StoredObject) -> Result<(), StorageError> {
    let version = object.revision().to_string();
    let fails = |what: &str, wanted: &str, found: &str| {
        Err(StorageError::PreconditionFailed {
            key: key.to_owned(),
            message: format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            ),
        })
    };
    match (&preconditions.uid, &preconditions.resource_version) {
        (Some(uid), _) if uid != object.uid() => fails("UID", uid, object.uid()),
        (_, Some(wanted)) if *wanted != version => fails("ResourceVersion", wanted, &version),
        _ => Ok(()),
    }
}

pub(super) async fn update<F, Fut, E>(
    store: &Store,
    namespace: &str,
    name: &str,
    preconditions: &Preconditions,
    mut decide: F,
) -> Result<Updated, E>
where
    F: FnMut(Option<ObjectRef>) -> Fut + Send,
    Fut: Future<Output = Result<Change, E>> + Send,
    E: From<StorageError> + Send,
{
    let key = object_key(store, namespace, name)?;
    let mut base = Base::cached(store, &key).await?;
    for _ in 0..MOST_ROUNDS {
        let checked = match &base.object {
            Some(object) => check(preconditions, &key, object),
            None => Ok(()),
        };
        if let Err(error) = checked {
            if base.refresh(store, &key).await? {
                continue;
            }
            return Err(error.into());
        }
        let change = match decide(base.object.clone()).await {
            Ok(change) => change,
            Err(error) => {
                if base.refresh(store, &key).await? {
                    continue;
                }
                return Err(error);
            }
        };
        let outcome = match change {
            Change::Nothing => None,
            Change::Write { json, ttl } => write(store, &key, &base, json, ttl).await?,
            Change::Delete => match &base.object {
                Some(object) => Some(remove(store, &key, object).await?),
                None => None,
            },
        };
        match outcome {
            Some(Round::Done(updated)) => return Ok(updated),
            Some(Round::Lost(current)) => base = Base::after_conflict(store, &key, current)?,
            None => {
                if !base.refresh(store, &key).await? {
                    return Ok(Updated::Unchanged(base.object));
                }
            }
        }
    }
    Err(StorageError::Contended { key }.into())
}

enum Round {
    Done(Updated),
    Lost(Option<KeyValue>),
}

/// None when there is nothing to write.
async fn write(
    store: &Store,
    key: &str,
    base: &Base,
    json: Json,
    ttl: Option<Duration>,
) -> Result<Option<Round>, StorageError> {
    let sent = Arc::new(prepare(store, key, json)?);
    let backend = store.hub.backend();
    let failed = |error| StorageError::from_backend(key, error);
    let Some(object) = &base.object else {
        let _under_way = store.cache.sending(key, &sent);
        let begun = Instant::now();
        let outcome = backend.create(key, sent.stored.clone(), ttl).await;
        store.metrics().asked(Operation::Create, begun, &outcome);
        return Ok(Some(match outcome.map_err(failed)? {
            TxnOutcome::Done(revision) => Round::Done(Updated::Created(at(
                store,
                key,
                revision,
                EventKind::Added,
                &sent,
            ))),
            TxnOutcome::Conflict(current) => Round::Lost(current),
        }));
    };
    if ttl.is_none() && store.is_current(object) && is_same(&sent, object) {
        return Ok(None);
    }
    let _under_way = store.cache.sending(key, &sent);
    let begun = Instant::now();
    let outcome = backend
        .update(key, sent.stored.clone(), object.revision(), ttl)
        .await;
    store.metrics().asked(Operation::Update, begun, &outcome);
    Ok(Some(match outcome.map_err(failed)? {
        TxnOutcome::Done(revision) => Round::Done(Updated::Written(at(
            store,
            key,
            revision,
            EventKind::Modified,
            &sent,
        ))),
        TxnOutcome::Conflict(current) => Round::Lost(current),
    }))
}

async fn remove(store: &Store, key: &str, object: &ObjectRef) -> Result<Round, StorageError> {
    let begun = Instant::now();
    let outcome = store.hub.backend().delete(key, object.revision()).await;
    store.metrics().asked(Operation::Delete, begun, &outcome);
    Ok(
        match outcome.map_err(|error| StorageError::from_backend(key, error))? {
            TxnOutcome::Done(revision) => {
                let gone = Arc::new(object.at_revision(revision, EventKind::Deleted)?);
                Round::Done(Updated::Deleted(store.cache.written(key, revision, || gone)))
            }
            TxnOutcome::Conflict(current) => Round::Lost(current),
        },
    )
}

pub(super) async fn remove_this(
    store: &Store,
    object: &ObjectRef,
) -> Result<Option<ObjectRef>, StorageError> {
    match remove(store, object.key(), object).await? {
        Round::Done(Updated::Deleted(object)) => Ok(Some(object)),
        Round::Done(_) | Round::Lost(_) => Ok(None),
    }
}

pub(super) async fn delete<F, Fut, E>(
    store: &Store,
    namespace: &str,
    name: &str,
    preconditions: &Preconditions,
    agree: &mut F,
) -> Result<ObjectRef, E>
where
    F: FnMut(ObjectRef) -> Fut + Send,
    Fut: Future<Output = Result<(), E>> + Send,
    E: From<StorageError> + Send,
{
    let key = object_key(store, namespace, name)?;
    let mut base = Base::cached(store, &key).await?;
    for _ in 0..MOST_ROUNDS {
        let Some(object) = base.object.clone() else {
            return Err(StorageError::NotFound { key }.into());
        };
        if let Err(error) = check(preconditions, &key, &object) {
            if base.refresh(store, &key).await? {
                continue;
            }
            return Err(error.into());
        }
        if let Err(error) = agree(object.clone()).await {
            if base.refresh(store, &key).await? {
                continue;
            }
            return Err(error);
        }
        match remove(store, &key, &object).await? {
            Round::Done(Updated::Deleted(object)) => return Ok(object),
            Round::Done(_) => {}
            Round::Lost(current) => base = Base::after_conflict(store, &key, current)?,
        }
    }
    Err(StorageError::Contended { key }.into())
}
