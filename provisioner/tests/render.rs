//! What hosts get, for the example inventory of three control planes and two workers: golden files, and rules
//! that hold for every file. `UPDATE_GOLDEN=1` writes the golden files anew.

#![allow(clippy::unwrap_used)]

#[path = "fixture/cluster.rs"]
mod cluster;

use std::collections::BTreeSet;
use std::path::PathBuf;

use cluster::debian;
use provisioner::commands::plan::{FileDiff, host_text};
use provisioner::desired::Desired;
use provisioner::facts::{Facts, UnitFacts};
use provisioner::inventory::Inventory;
use provisioner::plan::{Action, EtcdEffect, plan};
use provisioner::state::State;

fn package() -> PathBuf {
    // Asked for now: this may have been compiled for another clone, with a target folder that was kept.
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap().into()
}

fn repository() -> PathBuf {
    package().join("..")
}

struct Fixture(cluster::Fixture);

fn fixture(name: &str) -> Fixture {
    let inventory = Inventory::load(&repository().join("inventories").join(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = State::peek(&folder.path().join("x.toml"), &Default::default());
    Fixture(cluster::fixture(inventory, &state).unwrap())
}

impl Fixture {
    fn desired(&self, host: &str, facts: &Facts) -> Desired {
        self.0.desired(host, facts, &Default::default()).unwrap()
    }
}

/// The facts of a host on which `desired` has just been applied.
fn applied(desired: &Desired, number: u64) -> Facts {
    Facts {
        ip_forward: true,
        etcd_data: desired.units.iter().any(|unit| unit.name == "etcd.service"),
        release: format!("releases/{}", desired.release_hash()),
        generation: format!("generations/{number}"),
        kept_generations: vec![number],
        blobs: desired
            .artifacts
            .iter()
            .map(|artifact| artifact.sha256.clone())
            .collect(),
        manifest: desired
            .files
            .iter()
            .map(|file| (file.path.clone(), file.sha256()))
            .collect(),
        modes: desired.modes().lines().map(str::to_owned).collect(),
        links: desired.all_links().into_iter().collect(),
        users: desired.users.iter().map(|user| (*user).to_owned()).collect(),
        units: desired
            .units
            .iter()
            .map(|unit| {
                let running = UnitFacts {
                    state: "active".to_owned(),
                    pid: 1,
                    content: unit.content.clone(),
                };
                (unit.name.to_owned(), running)
            })
            .collect(),
        images: desired
            .artifacts
            .iter()
            .filter_map(|artifact| artifact.image.clone())
            .collect(),
        ..debian()
    }
}

fn golden(name: &str, text: &str) {
    let path = package().join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == text,
        "{name} differs; UPDATE_GOLDEN=1 writes it anew:\n{text}"
    );
}

/// Public text without what depends on keys made in this run.
fn shown(desired: &Desired) -> String {
    let mut text = String::new();
    for file in &desired.files {
        text.push_str(&format!("==== {} {:o} {}\n", file.path, file.mode, file.owner));
        if file.secret || file.path.ends_with(".crt") || file.path.ends_with(".pub") {
            continue;
        }
        for line in String::from_utf8(file.content.clone()).unwrap().lines() {
            // Its last column is the content's hash.
            let line = if file.path == "meta/units" {
                line.rsplit_once(' ').unwrap().0
            } else if line.contains("HARDWAY_CONTENT") {
                "Environment=HARDWAY_CONTENT=…"
            } else {
                line
            };
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn hosts_get_the_files_of_their_roles() {
    let lab = fixture("lab-3-2.toml");
    golden("cp-1.txt", &shown(&lab.desired("cp-1", &debian())));
    golden("worker-1.txt", &shown(&lab.desired("worker-1", &debian())));
    let balanced = fixture("external-load-balancer.toml");
    golden("lb-1.txt", &shown(&balanced.desired("lb-1", &debian())));
    let apart = fixture("etcd-hosts.toml");
    golden("etcd-1.txt", &shown(&apart.desired("etcd-1", &debian())));
}

#[test]
fn secrets_are_in_secret_files_only() {
    for name in [
        "lab-3-2.toml",
        "single-node.toml",
        "external-load-balancer.toml",
        "etcd-hosts.toml",
    ] {
        let fixture = fixture(name);
        for host in &fixture.0.inventory.hosts {
            for file in fixture.desired(&host.name, &debian()).files {
                let text = String::from_utf8(file.content.clone()).unwrap();
                let secret =
                    text.contains("PRIVATE KEY") || text.contains(&fixture.0.secrets.encryption[0].key);
                assert_eq!(secret, file.secret, "{name} {}", file.path);
                assert_eq!(
                    file.mode,
                    if secret { 0o600 } else { 0o644 },
                    "{name} {}",
                    file.path
                );
            }
        }
    }
}

#[test]
fn our_daemons_take_the_flags_that_units_give_them() {
    use clap::Parser as _;
    let lab = fixture("lab-3-2.toml");
    let desired = lab.desired("cp-1", &debian());
    let words = |unit: &str| -> Vec<String> {
        let file = desired
            .files
            .iter()
            .find(|file| file.path == format!("units/{unit}.service"))
            .unwrap();
        let text = String::from_utf8(file.content.clone())
            .unwrap()
            .replace("\\\n", " ");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="))
            .unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    component_config::kube_apiserver::parse(words("kube-apiserver")).unwrap();
    component_config::api_balancer::Flags::try_parse_from(words("api-balancer")).unwrap();
    component_config::pod_network::Flags::try_parse_from(words("pod-network")).unwrap();
    component_config::kubelet::KubeletFlags::try_parse_from(words("kubelet")).unwrap();
    let kubelet = desired
        .files
        .iter()
        .find(|file| file.path == "config/kubelet.yaml")
        .unwrap();
    let kubelet: component_config::kubelet::KubeletConfiguration =
        serde_yaml_ng::from_slice(&kubelet.content).unwrap();
    assert_eq!(kubelet.cluster_dns, ["10.32.0.10"]);
}

#[test]
fn what_was_applied_needs_nothing_more() {
    for name in [
        "lab-3-2.toml",
        "single-node.toml",
        "external-load-balancer.toml",
        "etcd-hosts.toml",
    ] {
        let fixture = fixture(name);
        for host in &fixture.0.inventory.hosts {
            let desired = fixture.desired(&host.name, &debian());
            let plan = plan(&host.name, &desired, &applied(&desired, 3), 3);
            assert!(plan.is_empty(), "{name}: {plan:?}");
        }
    }
}

#[test]
fn plans_name_files_units_and_quorum() {
    let lab = fixture("lab-3-2.toml");
    let empty = debian();
    let first = plan("worker-1", &lab.desired("worker-1", &empty), &empty, 0);
    let release = first.release.clone().unwrap();
    let text = host_text(&first, "", &[], 3).replace(&release[..12], "RELEASE");
    golden("plan-first.txt", &text);

    // A file edited on the host, a stopped unit, another etcd command line.
    let desired = lab.desired("cp-1", &debian());
    let mut facts = applied(&desired, 7);
    facts.damaged = BTreeSet::from(["config/kube-proxy.yaml".to_owned()]);
    facts.units.get_mut("kube-scheduler.service").unwrap().state = "failed".to_owned();
    facts.units.get_mut("etcd.service").unwrap().content = "old".to_owned();
    facts.links.insert(
        "/etc/systemd/system/gone.service".to_owned(),
        "/etc/hardway/current/units/gone.service".to_owned(),
    );
    let second = plan("cp-1", &desired, &facts, 7);
    assert_eq!(second.generation, Some(8));
    assert_eq!(second.etcd, EtcdEffect::Restart);
    assert!(
        second
            .units
            .iter()
            .any(|unit| unit.name == "gone.service" && unit.action == Action::Stop)
    );
    let diff = FileDiff {
        path: "config/kube-proxy.yaml".to_owned(),
        old: "kind: KubeProxyConfiguration\nmode: ipvs\n".to_owned(),
        new: "kind: KubeProxyConfiguration\nmode: nftables\n".to_owned(),
    };
    golden(
        "plan-second.txt",
        &host_text(&second, "generations/7", &[diff], 3),
    );
}

#[test]
fn renewed_leaves_restart_nothing_but_a_new_authority_does() {
    let before = fixture("single-node.toml");
    let desired_before = before.desired("node-1", &debian());
    let facts = applied(&desired_before, 1);
    let mut renewed = before.desired("node-1", &debian());
    for file in &mut renewed.files {
        if file.path.starts_with("pki/kubelet-") {
            file.content.push(b'\n');
        }
    }
    let leaves = plan("node-1", &renewed, &facts, 1);
    assert_eq!((leaves.files.len(), leaves.units.len()), (4, 0), "{leaves:?}");
    let after = fixture("single-node.toml");
    let authority = plan("node-1", &after.desired("node-1", &debian()), &facts, 1);
    assert!(
        authority
            .units
            .iter()
            .any(|unit| unit.name == "kube-apiserver.service"),
        "{authority:?}"
    );
}

/// A reload applies nothing of the unit itself, such as its command line.
#[test]
fn haproxy_is_reloaded_for_its_files_and_restarted_for_its_unit() {
    const UNIT: &str = "hardway-haproxy.service";
    let before = fixture("external-load-balancer.toml");
    let mut facts = applied(&before.desired("lb-1", &debian()), 1);
    // Another authority is in its files.
    let after = fixture("external-load-balancer.toml").desired("lb-1", &debian());
    let action = |facts: &Facts| {
        let plan = plan("lb-1", &after, facts, 1);
        let unit = plan.units.iter().find(|unit| unit.name == UNIT);
        unit.map(|unit| unit.action)
    };
    assert_eq!(action(&facts), Some(Action::Reload));
    facts.units.get_mut(UNIT).unwrap().content.insert(0, 'x');
    assert_eq!(action(&facts), Some(Action::Restart));
}
