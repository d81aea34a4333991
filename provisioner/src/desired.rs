//! What one host should hold: files of its generation, units, programs, images. Data only.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One file of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the generation, for example `pki/etcd-peer.key`.
    pub path: String,
    pub mode: u32,
    pub owner: &'static str,
    pub content: Vec<u8>,
    /// Never shown in a plan.
    pub secret: bool,
    /// Stands for the content where that hangs on a key made in this run; the content's hash otherwise.
    pub identity: Option<String>,
}

impl File {
    pub fn public(path: impl Into<String>, content: impl Into<Vec<u8>>) -> File {
        File {
            path: path.into(),
            mode: 0o644,
            owner: "root",
            content: content.into(),
            secret: false,
            identity: None,
        }
    }

    pub fn secret(path: impl Into<String>, owner: &'static str, content: impl Into<Vec<u8>>) -> File {
        File {
            path: path.into(),
            mode: 0o600,
            owner,
            content: content.into(),
            secret: true,
            identity: None,
        }
    }

    pub fn sha256(&self) -> String {
        sha256(&self.content)
    }

    /// The same for two runs that would write the same, apart from keys that each makes anew.
    pub fn identity(&self) -> String {
        self.identity.clone().unwrap_or_else(|| self.sha256())
    }
}

/// When a unit is started, and what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Nothing of the cluster is needed.
    Host,
    Etcd,
    ApiServer,
    /// Clients of the API.
    Clients,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Host, Stage::Etcd, Stage::ApiServer, Stage::Clients];
}

/// One systemd unit, or a drop-in for a unit that a package brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// For example `etcd.service`.
    pub name: &'static str,
    /// Where systemd looks for it; a link into the current generation.
    pub link: String,
    /// The file in the generation.
    pub file: String,
    pub stage: Stage,
    /// Hash over the unit, the files it reads only at its start, and its program. The unit carries it in its
    /// environment, so a running process tells what it was started with. Of a unit that can be told to read its files
    /// again it has two parts, with a point between: the second one is over those files.
    pub content: String,
    /// Like [`File::identity`].
    pub identity: String,
}

impl Unit {
    /// Whether a process that runs with `running` differs in nothing but files that it can read again.
    pub fn reloads_from(&self, running: &str) -> bool {
        let start = |content: &str| content.split_once('.').map(|(start, _)| start.to_owned());
        start(&self.content).is_some_and(|own| start(running) == Some(own))
    }
}

/// A local file that a host needs, known by its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Name in the release's `bin/` or `images/`.
    pub name: String,
    pub sha256: String,
    pub size: u64,
    pub source: std::path::PathBuf,
    /// The reference under which containerd knows it, when it is an image.
    pub image: Option<String>,
}

/// Everything one host should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    pub files: Vec<File>,
    pub units: Vec<Unit>,
    pub artifacts: Vec<Artifact>,
    /// System users that own keys or run daemons.
    pub users: Vec<&'static str>,
    /// Links outside /etc/hardway that are not units: (link, target).
    pub links: Vec<(String, String)>,
}

/// Where the current generation and release are found on a host.
pub const GENERATION: &str = "/etc/hardway/current";
pub const RELEASE: &str = "/opt/hardway/current";

impl Desired {
    pub fn unit_names(&self) -> Vec<String> {
        self.units.iter().map(|unit| unit.name.to_owned()).collect()
    }

    /// A file's text; empty when the host does not have it.
    pub fn text(&self, path: &str) -> std::borrow::Cow<'_, str> {
        let file = self.files.iter().find(|file| file.path == path);
        file.map(|file| String::from_utf8_lossy(&file.content))
            .unwrap_or_default()
    }

    /// Files that tell the host's own scripts what belongs to a generation, so that it can be gone back to.
    pub fn add_meta(&mut self) {
        let units = |content: fn(&Unit) -> &str| -> String {
            let line = |unit: &Unit| format!("{} {} {}\n", unit.stage as u8, unit.name, content(unit));
            let mut lines: Vec<String> = self.units.iter().map(line).collect();
            lines.sort();
            lines.concat()
        };
        let links: String = self
            .all_links()
            .iter()
            .map(|(link, target)| format!("{link} {target}\n"))
            .collect();
        let mut unit_file = File::public("meta/units", units(|unit| &unit.content));
        unit_file.identity = Some(sha256(units(|unit| &unit.identity).as_bytes()));
        let release = File::public("meta/release", self.release_manifest());
        self.files
            .extend([unit_file, File::public("meta/links", links), release]);
    }

    /// `sha256  path` for every file, as sha256sum checks it.
    pub fn manifest(&self) -> String {
        let mut lines: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("{}  {}\n", file.sha256(), file.path))
            .collect();
        lines.sort_by(|a, b| a[66..].cmp(&b[66..]));
        lines.concat()
    }

    /// `mode owner path` for every file.
    pub fn modes(&self) -> String {
        let mut lines: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("{:o} {} {}\n", file.mode, file.owner, file.path))
            .collect();
        lines.sort();
        lines.concat()
    }

    /// Tells two generations apart.
    pub fn generation_hash(&self) -> String {
        sha256(format!("{}{}", self.manifest(), self.modes()).as_bytes())
    }

    /// `sha256 name` for every artifact.
    pub fn release_manifest(&self) -> String {
        let mut lines: Vec<String> = self
            .artifacts
            .iter()
            .map(|artifact| format!("{} {}/{}\n", artifact.sha256, artifact.folder(), artifact.name))
            .collect();
        lines.sort();
        lines.concat()
    }

    pub fn release_hash(&self) -> String {
        sha256(self.release_manifest().as_bytes())
    }

    /// Every link outside /etc/hardway: (link, target).
    pub fn all_links(&self) -> Vec<(String, String)> {
        let mut links = self.links.clone();
        if !self.artifacts.is_empty() {
            links.push((RELEASE.to_owned(), format!("{GENERATION}/release")));
        }
        for unit in &self.units {
            links.push((unit.link.clone(), format!("{GENERATION}/{}", unit.file)));
            let enabled = format!("/etc/systemd/system/multi-user.target.wants/{}", unit.name);
            // Of a package's unit only the drop-in is ours.
            let packaged = unit.link.ends_with(".conf");
            let target = if packaged {
                format!("/usr/lib/systemd/system/{}", unit.name)
            } else {
                unit.link.clone()
            };
            links.push((enabled, target));
        }
        links
    }
}

impl Artifact {
    pub fn folder(&self) -> &'static str {
        if self.image.is_some() { "images" } else { "bin" }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
