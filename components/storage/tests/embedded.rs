//! What only the embedded backend promises: nothing acknowledged is lost, whatever happens to the process.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storage::{Backend, BackendError, EmbeddedBackend, RangeRequest, Revision, TxnOutcome, WatchRange};

fn done(outcome: Result<TxnOutcome, BackendError>) -> Revision {
    match outcome.unwrap() {
        TxnOutcome::Done(revision) => revision,
        TxnOutcome::Conflict(current) => panic!("conflict with {current:?}"),
    }
}

async fn all(backend: &EmbeddedBackend) -> BTreeMap<String, (Vec<u8>, Revision)> {
    let found = backend.range(RangeRequest::prefix("/r/")).await.unwrap();
    let entry = |kv: storage::KeyValue| (kv.key, (kv.value, kv.mod_revision));
    found.kvs.into_iter().map(entry).collect()
}

/// The directory as it would be found after the process was killed now.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    for rotate_above in [100, 1 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let backend = EmbeddedBackend::open_with(directory.path(), rotate_above).unwrap();
        let first = done(backend.create("/r/a", b"1"[..].into(), None).await);
        for number in 0..20 {
            let key = format!("/r/{number}");
            done(backend.create(&key, vec![b'x'; 50].into(), None).await);
            let killed = copy(directory.path());
            let again = EmbeddedBackend::open_with(killed.path(), rotate_above).unwrap();
            assert_eq!(all(&again).await, all(&backend).await, "after {key}");
            assert_eq!(
                again.current_revision().await.unwrap(),
                backend.current_revision().await.unwrap()
            );
        }
        done(backend.update("/r/a", b"2"[..].into(), first, None).await);
        let old = RangeRequest {
            revision: Some(first),
            ..RangeRequest::prefix("/r/")
        };
        let killed = copy(directory.path());
        let again = EmbeddedBackend::open_with(killed.path(), rotate_above).unwrap();
        // History is kept too.
        assert_eq!(again.range(old).await.unwrap().kvs[0].value, b"1");
        backend
            .compact(backend.current_revision().await.unwrap())
            .await
            .unwrap();
        let killed = copy(directory.path());
        let again = EmbeddedBackend::open_with(killed.path(), rotate_above).unwrap();
        assert_eq!(all(&again).await, all(&backend).await);
    }
}

#[tokio::test]
async fn a_torn_end_is_dropped_and_other_damage_refused() {
    let directory = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(directory.path()).unwrap();
    done(backend.create("/r/a", b"1"[..].into(), None).await);
    let before = all(&backend).await;
    let log = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("log-"))
        .unwrap();
    let short = std::fs::metadata(&log).unwrap().len();
    done(backend.create("/r/b", b"2"[..].into(), None).await);
    let long = std::fs::metadata(&log).unwrap().len();
    for length in short + 1..long {
        let killed = copy(directory.path());
        let torn = killed.path().join(log.file_name().unwrap());
        std::fs::OpenOptions::new()
            .write(true)
            .open(&torn)
            .unwrap()
            .set_len(length)
            .unwrap();
        let again = EmbeddedBackend::open(killed.path()).unwrap();
        assert_eq!(all(&again).await, before, "cut at {length}");
        // What is written after the cut is found again.
        done(again.create("/r/c", b"3"[..].into(), None).await);
        let after = all(&again).await;
        drop(again);
        assert_eq!(all(&EmbeddedBackend::open(killed.path()).unwrap()).await, after);
    }
    drop(backend);
    // A snapshot is never torn, so damage in one is not taken for that.
    let backend = EmbeddedBackend::open_with(directory.path(), 1).unwrap();
    done(backend.create("/r/d", b"4"[..].into(), None).await);
    drop(backend);
    let snapshot = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("snapshot-"))
        .unwrap();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let error = match EmbeddedBackend::open(directory.path()) {
        Ok(_) => panic!("damage went unnoticed"),
        Err(error) => error.to_string(),
    };
    assert!(
        error.contains("snapshot-") && error.contains("damaged"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_server_is_refused_and_times_to_live_survive() {
    let directory = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(directory.path()).unwrap();
    assert!(EmbeddedBackend::open(directory.path()).is_err());
    done(
        backend
            .create("/r/short", b"1"[..].into(), Some(Duration::from_millis(200)))
            .await,
    );
    drop(backend);
    let again = EmbeddedBackend::open(directory.path()).unwrap();
    let mut watch = again
        .watch(WatchRange::new("/r/", again.current_revision().await.unwrap()))
        .await
        .unwrap();
    let gone = async {
        loop {
            let message = watch.messages.recv().await.unwrap().unwrap();
            if message.events.iter().any(|event| event.value.is_none()) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("the key goes away");
    assert!(all(&again).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_at_once_see_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let backend = Arc::new(EmbeddedBackend::open_with(directory.path(), 4096).unwrap());
    done(backend.create("/r/count", b"0"[..].into(), None).await);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move {
                for _ in 0..50 {
                    loop {
                        let found = backend.range(RangeRequest::prefix("/r/")).await.unwrap();
                        let number: u64 = std::str::from_utf8(&found.kvs[0].value).unwrap().parse().unwrap();
                        let next = (number + 1).to_string().into();
                        let at = found.kvs[0].mod_revision;
                        if let TxnOutcome::Done(_) = backend.update("/r/count", next, at, None).await.unwrap()
                        {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(all(&backend).await["/r/count"].0, b"400");
}
