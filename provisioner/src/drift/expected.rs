use std::collections::{BTreeMap, BTreeSet};

use super::probe::Probe;
use crate::desired::{Artifact, Desired, File, GENERATION, Unit, sha256};
use crate::facts::Facts;

/// What must be found on a host.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Path in the generation -> file.
    pub files: BTreeMap<String, ExpectedFile>,
    /// Path in the release -> sha256.
    pub programs: BTreeMap<String, String>,
    pub units: Vec<ExpectedUnit>,
    pub links: Vec<(String, String)>,
    /// The folder that programs are started from.
    pub release: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedFile {
    pub hash: String,
    pub mode: u32,
    pub owner: String,
}

#[derive(Debug)]
pub(super) struct ExpectedUnit {
    pub name: String,
    pub link: String,
    /// What a process of its that is up to date was started with.
    pub content: String,
    /// What it is; empty when that is not known here.
    pub program: String,
    /// The words that it is started with; None when its file is not known here.
    pub command: Option<Vec<String>>,
}

impl Expected {
    /// What is asked for.
    pub fn asked(desired: &Desired) -> Expected {
        let own = |file: &File| {
            let found = ExpectedFile {
                hash: file.sha256(),
                mode: file.mode,
                owner: file.owner.to_owned(),
            };
            (file.path.clone(), found)
        };
        let mut files: BTreeMap<_, _> = desired.files.iter().map(own).collect();
        // Manifest and modes belong to the generation like what they list.
        for (name, text) in [("MANIFEST", desired.manifest()), ("MODES", desired.modes())] {
            files.insert(name.to_owned(), list(sha256(text.as_bytes())));
        }
        let program = |artifact: &Artifact| {
            let path = format!("{}/{}", artifact.folder(), artifact.name);
            (path, artifact.sha256.clone())
        };
        let unit = |unit: &Unit| {
            let command = exec_start(&desired.text(&unit.file));
            ExpectedUnit {
                name: unit.name.to_owned(),
                link: unit.link.clone(),
                content: unit.content.clone(),
                program: command.first().cloned().unwrap_or_default(),
                command: Some(command),
            }
        };
        Expected {
            files,
            programs: desired.artifacts.iter().map(program).collect(),
            units: desired.units.iter().map(unit).collect(),
            links: desired.all_links(),
            release: folder(&desired.release_hash()),
        }
    }

    /// What the generation says of itself that a host is on, when that rightly is another one than is asked for: after a
    /// rollback, or before a change is carried out. Also the files that differ. None when it is the same, or when what the
    /// host says of it can't be relied upon.
    pub fn held(asked: &Expected, facts: &Facts, probe: &Probe) -> Option<(Expected, Vec<String>)> {
        let own = |path: &str| facts.manifest.get(path);
        let found = |path: &str| probe.files.get(path).map(|file| &file.hash);
        let lists = |path: &&str| ["MANIFEST", "MODES"].contains(path);
        let paths: BTreeSet<&str> = asked
            .files
            .keys()
            .chain(facts.manifest.keys())
            .map(String::as_str)
            .collect();
        // As it was written, and other than it is asked for.
        let other = |path: &&str| {
            own(path) == found(path) && own(path) != asked.files.get(*path).map(|file| &file.hash)
        };
        let differing: Vec<String> = paths
            .into_iter()
            .filter(|path| !lists(path) && other(path))
            .map(str::to_owned)
            .collect();
        let meta = ["meta/release", "meta/units", "meta/links"];
        let whole = meta
            .iter()
            .all(|path| own(path).is_some() && own(path) == found(path));
        let release = match facts.release.strip_prefix("releases/") {
            Some(release) if release == sha256(probe.own_release.as_bytes()) => release,
            // A host may need none of the programs.
            None if probe.own_release.is_empty() => "",
            _ => return None,
        };
        if differing.is_empty() || !whole {
            return None;
        }
        let links = pairs(&probe.own_links);
        let units = probe
            .own_units
            .lines()
            .filter_map(|line| unit(line, &links, asked, own));
        Some((
            Expected {
                files: held_files(facts, probe),
                programs: pairs(&probe.own_release)
                    .into_iter()
                    .map(|(hash, path)| (path, hash))
                    .collect(),
                units: units.collect(),
                release: folder(release),
                links,
            },
            differing,
        ))
    }
}

fn list(hash: String) -> ExpectedFile {
    ExpectedFile {
        hash,
        mode: 0o644,
        owner: "root".to_owned(),
    }
}

fn folder(release: &str) -> String {
    format!("/opt/hardway/releases/{release}")
}

fn held_files(facts: &Facts, probe: &Probe) -> BTreeMap<String, ExpectedFile> {
    let mut files = BTreeMap::new();
    for line in &facts.modes {
        let mut words = line.splitn(3, ' ');
        let (Some(mode), Some(owner), Some(path)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let file = ExpectedFile {
            hash: facts.manifest.get(path).cloned().unwrap_or_default(),
            mode: u32::from_str_radix(mode, 8).unwrap_or_default(),
            owner: owner.to_owned(),
        };
        files.insert(path.to_owned(), file);
    }
    // Nothing says what the lists themselves should be; that they are another generation's is told.
    for name in ["MANIFEST", "MODES"] {
        let hash = probe.files.get(name).map(|file| file.hash.clone());
        files.insert(name.to_owned(), list(hash.unwrap_or_default()));
    }
    files
}

/// `STAGE NAME CONTENT`; its file is known here only when it is the same as is asked for.
fn unit<'a>(
    line: &str,
    links: &[(String, String)],
    asked: &Expected,
    own: impl Fn(&str) -> Option<&'a String>,
) -> Option<ExpectedUnit> {
    let mut words = line.split(' ');
    let (_, name, content) = (words.next()?, words.next()?, words.next()?);
    let known = asked.units.iter().find(|unit| unit.name == name);
    let (link, file) = links.iter().find_map(|(link, target)| {
        let file = target.strip_prefix(GENERATION)?.strip_prefix('/')?;
        let drop_in = format!("/{name}.d/");
        (link.ends_with(&format!("/system/{name}")) || link.contains(&drop_in)).then_some((link, file))
    })?;
    let same = own(file) == asked.files.get(file).map(|file| &file.hash);
    Some(ExpectedUnit {
        name: name.to_owned(),
        link: link.clone(),
        content: content.to_owned(),
        program: known.map(|unit| unit.program.clone()).unwrap_or_default(),
        command: known.filter(|_| same).and_then(|unit| unit.command.clone()),
    })
}

/// `FIRST SECOND` a line.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(first, second)| (first.to_owned(), second.to_owned()))
        .collect()
}

/// The words of the last `ExecStart=` of a unit file; hardway's templates quote nothing.
fn exec_start(unit: &str) -> Vec<String> {
    let joined = unit.replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="))
        .next_back()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_counts() {
        let unit = "[Service]\nExecStart=\nExecStart=/a/b \\\n  --c=d \\\n  --e\nRestart=always\n";
        assert_eq!(exec_start(unit), ["/a/b", "--c=d", "--e"]);
        assert!(exec_start("[Unit]\n").is_empty());
    }
}
