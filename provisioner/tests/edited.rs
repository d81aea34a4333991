//! Inventories, states and journals that are whole, but say what nobody meant: what is accepted can be carried through
//! to the last file of every host, what is not is told by field. Never a panic.

#![allow(clippy::unwrap_used)]

#[path = "fixture/cluster.rs"]
mod cluster;
#[path = "fixture/edits.rs"]
mod edits;

use std::path::Path;

use proptest::prelude::*;
use provisioner::inventory::Inventory;
use provisioner::plan::plan;
use provisioner::ports::ports;
use provisioner::rollout::{Batch, waves};
use provisioner::state::{State, Unlock, unfinished};
use serde_json::{Value, json};

use edits::{edited, edits};

const INVENTORIES: &[&str] = &[
    include_str!("../../inventories/lab-3-2.toml"),
    include_str!("../../inventories/single-node.toml"),
    include_str!("../../inventories/external-load-balancer.toml"),
    include_str!("../../inventories/etcd-hosts.toml"),
];

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
