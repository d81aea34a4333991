//! Snapshots of etcd: streamed from a member to the operator's machine, checked, kept, counted.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Member;
use crate::state::{BadState, State, private_folder, write_file};

/// etcd ends a snapshot with the SHA-256 of everything before.
const HASH: u64 = 32;
/// Pages of its database.
const PAGE: u64 = 512;

/// What is kept beside a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub file: String,
    pub cluster: String,
    pub member: String,
    pub taken: jiff::Timestamp,
    pub revision: u64,
    pub bytes: u64,
    pub sha256: String,
    /// Names of the keys that Secrets in it are encrypted with.
    pub encryption_keys: Vec<String>,
}

pub fn folder(state: &State) -> PathBuf {
    state.folder().join("snapshots")
}

/// What a snapshot does not say of itself.
pub struct Source {
    pub cluster: String,
    pub encryption_keys: Vec<String>,
}

/// Takes a snapshot of `member` into `folder`; the newest `keep` stay.
pub fn take(folder: &Path, member: &Member, source: Source, keep: usize) -> anyhow::Result<Snapshot> {
    private_folder(folder)?;
    let revision = member.status()?.revision;
    let taken = jiff::Timestamp::now();
    let name = format!("etcd-{}-{revision}.db", taken.strftime("%Y%m%dT%H%M%SZ"));
    let path = folder.join(&name);
    let partial = folder.join(format!(".{name}.part"));
    let written = write(member, &partial).and_then(|()| verify(&partial));
    let checked = match written {
        Ok(checked) => checked,
        Err(error) => {
            // What is not whole must not be taken for a snapshot.
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    std::fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
    let snapshot = Snapshot {
        file: name,
        cluster: source.cluster,
        member: member.host.clone(),
        taken,
        revision,
        bytes: checked.bytes,
        sha256: checked.sha256,
        encryption_keys: source.encryption_keys,
    };
    write_file(
        &path.with_extension("json"),
        &serde_json::to_vec_pretty(&snapshot)?,
        0o600,
    )?;
    prune(folder, keep)?;
    Ok(snapshot)
}

fn write(member: &Member, path: &Path) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(context)?;
    member.snapshot(&mut |bytes| file.write_all(bytes).with_context(context))?;
    file.sync_all().with_context(context)
}

/// A file that is a whole snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: String,
}

/// Checks the hash that etcd put at the end.
pub fn verify(path: &Path) -> anyhow::Result<Checked> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let bytes = file.metadata().with_context(context)?.len();
    if bytes <= HASH || bytes % PAGE != HASH {
        return Err(BadState::new(path, "is not a whole snapshot of etcd; take another one").into());
    }
    let (mut content, mut whole) = (Sha256::new(), Sha256::new());
    let mut left = bytes - HASH;
    let mut buffer = vec![0u8; 1 << 20];
    while left > 0 {
        let wanted = usize::try_from(left.min(buffer.len() as u64)).unwrap_or(buffer.len());
        file.read_exact(&mut buffer[..wanted]).with_context(context)?;
        content.update(&buffer[..wanted]);
        whole.update(&buffer[..wanted]);
        left -= wanted as u64;
    }
    let mut end = [0u8; HASH as usize];
    file.seek(SeekFrom::End(-(HASH as i64))).with_context(context)?;
    file.read_exact(&mut end).with_context(context)?;
    whole.update(end);
    if content.finalize()[..] != end {
        return Err(BadState::new(path, "is damaged: its hash is another; use an older snapshot").into());
    }
    Ok(Checked {
        bytes,
        sha256: hex::encode(whole.finalize()),
    })
}

/// All that are kept, oldest first.
pub fn list(state: &State) -> anyhow::Result<Vec<Snapshot>> {
    let folder = folder(state);
    let mut found = Vec::new();
    for name in names(&folder)? {
        let path = folder.join(&name).with_extension("json");
        let Some(text) = crate::state::read_file(&path)? else {
            continue;
        };
        let snapshot = serde_json::from_slice(&text)
            .map_err(|error| BadState::new(&path, format!("is damaged ({error}); remove it")))?;
        found.push(snapshot);
    }
    Ok(found)
}

/// Names of the snapshots, oldest first: they begin with their time.
fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .file_name();
        names.extend(
            name.to_str()
                .filter(|name| name.starts_with("etcd-") && name.ends_with(".db"))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

fn prune(folder: &Path, keep: usize) -> anyhow::Result<()> {
    let names = names(folder)?;
    for name in &names[..names.len().saturating_sub(keep.max(1))] {
        for path in [folder.join(name), folder.join(name).with_extension("json")] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<u8> {
        let mut content = vec![7u8; 2048];
        let hash = Sha256::digest(&content);
        content.extend_from_slice(&hash);
        content
    }

    #[test]
    fn only_whole_snapshots_pass() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd.db");
        let content = whole();
        std::fs::write(&path, &content).unwrap();
        let checked = verify(&path).unwrap();
        assert_eq!((checked.bytes, checked.sha256.len()), (2080, 64));
        for cut in [0, 31, 32, 512, 2048, 2079] {
            std::fs::write(&path, &content[..cut]).unwrap();
            assert!(verify(&path).is_err(), "{cut} bytes");
        }
        for position in [0, 2047, 2048, 2079] {
            let mut broken = content.clone();
            broken[position] ^= 1;
            std::fs::write(&path, broken).unwrap();
            assert!(verify(&path).is_err(), "byte {position}");
        }
    }

    #[test]
    fn the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        for number in 1..=4 {
            for extension in ["db", "json"] {
                std::fs::write(
                    folder.path().join(format!("etcd-2026010{number}-1.{extension}")),
                    "x",
                )
                .unwrap();
            }
        }
        std::fs::write(folder.path().join("notes.txt"), "x").unwrap();
        prune(folder.path(), 2).unwrap();
        assert_eq!(
            names(folder.path()).unwrap(),
            ["etcd-20260103-1.db", "etcd-20260104-1.db"]
        );
        assert!(folder.path().join("notes.txt").exists());
        assert!(!folder.path().join("etcd-20260101-1.json").exists());
    }
}
