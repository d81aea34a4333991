//! The snapshots that hosts keep, seen from the operator's machine.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::etcd::snapshot::{self, Snapshot};
use crate::fleet::Fleet;
use crate::inventory::{Backup, Host, Inventory};
use crate::ssh::{Connection, quote};
use crate::state::{State, private_folder, write_file};

/// A snapshot on a host.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    pub host: String,
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// What etcd's hosts keep, host by host, oldest first.
pub fn kept_on_hosts(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    backup: &Backup,
) -> anyhow::Result<Vec<Taken>> {
    let script = format!(
        "cd {} 2>/dev/null || exit 0; for file in etcd-*.json; do [ ! -f \"$file\" ] || cat \"$file\"; done",
        quote(&backup.directory.display().to_string())
    );
    let answers = fleet.each(
        "snapshots",
        |host| inventory.runs_etcd(host),
        |host, connection| {
            let text = connection.script("listing snapshots", &script)?;
            let listed = serde_json::Deserializer::from_str(&text).into_iter::<Snapshot>();
            let mut listed = listed
                .map(|snapshot| {
                    snapshot.map(|snapshot| Taken {
                        host: host.name.clone(),
                        snapshot,
                    })
                })
                .collect::<Result<Vec<_>, _>>()
                .context("what is kept beside a snapshot cannot be read")?;
            listed.sort_by_key(|taken| taken.snapshot.taken);
            Ok(listed)
        },
    )?;
    Ok(answers.into_values().flatten().collect())
}

/// Fetches a host's newest snapshot into the cluster's directory and checks it.
pub fn pull(
    fleet: &Fleet<'_>,
    state: &State,
    backup: &Backup,
    host: &Host,
    taken: &Snapshot,
) -> anyhow::Result<PathBuf> {
    let folder = snapshot::folder(state);
    private_folder(&folder)?;
    let mut snapshot = taken.clone();
    // Several members may take one in the same second.
    snapshot.file = format!("{}-{}.db", taken.file.trim_end_matches(".db"), host.name);
    let path = folder.join(&snapshot.file);
    let source = backup.directory.join(&taken.file);
    let partial = folder.join(format!(".{}.part", snapshot.file));
    let done = fleet.each(
        "pull",
        |other| other.name == host.name,
        |_, connection| copy(connection, &source, &partial, &taken.sha256),
    );
    if let Err(error) = done {
        // What is not whole must not be taken for a snapshot.
        let _ = std::fs::remove_file(&partial);
        return Err(error.into());
    }
    std::fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
    write_file(
        &path.with_extension("json"),
        &serde_json::to_vec_pretty(&snapshot)?,
        0o600,
    )?;
    Ok(path)
}

fn copy(connection: &Connection, source: &Path, into: &Path, sha256: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", into.display());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(into)
        .with_context(context)?;
    let script = format!("cat {}", quote(&source.display().to_string()));
    connection.fetch("fetching the snapshot", &script, &mut file)?;
    file.sync_all().with_context(context)?;
    let checked = snapshot::verify(into)?;
    anyhow::ensure!(
        checked.sha256 == sha256,
        "the snapshot is another than the host wrote down; it was changed there"
    );
    Ok(())
}
