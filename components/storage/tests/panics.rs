//! A panic below the caches is survived: the feed begins again, nobody waits for ever, watchers miss nothing.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use storage::{
    Backend, BackendError, BackendWatch, CacheFor, MemoryBackend, RangeRequest, RangeResult,
    RequestedRevision, ResourceSpec, Revision, Storage, StorageOptions, Store, TxnOutcome, WatchItem,
    WatchMessage, WatchRange, WatchRequest,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A memory backend whose parts panic as often as they are told to.
struct Panicking {
    inner: MemoryBackend,
    watches: Arc<AtomicUsize>,
    questions: AtomicUsize,
}

fn panic_if_left(left: &AtomicUsize) {
    if left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
    {
        panic!("told to");
    }
}

#[async_trait]
impl Backend for Panicking {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        self.inner.range(request).await
    }

    async fn create(
        &self,
        key: &str,
        value: bytes::Bytes,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.inner.create(key, value, ttl).await
    }

    async fn update(
        &self,
        key: &str,
        value: bytes::Bytes,
        expected: Revision,
        ttl: Option<Duration>,
    ) -> Result<TxnOutcome, BackendError> {
        self.inner.update(key, value, expected, ttl).await
    }

    async fn delete(&self, key: &str, expected: Revision) -> Result<TxnOutcome, BackendError> {
        self.inner.delete(key, expected).await
    }

    async fn current_revision(&self) -> Result<Revision, BackendError> {
        panic_if_left(&self.questions);
        self.inner.current_revision().await
    }

    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError> {
        panic_if_left(&self.watches);
        let watch = self.inner.watch(range).await?;
        let (sender, messages) = tokio::sync::mpsc::channel(1);
        let (mut from, left) = (watch.messages, self.watches.clone());
        tokio::spawn(async move {
            while let Some(message) = from.recv().await {
                let changes = matches!(&message, Ok(WatchMessage { events, .. }) if !events.is_empty());
                // It ends after a change, so that the next watch, which panics, is asked for.
                if sender.send(message).await.is_err() || changes && left.load(Ordering::SeqCst) > 0 {
                    return;
                }
            }
        });
        Ok(BackendWatch {
            messages,
            progress: watch.progress,
            feed: watch.feed,
        })
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.inner.compact(revision).await
    }
}

fn open() -> (Arc<Panicking>, Store) {
    let backend = Arc::new(Panicking {
        inner: MemoryBackend::default(),
        watches: Arc::default(),
        questions: AtomicUsize::default(),
    });
    let spec = ResourceSpec {
        name: "things".into(),
        path: "things".into(),
        namespaced: false,
        fields: vec![],
        decoder: None,
        cache: CacheFor::All,
    };
    let options = StorageOptions {
        consistent_read_timeout: PATIENCE,
        ..StorageOptions::default()
    };
    let store = Storage::open(backend.clone(), options).store(spec);
    (backend, store)
}

async fn create(store: &Store, name: &str) {
    let text = json!({"metadata": {"name": name}}).to_string();
    store.create("", name, text.as_bytes(), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_feed_loses_nothing() {
    let (backend, store) = open();
    create(&store, "first").await;
    let mut watcher = store
        .watch(WatchRequest {
            revision: RequestedRevision::Any,
            ..WatchRequest::default()
        })
        .await
        .unwrap();
    backend.watches.store(2, Ordering::SeqCst);
    let names: Vec<String> = (0..20).map(|index| format!("thing-{index:02}")).collect();
    for name in &names {
        create(&store, name).await;
    }
    let mut seen = Vec::new();
    while seen.len() < names.len() + 1 {
        let item = tokio::time::timeout(PATIENCE, watcher.next()).await;
        match item {
            Ok(WatchItem::Event(event)) => seen.push(event.object().name().to_owned()),
            Ok(WatchItem::Bookmark { .. }) => {}
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    assert_eq!(seen[1..], names);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_question_for_the_revision_is_an_error_once() {
    let (backend, store) = open();
    create(&store, "first").await;
    store.warm_up().await.unwrap();
    backend.questions.store(1, Ordering::SeqCst);
    let failed = store.get("", "first", RequestedRevision::Unset).await;
    let again = tokio::time::timeout(PATIENCE, store.get("", "first", RequestedRevision::Unset)).await;
    assert!(failed.is_err(), "the question panicked");
    assert_eq!(again.unwrap().unwrap().name(), "first");
}
