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
    /// Set by an upgrade until the inventory names another folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<UpgradedRelease>,
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
