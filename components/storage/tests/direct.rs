//! Resources whose cache is off: lists and watches of the backend's own history, on each backend.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "backends/each.rs"]
mod each;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use each::contract;
use parking_lot::Mutex;
use serde_json::json;
use storage::{
    Backend, BackendError, BackendWatch, CacheFor, EventKind, FieldSpec, Filter, ListPage, ListRequest,
    Marks, MemoryBackend, Preconditions, RangeRequest, RangeResult, RequestedRevision, ResourceSpec,
    Revision, RevisionMatch, Storage, StorageError, StorageOptions, Store, TxnOutcome, WatchItem, WatchRange,
    WatchRequest, Watcher,
};

const PATIENCE: Duration = Duration::from_secs(20);

contract!(
    pages_of_the_history,
    revisions_of_lists,
    single_objects,
    watches_from_old_revisions,
    watches_that_begin_with_the_state,
    changes_as_a_selector_sees_them,
    readers_that_fall_behind,
    unreadable_values,
    nothing_is_loaded
);

fn called(name: &'static str) -> Option<Filter> {
    Some(Filter::of_name(Marks::default(), Some(name), move |object| {
        object.name() == name
    }))
}

fn spec(cache: CacheFor) -> ResourceSpec {
    ResourceSpec {
        name: "pods".into(),
        path: "pods".into(),
        namespaced: true,
        fields: vec![FieldSpec::path("spec.nodeName")],
        decoder: None,
        cache,
    }
}

fn open(backend: Arc<dyn Backend>) -> (Storage, Store) {
    let storage = Storage::open(backend, StorageOptions::default());
    let pods = storage.store(spec(CacheFor::Nobody));
    (storage, pods)
}

fn pod(name: &str, node: &str) -> Vec<u8> {
    json!({"metadata": {"name": name, "namespace": "ns", "uid": name}, "spec": {"nodeName": node}})
        .to_string()
        .into_bytes()
}

fn on_node(node: &'static str) -> Option<Filter> {
    Some(Filter::new(Marks::field("spec.nodeName", node), move |object| {
        object.field("spec.nodeName") == Some(node)
    }))
}

async fn create(pods: &Store, name: &str, node: &str) -> Revision {
    let created = pods.create("ns", name, &pod(name, node), None).await;
    created.unwrap().revision()
}

async fn change(pods: &Store, name: &str, node: &str) -> Revision {
    let updated = pods
        .update("ns", name, &Preconditions::default(), |_| async {
            Ok::<_, StorageError>(storage::Change::Write {
                json: pod(name, node).into(),
                ttl: None,
            })
        })
        .await;
    match updated.unwrap() {
        storage::Updated::Written(object) => object.revision(),
        other => panic!("{other:?}"),
    }
}

async fn remove(pods: &Store, name: &str) -> Revision {
    let agree = |_| async { Ok::<_, StorageError>(()) };
    let deleted = pods.delete("ns", name, &Preconditions::default(), agree).await;
    deleted.unwrap().revision()
}

fn names(page: &ListPage) -> Vec<&str> {
    page.items.iter().map(|object| object.name()).collect()
}

fn later(revision: Revision, by: i64) -> Revision {
    Revision::parse(&(revision.value() + by).to_string()).unwrap()
}

async fn next(watcher: &mut Watcher) -> WatchItem {
    let item = tokio::time::timeout(PATIENCE, watcher.next()).await;
    item.expect("an item")
}

async fn event(watcher: &mut Watcher) -> (EventKind, String, Revision) {
    match next(watcher).await {
        WatchItem::Event(event) => {
            let frame: serde_json::Value = serde_json::from_slice(&event.frame()).unwrap();
            assert_eq!(frame["type"], event.kind.as_str());
            let version = &frame["object"]["metadata"]["resourceVersion"];
            assert_eq!(*version, event.revision().to_string());
            (event.kind, event.object().name().to_owned(), event.revision())
        }
        other => panic!("{other:?}"),
    }
}

fn from(revision: Revision) -> WatchRequest {
    WatchRequest {
        revision: RequestedRevision::At(revision),
        ..WatchRequest::default()
    }
}

async fn failure(watcher: &mut Watcher) -> StorageError {
    match next(watcher).await {
        WatchItem::Failed(error) => {
            assert!(
                matches!(next(watcher).await, WatchItem::Closed),
                "nothing follows"
            );
            *error
        }
        other => panic!("{other:?}"),
    }
}

async fn pages_of_the_history(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend.clone());
    for name in ["a", "b", "c", "d", "e"] {
        create(&pods, name, if name < "d" { "n1" } else { "n2" }).await;
    }
    let page = |token: Option<String>| {
        pods.list(ListRequest {
            revision: RequestedRevision::Any,
            limit: 2,
            continue_token: token,
            ..ListRequest::default()
        })
    };
    let first = page(None).await.unwrap();
    assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(3)));
    remove(&pods, "c").await;
    let at = create(&pods, "f", "n1").await;
    let second = page(first.continue_token.clone()).await.unwrap();
    assert_eq!((names(&second), second.remaining), (vec!["c", "d"], Some(1)));
    assert_eq!(second.revision, first.revision, "the state of the first page");
    let last = page(second.continue_token.clone()).await.unwrap();
    assert_eq!(
        (names(&last), last.remaining, &last.continue_token),
        (vec!["e"], None, &None)
    );
    let selected = pods.list(ListRequest {
        limit: 1,
        filter: on_node("n2"),
        ..ListRequest::default()
    });
    let selected = selected.await.unwrap();
    assert_eq!((names(&selected), selected.remaining), (vec!["d"], None));
    assert!(selected.continue_token.is_some());

    backend.compact(at).await.unwrap();
    let StorageError::ExpiredContinue { restart } = page(first.continue_token).await.unwrap_err() else {
        panic!("not expired");
    };
    let rest = page(restart).await.unwrap();
    assert_eq!(names(&rest), ["d", "e"]);
    for (namespace, found) in [(Some("ns"), vec!["d"]), (None, vec!["d"]), (Some("n"), vec![])] {
        let one = pods.list(ListRequest {
            namespace: namespace.map(str::to_owned),
            filter: called("d"),
            ..ListRequest::default()
        });
        assert_eq!(names(&one.await.unwrap()), found, "{namespace:?}");
    }
    let elsewhere = pods.list(ListRequest {
        namespace: Some("other".into()),
        ..ListRequest::default()
    });
    assert_eq!(names(&elsewhere.await.unwrap()), [""; 0]);
}

async fn revisions_of_lists(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend.clone());
    let a = create(&pods, "a", "n1").await;
    let b = create(&pods, "b", "n1").await;
    let list = |revision, revision_match, limit| {
        pods.list(ListRequest {
            revision: RequestedRevision::At(revision),
            revision_match,
            limit,
            ..ListRequest::default()
        })
    };
    let exact = Some(RevisionMatch::Exact);
    let least = Some(RevisionMatch::NotOlderThan);
    for (at, how, limit, want) in [
        (a, exact, 0, vec!["a"]),
        (a, None, 5, vec!["a"]),
        (a, None, 0, vec!["a", "b"]),
        (a, least, 5, vec!["a", "b"]),
    ] {
        let page = list(at, how, limit).await.unwrap();
        assert_eq!(names(&page), want, "{how:?} {limit}");
        assert_eq!(page.revision, if want.len() == 1 { a } else { b });
    }
    let future = later(b, 100);
    for how in [exact, least, None] {
        let error = list(future, how, 0).await.unwrap_err();
        assert!(
            matches!(error, StorageError::TooLargeResourceVersion { requested, current } if requested == future && current >= b),
            "{how:?} {error:?}"
        );
    }
    let c = create(&pods, "c", "n1").await;
    backend.compact(c).await.unwrap();
    let error = list(a, exact, 0).await.unwrap_err();
    assert!(matches!(error, StorageError::Expired { .. }), "{error:?}");
    assert_eq!(names(&list(a, least, 0).await.unwrap()), ["a", "b", "c"]);
}

async fn single_objects(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend);
    let a = create(&pods, "a", "n1").await;
    for revision in [
        RequestedRevision::Unset,
        RequestedRevision::Any,
        RequestedRevision::At(a),
    ] {
        let found = pods.get("ns", "a", revision).await.unwrap();
        assert_eq!(found.revision(), a);
    }
    let error = pods
        .get("ns", "a", RequestedRevision::At(later(a, 50)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, StorageError::TooLargeResourceVersion { .. }),
        "{error:?}"
    );
    let error = pods.get("ns", "b", RequestedRevision::Any).await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error:?}");
}

async fn watches_from_old_revisions(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend.clone());
    let a = create(&pods, "a", "n1").await;
    let changed = change(&pods, "a", "n2").await;
    let gone = remove(&pods, "a").await;
    let again = create(&pods, "a", "n3").await;
    let mut watcher = pods.watch(from(a)).await.unwrap();
    assert_eq!(
        event(&mut watcher).await,
        (EventKind::Modified, "a".into(), changed)
    );
    assert_eq!(event(&mut watcher).await, (EventKind::Deleted, "a".into(), gone));
    assert_eq!(event(&mut watcher).await, (EventKind::Added, "a".into(), again));
    assert!(watcher.try_next().is_none());
    let b = create(&pods, "b", "n1").await;
    assert_eq!(event(&mut watcher).await, (EventKind::Added, "b".into(), b));

    let mut ahead = pods.watch(from(later(b, 1))).await.unwrap();
    create(&pods, "c", "n1").await;
    let d = create(&pods, "d", "n1").await;
    assert_eq!(event(&mut ahead).await, (EventKind::Added, "d".into(), d));

    let elsewhere = WatchRequest {
        namespace: Some("n".into()),
        ..from(a)
    };
    let mut elsewhere = pods.watch(elsewhere).await.unwrap();
    backend.compact(d).await.unwrap();
    let error = failure(&mut pods.watch(from(a)).await.unwrap()).await;
    assert!(
        matches!(error, StorageError::Expired { requested, .. } if requested == a),
        "{error:?}"
    );
    let removed = remove(&pods, "d").await;
    let mut watcher = pods.watch(from(d)).await.unwrap();
    assert_eq!(
        event(&mut watcher).await,
        (EventKind::Deleted, "d".into(), removed)
    );
    assert!(!matches!(elsewhere.try_next(), Some(WatchItem::Event(_))));
}

async fn watches_that_begin_with_the_state(backend: Arc<dyn Backend>) {
    let (storage, pods) = open(backend);
    let a = create(&pods, "a", "n1").await;
    let b = create(&pods, "b", "n2").await;
    for request in [
        WatchRequest::default(),
        WatchRequest {
            revision: RequestedRevision::Any,
            bookmarks: true,
            ..WatchRequest::default()
        },
    ] {
        let mut watcher = pods.watch(request).await.unwrap();
        assert_eq!(event(&mut watcher).await, (EventKind::Added, "a".into(), a));
        assert_eq!(event(&mut watcher).await, (EventKind::Added, "b".into(), b));
        assert!(watcher.try_next().is_none());
    }
    let listed = |revision| WatchRequest {
        revision,
        send_initial_events: Some(true),
        bookmarks: true,
        filter: on_node("n2"),
        ..WatchRequest::default()
    };
    let mut list = pods.watch(listed(RequestedRevision::At(a))).await.unwrap();
    assert_eq!(event(&mut list).await, (EventKind::Added, "b".into(), b));
    let WatchItem::Bookmark {
        revision,
        initial_events_end: true,
    } = next(&mut list).await
    else {
        panic!("no bookmark");
    };
    assert_eq!(revision, b);
    let future = later(b, 100);
    let mut early = pods.watch(listed(RequestedRevision::At(future))).await.unwrap();
    let error = failure(&mut early).await;
    assert!(
        matches!(error, StorageError::TooLargeResourceVersion { requested, .. } if requested == future),
        "{error:?}"
    );
    drop(early);
    let mut fresh = pods
        .watch(WatchRequest {
            send_initial_events: Some(false),
            ..WatchRequest::default()
        })
        .await
        .unwrap();
    let c = create(&pods, "c", "n2").await;
    for watcher in [&mut list, &mut fresh] {
        assert_eq!(event(watcher).await, (EventKind::Added, "c".into(), c));
    }
    assert_eq!(pods.watchers(), 2);
    storage.remove("pods");
    assert!(matches!(next(&mut list).await, WatchItem::Closed));
}

async fn changes_as_a_selector_sees_them(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend);
    let start = create(&pods, "other", "n9").await;
    let mut changes = Vec::new();
    changes.push((EventKind::Added, create(&pods, "a", "n1").await));
    changes.push((EventKind::Modified, {
        let json = json!({"metadata": {"name": "a", "namespace": "ns", "labels": {"x": "y"}}, "spec": {"nodeName": "n1"}});
        let updated = pods
            .update("ns", "a", &Preconditions::default(), |_| async {
                Ok::<_, StorageError>(storage::Change::Write {
                    json: json.to_string().into_bytes().into(),
                    ttl: None,
                })
            })
            .await;
        match updated.unwrap() {
            storage::Updated::Written(object) => object.revision(),
            other => panic!("{other:?}"),
        }
    }));
    changes.push((EventKind::Deleted, change(&pods, "a", "n2").await));
    change(&pods, "a", "n3").await;
    changes.push((EventKind::Added, change(&pods, "a", "n1").await));
    changes.push((EventKind::Deleted, remove(&pods, "a").await));
    create(&pods, "a", "n2").await;
    remove(&pods, "a").await;
    let request = WatchRequest {
        filter: on_node("n1"),
        ..from(start)
    };
    let mut watcher = pods.watch(request).await.unwrap();
    for (kind, revision) in changes {
        let WatchItem::Event(event) = next(&mut watcher).await else {
            panic!("no event");
        };
        assert_eq!((event.kind, event.revision()), (kind, revision));
        // What leaves is shown as it was.
        assert_eq!(event.object().field("spec.nodeName"), Some("n1"), "{kind:?}");
    }
    let one = WatchRequest {
        namespace: Some("ns".into()),
        filter: called("last"),
        ..from(start)
    };
    let mut one = pods.watch(one).await.unwrap();
    create(&pods, "lasting", "n1").await;
    let last = create(&pods, "last", "n1").await;
    assert_eq!(event(&mut watcher).await.1, "lasting");
    for watcher in [&mut watcher, &mut one] {
        assert_eq!(event(watcher).await, (EventKind::Added, "last".into(), last));
    }
}

async fn readers_that_fall_behind(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend);
    let mut last = create(&pods, "a", "n").await;
    let mut watcher = pods.watch(from(last)).await.unwrap();
    // The watch begins, and is not read.
    assert!(watcher.try_next().is_none());
    for turn in 0..300 {
        let changed = change(&pods, "a", &format!("n{turn}")).await;
        if turn == 0 {
            assert_eq!(event(&mut watcher).await.2, changed);
            last = changed;
        }
    }
    for _ in 1..300 {
        let (kind, _, revision) = event(&mut watcher).await;
        assert_eq!(
            (kind, revision),
            (EventKind::Modified, later(last, 1)),
            "lost or repeated"
        );
        last = revision;
    }
}

async fn unreadable_values(backend: Arc<dyn Backend>) {
    let (_storage, pods) = open(backend.clone());
    let a = create(&pods, "a", "n").await;
    let key = "/registry/pods/ns/b";
    backend.create(key, b"no object"[..].into(), None).await.unwrap();
    let error = pods.list(ListRequest::default()).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::Corrupt { key: found, .. } if found == key),
        "{error:?}"
    );
    let mut watcher = pods.watch(WatchRequest::default()).await.unwrap();
    assert_eq!(event(&mut watcher).await.1, "a");
    for mut watcher in [watcher, pods.watch(from(a)).await.unwrap()] {
        let error = failure(&mut watcher).await;
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
    }
}

async fn nothing_is_loaded(backend: Arc<dyn Backend>) {
    let (storage, pods) = open(backend);
    create(&pods, "a", "n").await;
    storage.warm_up().await.unwrap();
    pods.list(ListRequest::default()).await.unwrap();
    assert_eq!((pods.objects(), pods.is_followed()), (0, false));
    storage.count().await;
    assert_eq!(pods.objects(), 1);
    let size = pods.bytes();
    assert!(size > pod("a", "n").len(), "{size}");
    // What isn't loaded must not pass for what isn't there.
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pods.cached_object("ns", "a")));
    assert!(asked.is_err());
    pods.warm_up().await.unwrap();
    assert!(pods.cached_object("ns", "a").is_some());
    assert_eq!((pods.objects(), pods.bytes()), (1, size));
}

#[tokio::test]
async fn what_the_server_follows_is_loaded_and_clients_read_the_backend() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let storage = Storage::open(backend.clone(), StorageOptions::default());
    let pods = storage.store(spec(CacheFor::Server));
    let a = create(&pods, "a", "n").await;
    storage.warm_up().await.unwrap();
    assert_eq!(pods.cached(None).len(), 1);
    create(&pods, "b", "n").await;
    // Pages at any revision are whole where the cache serves them.
    let page = pods.list(ListRequest {
        revision: RequestedRevision::Any,
        limit: 1,
        ..ListRequest::default()
    });
    assert_eq!(names(&page.await.unwrap()), ["a"]);
    let mut own = pods.watch_cached(from(a)).await.unwrap();
    assert_eq!(event(&mut own).await.1, "b");
}

/// Notes how much it is asked for.
#[derive(Default)]
struct Recording {
    inner: MemoryBackend,
    limits: Mutex<Vec<usize>>,
}

#[async_trait]
impl Backend for Recording {
    async fn range(&self, request: RangeRequest) -> Result<RangeResult, BackendError> {
        self.limits.lock().push(request.limit);
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
        self.inner.current_revision().await
    }

    async fn watch(&self, range: WatchRange) -> Result<BackendWatch, BackendError> {
        self.inner.watch(range).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), BackendError> {
        self.inner.compact(revision).await
    }
}

#[tokio::test]
async fn a_list_reads_what_its_page_takes_and_more_at_a_time_when_a_selector_drops_much() {
    let backend = Arc::new(Recording::default());
    let (_storage, pods) = open(backend.clone());
    for number in 0..40 {
        let node = if number % 10 == 9 { "n1" } else { "n2" };
        create(&pods, &format!("p{number:02}"), node).await;
    }
    for (filter, found, limits) in [
        (None, vec!["p00", "p01"], vec![2]),
        (on_node("n1"), vec!["p09", "p19"], vec![2, 4, 8, 16]),
        (on_node("n3"), vec![], vec![2, 4, 8, 16, 32]),
    ] {
        backend.limits.lock().clear();
        let page = pods.list(ListRequest {
            limit: 2,
            filter,
            ..ListRequest::default()
        });
        assert_eq!(names(&page.await.unwrap()), found);
        assert_eq!(*backend.limits.lock(), limits);
    }
}
