//! Inventories, states and journals that are whole, but say what nobody meant: what is accepted can be carried through
//! to the last file of every host, what is not is told by field. Never a panic.

#![allow(clippy::unwrap_used)]

#[path = "fixture/cluster.rs"]
mod cluster;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use provisioner::inventory::Inventory;
use provisioner::plan::plan;
use provisioner::ports::ports;
use provisioner::rollout::{Batch, waves};
use provisioner::state::{State, Unlock, unfinished};
use serde_json::{Value, json};

const INVENTORIES: &[&str] = &[
    include_str!("../../inventories/lab-3-2.toml"),
    include_str!("../../inventories/single-node.toml"),
    include_str!("../../inventories/external-load-balancer.toml"),
    include_str!("../../inventories/etcd-hosts.toml"),
];

/// What may stand where something else should. The borders of numbers, networks and names among it.
const VALUES: &[&str] = &[
    r#""""#,
    r#"" ""#,
    r#""a""#,
    r#""cp-1""#,
    r#""control-plane""#,
    r#""worker""#,
    r#""etcd""#,
    r#""load-balancer""#,
    r#""../../../etc/shadow""#,
    r#""$(reboot)'\"`""#,
    r#""a\nb\r\u0000""#,
    r#""{{ address }}{% raw %}""#,
    r#""Ünïcode-\u202e""#,
    r#""0.0.0.0""#,
    r#""255.255.255.255""#,
    r#""127.0.0.1""#,
    r#""10.240.0.11""#,
    r#""::1""#,
    r#""fd00::/64""#,
    r#""0.0.0.0/0""#,
    r#""10.0.0.0/8""#,
    r#""10.32.0.0/31""#,
    r#""10.32.0.0/32""#,
    r#""255.255.255.0/24""#,
    r#""10.200.0.0/16""#,
    r#""65535:65536""#,
    r#""a=b:NoSchedule""#,
    r#""18446744073709551615""#,
    r#""2026-01-01T00:00:00Z""#,
    "-1",
    "0",
    "1",
    "22",
    "6443",
    "65535",
    "65536",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "-9223372036854775808",
    "0.5",
    "1e300",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    r#"["etcd", "worker", "control-plane"]"#,
    r#"{"name": "a", "address": "10.240.0.99", "roles": ["worker"]}"#,
];

#[derive(Clone, Debug)]
enum Edit {
    Replace { at: usize, value: usize },
    Copy { from: usize, to: usize },
    Remove { at: usize },
    Repeat { at: usize },
    Rename { at: usize, value: usize },
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<usize>;
    let edit = prop_oneof![
        4 => (at(), at()).prop_map(|(at, value)| Edit::Replace { at, value }),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Copy { from, to }),
        1 => at().prop_map(|at| Edit::Remove { at }),
        1 => at().prop_map(|at| Edit::Repeat { at }),
        1 => (at(), at()).prop_map(|(at, value)| Edit::Rename { at, value }),
    ];
    vec(edit, 1..4)
}

/// Where every value of a document stands.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut next = |name: &str, inner: &Value| {
        let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(at.clone());
        places(inner, &at, found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, inner)| next(name, inner)),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(index, inner)| next(&index.to_string(), inner));
        }
        _ => {}
    }
}

fn edited(whole: &Value, edits: &[Edit]) -> Value {
    let mut document = whole.clone();
    for edit in edits {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        if all.is_empty() {
            break;
        }
        let place = |at: usize| all[at % all.len()].as_str();
        let value = |index: usize| serde_json::from_str(VALUES[index % VALUES.len()]).unwrap();
        match *edit {
            Edit::Replace { at, value: index } => *document.pointer_mut(place(at)).unwrap() = value(index),
            Edit::Copy { from, to } => {
                let copied = document.pointer(place(from)).unwrap().clone();
                *document.pointer_mut(place(to)).unwrap() = copied;
            }
            Edit::Remove { at } => drop(take(&mut document, place(at))),
            Edit::Repeat { at } => {
                let (above, _) = place(at).rsplit_once('/').unwrap();
                let again = document.pointer(place(at)).unwrap().clone();
                if let Value::Array(items) = document.pointer_mut(above).unwrap() {
                    items.push(again);
                }
            }
            Edit::Rename { at, value: index } => {
                let (above, _) = place(at).rsplit_once('/').unwrap();
                if document.pointer(above).unwrap().is_object() {
                    let inner = take(&mut document, place(at));
                    let name = value(index).to_string();
                    let above = document.pointer_mut(above).unwrap();
                    above[name.trim_matches('"')] = inner;
                }
            }
        }
    }
    document
}

fn take(document: &mut Value, place: &str) -> Value {
    let (above, name) = place.rsplit_once('/').unwrap();
    match document.pointer_mut(above).unwrap() {
        Value::Array(items) => items.remove(name.parse().unwrap()),
        Value::Object(fields) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            fields.remove(&name).unwrap()
        }
        _ => Value::Null,
    }
}

/// Everything that happens before a host is touched. What cannot be done may be refused.
fn carried_through(inventory: Inventory, state: &State) -> anyhow::Result<()> {
    let record = state.record()?;
    let fixture = cluster::fixture(inventory, state)?;
    let facts = cluster::debian();
    let mut plans = std::collections::BTreeMap::new();
    for host in &fixture.inventory.hosts {
        ports(&fixture.inventory, host);
        let desired = fixture.desired(&host.name, &facts, &record)?;
        let recorded = record.generations.get(&host.name).copied().unwrap_or_default();
        plans.insert(host.name.clone(), plan(&host.name, &desired, &facts, recorded));
    }
    waves(&fixture.inventory, &plans, Batch::default());
    Ok(())
}

fn state() -> Value {
    json!({
        "generations": { "cp-1": 2, "worker-1": 7, "node-1": 3 },
        "etcd_members": ["cp-1", "cp-2", "cp-3"],
        "etcd_started": ["cp-1"],
        "etcd_initial": { "cp-1": { "cluster": "cp-1=https://10.240.0.11:2380", "existing": false } },
        "release": { "binaries": "/srv/new", "instead_of": "/srv/old" },
        "rotation": {
            "subjects": ["leaves", "kubernetes-ca", "encryption-key"],
            "stage": "issue",
            "aborting": false,
            "returned": false,
            "started": 1_790_000_000u64,
            "lifetime": 86_400,
        },
    })
}

fn journal() -> Value {
    json!([
        { "time": "2026-01-01T00:00:00Z", "event": "begin", "operation": "a", "command": "certs rotate",
          "input": { "all": true }, "staged": true },
        { "time": "2026-01-01T00:00:01Z", "event": "phase", "phase": "facts" },
        { "time": "2026-01-01T00:00:02Z", "event": "step", "operation": "a", "step": "trust" },
        { "time": "2026-01-01T00:00:03Z", "event": "generation", "host": "cp-1", "generation": 4, "cause": "x" },
        { "time": "2026-01-01T00:00:04Z", "event": "end", "operation": "a", "outcome": "done" },
    ])
}

/// A quarter of PROPTEST_CASES: each makes the keys of a whole cluster.
fn fewer() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.div_ceil(4),
        ..usual
    }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn inventories_that_are_accepted_can_be_rendered(which in 0..INVENTORIES.len(), edits in edits()) {
        let whole: Value = toml::from_str(INVENTORIES[which]).unwrap();
        // TOML has no such numbers.
        let Ok(text) = toml::to_string(&edited(&whole, &edits)) else { return Ok(()) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.toml");
        match Inventory::parse(&path, &text) {
            Ok(inventory) => {
                let state = State::peek(&path, &Unlock::default());
                carried_through(inventory, &state).map_err(|error| TestCaseError::fail(format!("{error:#}\n{text}")))?;
            }
            Err(error) => prop_assert!(error.to_string().contains("hosts.toml"), "{error}"),
        }
    }

    #[test]
    fn states_that_are_accepted_can_be_gone_on_from(which in 0..INVENTORIES.len(), edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.toml");
        let inventory = Inventory::parse(&path, INVENTORIES[which]).unwrap();
        let state_folder = State::folder_of(&path);
        std::fs::create_dir(&state_folder).unwrap();
        std::fs::write(state_folder.join("state.json"), edited(&state(), &edits).to_string()).unwrap();
        let opened = State::peek(&path, &Unlock::default());
        if let Err(error) = carried_through(inventory, &opened) {
            let said = format!("{error:#}");
            prop_assert!(said.contains("state.json") || opened.record().is_ok(), "{}", said);
        }
    }

    #[test]
    fn journals_that_are_accepted_say_where_to_go_on(edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.toml");
        let state_folder = State::folder_of(&path);
        std::fs::create_dir(&state_folder).unwrap();
        let edited = edited(&journal(), &edits);
        let lines: Vec<String> = edited.as_array().into_iter().flatten().map(Value::to_string).collect();
        std::fs::write(state_folder.join("journal.jsonl"), lines.join("\n")).unwrap();
        let opened = State::peek(Path::new(&path), &Unlock::default());
        match opened.entries() {
            Ok(entries) => {
                unfinished(&entries);
                opened.interrupted().unwrap();
            }
            Err(error) => {
                let said = format!("{error:#}");
                prop_assert!(said.contains("journal.jsonl: line "), "{}", said);
            }
        }
    }
}
