//! What a bootstrap would do to each host: a comparison of what should be there with what is. No I/O.

use serde::{Deserialize, Serialize};

mod certificates;
mod saved;

pub use certificates::certificates;
pub use saved::{SavedPlan, Scope};

use crate::desired::{Artifact, Desired, GENERATION, Stage, Unit};
use crate::facts::Facts;

/// Everything that would change on one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    pub host: String,
    /// Programs and images that the host lacks.
    pub pushes: Vec<Push>,
    /// The release to switch to.
    pub release: Option<String>,
    /// The number that the new generation gets.
    pub generation: Option<u64>,
    /// The generation that the host is on has not passed its health gate; it would go back to this one by itself.
    #[serde(default)]
    pub unconfirmed: Option<u64>,
    pub files: Vec<FileChange>,
    /// Certificates among them.
    pub certificates: Vec<CertificateChange>,
    /// Links to make or to correct: (link, target).
    pub links: Vec<(String, String)>,
    /// Links of earlier generations that go.
    pub stale_links: Vec<String>,
    /// Drop-ins of others that are put aside.
    pub drop_ins: Vec<String>,
    pub users: Vec<String>,
    pub kernel_settings: bool,
    pub swap_off: bool,
    pub units: Vec<UnitChange>,
    pub images: Vec<String>,
    pub etcd: EtcdEffect,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    pub name: String,
    pub sha256: String,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    pub path: String,
    pub change: Change,
    pub secret: bool,
    /// Hash of what was written before.
    pub before: Option<String>,
    /// Identity of what will be written, see [`crate::desired::File::identity`].
    pub after: Option<String>,
}

/// A certificate that a host gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateChange {
    pub path: String,
    /// For example `CN=system:node:worker-1,O=system:nodes`.
    pub subject: String,
    pub issuer: String,
    pub names: Vec<String>,
    pub lifetime_days: u64,
    /// Why it is issued; None when the operator's directory has it already.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    Add,
    Change,
    /// The content differs from what was written: somebody edited it on the host.
    Repair,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitChange {
    pub name: String,
    pub action: Action,
    pub stage: Option<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Start,
    Restart,
    /// It takes up what changed without ending.
    Reload,
    Stop,
}

/// What happens to the etcd member on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EtcdEffect {
    #[default]
    None,
    /// The member takes part in forming the cluster.
    Form,
    /// A member of a formed cluster is started or restarted, one host at a time.
    Restart,
}

impl HostPlan {
    pub fn is_empty(&self) -> bool {
        *self
            == HostPlan {
                host: self.host.clone(),
                ..HostPlan::default()
            }
    }

    /// True when the generation, its links or the host's settings change.
    pub fn activates(&self) -> bool {
        self.release.is_some()
            || self.generation.is_some()
            || !self.links.is_empty()
            || !self.stale_links.is_empty()
            || !self.drop_ins.is_empty()
            || !self.users.is_empty()
            || self.kernel_settings
            || self.swap_off
            || self.units.iter().any(|unit| unit.action == Action::Stop)
    }

    /// Units to start or restart in one stage.
    pub fn starts(&self, stage: Stage) -> Vec<&UnitChange> {
        self.units
            .iter()
            .filter(|unit| unit.stage == Some(stage) && unit.action != Action::Stop)
            .collect()
    }
}

/// Compares a host with what it should be.
pub fn plan(host: &str, desired: &Desired, facts: &Facts, recorded_generation: u64) -> HostPlan {
    let mut plan = HostPlan {
        host: host.to_owned(),
        unconfirmed: facts.unconfirmed,
        ..HostPlan::default()
    };
    for artifact in &desired.artifacts {
        if !facts.blobs.contains(&artifact.sha256) {
            plan.pushes.push(push(artifact));
        }
    }
    let release = desired.release_hash();
    if facts.release != format!("releases/{release}") && !desired.artifacts.is_empty() {
        plan.release = Some(release);
    }
    plan.files = files(desired, facts);
    if !plan.files.is_empty() || facts.generation.is_empty() {
        let newest = facts.kept_generations.iter().copied().max().unwrap_or_default();
        // What a host says is not trusted to leave room for one more.
        let last = newest.max(recorded_generation).max(facts.generation_number());
        plan.generation = Some(last.saturating_add(1));
    }
    let wanted_links = desired.all_links();
    plan.links = wanted_links
        .iter()
        .filter(|(link, target)| facts.links.get(link) != Some(target))
        .cloned()
        .collect();
    let dangling = |link: &String| {
        let target = &facts.links[link];
        let ours = target.starts_with(GENERATION)
            || facts
                .links
                .get(target)
                .is_some_and(|target| target.starts_with(GENERATION));
        ours && !wanted_links.iter().any(|(wanted, _)| wanted == link)
    };
    plan.stale_links = facts
        .links
        .keys()
        .filter(|link| dangling(link))
        .cloned()
        .collect();
    plan.drop_ins = facts.foreign_drop_ins.iter().cloned().collect();
    plan.users = desired
        .users
        .iter()
        .filter(|user| !facts.users.contains(**user))
        .map(|user| (*user).to_owned())
        .collect();
    let kernel_files = ["config/sysctl.conf", "config/modules.conf"];
    let has_kernel_settings = desired
        .files
        .iter()
        .any(|file| kernel_files.contains(&file.path.as_str()));
    plan.kernel_settings = has_kernel_settings
        && (!facts.ip_forward
            || !sysctl_differences(desired, facts).is_empty()
            || plan
                .files
                .iter()
                .any(|file| kernel_files.contains(&file.path.as_str())));
    plan.swap_off = has_kernel_settings && facts.swap && !facts.container;
    plan.units = units(desired, facts, &plan.stale_links);
    plan.images = desired
        .artifacts
        .iter()
        .filter_map(|artifact| artifact.image.clone())
        .filter(|image| !facts.images.contains(image))
        .collect();
    if plan
        .units
        .iter()
        .any(|unit| unit.name == "etcd.service" && unit.action != Action::Stop)
    {
        plan.etcd = if facts.etcd_data {
            EtcdEffect::Restart
        } else {
            EtcdEffect::Form
        };
    }
    plan
}

fn push(artifact: &Artifact) -> Push {
    Push {
        name: artifact.name.clone(),
        sha256: artifact.sha256.clone(),
        size: artifact.size,
    }
}

fn files(desired: &Desired, facts: &Facts) -> Vec<FileChange> {
    let mut changes = Vec::new();
    for file in &desired.files {
        let mode = format!("{:o} {} {}", file.mode, file.owner, file.path);
        let change = match facts.manifest.get(&file.path) {
            None => Change::Add,
            Some(hash) if *hash != file.sha256() || !facts.modes.contains(&mode) => Change::Change,
            Some(_) if facts.damaged.contains(&file.path) => Change::Repair,
            Some(_) => continue,
        };
        changes.push(FileChange {
            path: file.path.clone(),
            change,
            secret: file.secret,
            before: facts.manifest.get(&file.path).cloned(),
            after: Some(file.identity()),
        });
    }
    // Lists of the generation itself that were edited, and files that somebody put beside its own.
    let unlisted = |path: &&String| {
        !facts.manifest.contains_key(*path) && !desired.files.iter().any(|file| file.path == **path)
    };
    for path in facts.damaged.iter().filter(unlisted) {
        let own = path == "MANIFEST" || path == "MODES";
        changes.push(FileChange {
            path: path.clone(),
            change: if own { Change::Repair } else { Change::Remove },
            secret: false,
            before: None,
            after: None,
        });
    }
    for (path, hash) in &facts.manifest {
        if !desired.files.iter().any(|file| file.path == *path) {
            changes.push(FileChange {
                path: path.clone(),
                change: Change::Remove,
                secret: path.ends_with(".key"),
                before: Some(hash.clone()),
                after: None,
            });
        }
    }
    changes
}

/// Kernel settings that are not in force, though the host could have them.
pub fn sysctl_differences(desired: &Desired, facts: &Facts) -> Vec<String> {
    let mut differences = Vec::new();
    for line in desired.text("config/sysctl.conf").lines() {
        let Some((key, wanted)) = line.trim_start_matches('-').split_once('=') else {
            continue;
        };
        let (key, wanted) = (key.trim(), wanted.trim());
        // A container may set what belongs to its own network only.
        if key.starts_with('#') || (facts.container && !key.starts_with("net.")) {
            continue;
        }
        if let Some(found) = facts.sysctls.get(key).filter(|found| found.as_str() != wanted) {
            differences.push(format!("sysctl {key} is {found}, not {wanted}"));
        }
    }
    differences
}

fn units(desired: &Desired, facts: &Facts, stale_links: &[String]) -> Vec<UnitChange> {
    let mut changes: Vec<UnitChange> = desired
        .units
        .iter()
        .filter_map(|unit| unit_change(unit, facts))
        .collect();
    for link in stale_links {
        let name = link.rsplit('/').next().unwrap_or_default();
        let known = changes.iter().any(|unit| unit.name == name);
        if !link.contains(".wants/") && (name.ends_with(".service") || name.ends_with(".timer")) && !known {
            changes.push(UnitChange {
                name: name.to_owned(),
                action: Action::Stop,
                stage: None,
            });
        }
    }
    changes
}

fn unit_change(unit: &Unit, facts: &Facts) -> Option<UnitChange> {
    let found = facts.unit(unit.name);
    let running = matches!(found.state.as_str(), "active" | "activating" | "reloading");
    let action = match running {
        false => Action::Start,
        true if found.content == unit.content => return None,
        true if unit.reloads_from(&found.content) => Action::Reload,
        true => Action::Restart,
    };
    Some(UnitChange {
        name: unit.name.to_owned(),
        action,
        stage: Some(unit.stage),
    })
}
