//! What happens to watches and writes when etcd dies, moves, hangs or forgets.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use storage::{
    Backend, BackendError, CacheFor, Change, EtcdBackend, EtcdOptions, ListRequest, Preconditions,
    RequestedRevision, ResourceSpec, Revision, Storage, StorageError, StorageOptions, Store, Updated,
    WatchItem, WatchRequest, Watcher,
};
use testkit::etcd::{Etcd, EtcdSpec};

const PATIENCE: Duration = Duration::from_secs(60);

async fn open(etcd: &Etcd) -> (Arc<dyn Backend>, Store) {
    open_for(etcd, CacheFor::All).await
}

async fn open_for(etcd: &Etcd, cache: CacheFor) -> (Arc<dyn Backend>, Store) {
    let options = EtcdOptions {
        endpoints: etcd.endpoints(),
        tls: None,
        dialer: None,
    };
    let backend: Arc<dyn Backend> = Arc::new(EtcdBackend::connect(options).await.unwrap());
    let spec = ResourceSpec {
        name: "things".into(),
        path: "things".into(),
        namespaced: false,
        fields: vec![],
        decoder: None,
        cache,
    };
    let store = Storage::open(backend.clone(), StorageOptions::default()).store(spec);
    (backend, store)
}

fn counter(name: &str, count: u64) -> Vec<u8> {
    json!({"metadata": {"name": name}, "count": count})
        .to_string()
        .into_bytes()
}

fn count_of(json: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(json).unwrap()["count"]
        .as_u64()
        .unwrap()
}

async fn increment(store: &Store) -> Result<Revision, StorageError> {
    let updated = store
        .update("", "counter", &Preconditions::default(), |object| async move {
            let count = object.map_or(0, |object| count_of(object.json_bytes()));
            Ok::<_, StorageError>(Change::Write {
                json: counter("counter", count + 1).into(),
                ttl: None,
            })
        })
        .await?;
    match updated {
        Updated::Written(object) | Updated::Created(object) => Ok(object.revision()),
        other => panic!("{other:?}"),
    }
}

/// Counts up until told to stop; a write whose outcome is unknown is tried again.
fn writer(store: Store, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<(u64, Duration)> {
    tokio::spawn(async move {
        let (mut failures, mut longest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let begin = Instant::now();
            match increment(&store).await {
                Ok(_) => longest = longest.max(begin.elapsed()),
                Err(StorageError::Unavailable { .. } | StorageError::Unanswered { .. }) => failures += 1,
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        (failures, longest)
    })
}

/// Reads events until the counter is `until`; every value must come once, in order.
async fn follow(watcher: &mut Watcher, mut last: u64, until: u64) -> u64 {
    while last < until {
        let item = tokio::time::timeout(PATIENCE, watcher.next()).await;
        let Ok(WatchItem::Event(event)) = item else {
            panic!("{item:?} after {last} of {until}")
        };
        let count = count_of(event.object().json_bytes());
        assert_eq!(count, last + 1, "lost or duplicated");
        last = count;
    }
    last
}

async fn count(store: &Store) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.get("", "counter", RequestedRevision::Unset).await {
            Ok(object) => return count_of(object.json_bytes()),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

async fn watch_from(store: &Store, revision: Revision) -> Watcher {
    let request = WatchRequest {
        revision: RequestedRevision::At(revision),
        ..WatchRequest::default()
    };
    store.watch(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_and_restart_while_watching() {
    kill_and_restart(CacheFor::All).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_and_restart_while_watching_without_the_cache() {
    kill_and_restart(CacheFor::Nobody).await;
}

async fn kill_and_restart(cache: CacheFor) {
    let mut etcd = Etcd::start().await.unwrap();
    let (_, store) = open_for(&etcd, cache).await;
    let first = increment(&store).await.unwrap();
    let mut watcher = watch_from(&store, first).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3).map(|_| writer(store.clone(), stop.clone())).collect();
    let mut seen = 1;
    for _ in 0..3 {
        seen = follow(&mut watcher, seen, seen + 50).await;
        etcd.kill(0);
        etcd.restart(0).await.unwrap();
    }
    seen = follow(&mut watcher, seen, seen + 50).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let end = count(&store).await;
    follow(&mut watcher, seen, end).await;
    assert!(watcher.try_next().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_while_the_watch_is_away() {
    let mut etcd = Etcd::start().await.unwrap();
    let (_, store) = open(&etcd).await;
    store.create("", "kept", &counter("kept", 1), None).await.unwrap();
    store.create("", "gone", &counter("gone", 1), None).await.unwrap();
    let last = store
        .create("", "changed", &counter("changed", 1), None)
        .await
        .unwrap()
        .revision();
    store.warm_up().await.unwrap();
    let mut watcher = watch_from(&store, last).await;
    // The watch is cut off while another server, on a connection of its own, writes and compacts.
    etcd.kill(0);
    let options = EtcdOptions {
        endpoints: etcd.endpoints(),
        tls: None,
        dialer: None,
    };
    etcd.restart(0).await.unwrap();
    let other = EtcdBackend::connect(options).await.unwrap();
    let key = |name: &str| format!("/registry/things/{name}");
    let found = |kvs: Vec<storage::KeyValue>, name: &str| {
        kvs.into_iter()
            .find(|kv| kv.key == key(name))
            .map(|kv| kv.mod_revision)
            .unwrap()
    };
    let range = storage::RangeRequest::prefix("/registry/things/");
    let kvs = other.range(range.clone()).await.unwrap().kvs;
    other
        .delete(&key("gone"), found(kvs.clone(), "gone"))
        .await
        .unwrap();
    let mut changed = found(kvs, "changed");
    for number in 2..5 {
        let outcome = other
            .update(&key("changed"), counter("changed", number).into(), changed, None)
            .await
            .unwrap();
        let storage::TxnOutcome::Done(at) = outcome else {
            panic!("{outcome:?}")
        };
        changed = at;
    }
    other
        .create(&key("new"), counter("new", 1).into(), None)
        .await
        .unwrap();
    other
        .compact(other.current_revision().await.unwrap())
        .await
        .unwrap();
    // Whether the watch was back in time or came too late: its reader arrives at the same state.
    let mut state = std::collections::BTreeMap::from(
        [("kept", 1), ("gone", 1), ("changed", 1)].map(|(k, v)| (k.to_owned(), v)),
    );
    let want = [("changed", 4), ("kept", 1), ("new", 1)].map(|(k, v)| (k.to_owned(), v));
    let mut revision = last;
    while !state
        .iter()
        .map(|(name, count)| (name.clone(), *count))
        .eq(want.clone())
    {
        let item = tokio::time::timeout(PATIENCE, watcher.next()).await;
        let Ok(WatchItem::Event(event)) = item else {
            panic!("{item:?} at {state:?}")
        };
        assert!(event.revision() >= revision);
        revision = event.revision();
        let name = event.object().name().to_owned();
        match event.kind {
            storage::EventKind::Deleted => assert!(state.remove(&name).is_some()),
            _ => {
                state.insert(name, count_of(event.object().json_bytes()));
            }
        }
    }
    let list = store.list(ListRequest::default()).await.unwrap();
    assert_eq!(list.items.len(), 3);
}

/// Three members; the one in use is killed, then the next hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_stalls_nobody_for_long() {
    let mut etcd = Etcd::start_with(EtcdSpec {
        members: 3,
        tls: false,
    })
    .await
    .unwrap();
    let (_, store) = open(&etcd).await;
    store.warm_up().await.unwrap();
    let first = increment(&store).await.unwrap();
    let mut watcher = watch_from(&store, first).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = writer(store.clone(), stop.clone());
    let mut seen = follow(&mut watcher, 1, 50).await;
    let begin = Instant::now();
    etcd.kill(0);
    seen = follow(&mut watcher, seen, seen + 50).await;
    println!("50 events after a kill: {:?}", begin.elapsed());
    etcd.restart(0).await.unwrap();
    let begin = Instant::now();
    etcd.freeze(1, true).unwrap();
    seen = follow(&mut watcher, seen, seen + 50).await;
    println!("50 events after a freeze: {:?}", begin.elapsed());
    etcd.freeze(1, false).unwrap();
    stop.store(true, Ordering::Relaxed);
    let (failures, longest) = writing.await.unwrap();
    println!("failures {failures}, longest write {longest:?}");
    let end = count(&store).await;
    follow(&mut watcher, seen, end).await;
    assert!(watcher.try_next().is_none());
    assert_eq!(failures, 0);
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

/// What could not be sent has not happened; what was sent and not answered may happen yet.
#[tokio::test]
async fn a_write_that_was_sent_is_not_told_to_have_failed() {
    let etcd = Etcd::start().await.unwrap();
    let (backend, _) = open(&etcd).await;
    backend.current_revision().await.unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let options = EtcdOptions {
        endpoints: vec![nobody],
        tls: None,
        dialer: None,
    };
    let absent = EtcdBackend::connect(options).await.unwrap();
    etcd.freeze(0, true).unwrap();
    let create = |backend: Arc<dyn Backend>| async move {
        let value = counter("new", 1).into();
        backend.create("/registry/things/new", value, None).await
    };
    let (sent, unsent, read) = tokio::join!(
        create(backend.clone()),
        create(Arc::new(absent)),
        backend.current_revision()
    );
    etcd.freeze(0, false).unwrap();
    assert!(matches!(sent, Err(BackendError::Unanswered { .. })), "{sent:?}");
    assert!(matches!(read, Err(BackendError::Unanswered { .. })), "{read:?}");
    assert!(
        matches!(unsent, Err(BackendError::Unavailable { .. })),
        "{unsent:?}"
    );
}
