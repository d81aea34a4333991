//! What a lab consists of, kept in its folder as JSON.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Names become parts of namespace names and, with a prefix, of network interface names (15 bytes).
const LONGEST_NAME: usize = 40;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostSpec {
    pub name: String,
    pub roles: Vec<String>,
    /// Assigned by [`Lab::create`].
    #[serde(default)]
    pub address: String,
    /// Position in the lab, from 0; names its interface on the bridge.
    #[serde(default)]
    pub index: usize,
    /// Only what the provisioner asks of a host, see [`crate::hollow`].
    #[serde(default)]
    pub hollow: bool,
}

impl HostSpec {
    pub fn new(name: &str, roles: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            address: String::new(),
            index: 0,
            hollow: false,
        }
    }

    /// A worker that costs next to nothing and runs nothing.
    pub fn hollow(name: &str) -> Self {
        Self {
            hollow: true,
            ..Self::new(name, &["worker"])
        }
    }
}

impl FromStr for HostSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, roles) = text
            .split_once('=')
            .with_context(|| format!("--host {text:?}: write NAME=ROLE, for example lb=load-balancer"))?;
        Ok(Self::new(name, &roles.split('+').collect::<Vec<_>>()))
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lab {
    pub name: String,
    pub directory: PathBuf,
    /// The read-only root file system below all hosts.
    pub base: PathBuf,
    /// The first three bytes of the lab's addresses, as text; `10.77.0` unless another lab has it.
    pub network: String,
    pub hosts: Vec<HostSpec>,
    pub binaries: Option<PathBuf>,
}

impl Lab {
    /// Makes the lab's folder. Fails when a lab of that name is there.
    pub fn create(
        parent: &Path,
        name: &str,
        base: &Path,
        mut hosts: Vec<HostSpec>,
        binaries: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        check_name("lab", name)?;
        if hosts.is_empty() || hosts.len() > 200 {
            anyhow::bail!("a lab has 1 to 200 hosts, not {}", hosts.len());
        }
        // Each lab has a network namespace of its own, so equal addresses in two labs do not meet.
        let network = "10.77.0".to_owned();
        for index in 0..hosts.len() {
            check_name("host", &hosts[index].name)?;
            if hosts[..index].iter().any(|other| other.name == hosts[index].name) {
                anyhow::bail!("two hosts are called {:?}", hosts[index].name);
            }
            hosts[index].index = index;
            hosts[index].address = format!("{network}.{}", 11 + index);
        }
        let directory = parent.join(name);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        std::fs::create_dir(&directory).with_context(|| {
            format!(
                "cannot make {}; is the lab up already? try: hardway-lab --name {name} down",
                directory.display()
            )
        })?;
        let lab = Self {
            name: name.to_owned(),
            directory,
            base: base.to_owned(),
            network,
            hosts,
            binaries,
        };
        let text = serde_json::to_string_pretty(&lab)?;
        std::fs::write(lab.directory.join("lab.json"), text).context("cannot write lab.json")?;
        Ok(lab)
    }

    pub fn find(parent: &Path, name: &str) -> anyhow::Result<Option<Self>> {
        let path = parent.join(name).join("lab.json");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(
                serde_json::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub fn open(parent: &Path, name: &str) -> anyhow::Result<Self> {
        Self::find(parent, name)?
            .with_context(|| format!("there is no lab {name:?}; make one with: hardway-lab --name {name} up"))
    }

    pub fn host(&self, name: &str) -> anyhow::Result<&HostSpec> {
        self.hosts.iter().find(|host| host.name == name).with_context(|| {
            let names: Vec<_> = self.hosts.iter().map(|host| host.name.as_str()).collect();
            format!(
                "there is no host {name:?} in this lab; it has {}",
                names.join(", ")
            )
        })
    }

    pub fn outer_namespace(&self) -> String {
        format!("hwlab-{}", self.name)
    }

    pub fn namespace(&self, host: &HostSpec) -> String {
        format!("hwlab-{}-{}", self.name, host.name)
    }

    pub fn host_directory(&self, host: &HostSpec) -> PathBuf {
        self.directory.join("hosts").join(&host.name)
    }

    pub fn inventory(&self) -> PathBuf {
        self.directory.join("hosts.toml")
    }

    pub fn ssh_key(&self) -> PathBuf {
        self.directory.join("id_ed25519")
    }

    pub fn remove(&self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.directory)
            .with_context(|| format!("cannot remove {}", self.directory.display()))
    }
}

fn check_name(what: &str, name: &str) -> anyhow::Result<()> {
    let good = !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !good {
        anyhow::bail!(
            "{what} name {name:?} must be lower-case letters, digits and inner dashes, at most {LONGEST_NAME}"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_addresses_and_names_are_checked() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let specs = vec![
            HostSpec::new("a", &["worker"]),
            "lb=load-balancer+etcd".parse().expect("spec"),
        ];
        let lab = Lab::create(folder.path(), "one", Path::new("/base"), specs, None).expect("created");
        assert_eq!(lab.hosts[1].address, "10.77.0.12");
        assert_eq!(lab.hosts[1].roles, ["load-balancer", "etcd"]);
        assert!(Lab::create(folder.path(), "one", Path::new("/base"), lab.hosts.clone(), None).is_err());
        assert_eq!(Lab::open(folder.path(), "one").expect("opened").hosts.len(), 2);
        for name in ["", "A", "-a", "a_b"] {
            let specs = vec![HostSpec::new(name, &[])];
            assert!(
                Lab::create(folder.path(), "two", Path::new("/base"), specs, None).is_err(),
                "{name}"
            );
        }
    }
}
