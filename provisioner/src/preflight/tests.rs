use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::ports::Listener;

fn inventory() -> Inventory {
    let text = "[cluster]\nname = \"lab\"\n[[hosts]]\nname = \"a\"\naddress = \"10.77.0.1\"\nroles = \
                [\"control-plane\"]\n[[hosts]]\nname = \"b\"\naddress = \"10.77.0.2\"\nroles = [\"worker\"]\n";
    Inventory::parse(Path::new("lab.toml"), text).unwrap()
}

fn good(address: &str, id: &str) -> Facts {
    let tools = [
        "tar",
        "gzip",
        "sha256sum",
        "systemctl",
        "useradd",
        "ip",
        "ss",
        "containerd",
        "ctr",
        "runc",
        "mount",
        "sysctl",
        "modprobe",
        "nft",
        "etcd",
    ];
    Facts {
        init: "systemd".to_owned(),
        os: "debian 13".to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpus: 2,
        memory_kb: 2_000_000,
        machine_id: id.to_owned(),
        overlay: true,
        disk_opt_kb: 9_000_000,
        disk_var_kb: 9_000_000,
        tools: tools
            .iter()
            .map(|tool| ((*tool).to_owned(), format!("/usr/bin/{tool}")))
            .collect(),
        containerd_version: "1.7.24~ds1".to_owned(),
        cni_bin: Some("/usr/lib/cni".to_owned()),
        addresses: vec!["127.0.0.1/8".to_owned(), format!("{address}/24")],
        ..Facts::default()
    }
}

fn findings(change: impl Fn(&mut Facts, &mut f64)) -> Vec<String> {
    let mut b = good("10.77.0.2", "2");
    let mut skew = 0.0;
    change(&mut b, &mut skew);
    let facts = BTreeMap::from([("a".to_owned(), good("10.77.0.1", "1")), ("b".to_owned(), b)]);
    let skew = BTreeMap::from([("a".to_owned(), 0.0), ("b".to_owned(), skew)]);
    check(&inventory(), &facts, &BTreeMap::new(), &skew)
        .into_iter()
        .map(|finding| format!("{}: {}", finding.host, finding.text))
        .collect()
}

#[test]
fn good_hosts_pass() {
    assert_eq!(findings(|_, _| {}), Vec::<String>::new());
}

#[test]
fn each_unfit_host_is_named_with_a_remedy() {
    type Spoil = fn(&mut Facts, &mut f64);
    let table: &[(Spoil, &str)] = &[
        (
            |facts, _| facts.uid = 1000,
            "b: commands run as uid 1000, not as root; set ssh.sudo = true",
        ),
        (
            |facts, _| facts.init = "init".to_owned(),
            "b: process 1 is \"init\"",
        ),
        (
            |facts, _| facts.architecture = "mips".to_owned(),
            "b: has architecture mips",
        ),
        (
            |facts, _| facts.memory_kb = 100_000,
            "b: has 97 MB of memory, needs 683",
        ),
        (
            |facts, _| facts.disk_var_kb = 10,
            "b: has 0 MB of disk free for /var/lib",
        ),
        (
            |facts, _| drop(facts.tools.remove("runc")),
            "b: lacks runc (package runc); install them",
        ),
        (|facts, _| facts.cni_bin = None, "b: lacks the CNI plugins"),
        (
            |facts, _| facts.containerd_version = "1.6.20".to_owned(),
            "b: has containerd 1.6.20; 1.7 or newer",
        ),
        (
            |facts, _| facts.overlay = false,
            "b: has a kernel without overlayfs",
        ),
        (
            |facts, _| {
                facts
                    .listening
                    .extend(Listener::parse(r#"*:10250 users:(("nginx",pid=1,fd=3))"#))
            },
            "b: port 10250 is taken by nginx; kubelet needs it",
        ),
        (
            |facts, _| facts.addresses.clear(),
            "b: has no interface with 10.77.0.2",
        ),
        (
            |facts, _| facts.addresses.push("10.200.1.1/24".to_owned()),
            "b: its network 10.200.1.0/24 overlaps with pod_cidr",
        ),
        (
            |facts, _| facts.machine_id = "1".to_owned(),
            "b: has the same machine id as a",
        ),
        (|_, skew| *skew = 60.0, "b: its clock is 60 s ahead of a"),
    ];
    for (spoil, expected) in table {
        let found = findings(spoil);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}");
    }
}

#[test]
fn daemons_of_an_earlier_run_may_hold_their_ports() {
    let found = findings(|facts, _| {
        facts.generation = "generations/1".to_owned();
        facts.listening.extend(Listener::parse(
            r#"127.0.0.1:10249 users:(("kube-proxy",pid=1,fd=3))"#,
        ));
        facts.addresses.push("10.200.1.1/24".to_owned());
    });
    assert_eq!(found, Vec::<String>::new());
}
