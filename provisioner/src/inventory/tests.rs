use std::path::Path;

use super::*;

const GOOD: &str = r#"[cluster]
name = "lab"
pod_cidr = "10.200.0.0/16"
service_cidr = "10.32.0.0/24"
dns_ip = "10.32.0.10"

[ssh]
user = "admin"
sudo = true

[[hosts]]
name = "cp-1"
address = "10.77.0.11"
roles = ["control-plane"]

[[hosts]]
name = "w-1"
address = "10.77.0.21"
roles = ["worker"]
labels = { zone = "a" }
taints = ["dedicated=gpu:NoSchedule"]
[hosts.ssh]
port = 2222
"#;

fn parse(text: &str) -> Result<Inventory, InvalidInventory> {
    Inventory::parse(Path::new("lab.toml"), text)
}

#[test]
fn a_good_inventory_is_read_whole() {
    let inventory = parse(GOOD).unwrap();
    assert_eq!(inventory.cluster.cluster_domain, "cluster.local");
    assert_eq!(inventory.kubernetes_service().to_string(), "10.32.0.1");
    assert_eq!(inventory.public_endpoint(), "10.77.0.11:6443");
    let worker = &inventory.hosts[1];
    assert_eq!(
        (worker.ssh.user.as_str(), worker.ssh.port, worker.ssh.sudo),
        ("admin", 2222, true)
    );
    assert_eq!(worker.labels["zone"], "a");
    assert_eq!(worker.taints[0].effect, "NoSchedule");
    assert_eq!(inventory.etcd_members().len(), 1);
    assert!(inventory.is_dedicated(&inventory.hosts[0]));
}

#[test]
fn each_mistake_is_named_with_line_field_value_and_remedy() {
    let two_more = "\n[[hosts]]\nname = \"cp-2\"\naddress = \"10.77.0.12\"\nroles = [\"control-plane\"]\n";
    let table: &[(&str, &str, &str)] = &[
        // (replace, by, expected report)
        (
            "roles = [\"worker\"]",
            "roles = [\"workr\"]",
            "lab.toml: line 19: hosts[1].roles[0]: \"workr\": unknown role; did you mean \"worker\"?",
        ),
        (
            "roles = [\"worker\"]",
            "roles = [\"gateway\"]",
            "lab.toml: line 19: hosts[1].roles[0]: \"gateway\": unknown role; use one of control-plane, worker, etcd, \
             load-balancer",
        ),
        (
            "name = \"w-1\"",
            "name = \"cp-1\"",
            "lab.toml: line 17: hosts[1].name: \"cp-1\": duplicate name, first on line 12; give each host its own",
        ),
        (
            "10.77.0.21",
            "10.77.0.11",
            "lab.toml: line 18: hosts[1].address: \"10.77.0.11\": duplicate address, first on line 13; give each host \
             its own",
        ),
        (
            "10.32.0.0/24",
            "10.200.32.0/24",
            "lab.toml: line 4: cluster.service_cidr: \"10.200.32.0/24\": overlaps with pod_cidr 10.200.0.0/16; choose \
             two ranges that share no address",
        ),
        (
            "dns_ip = \"10.32.0.10\"",
            "dns_ip = \"10.33.0.10\"",
            "lab.toml: line 5: cluster.dns_ip: \"10.33.0.10\": is not inside service_cidr 10.32.0.0/24; use for example \
             10.32.0.10",
        ),
        (
            "dns_ip = \"10.32.0.10\"",
            "dns_ip = \"10.32.0.1\"",
            "lab.toml: line 5: cluster.dns_ip: \"10.32.0.1\": is taken: the first address is the kubernetes Service's; \
             use for example 10.32.0.10",
        ),
        (
            "sudo = true",
            "sudo = true\nkey = \"no/such/key\"",
            "lab.toml: line 10: ssh.key: \"no/such/key\": no such key file; create it with ssh-keygen -t ed25519 -f \
             no/such/key, or correct the path",
        ),
        (
            "name = \"lab\"",
            "name = \"lab\"\npod_cdir = \"10.0.0.0/8\"",
            "lab.toml: line 3: cluster.pod_cdir: unknown key; did you mean \"pod_cidr\"?",
        ),
        (
            "sudo = true",
            "sudo = \"yes\"",
            "lab.toml: line 9: ssh.sudo: \"\\\"yes\\\"\": has the wrong type (string); write true or false",
        ),
        (
            "port = 2222",
            "port = 99999",
            "lab.toml: line 23: hosts[1].ssh.port: \"99999\": is not a port; write a number from 1 to 65535",
        ),
        (
            "10.77.0.21",
            "10.200.3.21",
            "lab.toml: line 18: hosts[1].address: \"10.200.3.21\": lies inside pod_cidr 10.200.0.0/16; choose ranges \
             that contain no host",
        ),
        (
            "NoSchedule",
            "Never",
            "lab.toml: line 21: hosts[1].taints[0]: \"dedicated=gpu:Never\": is not a taint; write key[=value]:effect \
             with NoSchedule, PreferNoSchedule or NoExecute",
        ),
        (
            "address = \"10.77.0.21\"\n",
            "",
            "lab.toml: line 16: hosts[1].address: is missing; add address = \"…\": the IP address of the host",
        ),
        (
            "[cluster]",
            "[cluster",
            "lab.toml: line 1: is not TOML: unclosed table, expected `]`; correct the syntax",
        ),
    ];
    for (from, to, expected) in table {
        assert!(GOOD.contains(from), "{from}");
        let error = parse(&GOOD.replacen(from, to, 1)).expect_err(to).to_string();
        // One mistake may lead to another; the cause comes first.
        assert_eq!(error.lines().next(), Some(*expected));
    }
    let error = parse(&format!("{GOOD}{two_more}")).expect_err("even").to_string();
    assert_eq!(
        error,
        "lab.toml: line 28: hosts[2].roles: \"control-plane\": 2 etcd members: an even number survives no more failures \
         than one less; use 1, 3, 5 or 7; with the role etcd the members can be other hosts than the control planes"
    );
}

#[test]
fn all_mistakes_are_reported_together() {
    let text = GOOD
        .replace("w-1", "W_1")
        .replace("10.32.0.10", "10.99.0.10")
        .replace("[ssh]\nuser", "[ssh]\nuesr");
    let error = parse(&text).expect_err("three mistakes");
    let fields: Vec<&str> = error
        .problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(fields, ["cluster.dns_ip", "ssh.uesr", "hosts[1].name"]);
}

#[test]
fn every_example_inventory_is_valid() {
    // Asked for now: this may have been compiled for another clone, with a target folder that was kept.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let folder = Path::new(&package).join("../inventories");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            if let Err(error) = Inventory::load(&path) {
                panic!("{error}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 4);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_damage_to_a_good_file_makes_it_panic(at in 0usize..500, with in "\\PC{0,8}") {
        let at = at.min(GOOD.len());
        if GOOD.is_char_boundary(at) {
            let _ = parse(&format!("{}{with}{}", &GOOD[..at], &GOOD[at..]));
        }
    }
}
