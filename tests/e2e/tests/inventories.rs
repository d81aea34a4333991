//! Wrong inventories: exit code 2, and the file, line, field and remedy, before any host is touched.

use std::process::Command;

use e2e::run;

const GOOD: &str = r#"[cluster]
name = "c"
pod_cidr = "10.200.0.0/16"
service_cidr = "10.32.0.0/24"
cluster_domain = "cluster.local"
dns_ip = "10.32.0.10"

[ssh]
user = "root"

[[hosts]]
name = "a"
address = "127.0.0.1"
roles = ["control-plane"]

[[hosts]]
name = "b"
address = "127.0.0.2"
roles = ["worker"]
"#;

#[test]
fn each_mistake_is_located_and_named() {
    // What is replaced, with what, the line, and what the message must hold.
    let cases: &[(&str, &str, usize, &[&str])] = &[
        (
            "roles = [\"worker\"]",
            "roles = [\"wroker\"]",
            19,
            &["roles", "wroker", "worker"],
        ),
        ("name = \"b\"", "name = \"a\"", 17, &["name", "\"a\""]),
        (
            "address = \"127.0.0.2\"",
            "address = \"127.0.0.1\"",
            18,
            &["address", "127.0.0.1"],
        ),
        (
            "service_cidr = \"10.32.0.0/24\"",
            "service_cidr = \"10.200.32.0/24\"",
            4,
            &["service_cidr", "pod_cidr"],
        ),
        (
            "user = \"root\"",
            "user = \"root\"\nkey = \"/nowhere/id\"",
            10,
            &["key", "/nowhere/id"],
        ),
        (
            "user = \"root\"",
            "user = \"root\"\nusr = \"x\"",
            10,
            &["usr", "unknown"],
        ),
        (
            "dns_ip = \"10.32.0.10\"",
            "dns_ip = \"10.99.0.10\"",
            6,
            &["dns_ip", "10.99.0.10", "service_cidr"],
        ),
        (
            "roles = [\"worker\"]",
            "roles = [\"worker\", \"etcd\"]\n\n[[hosts]]\nname = \"d\"\naddress = \"127.0.0.4\"\nroles = [\"etcd\"]",
            0,
            &["etcd", "2"],
        ),
        (
            "pod_cidr = \"10.200.0.0/16\"",
            "pod_cidr = \"10.200.0.0/33\"",
            3,
            &["pod_cidr", "10.200.0.0/33"],
        ),
    ];
    let folder = tempfile::tempdir().expect("temporary folder");
    for (index, (from, to, line, words)) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{index}.toml"));
        assert!(GOOD.contains(from));
        std::fs::write(&path, GOOD.replacen(from, to, 1)).expect("written");
        let refused = run(
            Command::new(e2e::binaries().join("hardway"))
                .arg("plan")
                .arg("--inventory")
                .arg(&path),
            None,
        );
        assert_eq!(refused.code, 2, "{to}: {refused:?}");
        let said = refused.stderr;
        let place = if *line == 0 {
            format!("{index}.toml: ")
        } else {
            format!("{index}.toml: line {line}: ")
        };
        assert!(said.contains(&place), "{to}: no {place:?} in\n{said}");
        for word in *words {
            assert!(said.contains(word), "{to}: no {word:?} in\n{said}");
        }
    }
}
