//! One contract for every backend.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

#[path = "backends/each.rs"]
mod each;

use std::sync::Arc;
use std::time::Duration;

use each::contract;
use storage::{
    Backend, BackendError, BackendWatch, Previous, RangeRequest, RawEvent, Revision, TxnOutcome, WatchRange,
};

const PATIENCE: Duration = Duration::from_secs(20);

contract!(
    conditional_writes,
    ranges,
    history,
    watches,
    watches_with_previous,
    compaction,
    time_to_live
);

fn done(outcome: Result<TxnOutcome, BackendError>) -> Revision {
    match outcome.unwrap() {
        TxnOutcome::Done(revision) => revision,
        TxnOutcome::Conflict(current) => panic!("conflict with {current:?}"),
    }
}

fn conflict(outcome: Result<TxnOutcome, BackendError>) -> Option<String> {
    match outcome.unwrap() {
        TxnOutcome::Done(revision) => panic!("done at {revision}"),
        TxnOutcome::Conflict(current) => current.map(|kv| String::from_utf8(kv.value).unwrap()),
    }
}

async fn conditional_writes(backend: Arc<dyn Backend>) {
    let a1 = done(backend.create("/r/a", b"1"[..].into(), None).await);
    assert_eq!(backend.current_revision().await.unwrap(), a1);
    assert_eq!(
        conflict(backend.create("/r/a", b"2"[..].into(), None).await),
        Some("1".into())
    );
    let a2 = done(backend.update("/r/a", b"2"[..].into(), a1, None).await);
    assert!(a2 > a1);
    assert_eq!(
        conflict(backend.update("/r/a", b"3"[..].into(), a1, None).await),
        Some("2".into())
    );
    assert_eq!(conflict(backend.delete("/r/a", a1).await), Some("2".into()));
    let gone = done(backend.delete("/r/a", a2).await);
    assert!(gone > a2);
    assert_eq!(conflict(backend.delete("/r/a", a2).await), None);
    assert_eq!(
        conflict(backend.update("/r/a", b"3"[..].into(), a2, None).await),
        None
    );
    assert!(done(backend.create("/r/a", b"4"[..].into(), None).await) > gone);
}

async fn ranges(backend: Arc<dyn Backend>) {
    for key in ["/r/b", "/r/a", "/s/a", "/r/c", "/r0"] {
        done(backend.create(key, key.into(), None).await);
    }
    let all = backend.range(RangeRequest::prefix("/r/")).await.unwrap();
    let keys: Vec<_> = all.kvs.iter().map(|kv| kv.key.as_str()).collect();
    assert_eq!(
        (keys, all.more, all.count),
        (vec!["/r/a", "/r/b", "/r/c"], false, 3)
    );
    assert_eq!(all.revision, backend.current_revision().await.unwrap());
    let page = backend
        .range(RangeRequest {
            limit: 2,
            ..RangeRequest::prefix("/r/")
        })
        .await
        .unwrap();
    assert_eq!((page.kvs.len(), page.more, page.count), (2, true, 3));
    let none = backend.range(RangeRequest::prefix("/x/")).await.unwrap();
    assert_eq!((none.kvs.len(), none.more, none.count), (0, false, 0));
}

async fn history(backend: Arc<dyn Backend>) {
    let first = done(backend.create("/r/a", b"1"[..].into(), None).await);
    let second = done(backend.update("/r/a", b"2"[..].into(), first, None).await);
    let third = done(backend.delete("/r/a", second).await);
    for (at, want) in [(first, Some("1")), (second, Some("2")), (third, None)] {
        let found = backend
            .range(RangeRequest {
                revision: Some(at),
                ..RangeRequest::prefix("/r/")
            })
            .await
            .unwrap();
        let value = found
            .kvs
            .first()
            .map(|kv| std::str::from_utf8(&kv.value).unwrap());
        assert_eq!(value, want, "at {at}");
        assert_eq!(found.revision, third);
    }
    let future = Revision::parse(&(third.value() + 100).to_string()).unwrap();
    let error = backend
        .range(RangeRequest {
            revision: Some(future),
            ..RangeRequest::prefix("/r/")
        })
        .await
        .unwrap_err();
    assert!(matches!(error, BackendError::FutureRevision { .. }), "{error:?}");
}

/// Reads until `count` events have come.
async fn events(watch: &mut BackendWatch, count: usize) -> Vec<RawEvent> {
    let mut found = Vec::new();
    while found.len() < count {
        let message = tokio::time::timeout(PATIENCE, watch.messages.recv()).await;
        let message = message
            .unwrap_or_else(|_| panic!("only {found:?}"))
            .unwrap()
            .unwrap();
        if let Some(last) = message.events.last() {
            assert!(message.revision >= last.revision);
        }
        found.extend(message.events);
    }
    found
}

async fn watches(backend: Arc<dyn Backend>) {
    let first = done(backend.create("/r/a", b"1"[..].into(), None).await);
    let second = done(backend.update("/r/a", b"2"[..].into(), first, None).await);
    done(backend.create("/s/a", b"elsewhere"[..].into(), None).await);
    let mut watch = backend.watch(WatchRange::new("/r/", second)).await.unwrap();
    let third = done(backend.delete("/r/a", second).await);
    let fourth = done(backend.create("/r/b", b"3"[..].into(), None).await);
    let want = |key: &str, value: Option<&str>, revision| RawEvent {
        key: key.into(),
        value: value.map(|value| value.as_bytes().to_vec().into()),
        previous: Previous::Unknown,
        revision,
    };
    assert_eq!(
        events(&mut watch, 3).await,
        [
            want("/r/a", Some("2"), second),
            want("/r/a", None, third),
            want("/r/b", Some("3"), fourth)
        ]
    );
    // Progress covers writes that the watch doesn't see.
    let elsewhere = done(backend.create("/s/b", b"elsewhere"[..].into(), None).await);
    let seen = async {
        loop {
            watch.progress.request();
            let message = watch.messages.recv().await.unwrap().unwrap();
            assert_eq!(message.events, []);
            if message.revision >= elsewhere {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("progress");
}

async fn watches_with_previous(backend: Arc<dyn Backend>) {
    let first = done(backend.create("/r/a", b"1"[..].into(), None).await);
    let second = done(backend.update("/r/a", b"2"[..].into(), first, None).await);
    let third = done(backend.delete("/r/a", second).await);
    let fourth = done(backend.create("/r/a", b"4"[..].into(), None).await);
    let watched = async |from| {
        let mut watch = backend
            .watch(WatchRange {
                with_previous: true,
                resumable: true,
                ..WatchRange::new("/r/", from)
            })
            .await
            .unwrap();
        let count = fourth.value() - from.value() + 1;
        events(&mut watch, usize::try_from(count).unwrap()).await
    };
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    let seen = |all: Vec<RawEvent>| -> Vec<(Revision, Option<String>, Previous)> {
        all.into_iter()
            .map(|event| {
                (
                    event.revision,
                    event.value.map(|value| text(&value)),
                    event.previous,
                )
            })
            .collect()
    };
    let value = |text: &'static str| Previous::Value(text.into());
    let all = [
        (first, Some("1".to_owned()), Previous::Nothing),
        (second, Some("2".to_owned()), value("1")),
        (third, None, value("2")),
        (fourth, Some("4".to_owned()), Previous::Nothing),
    ];
    assert_eq!(seen(watched(first).await), all);
    backend.compact(third).await.unwrap();
    let left = seen(watched(third).await);
    assert_eq!(left, [(third, None, Previous::Unknown), all[3].clone()]);
}

async fn compaction(backend: Arc<dyn Backend>) {
    let first = done(backend.create("/r/a", b"1"[..].into(), None).await);
    let second = done(backend.update("/r/a", b"2"[..].into(), first, None).await);
    let third = done(backend.create("/r/b", b"3"[..].into(), None).await);
    backend.compact(third).await.unwrap();
    let error = backend.compact(second).await.unwrap_err();
    assert!(matches!(error, BackendError::Compacted { .. }), "{error:?}");
    let old = RangeRequest {
        revision: Some(second),
        ..RangeRequest::prefix("/r/")
    };
    let error = backend.range(old).await.unwrap_err();
    assert!(
        matches!(error, BackendError::Compacted { requested, .. } if requested == second),
        "{error:?}"
    );
    let kept = RangeRequest {
        revision: Some(third),
        ..RangeRequest::prefix("/r/")
    };
    assert_eq!(backend.range(kept).await.unwrap().kvs.len(), 2);
    let error = match backend.watch(WatchRange::new("/r/", first)).await {
        Err(error) => error,
        Ok(mut watch) => tokio::time::timeout(PATIENCE, watch.messages.recv())
            .await
            .unwrap()
            .unwrap()
            .unwrap_err(),
    };
    assert!(matches!(error, BackendError::Compacted { .. }), "{error:?}");
}

async fn time_to_live(backend: Arc<dyn Backend>) {
    let ttl = Some(Duration::from_secs(1));
    let kept = done(backend.create("/r/kept", b"1"[..].into(), ttl).await);
    done(backend.update("/r/kept", b"2"[..].into(), kept, None).await);
    let short = done(backend.create("/r/short", b"1"[..].into(), ttl).await);
    let mut watch = backend
        .watch(WatchRange::new(
            "/r/",
            Revision::parse(&(short.value() + 1).to_string()).unwrap(),
        ))
        .await
        .unwrap();
    let gone = events(&mut watch, 1).await;
    assert_eq!((gone[0].key.as_str(), &gone[0].value), ("/r/short", &None));
    let left = backend.range(RangeRequest::prefix("/r/")).await.unwrap();
    assert_eq!(
        left.kvs.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(),
        ["/r/kept"]
    );
}
