use std::path::Path;

use super::*;
use crate::inventory::Inventory;

fn group(count: usize) -> Option<Group> {
    let mut text = "[cluster]\nname = \"lab\"\n".to_owned();
    for number in 1..=count {
        let role = if number == 1 { "control-plane" } else { "worker" };
        text.push_str(&format!(
            "[[hosts]]\nname = \"h{number}\"\naddress = \"10.77.0.{number}\"\nroles = [\"{role}\"]\n"
        ));
    }
    let inventory = Inventory::parse(Path::new("lab.toml"), &text).unwrap();
    let hosts: Vec<&Host> = inventory.hosts.iter().collect();
    let tools = ["ssh", "sshd"].map(|tool| (tool.to_owned(), format!("/bin/{tool}")));
    let facts = Facts {
        tools: tools.into(),
        ..Facts::default()
    };
    let facts = hosts
        .iter()
        .map(|host| (host.name.clone(), facts.clone()))
        .collect();
    Group::new(&hosts, &facts)
}

fn source(name: &str) -> Source {
    Source {
        at: Address {
            name: name.to_owned(),
            address: "10.77.0.1".to_owned(),
            port: 1,
            key: String::new(),
        },
        busy: 0,
        failures: 0,
        successes: 0,
        _running: None,
    }
}

#[test]
fn the_operator_sends_to_a_constant_number_of_hosts() {
    for (hosts, expected) in [
        (1, 0),
        (3, 0),
        (4, 1),
        (8, 1),
        (9, 2),
        (24, 3),
        (100, 3),
        (5000, 3),
    ] {
        assert_eq!(seeds(hosts), expected, "{hosts} hosts");
    }
    assert!(group(3).is_none());
    let group = group(20).unwrap();
    assert_eq!((group.seeds.len(), group.receivers.len()), (3, 17));
    assert!(["h1", "h2", "h3"].iter().all(|seed| group.seeds.contains(*seed)));
    assert_eq!(group.allowed().lines().count(), 17);
}

#[test]
fn receivers_are_spread_and_go_to_the_operator_when_no_relay_works() {
    let group = group(20).unwrap();
    let seed = group.outcome();
    group.add(source("h1"));
    group.add(source("h2"));
    drop((seed, group.outcome(), group.outcome()));
    let taken: Vec<String> = (0..4)
        .filter_map(|_| group.take_source())
        .map(|(at, passes_on)| {
            assert!(!passes_on);
            at.name
        })
        .collect();
    assert_eq!(taken, ["h1", "h2", "h1", "h2"]);
    // One that has worked before is asked again, one that never did is not.
    group.give_back(&source("h1").at, true);
    for name in ["h1", "h2", "h2"] {
        group.give_back(&source(name).at, false);
    }
    assert_eq!(group.take_source().unwrap().0.name, "h1");
    assert_eq!(group.take_source().unwrap().0.name, "h1");
    for source in &mut locked(&group.state).sources {
        source.successes = 0;
        source.failures = PATIENCE;
    }
    assert!(group.take_source().is_none());
}

#[test]
fn with_many_hosts_those_that_have_received_pass_on_too() {
    let group = group(200).unwrap();
    for seed in ["h1", "h2", "h3"] {
        let outcome = group.outcome();
        group.add(source(seed));
        drop(outcome);
    }
    let relays = (0..24)
        .filter_map(|_| group.take_source())
        .filter(|(_, passes_on)| *passes_on)
        .count();
    assert_eq!(relays, 9);
}

#[test]
fn a_receiver_waits_for_a_relay_that_is_still_to_come() {
    let group = group(8).unwrap();
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| group.take_source());
        let outcome = group.outcome();
        group.add(source("h1"));
        drop(outcome);
        assert_eq!(receiver.join().unwrap().unwrap().0.name, "h1");
    });
}

#[test]
fn keys_are_what_openssh_reads() {
    let key = OneTimeKey::generate().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    crate::state::write_file(&path, key.private.as_bytes(), 0o600).unwrap();
    let output = std::process::Command::new("ssh-keygen")
        .args(["-y", "-f"])
        .arg(&path)
        .output()
        .expect("ssh-keygen is installed");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), key.public);
}
