//! The rules of docs/design: who may depend on whom, and one table of versions and lints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const DAEMONS: &[&str] = &[
    "kube-apiserver",
    "kube-scheduler",
    "kube-controller-manager",
    "kubelet",
    "kube-proxy",
    "cluster-dns",
    "pod-network",
    "api-balancer",
    "pause",
    "smoke-probe",
];
const PURE: &[&str] = &["apimachinery", "cel", "api", "component-config", "pki"];

struct Workspace {
    /// Member name to the names of its direct normal dependencies.
    direct: BTreeMap<String, BTreeSet<String>>,
    /// The same for every package of the graph, by package id.
    graph: BTreeMap<String, BTreeSet<String>>,
    ids: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    manifests: BTreeMap<String, String>,
}

fn workspace() -> Workspace {
    // Asked for now: this may have been compiled for another clone or on another machine, with a target folder that was
    // kept and taken for fresh.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&folder).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(&root)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let members: BTreeSet<String> = metadata["workspace_members"]
        .as_array()
        .expect("members")
        .iter()
        .map(text)
        .collect();
    let (mut names, mut manifests, mut ids) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for package in metadata["packages"].as_array().expect("packages") {
        let (id, name) = (text(&package["id"]), text(&package["name"]));
        if members.contains(&id) {
            manifests.insert(name.clone(), text(&package["manifest_path"]));
            ids.insert(name.clone(), id.clone());
        }
        names.insert(id, name);
    }
    let mut graph = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let normal = node["deps"]
            .as_array()
            .expect("deps")
            .iter()
            .filter(|dependency| {
                dependency["dep_kinds"]
                    .as_array()
                    .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
            });
        graph.insert(
            text(&node["id"]),
            normal.map(|dependency| text(&dependency["pkg"])).collect(),
        );
    }
    let direct = ids
        .iter()
        .map(|(name, id)| {
            let dependencies: &BTreeSet<String> = &graph[id];
            (
                name.clone(),
                dependencies.iter().map(|id| names[id].clone()).collect(),
            )
        })
        .collect();
    Workspace {
        direct,
        graph,
        ids,
        names,
        manifests,
    }
}

impl Workspace {
    /// Everything that a member is linked with.
    fn all(&self, member: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![&self.ids[member]];
        while let Some(id) = waiting.pop() {
            for dependency in &self.graph[id] {
                if found.insert(dependency) {
                    waiting.push(dependency);
                }
            }
        }
        found.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn dependencies_point_in_the_allowed_direction() {
    let workspace = workspace();
    let mut broken = Vec::new();
    for (member, dependencies) in &workspace.direct {
        let is_test = workspace.manifests[member].contains("/tests/");
        for dependency in dependencies {
            let dependency_is_test = workspace
                .manifests
                .get(dependency)
                .is_some_and(|path| path.contains("/tests/"));
            let mut rule = |broken_rule: bool, why: &str| {
                if broken_rule {
                    broken.push(format!("{member} -> {dependency}: {why}"));
                }
            };
            let to_daemon = DAEMONS.contains(&dependency.as_str());
            rule(
                to_daemon && DAEMONS.contains(&member.as_str()),
                "a daemon must not use another daemon",
            );
            rule(
                to_daemon && member == "provisioner",
                "the provisioner must not use a daemon",
            );
            rule(
                dependency == "storage" && member != "kube-apiserver" && member != "testkit",
                "only the API server opens etcd",
            );
            rule(
                dependency_is_test && !is_test,
                "production code must not use tests",
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_crates_have_no_runtime() {
    let workspace = workspace();
    for member in PURE {
        let linked = workspace.all(member);
        // What waits, reads or writes. rustls does none of it by itself; `x509` takes the algorithms of signatures from it.
        for forbidden in ["tokio", "hyper", "tokio-rustls", "nix"] {
            assert!(
                !linked.contains(forbidden),
                "{member} is pure and must not be linked with {forbidden}"
            );
        }
    }
}

#[test]
fn versions_and_lints_stand_in_one_place() {
    for (member, manifest) in workspace().manifests {
        let text = std::fs::read_to_string(&manifest).expect("the manifest is there");
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']');
            } else if section.ends_with("dependencies") && line.contains('=') && !line.starts_with('#') {
                assert!(
                    line.contains("workspace = true"),
                    "{member}: {line:?} must take its version from the root"
                );
            }
        }
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{member} must use the workspace's lints"
        );
    }
}
