use kube::core::ObjectMeta;
use serde_json::json;

use super::graph::{Graph, Identity};
use super::item::{Decision, OwnerState, decide};

fn identity(uid: &str) -> Identity {
    Identity {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: "ns".to_owned(),
        name: uid.to_owned(),
        uid: uid.to_owned(),
    }
}

fn meta(owners: &[&str], deleting: bool, finalizer: &str) -> ObjectMeta {
    let owners: Vec<_> = owners
        .iter()
        .map(|uid| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid, "blockOwnerDeletion": true}))
        .collect();
    let mut meta = json!({"ownerReferences": owners, "finalizers": [finalizer]});
    if deleting {
        meta["deletionTimestamp"] = json!("2020-01-01T00:00:00Z");
    }
    serde_json::from_value(meta).unwrap()
}

fn names(list: &[Identity]) -> Vec<&str> {
    list.iter().map(|identity| identity.uid.as_str()).collect()
}

#[test]
fn an_unseen_owner_is_looked_at_and_its_absence_condemns_dependents() {
    let mut graph = Graph::default();
    let effects = graph.upsert(identity("child"), &meta(&["parent"], false, ""));
    assert_eq!(names(&effects.delete), ["parent"]);
    let effects = graph.remove("parent");
    assert_eq!(names(&effects.delete), ["child"]);
    assert!(graph.is_absent("parent"));
    let effects = graph.upsert(identity("late"), &meta(&["parent"], false, ""));
    assert!(names(&effects.delete).contains(&"late"));
}

#[test]
fn a_foreground_owner_goes_after_what_blocks_it() {
    let mut graph = Graph::default();
    graph.upsert(identity("parent"), &meta(&[], false, ""));
    graph.upsert(identity("child"), &meta(&["parent"], false, ""));
    let effects = graph.upsert(identity("parent"), &meta(&[], true, "foregroundDeletion"));
    assert_eq!(names(&effects.delete), ["child", "parent"]);
    assert_eq!(graph.blocking_dependents("parent").len(), 1);
    let effects = graph.remove("child");
    assert_eq!(names(&effects.delete), ["parent"]);
    assert!(graph.blocking_dependents("parent").is_empty());
}

#[test]
fn an_orphaning_owner_is_reported_once() {
    let mut graph = Graph::default();
    graph.upsert(identity("parent"), &meta(&[], false, ""));
    let effects = graph.upsert(identity("parent"), &meta(&[], true, "orphan"));
    assert_eq!(names(&effects.orphan), ["parent"]);
    let effects = graph.upsert(identity("parent"), &meta(&[], true, "orphan"));
    assert!(effects.orphan.is_empty());
}

#[test]
fn owners_decide() {
    use OwnerState::{Dangling, Solid, Waiting};
    let cases: [(&[OwnerState], bool, Decision); 6] = [
        (&[], false, Decision::Keep),
        (&[Solid], false, Decision::Keep),
        (&[Solid, Dangling], false, Decision::Unlink(vec!["1".to_owned()])),
        (&[Dangling], false, Decision::Delete),
        (&[Waiting], true, Decision::DeleteForeground),
        (&[Waiting, Dangling], false, Decision::Delete),
    ];
    for (states, has_dependents, want) in cases {
        let owners: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(index, state)| (index.to_string(), *state))
            .collect();
        assert_eq!(decide(&owners, has_dependents), want, "{states:?}");
    }
}
