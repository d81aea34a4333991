//! Inventories, plans, journals and state files that were cut, edited or filled with rubbish: an error that names the
//! file, never a panic.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use provisioner::inventory::Inventory;
use provisioner::plan::{Action, HostPlan, SavedPlan, Scope, UnitChange};
use provisioner::state::{Event, Record, State, Unlock, journal};

const INVENTORIES: &[&str] = &[
    include_str!("../../inventories/lab-3-2.toml"),
    include_str!("../../inventories/single-node.toml"),
    include_str!("../../inventories/external-load-balancer.toml"),
    include_str!("../../inventories/etcd-hosts.toml"),
];

/// What such files are made of, in places where they are not expected.
const TOKENS: &[&str] = &[
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "[[hosts]]",
    "[hosts.ssh]",
    "=",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "0",
    "99999999999999999999",
    "1e400",
    "10.0.0.0/33",
    "::1",
    "0.0.0.0",
    "256.1.1.1",
    "name",
    "roles = [\"etcd\"]",
    "\n",
    "\r",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "é",
    "#",
    "\\u0000",
    "{\"event\":\"phase\"}",
    "2026-13-40T99:99:99Z",
];

#[derive(Clone, Debug)]
enum Edit {
    Cut { at: usize, length: usize },
    Insert { at: usize, token: usize },
    Repeat { at: usize, length: usize },
    Byte { at: usize, byte: u8 },
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<usize>(), 0usize..40).prop_map(|(at, length)| Edit::Cut { at, length }),
        (any::<usize>(), 0..TOKENS.len()).prop_map(|(at, token)| Edit::Insert { at, token }),
        (any::<usize>(), 0usize..200).prop_map(|(at, length)| Edit::Repeat { at, length }),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte { at, byte }),
    ];
    vec(edit, 1..6)
}

fn damaged(whole: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut text = whole.to_vec();
    for edit in edits {
        let place = |at: usize| at % (text.len() + 1);
        match *edit {
            Edit::Cut { at, length } => {
                let start = place(at);
                text.drain(start..(start + length).min(text.len()));
            }
            Edit::Insert { at, token } => {
                let start = place(at);
                text.splice(start..start, TOKENS[token].bytes());
            }
            Edit::Repeat { at, length } => {
                let start = place(at);
                let part = text[start..(start + length).min(text.len())].to_vec();
                text.splice(start..start, part);
            }
            Edit::Byte { at, byte } => {
                let start = place(at);
                if let Some(place) = text.get_mut(start) {
                    *place = byte;
                }
            }
        }
    }
    text
}

fn plan() -> Vec<u8> {
    let host = HostPlan {
        host: "worker-1".to_owned(),
        generation: Some(3),
        links: vec![("/etc/a".to_owned(), "/etc/b".to_owned())],
        units: vec![UnitChange {
            name: "kubelet.service".to_owned(),
            action: Action::Restart,
            stage: None,
        }],
        ..HostPlan::default()
    };
    let hosts = BTreeMap::from([("worker-1".to_owned(), host)]);
    let plan = SavedPlan::new(
        "lab",
        &Scope::default(),
        hosts,
        Some(vec!["Node worker-1".to_owned()]),
    );
    serde_json::to_vec_pretty(&plan).unwrap()
}

/// Written once: every line is synchronised to the disk.
static JOURNAL: LazyLock<Vec<u8>> = LazyLock::new(journal_lines);

fn journal_lines() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    for phase in ["facts", "plan", "push and switch"] {
        let event = Event::Phase {
            phase: phase.to_owned(),
        };
        journal::append(&path, event).unwrap();
    }
    let event = Event::Generation {
        host: "worker-1".to_owned(),
        generation: 4,
        cause: "bootstrap".to_owned(),
    };
    journal::append(&path, event).unwrap();
    std::fs::read(path).unwrap()
}

fn record() -> Vec<u8> {
    let record = Record {
        generations: BTreeMap::from([("cp-1".to_owned(), 2), ("worker-1".to_owned(), 7)]),
        etcd_members: vec!["cp-1".to_owned()],
        etcd_started: vec!["cp-1".to_owned()],
        ..Record::default()
    };
    serde_json::to_vec_pretty(&record).unwrap()
}

proptest! {
    #[test]
    fn inventories(which in 0..INVENTORIES.len(), edits in edits()) {
        let text = damaged(INVENTORIES[which].as_bytes(), &edits);
        if let Err(error) = Inventory::parse(Path::new("hosts.toml"), &String::from_utf8_lossy(&text)) {
            prop_assert!(error.to_string().starts_with("hosts.toml"), "{error}");
        }
    }

    #[test]
    fn plans(edits in edits()) {
        let whole = plan();
        let text = damaged(&whole, &edits);
        match SavedPlan::parse(Path::new("plan.json"), &text) {
            // Only what says the same is the same plan.
            Ok(read) => prop_assert_eq!(read, SavedPlan::parse(Path::new("plan.json"), &whole).unwrap()),
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.starts_with("plan.json") && said.contains("make it again"), "{}", said);
            }
        }
    }

    #[test]
    fn journals(edits in edits()) {
        let text = damaged(&JOURNAL, &edits);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, text).unwrap();
        if let Err(error) = journal::read(&path) {
            let said = format!("{error:#}");
            prop_assert!(said.contains("journal.jsonl") && said.contains("line"), "{}", said);
        }
    }

    #[test]
    fn state_files(edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let inventory = folder.path().join("hosts.toml");
        let state = State::folder_of(&inventory);
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("state.json"), damaged(&record(), &edits)).unwrap();
        let opened = State::peek(&inventory, &Unlock::default());
        if let Err(error) = opened.record() {
            let said = format!("{error:#}");
            prop_assert!(said.contains("state.json") && said.contains("restore it"), "{}", said);
            // Nor is anything begun that would have to be finished later.
            let begun = opened.simple_operation("bootstrap", &serde_json::Value::Null);
            prop_assert!(begun.is_err());
            prop_assert!(!state.join("journal.jsonl").exists());
        }
    }
}
