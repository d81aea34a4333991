//! A plan in a file: read again, it is carried out exactly or refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::HostPlan;
use crate::desired::sha256;
use crate::inventory::{Host, Inventory, Role};
use crate::state::{BadState, read_file, write_file};

const VERSION: u32 = 1;

/// The hosts that a command is about; all when nothing is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Only this host; may be repeated.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Only hosts with this role; may be repeated.
    #[arg(long = "role", value_name = "ROLE", value_parser = ["control-plane", "worker", "etcd", "load-balancer"])]
    pub roles: Vec<String>,
}

impl Scope {
    pub fn is_everything(&self) -> bool {
        self.hosts.is_empty() && self.roles.is_empty()
    }

    pub fn covers(&self, host: &Host) -> bool {
        let role = |role: &Role| self.roles.iter().any(|name| name == role.name());
        self.is_everything() || self.hosts.contains(&host.name) || host.roles.iter().any(role)
    }

    /// Refuses names that no host has.
    pub fn check(&self, inventory: &Inventory) -> anyhow::Result<()> {
        for name in &self.hosts {
            if !inventory.hosts.iter().any(|host| host.name == *name) {
                let known: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
                let problem = format!("has no host {name:?}; it has {}", known.join(", "));
                return Err(BadState::new(&inventory.path, problem).into());
            }
        }
        if !inventory.hosts.iter().any(|host| self.covers(host)) {
            return Err(BadState::new(&inventory.path, "has no host with these roles").into());
        }
        Ok(())
    }
}

/// What is to be done to which hosts, and on what it was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    pub version: u32,
    pub cluster: String,
    pub made: jiff::Timestamp,
    pub scope: Scope,
    pub hosts: BTreeMap<String, HostPlan>,
    /// Objects in the API that would be created or changed; None when no API server answered.
    pub objects: Option<Vec<String>>,
    /// Hash of everything above, against files that were cut or edited.
    pub checksum: String,
}

impl SavedPlan {
    pub fn new(
        cluster: &str,
        scope: &Scope,
        hosts: BTreeMap<String, HostPlan>,
        objects: Option<Vec<String>>,
    ) -> SavedPlan {
        let mut plan = SavedPlan {
            version: VERSION,
            cluster: cluster.to_owned(),
            made: jiff::Timestamp::now(),
            scope: scope.clone(),
            hosts,
            objects,
            checksum: String::new(),
        };
        plan.checksum = plan.sum();
        plan
    }

    fn sum(&self) -> String {
        let blank = SavedPlan {
            checksum: String::new(),
            ..self.clone()
        };
        // Strings, numbers and maps always have a JSON form.
        sha256(&serde_json::to_vec(&blank).unwrap_or_default())
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_file(path, &text, 0o600)
    }

    pub fn read(path: &Path) -> anyhow::Result<SavedPlan> {
        let text = read_file(path)?
            .ok_or_else(|| BadState::new(path, "does not exist; hardway plan --out makes it"))?;
        SavedPlan::parse(path, &text).map_err(Into::into)
    }

    pub fn parse(path: &Path, text: &[u8]) -> Result<SavedPlan, BadState> {
        let plan: SavedPlan = serde_json::from_slice(text).map_err(|error| {
            BadState::new(
                path,
                format!("is not a plan ({error}); make it again with hardway plan --out"),
            )
        })?;
        if plan.version != VERSION {
            let problem = format!(
                "is a plan of version {}, this program reads {VERSION}; make it again",
                plan.version
            );
            return Err(BadState::new(path, problem));
        }
        if plan.checksum != plan.sum() {
            return Err(BadState::new(
                path,
                "was changed after it was written; make it again with hardway plan --out",
            ));
        }
        Ok(plan)
    }

    /// What has changed since the plan was made: one line for each difference; empty when nothing has.
    pub fn differences(&self, now: &SavedPlan) -> Vec<String> {
        let mut found = Vec::new();
        if self.cluster != now.cluster {
            found.push(format!(
                "it is for the cluster {}, not for {}",
                self.cluster, now.cluster
            ));
        }
        for (host, then) in &self.hosts {
            match now.hosts.get(host) {
                None => found.push(format!("{host}: is not there any more")),
                Some(plan) => found.extend(host_differences(then, plan)),
            }
        }
        for host in now.hosts.keys().filter(|host| !self.hosts.contains_key(*host)) {
            found.push(format!("{host}: is new"));
        }
        if self.objects.is_some() && self.objects != now.objects {
            found.push("objects in the API are not what they were".to_owned());
        }
        found
    }
}

fn host_differences(then: &HostPlan, now: &HostPlan) -> Vec<String> {
    let mut found = Vec::new();
    let host = &then.host;
    let mut names: Vec<&str> = then
        .files
        .iter()
        .chain(&now.files)
        .map(|file| file.path.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = |plan: &HostPlan| plan.files.iter().find(|file| file.path == name).cloned();
        match (of(then), of(now)) {
            (then, now) if then == now => {}
            (Some(_), None) => found.push(format!("{host}: {name} does not need the change any more")),
            (None, Some(_)) => found.push(format!("{host}: {name} would change as well")),
            _ => found.push(format!("{host}: {name} would change in another way")),
        }
    }
    let unit = |plan: &HostPlan| -> Vec<String> {
        plan.units
            .iter()
            .map(|unit| format!("{:?} {}", unit.action, unit.name).to_lowercase())
            .collect()
    };
    if unit(then) != unit(now) {
        found.push(format!(
            "{host}: units: {} then, {} now",
            list(&unit(then)),
            list(&unit(now))
        ));
    }
    if found.is_empty() && then != now {
        found.push(format!(
            "{host}: programs, links, users, images or kernel settings are not what they were"
        ));
    }
    found
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
