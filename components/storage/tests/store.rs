//! Stores over the in-memory backend: reads, writes, lists and watches as the API promises them.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storage::{
    Backend, CacheFor, Change, EventKind, FieldSpec, Filter, ListRequest, Marks, MemoryBackend,
    Preconditions, RangeRequest, RequestedRevision, ResourceSpec, Revision, RevisionMatch, Storage,
    StorageError, StorageOptions, Store, Transformers, TxnOutcome, Updated, WatchItem, WatchRequest, Watcher,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn pods() -> ResourceSpec {
    ResourceSpec {
        name: "pods".into(),
        path: "pods".into(),
        namespaced: true,
        fields: vec![FieldSpec::path("spec.nodeName")],
        decoder: None,
        cache: CacheFor::All,
    }
}

struct Fixture {
    backend: Arc<dyn Backend>,
    storage: Storage,
    pods: Store,
}

fn fixture() -> Fixture {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let storage = Storage::open(backend.clone(), StorageOptions::default());
    let pods = storage.store(pods());
    Fixture {
        backend,
        storage,
        pods,
    }
}

fn pod(name: &str, node: &str) -> Vec<u8> {
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "ns", "uid": format!("u-{name}"), "labels": {"node": node}},
        "spec": {"nodeName": node}})
    .to_string()
    .into_bytes()
}

fn on_node(node: &'static str) -> Option<Filter> {
    Some(Filter::new(Marks::field("spec.nodeName", node), move |object| {
        object.field("spec.nodeName") == Some(node)
    }))
}

async fn write(store: &Store, name: &str, node: &str) -> Revision {
    let node = node.to_owned();
    let updated = store
        .update("ns", name, &Preconditions::default(), |_| {
            let json = pod(name, &node);
            async move {
                Ok::<_, StorageError>(Change::Write {
                    json: json.into(),
                    ttl: None,
                })
            }
        })
        .await
        .unwrap();
    match updated {
        Updated::Created(object) | Updated::Written(object) => object.revision(),
        other => panic!("{other:?}"),
    }
}

async fn remove(store: &Store, name: &str) -> Revision {
    let agree = |_| async { Ok::<_, StorageError>(()) };
    store
        .delete("ns", name, &Preconditions::default(), agree)
        .await
        .unwrap()
        .revision()
}

async fn next(watcher: &mut Watcher) -> WatchItem {
    tokio::time::timeout(PATIENCE, watcher.next())
        .await
        .expect("an item")
}

async fn next_event(watcher: &mut Watcher) -> (EventKind, String, Revision) {
    match next(watcher).await {
        WatchItem::Event(event) => {
            let frame: Value = serde_json::from_slice(&event.frame()).unwrap();
            assert_eq!(frame["type"], event.kind.as_str());
            assert_eq!(
                frame["object"],
                serde_json::from_slice::<Value>(event.object().json_bytes()).unwrap()
            );
            assert_eq!(
                frame["object"]["metadata"]["resourceVersion"],
                event.object().revision().to_string()
            );
            (event.kind, event.object().name().to_owned(), event.revision())
        }
        item => panic!("{item:?}"),
    }
}

fn names(page: &storage::ListPage) -> Vec<&str> {
    page.items.iter().map(|object| object.name()).collect()
}

#[tokio::test]
async fn stored_form_and_answers() {
    let Fixture { backend, pods, .. } = fixture();
    let created = pods.create("ns", "a", &pod("a", "n1"), None).await.unwrap();
    let json: Value = serde_json::from_slice(created.json_bytes()).unwrap();
    assert_eq!(
        json["metadata"]["resourceVersion"],
        created.revision().to_string()
    );
    let stored = backend
        .range(RangeRequest::prefix("/registry/pods/ns/a"))
        .await
        .unwrap()
        .kvs
        .remove(0);
    assert_eq!(
        (stored.key.as_str(), stored.mod_revision),
        ("/registry/pods/ns/a", created.revision())
    );
    assert_eq!(stored.value, pod("a", "n1"));
    let read = pods.get("ns", "a", RequestedRevision::Unset).await.unwrap();
    assert_eq!(read.json(), created.json());
    let again = pods.create("ns", "a", &pod("a", "n1"), None).await.unwrap_err();
    assert!(matches!(again, StorageError::AlreadyExists { .. }));
    for (namespace, name) in [("", "a"), ("ns", ""), ("ns", "a/b"), ("..", "a"), ("ns", ".")] {
        let error = pods
            .get(namespace, name, RequestedRevision::Unset)
            .await
            .unwrap_err();
        assert!(matches!(error, StorageError::InvalidKey { .. }), "{error:?}");
    }
    let error = pods
        .get("ns", "absent", RequestedRevision::Unset)
        .await
        .unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }));
    for text in ["[]", "{}", "{\"metadata\":{}"] {
        let error = pods.create("ns", "b", text.as_bytes(), None).await.unwrap_err();
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn updates_and_preconditions() {
    let Fixture { backend, pods, .. } = fixture();
    let first = pods.create("ns", "a", &pod("a", "n1"), None).await.unwrap();
    pods.warm_up().await.unwrap();
    // Another server writes behind the cache's back; the write is redone on the newest state.
    let elsewhere = backend
        .update(
            "/registry/pods/ns/a",
            pod("a", "n2").into(),
            first.revision(),
            None,
        )
        .await
        .unwrap();
    let mut seen = Vec::new();
    let updated = pods
        .update("ns", "a", &Preconditions::default(), |object| {
            seen.push(object.unwrap().revision());
            async {
                Ok::<_, StorageError>(Change::Write {
                    json: pod("a", "n3").into(),
                    ttl: None,
                })
            }
        })
        .await
        .unwrap();
    assert!(
        matches!(updated, Updated::Written(_)),
        "{updated:?} after {elsewhere:?}"
    );
    let newest = pods.get("ns", "a", RequestedRevision::Unset).await.unwrap();
    assert_eq!(newest.field("spec.nodeName"), Some("n3"));
    // Writing what is there already changes nothing.
    let unchanged = pods
        .update("ns", "a", &Preconditions::default(), |object| async move {
            Ok::<_, StorageError>(Change::Write {
                json: object.unwrap().json_bytes().to_vec().into(),
                ttl: None,
            })
        })
        .await
        .unwrap();
    assert!(matches!(unchanged, Updated::Unchanged(Some(object)) if object.revision() == newest.revision()));
    for (uid, version, holds) in [
        (Some("u-a"), None, true),
        (Some("other"), None, false),
        (None, Some(newest.revision().to_string()), true),
        (None, Some(first.revision().to_string()), false),
    ] {
        let preconditions = Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: version,
        };
        let result = pods
            .update("ns", "a", &preconditions, |_| async {
                Ok::<_, StorageError>(Change::Nothing)
            })
            .await;
        assert_eq!(result.is_ok(), holds, "{preconditions:?}: {result:?}");
    }
    let stale = Preconditions {
        resource_version: Some(first.revision().to_string()),
        ..Preconditions::default()
    };
    let agree = |_| async { Ok::<_, StorageError>(()) };
    let error = pods.delete("ns", "a", &stale, agree).await.unwrap_err();
    assert!(matches!(error, StorageError::PreconditionFailed { .. }));
    let gone = pods
        .delete("ns", "a", &Preconditions::default(), agree)
        .await
        .unwrap();
    assert!(gone.revision() > newest.revision());
    let error = pods
        .delete("ns", "a", &Preconditions::default(), agree)
        .await
        .unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }));
}

#[tokio::test]
async fn concurrent_updates_lose_nothing() {
    let Fixture { pods, .. } = fixture();
    let counter = |count: u64| {
        json!({"metadata": {"name": "c", "namespace": "ns"}, "count": count})
            .to_string()
            .into_bytes()
    };
    pods.create("ns", "c", &counter(0), None).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let pods = pods.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    pods.update("ns", "c", &Preconditions::default(), |object| async move {
                        let value: Value = serde_json::from_slice(object.unwrap().json_bytes()).unwrap();
                        let json = counter(value["count"].as_u64().unwrap() + 1);
                        Ok::<_, StorageError>(Change::Write {
                            json: json.into(),
                            ttl: None,
                        })
                    })
                    .await
                    .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let object = pods.get("ns", "c", RequestedRevision::Unset).await.unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(object.json_bytes()).unwrap()["count"],
        200
    );
}

#[tokio::test]
async fn pages_stay_at_their_revision() {
    let Fixture { backend, pods, .. } = fixture();
    for name in ["a", "b", "c", "d", "e"] {
        write(&pods, name, "n1").await;
    }
    let first = pods
        .list(ListRequest {
            limit: 2,
            ..ListRequest::default()
        })
        .await
        .unwrap();
    assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(3)));
    remove(&pods, "c").await;
    write(&pods, "bb", "n1").await;
    let next_page = |token: Option<String>| ListRequest {
        limit: 2,
        continue_token: token,
        ..ListRequest::default()
    };
    let second = pods.list(next_page(first.continue_token.clone())).await.unwrap();
    assert_eq!(
        (names(&second), second.revision),
        (vec!["c", "d"], first.revision)
    );
    let third = pods.list(next_page(second.continue_token)).await.unwrap();
    assert_eq!(
        (names(&third), &third.continue_token, third.remaining),
        (vec!["e"], &None, None)
    );
    // Another server has neither the snapshot nor the events, and reads the old revision from the backend.
    let other = Storage::open(backend.clone(), StorageOptions::default()).store(self::pods());
    let elsewhere = other.list(next_page(first.continue_token.clone())).await.unwrap();
    assert_eq!(
        (names(&elsewhere), elsewhere.revision),
        (vec!["c", "d"], first.revision)
    );
    backend
        .compact(backend.current_revision().await.unwrap())
        .await
        .unwrap();
    let third = Storage::open(backend, StorageOptions::default()).store(self::pods());
    let error = third.list(next_page(first.continue_token)).await.unwrap_err();
    let StorageError::ExpiredContinue {
        restart: Some(restart),
    } = error
    else {
        panic!("{error:?}")
    };
    let page = third.list(next_page(Some(restart))).await.unwrap();
    assert_eq!(names(&page), ["bb", "d"]);
}

/// Nothing has changed since the first page, so the state is still at hand; another server would not have it.
#[tokio::test]
async fn a_list_that_is_continued_expires_with_the_stores_history() {
    let Fixture {
        storage,
        pods,
        backend,
    } = fixture();
    for name in ["a", "b", "c"] {
        write(&pods, name, "n1").await;
    }
    let page = |continue_token| ListRequest {
        limit: 1,
        continue_token,
        ..ListRequest::default()
    };
    let first = pods.list(page(None)).await.unwrap();
    let exactly = ListRequest {
        revision: RequestedRevision::At(first.revision),
        revision_match: Some(RevisionMatch::Exact),
        ..ListRequest::default()
    };
    storage.forget_before(first.revision);
    let second = pods.list(page(first.continue_token)).await.unwrap();
    assert_eq!(names(&second), ["b"], "the compacted revision itself can be read");
    backend
        .create("/elsewhere", Default::default(), None)
        .await
        .unwrap();
    storage.forget_before(backend.current_revision().await.unwrap());
    let error = pods.list(exactly).await.unwrap_err();
    assert!(matches!(error, StorageError::Expired { .. }), "{error:?}");
    let error = pods.list(page(second.continue_token)).await.unwrap_err();
    let StorageError::ExpiredContinue {
        restart: Some(restart),
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(names(&pods.list(page(Some(restart))).await.unwrap()), ["c"]);
}

#[tokio::test]
async fn list_revisions() {
    let Fixture { pods, .. } = fixture();
    let first = write(&pods, "a", "n1").await;
    let second = write(&pods, "b", "n2").await;
    let third = write(&pods, "a", "n3").await;
    let at = |revision: Revision, revision_match| ListRequest {
        revision: RequestedRevision::At(revision),
        revision_match,
        ..ListRequest::default()
    };
    let exact = pods.list(at(first, Some(RevisionMatch::Exact))).await.unwrap();
    assert_eq!((names(&exact), exact.revision), (vec!["a"], first));
    let exact = pods.list(at(second, Some(RevisionMatch::Exact))).await.unwrap();
    assert_eq!(exact.items[0].field("spec.nodeName"), Some("n1"));
    let newer = pods
        .list(at(first, Some(RevisionMatch::NotOlderThan)))
        .await
        .unwrap();
    assert!(newer.revision >= third && newer.items.len() == 2);
    let any = pods
        .list(ListRequest {
            revision: RequestedRevision::Any,
            limit: 1,
            ..ListRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(any.items.len(), 2);
    let filtered = pods
        .list(ListRequest {
            filter: on_node("n3"),
            ..ListRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(names(&filtered), ["a"]);
    let elsewhere = ListRequest {
        namespace: Some("n".into()),
        ..ListRequest::default()
    };
    assert_eq!(pods.list(elsewhere).await.unwrap().items.len(), 0);
    let future = Revision::parse("1000000").unwrap();
    let error = pods.list(at(future, None)).await.unwrap_err();
    assert!(
        matches!(error, StorageError::TooLargeResourceVersion { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn watch_by_selector() {
    let Fixture { pods, .. } = fixture();
    let start = write(&pods, "other", "n9").await;
    let request = WatchRequest {
        revision: RequestedRevision::At(start),
        filter: on_node("n1"),
        ..WatchRequest::default()
    };
    let mut watcher = pods.watch(request).await.unwrap();
    let added = write(&pods, "a", "n1").await;
    write(&pods, "b", "n2").await;
    let entered = write(&pods, "b", "n1").await;
    let left = write(&pods, "a", "n2").await;
    write(&pods, "a", "n3").await;
    let gone = remove(&pods, "b").await;
    remove(&pods, "a").await;
    assert_eq!(
        next_event(&mut watcher).await,
        (EventKind::Added, "a".into(), added)
    );
    assert_eq!(
        next_event(&mut watcher).await,
        (EventKind::Added, "b".into(), entered)
    );
    let WatchItem::Event(event) = next(&mut watcher).await else {
        panic!()
    };
    assert_eq!(
        (event.kind, event.revision(), event.object().revision()),
        (EventKind::Deleted, left, left)
    );
    assert_eq!(
        event.object().field("spec.nodeName"),
        Some("n1"),
        "the state that matched"
    );
    assert_eq!(
        next_event(&mut watcher).await,
        (EventKind::Deleted, "b".into(), gone)
    );
}

#[tokio::test]
async fn watch_starts() {
    let Fixture { pods, .. } = fixture();
    let a = write(&pods, "a", "n1").await;
    let b = write(&pods, "b", "n1").await;
    // The watch list protocol.
    let request = WatchRequest {
        send_initial_events: Some(true),
        bookmarks: true,
        ..WatchRequest::default()
    };
    let mut list = pods.watch(request).await.unwrap();
    assert_eq!(next_event(&mut list).await, (EventKind::Added, "a".into(), a));
    assert_eq!(next_event(&mut list).await, (EventKind::Added, "b".into(), b));
    let WatchItem::Bookmark {
        revision,
        initial_events_end: true,
    } = next(&mut list).await
    else {
        panic!()
    };
    assert!(revision >= b);
    // Old clients: the state first, without a mark.
    let mut old = pods
        .watch(WatchRequest {
            revision: RequestedRevision::Any,
            ..WatchRequest::default()
        })
        .await
        .unwrap();
    next_event(&mut old).await;
    next_event(&mut old).await;
    let mut from_a = pods
        .watch(WatchRequest {
            revision: RequestedRevision::At(a),
            ..WatchRequest::default()
        })
        .await;
    if let Ok(watcher) = &mut from_a {
        assert_eq!(next_event(watcher).await, (EventKind::Added, "b".into(), b));
    }
    let mut now = pods
        .watch(WatchRequest {
            send_initial_events: Some(false),
            ..WatchRequest::default()
        })
        .await
        .unwrap();
    let c = write(&pods, "c", "n1").await;
    for watcher in [&mut list, &mut old, &mut now] {
        assert_eq!(next_event(watcher).await, (EventKind::Added, "c".into(), c));
    }
    assert!(now.try_next().is_none());
}

#[tokio::test]
async fn bookmarks_move_with_other_resources() {
    let options = StorageOptions {
        bookmark_every: Duration::from_millis(50),
        ..StorageOptions::default()
    };
    let storage = Storage::open(Arc::new(MemoryBackend::default()), options);
    let pods = storage.store(pods());
    let maps = storage.store(ResourceSpec {
        name: "configmaps".into(),
        path: "configmaps".into(),
        ..self::pods()
    });
    let start = write(&pods, "a", "n1").await;
    let request = WatchRequest {
        revision: RequestedRevision::At(start),
        bookmarks: true,
        ..WatchRequest::default()
    };
    let mut watcher = pods.watch(request).await.unwrap();
    let elsewhere = write(&maps, "m", "x").await;
    let mut last = start;
    while last < elsewhere {
        let WatchItem::Bookmark {
            revision,
            initial_events_end: false,
        } = next(&mut watcher).await
        else {
            panic!()
        };
        assert!(revision >= last);
        last = revision;
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_bookmark_comes_before_the_end_of_its_watch() {
    let storage = Storage::open(Arc::new(MemoryBackend::default()), StorageOptions::default());
    let pods = storage.store(pods());
    let start = write(&pods, "a", "n1").await;
    let begun = tokio::time::Instant::now();
    // Between two of the bookmarks that come each minute, within the first, and too early for any.
    for (seconds, wanted) in [(90, 2), (10, 1), (1, 0)] {
        let begun = tokio::time::Instant::now();
        let until = begun + Duration::from_secs(seconds);
        let request = WatchRequest {
            revision: RequestedRevision::At(start),
            bookmarks: true,
            until: Some(until),
            ..WatchRequest::default()
        };
        let mut watcher = pods.watch(request).await.unwrap();
        let mut seen = Vec::new();
        while let Ok(item) = tokio::time::timeout_at(until, watcher.next()).await {
            assert!(matches!(item, WatchItem::Bookmark { .. }), "{item:?}");
            seen.push(until - tokio::time::Instant::now());
        }
        assert_eq!(seen.len(), wanted, "{seen:?}");
        assert!(
            seen.last().is_none_or(|left| left.as_secs().abs_diff(2) <= 1),
            "{seen:?}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(200));
}

#[tokio::test]
async fn a_slow_watcher_expires_alone() {
    let Fixture { pods, .. } = fixture();
    let start = write(&pods, "a", "n0").await;
    let request = || WatchRequest {
        revision: RequestedRevision::At(start),
        ..WatchRequest::default()
    };
    let mut slow = pods.watch(request()).await.unwrap();
    let mut quick = pods.watch(request()).await.unwrap();
    // 64 MiB of events is what a ring keeps.
    let big = "x".repeat(1 << 20);
    for number in 0..50 {
        let json = format!(
            r#"{{"metadata":{{"name":"a","namespace":"ns","uid":"u-a"}},"data":"{big}","n":{number}}}"#
        );
        let json = json.into_bytes();
        let updated = pods
            .update("ns", "a", &Preconditions::default(), |_| {
                let json = json.clone();
                async move {
                    Ok::<_, StorageError>(Change::Write {
                        json: json.into(),
                        ttl: None,
                    })
                }
            })
            .await
            .unwrap();
        let Updated::Written(object) = updated else {
            panic!()
        };
        let WatchItem::Event(event) = next(&mut quick).await else {
            panic!()
        };
        assert_eq!(event.revision(), object.revision());
    }
    assert!(matches!(next(&mut slow).await, WatchItem::Expired { .. }));
    assert!(matches!(next(&mut slow).await, WatchItem::Closed));
    let error = pods.watch(request()).await.err().expect("too old");
    assert!(matches!(error, StorageError::Expired { requested, .. } if requested == start));
}

#[tokio::test]
async fn compaction_past_the_watch_becomes_a_diff() {
    // The backend's own watch is cut off by a storage that starts late: one that lost its connection would see the same.
    let Fixture {
        backend,
        storage,
        pods,
    } = fixture();
    let revisions = [write(&pods, "a", "n1").await, write(&pods, "b", "n1").await];
    backend.compact(revisions[1]).await.unwrap();
    let late = storage.store(ResourceSpec {
        name: "again".into(),
        ..self::pods()
    });
    assert_eq!(late.list(ListRequest::default()).await.unwrap().items.len(), 2);
    let error = late
        .watch(WatchRequest {
            revision: RequestedRevision::At(revisions[0]),
            ..WatchRequest::default()
        })
        .await
        .err();
    assert!(matches!(error, Some(StorageError::Expired { .. }) | None));
}

/// Left out of a list, an object passes for deleted: lists fail, as upstream's, where it belongs into them.
#[tokio::test]
async fn lists_fail_that_an_unreadable_object_belongs_into() {
    let Fixture { backend, pods, .. } = fixture();
    write(&pods, "a", "n1").await;
    let list = pods.list(ListRequest::default()).await.unwrap();
    let bad = b"k8s\0protobuf"[..].into();
    let outcome = backend.create("/registry/pods/ns/bad", bad, None).await.unwrap();
    let TxnOutcome::Done(revision) = outcome else {
        panic!("{outcome:?}")
    };
    let of = |namespace: &str| ListRequest {
        namespace: Some(namespace.to_owned()),
        ..ListRequest::default()
    };
    for request in [ListRequest::default(), of("ns")] {
        let error = pods.list(request).await.unwrap_err();
        assert!(
            matches!(&error, StorageError::Corrupt { key, .. } if key == "/registry/pods/ns/bad"),
            "{error:?}"
        );
    }
    let error = pods.watch(WatchRequest::default()).await.err();
    assert!(matches!(error, Some(StorageError::Corrupt { .. })), "{error:?}");
    // Everything else goes on: other namespaces, single objects, states from before.
    assert!(names(&pods.list(of("other")).await.unwrap()).is_empty());
    let error = pods.get("ns", "bad", RequestedRevision::Any).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
    assert!(pods.get("ns", "a", RequestedRevision::Unset).await.is_ok());
    let before = ListRequest {
        revision: RequestedRevision::At(list.revision),
        revision_match: Some(RevisionMatch::Exact),
        ..ListRequest::default()
    };
    assert_eq!(names(&pods.list(before).await.unwrap()), ["a"]);
    backend.delete("/registry/pods/ns/bad", revision).await.unwrap();
    assert_eq!(names(&pods.list(ListRequest::default()).await.unwrap()), ["a"]);
}

/// Told of a deletion, controllers would act on it; told nothing, they would go on with a lie.
#[tokio::test]
async fn watchers_of_an_object_that_becomes_unreadable_have_to_list_again() {
    let Fixture { backend, pods, .. } = fixture();
    let revision = write(&pods, "a", "n1").await;
    let mut watcher = pods.watch(WatchRequest::default()).await.unwrap();
    assert_eq!(next_event(&mut watcher).await.1, "a");
    let outcome = backend
        .update("/registry/pods/ns/a", b"junk"[..].into(), revision, None)
        .await
        .unwrap();
    let TxnOutcome::Done(junk) = outcome else {
        panic!("{outcome:?}")
    };
    let item = next(&mut watcher).await;
    assert!(matches!(item, WatchItem::Expired { .. }), "{item:?}");
    let since = |revision| WatchRequest {
        revision: RequestedRevision::At(revision),
        ..WatchRequest::default()
    };
    let error = pods.watch(since(revision)).await.err();
    assert!(matches!(error, Some(StorageError::Expired { .. })), "{error:?}");
    // Who looks without asking has what was known last.
    assert!(pods.cached_object("ns", "a").is_some());
    let error = pods.get("ns", "a", RequestedRevision::Unset).await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
    // A value that can be read makes it whole again.
    let whole = pod("a", "n2").into();
    let outcome = backend
        .update("/registry/pods/ns/a", whole, junk, None)
        .await
        .unwrap();
    assert!(matches!(outcome, TxnOutcome::Done(_)), "{outcome:?}");
    let list = pods.list(ListRequest::default()).await.unwrap();
    assert_eq!(list.items[0].field("spec.nodeName"), Some("n2"));
}

/// The value comes back by itself: nobody has to write it again.
#[tokio::test]
async fn an_object_is_read_again_when_its_key_is_back() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let config = |names: &[&str]| {
        let secret = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 32]);
        let keys: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "secret": secret}))
            .collect();
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["pods"], "providers": [{"secretbox": {"keys": keys}}]}],
        })
        .to_string()
    };
    let open = |names: &[&str]| {
        let transformers = Transformers::from_config(&config(names)).unwrap();
        let options = StorageOptions {
            transformers: transformers.clone(),
            ..StorageOptions::default()
        };
        (Storage::open(backend.clone(), options), transformers)
    };
    let (_one, transformers) = open(&["old"]);
    let pods_of_one = _one.store(pods());
    write(&pods_of_one, "a", "n1").await;
    let mut watcher = pods_of_one.watch(WatchRequest::default()).await.unwrap();
    assert_eq!(next_event(&mut watcher).await.1, "a");
    // Another server uses a new key already.
    let (_other, _) = open(&["new", "old"]);
    write(&_other.store(pods()), "b", "n1").await;
    let item = next(&mut watcher).await;
    assert!(matches!(item, WatchItem::Expired { .. }), "{item:?}");
    assert!(pods_of_one.list(ListRequest::default()).await.is_err());
    transformers.reload(&config(&["new", "old"])).unwrap();
    let mended = async {
        let mut changes = pods_of_one.changes();
        while pods_of_one.list(ListRequest::default()).await.is_err() {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, mended).await.unwrap();
    let list = pods_of_one.list(ListRequest::default()).await.unwrap();
    assert_eq!(names(&list), ["a", "b"]);
}

/// A handle that outlives its resource reads what is stored, not what was known when it went.
#[tokio::test]
async fn a_removed_resource_is_not_loaded_again() {
    let Fixture { storage, pods, .. } = fixture();
    storage.remove("pods");
    write(&pods, "a", "n1").await;
    assert_eq!(names(&pods.list(ListRequest::default()).await.unwrap()), ["a"]);
    write(&pods, "b", "n1").await;
    assert_eq!(
        names(&pods.list(ListRequest::default()).await.unwrap()),
        ["a", "b"]
    );
    let error = pods.watch(WatchRequest::default()).await.err();
    assert!(
        matches!(error, Some(StorageError::Unavailable { .. })),
        "{error:?}"
    );
}

/// A pod was admitted with a runtime class whose deletion had been answered: the cache had not seen it yet.
#[tokio::test]
async fn what_this_server_has_written_is_known() {
    let Fixture { pods, .. } = fixture();
    pods.warm_up().await.unwrap();
    for node in ["n1", "n2"] {
        let revision = write(&pods, "a", node).await;
        let known = pods.known_object("ns", "a").await.unwrap();
        assert_eq!(known.revision(), revision);
    }
    remove(&pods, "a").await;
    // On this one thread nothing could be told in between, so that this is what was wrong.
    assert!(pods.cached_object("ns", "a").is_some());
    assert!(pods.known_object("ns", "a").await.is_none());
}

#[tokio::test]
async fn removed_resources_end_their_watchers() {
    let Fixture { storage, pods, .. } = fixture();
    let mut watcher = pods.watch(WatchRequest::default()).await.unwrap();
    storage.remove("pods");
    assert!(matches!(next(&mut watcher).await, WatchItem::Closed));
}

/// A definition that is deleted takes its objects along; who watches them learns of it, however slow.
#[tokio::test]
async fn what_happened_before_a_resource_was_removed_is_told_first() {
    let Fixture { storage, pods, .. } = fixture();
    let mut quick = pods.watch(WatchRequest::default()).await.unwrap();
    let mut slow = pods.watch(WatchRequest::default()).await.unwrap();
    let revision = write(&pods, "a", "n1").await;
    let added = (EventKind::Added, "a".to_owned(), revision);
    assert_eq!(next_event(&mut quick).await, added);
    storage.remove("pods");
    // Then the end is known to all watchers of this thread.
    assert!(matches!(next(&mut quick).await, WatchItem::Closed));
    assert_eq!(next_event(&mut slow).await, added);
    assert!(matches!(next(&mut slow).await, WatchItem::Closed));
}

#[tokio::test]
async fn encrypted_resources_are_rewritten_when_stale() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::default());
    let secret = |byte: u8| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [byte; 32]);
    let config = |keys: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - {{resources: [pods], providers: [{{aesgcm: {{keys: [{keys}]}}}}]}}\n"
        )
    };
    let old = format!("{{name: old, secret: {}}}", secret(1));
    let new = format!("{{name: new, secret: {}}}", secret(2));
    let open = |keys: String| {
        let transformers = Transformers::from_config(&config(&keys)).unwrap();
        Storage::open(
            backend.clone(),
            StorageOptions {
                transformers,
                ..StorageOptions::default()
            },
        )
        .store(pods())
    };
    open(old.clone())
        .create("ns", "a", &pod("a", "n1"), None)
        .await
        .unwrap();
    let rotated = open(format!("{new}, {old}"));
    let read = rotated.get("ns", "a", RequestedRevision::Unset).await.unwrap();
    assert!(read.is_stale() && read.field("spec.nodeName") == Some("n1"));
    rotated
        .update("ns", "a", &Preconditions::default(), |object| async move {
            Ok::<_, StorageError>(Change::Write {
                json: object.unwrap().json_bytes().to_vec().into(),
                ttl: None,
            })
        })
        .await
        .unwrap();
    let stored = backend
        .range(RangeRequest::prefix("/registry/pods/ns/a"))
        .await
        .unwrap()
        .kvs
        .remove(0)
        .value;
    assert!(stored.starts_with(b"k8s:enc:aesgcm:v1:new:"));
    assert!(
        !rotated
            .get("ns", "a", RequestedRevision::Unset)
            .await
            .unwrap()
            .is_stale()
    );
    let error = open(old)
        .get("ns", "a", RequestedRevision::Unset)
        .await
        .unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { .. }));
}

/// With upstream's CBORServingAndStorage gate, custom objects are stored so.
#[tokio::test]
async fn objects_stored_as_cbor_are_read_and_written_as_json() {
    let Fixture { backend, pods, .. } = fixture();
    // {"kind": "A", "spec": {"nodeName": "n1"}, "metadata": {"name": "a"}}
    let stored = b"\xd9\xd9\xf7\xa3\x44kind\x41A\x44spec\xa1\x48nodeName\x42n1\x48metadata\xa1\x44name\x41a";
    let (key, stored) = ("/registry/pods/ns/a", stored[..].into());
    backend.create(key, stored, None).await.unwrap();
    let read = pods.get("ns", "a", RequestedRevision::Unset).await.unwrap();
    assert_eq!((read.name(), read.field("spec.nodeName")), ("a", Some("n1")));
    assert!(read.is_stale() && read.json_bytes().starts_with(b"{\"kind\":\"A\""));
    assert_eq!(names(&pods.list(ListRequest::default()).await.unwrap()), ["a"]);
    write(&pods, "a", "n2").await;
    let mut kvs = backend.range(RangeRequest::prefix(key)).await.unwrap().kvs;
    assert!(kvs.remove(0).value.starts_with(b"{"));
}
