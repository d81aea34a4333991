use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is remembered between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Generation that each host should be on.
    #[serde(default)]
    pub generations: BTreeMap<String, u64>,
    /// Members that etcd was formed with; empty before.
    #[serde(default)]
    pub etcd_members: Vec<String>,
    /// Members whose data directory has been seen: one that lacks it later has lost it.
    #[serde(default)]
    pub etcd_started: Vec<String>,
    /// What a member's `--initial-cluster` was when it started for the first time, and whether it joined one that
    /// existed: kept, so that a change of members does not restart those that stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etcd_initial: BTreeMap<String, EtcdInitial>,
    /// Set by an upgrade until the inventory names another folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<UpgradedRelease>,
    /// A rotation that has begun and not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<crate::rotation::Rotation>,
}

/// Far more than a host ever gets.
const MOST_GENERATIONS: u64 = 1 << 32;
/// A hundred years, in seconds.
pub const LONGEST_LIFETIME: u64 = 100 * 365 * 24 * 3600;
/// The year 10000, in seconds since 1970.
const END_OF_TIME: u64 = 253_402_300_800;

impl Record {
    /// What a file can say and hardway never wrote.
    pub fn check(&self) -> Result<(), String> {
        for (host, number) in &self.generations {
            if *number > MOST_GENERATIONS {
                return Err(format!("generations: {host}: {number} is no generation"));
            }
        }
        let Some(rotation) = &self.rotation else {
            return Ok(());
        };
        if rotation.started > END_OF_TIME {
            return Err(format!("rotation.started: {} is no time", rotation.started));
        }
        match rotation.lifetime {
            Some(seconds) if seconds > LONGEST_LIFETIME => {
                Err(format!("rotation.lifetime: {seconds} seconds are too many"))
            }
            _ => Ok(()),
        }
    }
}

/// How a member of etcd began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdInitial {
    pub cluster: String,
    pub existing: bool,
}

/// The folder that an upgrade took the release from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradedRelease {
    pub binaries: PathBuf,
    /// What the inventory said at that time; when it says something else, the inventory wins.
    pub instead_of: Option<PathBuf>,
}

/// A file of the cluster's directory, or a plan, that cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct BadState {
    pub path: PathBuf,
    problem: String,
}

impl BadState {
    pub fn new(path: &Path, problem: impl Into<String>) -> BadState {
        BadState {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}
