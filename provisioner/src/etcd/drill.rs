//! A restore that nothing depends on, to know that a snapshot is worth something.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;

use super::snapshot;
use crate::fleet::Fleet;
use crate::inventory::Host;

const SCRIPT: &str = include_str!("../../../templates/scripts/etcd-drill.sh");

/// What a restored snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drilled {
    pub keys: u64,
    pub revision: u64,
}

/// Restores `path` on a host into a scratch directory and starts an etcd on it.
pub fn drill(fleet: &Fleet<'_>, host: &Host, path: &Path) -> anyhow::Result<Drilled> {
    let checked = snapshot::verify(path)?;
    let script = SCRIPT.replace("@SHA256@", &checked.sha256);
    let answers = fleet.each(
        "drill",
        |other| other.name == host.name,
        |_, connection| {
            let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(connection.check("restoring into a scratch directory", &script, &mut file, &|_| {})?)
        },
    )?;
    let answer = answers
        .get(&host.name)
        .with_context(|| format!("{} was not asked", host.name))?;
    let value = |key: &str| {
        answer
            .lines()
            .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
            .with_context(|| format!("the restored etcd did not tell its {key}"))
    };
    let drilled = Drilled {
        keys: value("keys=")?,
        revision: value("revision=")?,
    };
    anyhow::ensure!(
        drilled.keys > 0,
        "the snapshot was restored, but holds nothing of Kubernetes"
    );
    Ok(drilled)
}
