use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::checks::{Deprecated, Situation, Target};
use super::version::Version;
use crate::api::{self, Api};
use crate::bootstrap::connect;
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::survey::Survey;

const PROGRAMS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
];

/// Asks the programs of a folder what they are, and whether they take what the units of all hosts give them.
pub fn target(folder: &Path, survey: &Survey) -> anyhow::Result<Target> {
    let mut target = Target::default();
    let given = given(survey);
    for program in PROGRAMS {
        let path = folder.join(program);
        let (_, version) = ask(&path, &["--version"])?;
        // Programs that tell another number than Kubernetes' are not compared.
        if let Some(version) = version
            .contains("Kubernetes")
            .then(|| Version::find(&version))
            .flatten()
        {
            target.programs.insert((*program).to_owned(), version);
        }
        let flags: Vec<&str> = given
            .get(program)
            .into_iter()
            .flatten()
            .map(|(_, word)| word.as_str())
            .collect();
        for flag in refused(&path, &flags)? {
            target.refused.push(((*program).to_owned(), flag));
        }
    }
    let etcd = folder.join("etcd");
    if etcd.is_file() {
        target.etcd = Version::find(&ask(&etcd, &["--version"])?.1);
    }
    Ok(target)
}

/// Runs a program; whether it was content, and what it said.
fn ask(program: &Path, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be run here", program.display()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

/// The flags that a program does not know: with `--help` behind them it starts nothing, but reads them first.
fn refused(program: &Path, flags: &[&str]) -> anyhow::Result<Vec<String>> {
    let takes = |flags: &[&str]| -> anyhow::Result<bool> {
        let mut arguments = flags.to_vec();
        arguments.push("--help");
        Ok(ask(program, &arguments)?.0)
    };
    if takes(flags)? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for flag in flags {
        if !takes(&[*flag])? {
            let name = flag.split('=').next().unwrap_or(flag);
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Every `--flag[=VALUE]` of a unit, by its name.
fn flags_in(unit: &str) -> BTreeMap<String, String> {
    unit.split_whitespace()
        .filter(|word| word.starts_with("--"))
        .map(|word| {
            let name = word.split('=').next().unwrap_or(word);
            (name.to_owned(), word.to_owned())
        })
        .collect()
}

/// Asks the cluster what it runs.
pub fn situation(fleet: &Fleet<'_>, inventory: &Inventory, survey: &Survey) -> anyhow::Result<Situation> {
    let mut now = Situation::default();
    let mut nodes = Vec::new();
    for host in inventory.control_planes() {
        let server = connect(fleet, host, &survey.secrets)?;
        let answer = server.get("/version").with_context(|| host.name.clone())?;
        let version = answer["gitVersion"].as_str().and_then(Version::find);
        now.servers.insert(
            host.name.clone(),
            version.context("the API server does not tell its version")?,
        );
        for used in deprecated(&server.text("/metrics")?) {
            if !now.deprecated.contains(&used) {
                now.deprecated.push(used);
            }
        }
        nodes = server.nodes()?;
    }
    for node in &nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if !api::is_ready(node) {
            now.nodes_not_ready.push(name.clone());
        }
        let kubelet = node["status"]["nodeInfo"]["kubeletVersion"].as_str();
        now.kubelets
            .extend(kubelet.and_then(Version::find).map(|version| (name, version)));
    }
    for host in inventory.etcd_members() {
        let identity = survey
            .secrets
            .leaf(&host.name, "etcd-health")
            .context("there is no etcd-health certificate")?;
        let authority = survey.secrets.trusted(pki::Authority::Etcd);
        let answer = Api::connect(fleet.target(host)?, 2379, authority, identity)?.get("/version")?;
        let version = answer["etcdserver"].as_str().and_then(Version::find);
        now.etcd
            .extend(version.map(|version| (host.name.clone(), version)));
    }
    Ok(now)
}

/// The flags that the units of all hosts give to the programs of the release, one example of each.
fn given(survey: &Survey) -> BTreeMap<&'static str, BTreeMap<String, String>> {
    let mut given: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for desired in survey.desired.values() {
        for unit in &desired.units {
            let program = unit.name.trim_end_matches(".service");
            if PROGRAMS.contains(&program) {
                given
                    .entry(program)
                    .or_default()
                    .extend(flags_in(&desired.text(&unit.file)));
            }
        }
    }
    given
}

/// Reads `apiserver_requested_deprecated_apis` from an API server's metrics.
fn deprecated(metrics: &str) -> Vec<Deprecated> {
    let mut found = Vec::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("apiserver_requested_deprecated_apis{") else {
            continue;
        };
        let Some((labels, value)) = rest.rsplit_once('}') else {
            continue;
        };
        if value.trim().starts_with('0') {
            continue;
        }
        let label = |name: &str| {
            let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
            labels[start..].split('"').next().map(str::to_owned)
        };
        let text = |name: &str| label(name).unwrap_or_default();
        let removed_in = label("removed_release").and_then(|release| {
            let (major, minor) = release.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        found.push(Deprecated {
            api: format!("{}/{} {}", text("group"), text("version"), text("resource")),
            removed_in,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_apis_that_are_going_away() {
        let metrics = "# TYPE apiserver_requested_deprecated_apis gauge\n\
            apiserver_requested_deprecated_apis{group=\"a.io\",removed_release=\"1.37\",resource=\"things\",subresource=\"\",version=\"v1beta1\"} 1\n\
            apiserver_requested_deprecated_apis{group=\"\",removed_release=\"\",resource=\"endpoints\",subresource=\"\",version=\"v1\"} 1\n\
            apiserver_requested_deprecated_apis{group=\"b.io\",removed_release=\"1.37\",resource=\"x\",version=\"v1\"} 0\nother 1\n";
        let found = deprecated(metrics);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].api, "a.io/v1beta1 things");
        assert_eq!(found[0].removed_in, Some((1, 37)));
        assert_eq!(found[1].removed_in, None);
    }

    #[test]
    fn flags_that_a_program_refuses_are_named() {
        let unit = "ExecStart=/a/b \\\n  --config=/x=y \\\n  --gone \\\n  --v=2\n";
        let given = flags_in(unit);
        assert_eq!(given["--config"], "--config=/x=y");
        assert_eq!(given.len(), 3);
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let script = "#!/bin/sh\nfor word; do [ \"$word\" = --gone ] && { echo unknown flag >&2; exit 1; }; done; exit 0\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let flags: Vec<&str> = given.values().map(String::as_str).collect();
        assert_eq!(refused(&program, &flags).unwrap(), ["--gone"]);
        assert!(refused(&program, &["--v=2"]).unwrap().is_empty());
    }
}
