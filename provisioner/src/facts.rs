//! What a host is and what is on it, gathered by one script in one round trip.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::GENERATION;
use crate::ports::Listener;
use crate::render::all_names;
use crate::shell::Shell;
use crate::ssh::SshError;

/// A snapshot of one host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub time: f64,
    pub uid: u32,
    pub os: String,
    pub kernel: String,
    pub architecture: String,
    pub init: String,
    /// True inside a container such as systemd-nspawn: the kernel belongs to another machine.
    pub container: bool,
    pub cpus: u32,
    pub memory_kb: u64,
    pub machine_id: String,
    pub cgroup_v2: bool,
    pub swap: bool,
    pub may_lower_oom_scores: bool,
    pub disk_opt_kb: u64,
    pub disk_var_kb: u64,
    pub tools: BTreeMap<String, String>,
    pub containerd_version: String,
    pub cni_bin: Option<String>,
    pub resolv_conf: Option<String>,
    pub ip_forward: bool,
    /// Live values of the sysctls that hardway sets.
    pub sysctls: BTreeMap<String, String>,
    /// Loaded modules among those that hardway wants.
    pub modules: BTreeSet<String>,
    pub overlay: bool,
    /// Addresses with prefix, for example `10.77.0.11/24`.
    pub addresses: Vec<String>,
    pub routes: Vec<String>,
    pub listening: Vec<Listener>,
    pub etcd_data: bool,
    /// Targets of the two `current` links.
    pub release: String,
    pub generation: String,
    pub kept_generations: Vec<u64>,
    /// Those of them that failed their gate.
    pub failed_generations: BTreeSet<u64>,
    /// The current generation has not passed its health gate: without the operator the host goes back to this one.
    pub unconfirmed: Option<u64>,
    pub blobs: BTreeSet<String>,
    /// Path in the current generation -> sha256.
    pub manifest: BTreeMap<String, String>,
    /// Lines `mode owner path` of the current generation.
    pub modes: BTreeSet<String>,
    /// Files of the current generation that are not as they were written.
    pub damaged: BTreeSet<String>,
    /// Drop-ins that are to be put aside; only a check for drift looks for them.
    pub foreign_drop_ins: BTreeSet<String>,
    pub links: BTreeMap<String, String>,
    pub users: BTreeSet<String>,
    pub units: BTreeMap<String, UnitFacts>,
    pub images: BTreeSet<String>,
}

/// A unit as systemd sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFacts {
    /// `active`, `inactive`, `failed`, `activating`.
    pub state: String,
    pub pid: u32,
    /// What its running process was started with.
    pub content: String,
}

const SCRIPT: &str = include_str!("../../templates/scripts/facts.sh");
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Asks one host.
pub fn gather(connection: &dyn Shell) -> Result<Facts, SshError> {
    let units: Vec<&str> = all_names().collect();
    let doing = "reading facts";
    let text = connection.script(doing, &SCRIPT.replace("@UNITS@", &units.join(" ")))?;
    parse(&text).ok_or_else(|| SshError::Lost {
        doing: doing.to_owned(),
        reason: "the host's answer is incomplete; is it a Linux host with systemd and coreutils?".to_owned(),
    })
}

/// Reads the script's answer; None when its last line is missing.
pub fn parse(text: &str) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut complete = false;
    let mut found = BTreeSet::new();
    let mut contents = BTreeMap::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let owned = || value.to_owned();
        match key {
            "time" => facts.time = value.parse().unwrap_or_default(),
            "uid" => facts.uid = value.parse().unwrap_or(u32::MAX),
            "os" => facts.os = owned(),
            "kernel" => facts.kernel = owned(),
            "architecture" => facts.architecture = owned(),
            "init" => facts.init = owned(),
            "container" => facts.container = !value.is_empty() && value != "none",
            "cpus" => facts.cpus = value.parse().unwrap_or_default(),
            "memory_kb" => facts.memory_kb = value.parse().unwrap_or_default(),
            "machine_id" => facts.machine_id = owned(),
            "filesystem" => filesystem(&mut facts, value),
            "swap" => facts.swap = value.trim() != "0",
            "capabilities" => {
                let held = u64::from_str_radix(value, 16).unwrap_or_default();
                facts.may_lower_oom_scores = held & CAP_SYS_RESOURCE != 0;
            }
            "containerd_version" => facts.containerd_version = owned(),
            "cni_bin" => facts.cni_bin = Some(owned()),
            "resolv_conf" => facts.resolv_conf = Some(owned()),
            "ip_forward" => facts.ip_forward = value == "1",
            "sysctl" => {
                if let Some((name, value)) = value.split_once(' ') {
                    facts.sysctls.insert(name.to_owned(), value.to_owned());
                }
            }
            "module" => {
                facts.modules.insert(owned());
            }
            "kernel.overlay" => facts.overlay = true,
            "address" => facts.addresses.push(owned()),
            "route" => facts.routes.push(owned()),
            "listen" => facts.listening.extend(Listener::parse(value)),
            "etcd_data" => facts.etcd_data = true,
            "unconfirmed" => facts.unconfirmed = value.parse().ok(),
            "kept" => facts.kept_generations.extend(value.parse::<u64>()),
            "failed" => facts.failed_generations.extend(value.parse::<u64>()),
            "blob" => {
                facts.blobs.insert(owned());
            }
            "manifest" => {
                if let Some((hash, path)) = value.split_once("  ") {
                    facts.manifest.insert(path.to_owned(), hash.to_owned());
                }
            }
            "mode" => {
                facts.modes.insert(owned());
            }
            "damaged" => {
                facts.damaged.insert(owned());
            }
            "link" => link(&mut facts, value),
            "found" => {
                found.insert(value);
            }
            "environ" => {
                if let Some((process, content)) = environment(value) {
                    contents.insert(process, content);
                }
            }
            "user" => {
                facts.users.insert(owned());
            }
            "unit" => unit(&mut facts, value),
            "image" => {
                facts.images.insert(owned());
            }
            "complete" => complete = true,
            _ => {
                if let Some(tool) = key.strip_prefix("tool.") {
                    facts.tools.insert(tool.to_owned(), owned());
                }
            }
        }
    }
    // Files that are gone, or that have another mode or owner than they were written with.
    let other = facts.modes.iter().filter(|line| !found.contains(line.as_str()));
    facts
        .damaged
        .extend(other.filter_map(|line| Some(line.splitn(3, ' ').nth(2)?.to_owned())));
    for unit in facts.units.values_mut() {
        if let Some(content) = contents.get(&unit.pid) {
            (*content).clone_into(&mut unit.content);
        }
    }
    complete.then_some(facts)
}

/// `/var/lib ext2/ext3 1234 4096`: path, kind, free blocks, bytes of one.
fn filesystem(facts: &mut Facts, value: &str) {
    let words: Vec<&str> = value.split(' ').collect();
    let [path, kind, blocks, size] = words.as_slice() else {
        return;
    };
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    let free_kb = number(blocks).saturating_mul(number(size)) / 1024;
    match *path {
        "/sys/fs/cgroup" => facts.cgroup_v2 = *kind == "cgroup2fs",
        "/var/lib" => facts.disk_var_kb = free_kb,
        _ => facts.disk_opt_kb = free_kb,
    }
}

fn link(facts: &mut Facts, value: &str) {
    let Some((link, target)) = value.split_once(' ') else {
        return;
    };
    if link == GENERATION {
        target.clone_into(&mut facts.generation);
    } else if link.strip_prefix(GENERATION) == Some("/release") {
        let release = target.strip_prefix("/opt/hardway/").unwrap_or(target);
        release.clone_into(&mut facts.release);
    } else {
        facts.links.insert(link.to_owned(), target.to_owned());
    }
}

/// `/proc/12/environ:HARDWAY_CONTENT=beef`: the process and what it was started with.
fn environment(value: &str) -> Option<(u32, &str)> {
    let (file, content) = value.split_once(":HARDWAY_CONTENT=")?;
    let process = file.strip_prefix("/proc/")?.strip_suffix("/environ")?;
    Some((process.parse().ok()?, content))
}

fn unit(facts: &mut Facts, value: &str) {
    let words: Vec<&str> = value.split(' ').collect();
    if let [name, state, pid, content] = words.as_slice() {
        let unit = UnitFacts {
            state: (*state).to_owned(),
            pid: pid.parse().unwrap_or_default(),
            content: content.trim_start_matches('-').to_owned(),
        };
        facts.units.insert((*name).to_owned(), unit);
    }
}

impl Facts {
    pub fn tool(&self, name: &str) -> Option<&str> {
        self.tools.get(name).map(String::as_str)
    }

    pub fn containerd_major(&self) -> u32 {
        let version = self.containerd_version.trim_start_matches('v');
        version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .unwrap_or(1)
    }

    /// systemd hands out cgroups on v2; with v1 controllers runc writes them itself.
    pub fn systemd_cgroup(&self) -> bool {
        self.cgroup_v2
    }

    /// Number of the current generation; 0 when there is none.
    pub fn generation_number(&self) -> u64 {
        self.generation
            .rsplit('/')
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    }

    /// The generation that the host was on before, and still holds; one that failed is not what was before.
    pub fn generation_before(&self) -> Option<u64> {
        let kept = self.kept_generations.iter().copied();
        kept.filter(|number| *number < self.generation_number() && !self.failed_generations.contains(number))
            .max()
    }

    pub fn unit(&self, name: &str) -> UnitFacts {
        self.units.get(name).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let text = "time=1800000000.5\nuid=0\nos=debian 13\ncontainer=systemd-nspawn\nswap=0\n\
                    filesystem=/sys/fs/cgroup tmpfs 0 4096\nfilesystem=/opt overlayfs 1000 4096\n\
                    capabilities=000001fffeffffff\ntool.gzip=/usr/bin/gzip\ncontainerd_version=v2.1.0\n\
                    listen=0.0.0.0:22 users:((\"sshd\",pid=1,fd=3))\nlink=/etc/hardway/current generations/7\n\
                    manifest=abc  pki/a.crt\nmode=644 root pki/a.crt\nmode=600 root pki/a key\n\
                    found=644 root pki/a.crt\nfound=640 root pki/a key\nlink=/etc/a /etc/b\n\
                    link=/etc/hardway/current/release /opt/hardway/releases/cafe\nunit=etcd.service active 12 -\n\
                    unit=kubelet.service inactive 0 -\nenviron=/proc/12/environ:HARDWAY_CONTENT=beef\nnonsense\ncomplete=yes\n";
        let facts = parse(text).unwrap();
        assert!(facts.container && !facts.cgroup_v2 && !facts.swap && !facts.may_lower_oom_scores);
        assert_eq!(facts.containerd_major(), 2);
        assert_eq!(facts.listening[0].port, 22);
        assert_eq!(facts.generation_number(), 7);
        assert_eq!(facts.manifest["pki/a.crt"], "abc");
        assert_eq!(
            (facts.disk_opt_kb, facts.release.as_str()),
            (4000, "releases/cafe")
        );
        assert_eq!(facts.damaged, BTreeSet::from(["pki/a key".to_owned()]));
        assert_eq!(facts.links.len(), 1);
        assert_eq!(facts.unit("etcd.service").content, "beef");
        assert_eq!(facts.unit("kubelet.service").content, "");
        assert_eq!(facts.unit("other.service"), UnitFacts::default());
    }

    #[test]
    fn a_cut_answer_is_no_answer() {
        assert_eq!(parse("uid=0\nos=debian 13\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in "(?s).{0,300}") {
            let _ = parse(&text);
        }
    }
}
