use std::sync::Arc;

use super::event::EventKind;
use super::resource::ResourceCache;
use super::ring::Ring;
use super::unreadable::Failures;
use super::view::View;
use super::{CacheEvent, Scope};
use crate::backend::{Previous, RawEvent};
use crate::object::{Marks, StoredObject};
use crate::resource::{CacheFor, ResourceSpec};
use crate::revision::Revision;

fn cache() -> ResourceCache {
    let spec = ResourceSpec {
        name: "things".into(),
        path: "things".into(),
        namespaced: false,
        fields: Vec::new(),
        decoder: None,
        cache: CacheFor::All,
    };
    ResourceCache::new(Arc::new(spec), "/r/".into(), Arc::default())
}

fn value(name: &str, uid: &str) -> Vec<u8> {
    format!(r#"{{"metadata":{{"name":"{name}","uid":"{uid}"}}}}"#).into_bytes()
}

fn put(cache: &ResourceCache, view: &mut View, name: &str, uid: &str, revision: i64) {
    let key = format!("/r/{name}");
    view.insert(
        cache
            .decode(&key, value(name, uid), Revision::new(revision), EventKind::Added)
            .unwrap(),
    );
}

/// (kind, name, revision) of everything in the ring from a position on.
fn events(cache: &ResourceCache, from: u64) -> Vec<(EventKind, String, i64)> {
    let mut found = Vec::new();
    cache.read_ring(from, usize::MAX, &mut found).unwrap();
    found
        .iter()
        .filter_map(|event| event.seen_by(&|_: &StoredObject| true))
        .map(|event| {
            (
                event.kind,
                event.object().name().to_owned(),
                event.object().revision().value(),
            )
        })
        .collect()
}

#[test]
fn lost_history_becomes_the_difference() {
    let cache = cache();
    let mut before = View::new(Revision::new(10));
    for (name, uid, revision) in [
        ("same", "1", 3),
        ("changed", "2", 4),
        ("gone", "3", 5),
        ("anew", "4", 6),
    ] {
        put(&cache, &mut before, name, uid, revision);
    }
    assert!(cache.begin_loading());
    cache.finish_loading(before, Failures::new());
    let (_, cursor) = cache.view_and_cursor();
    let mut after = View::new(Revision::new(30));
    for (name, uid, revision) in [
        ("same", "1", 3),
        ("changed", "2", 25),
        ("anew", "5", 22),
        ("new", "6", 21),
    ] {
        put(&cache, &mut after, name, uid, revision);
    }
    cache.replace(after, Failures::new());
    assert_eq!(
        events(&cache, cursor),
        [
            (EventKind::Deleted, "anew".into(), 21),
            (EventKind::Added, "new".into(), 21),
            (EventKind::Added, "anew".into(), 22),
            (EventKind::Modified, "changed".into(), 25),
            (EventKind::Deleted, "gone".into(), 30),
        ]
    );
    // A watch can't begin inside of what was lost, but right after it.
    assert_eq!(cache.cursor_after(Revision::new(29)), Err(Revision::new(30)));
    assert!(cache.cursor_after(Revision::new(30)).is_ok());
    // Changes that the list has seen already are not repeated.
    let repeated = |revision| RawEvent {
        key: "/r/new".into(),
        value: Some(value("new", "6").into()),
        previous: Previous::Unknown,
        revision: Revision::new(revision),
    };
    let (_, cursor) = cache.view_and_cursor();
    cache.take_in(vec![repeated(30), repeated(31)]);
    assert_eq!(events(&cache, cursor), [(EventKind::Modified, "new".into(), 31)]);
}

#[test]
fn the_first_list_counts_as_a_change_for_indexes_built_before_it() {
    let cache = cache();
    let mut changes = cache.changes();
    changes.mark_unchanged();
    assert!(cache.begin_loading());
    let mut list = View::new(Revision::new(6));
    put(&cache, &mut list, "a", "1", 5);
    cache.finish_loading(list, Failures::new());
    assert!(changes.has_changed().expect("the cache lives"));
}

#[test]
fn changes_during_the_first_list_are_kept() {
    let cache = cache();
    let change = |revision, uid: Option<&str>| RawEvent {
        key: "/r/a".into(),
        value: uid.map(|uid| value("a", uid).into()),
        previous: Previous::Unknown,
        revision: Revision::new(revision),
    };
    cache.take_in(vec![change(3, Some("0"))]);
    assert!(cache.begin_loading());
    cache.take_in(vec![change(5, Some("1")), change(7, None)]);
    let mut list = View::new(Revision::new(6));
    put(&cache, &mut list, "a", "1", 5);
    cache.finish_loading(list, Failures::new());
    assert_eq!(events(&cache, 0), [(EventKind::Deleted, "a".into(), 7)]);
    assert_eq!(cache.view().len(), 0);
    let exact = cache.view_at(Revision::new(6)).unwrap();
    assert_eq!(
        exact.iter(&Scope::prefix("/r/"), Marks::default()).count(),
        1,
        "undone from the events"
    );
    assert!(cache.view_at(Revision::new(5)).is_none(), "from before the list");
}

#[test]
fn ring_positions() {
    let cache = cache();
    let mut ring = Ring::new(Revision::new(10));
    for revision in [11, 13, 13, 17] {
        let object = cache
            .decode("/r/a", value("a", "1"), Revision::new(revision), EventKind::Added)
            .unwrap();
        ring.push(
            Arc::new(CacheEvent::new(Revision::new(revision), object, None, false)),
            std::time::Instant::now(),
        );
    }
    for (revision, want) in [
        (9, None),
        (10, Some(0)),
        (11, Some(1)),
        (12, Some(1)),
        (13, Some(3)),
        (17, Some(4)),
        (99, Some(4)),
    ] {
        assert_eq!(ring.after(Revision::new(revision)), want, "after {revision}");
    }
    let mut found = Vec::new();
    assert!(ring.read(2, 1, &mut found).is_some() && found.len() == 1);
    assert!(ring.read(4, 9, &mut found).is_some() && found.len() == 1);
}
