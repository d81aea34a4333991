//! Snapshots that etcd's hosts take by themselves, on a timer: taken, checked, kept, sent. Also what the operator does
//! with them: list, fetch, send.

mod host;
mod remote;

pub use host::{Destination, Settings, run};
pub use remote::{Taken, kept_on_hosts, pull};

use std::path::Path;

use anyhow::Context as _;

use crate::etcd::snapshot::Snapshot;
use crate::inventory::S3;
use crate::s3::Store;

/// Below this key the snapshots of one member stand; the operator's own have `operator` for a member.
pub fn prefix(s3: &S3, cluster: &str, member: &str) -> String {
    let parts = [s3.prefix.as_str(), cluster, member, ""];
    let from = usize::from(s3.prefix.is_empty());
    parts[from..].join("/")
}

/// Sends a snapshot with what is kept beside it; the newest `keep` of this member stay there.
pub fn send(
    store: &Store,
    prefix: &str,
    folder: &Path,
    snapshot: &Snapshot,
    keep: usize,
) -> anyhow::Result<String> {
    let key = format!("{prefix}{}", snapshot.file);
    let path = folder.join(&snapshot.file);
    store.put(&key, &path)?;
    // Last: a snapshot counts when this is there.
    let beside = path.with_extension("json");
    store.put(&with_json(&key), &beside)?;
    prune(store, prefix, keep).context("the snapshot is stored, but older ones could not be removed")?;
    Ok(key)
}

fn with_json(key: &str) -> String {
    format!("{}.json", key.trim_end_matches(".db"))
}

fn prune(store: &Store, prefix: &str, keep: usize) -> anyhow::Result<()> {
    let listed = store.list(prefix)?;
    let keys: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
    for key in surplus(&keys, prefix, keep) {
        store.delete(key)?;
        store.delete(&with_json(key))?;
    }
    Ok(())
}

/// Keys of snapshots directly below `prefix` beyond the newest `keep`; their names begin with their time.
fn surplus<'k>(keys: &[&'k str], prefix: &str, keep: usize) -> Vec<&'k str> {
    let mut snapshots: Vec<&str> = keys
        .iter()
        .copied()
        .filter(|key| {
            key.strip_prefix(prefix)
                .is_some_and(|name| name.starts_with("etcd-") && name.ends_with(".db") && !name.contains('/'))
        })
        .collect();
    snapshots.sort_unstable();
    snapshots.truncate(snapshots.len().saturating_sub(keep.max(1)));
    snapshots
}

/// Fetches `s3://bucket/key` into `folder`, checks it, and returns where it is.
pub fn fetch(s3: &S3, url: &str, folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let (bucket, key) =
        crate::s3::split_url(url).with_context(|| format!("{url} is not of the form s3://bucket/key"))?;
    let store = Store::bucket(s3, bucket)?;
    crate::state::private_folder(folder)?;
    let path = folder.join(key.rsplit('/').next().unwrap_or(key));
    let partial = path.with_added_extension("part");
    let context = || format!("cannot write {}", partial.display());
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&partial)
        .with_context(context)?;
    let fetched = store
        .get(key, &mut file)
        .and_then(|()| file.sync_all().with_context(context))
        .and_then(|()| crate::etcd::snapshot::verify(&partial));
    if let Err(error) = fetched {
        // What is not whole must not be taken for a snapshot.
        let _ = std::fs::remove_file(&partial);
        return Err(error.context(format!("fetching {url}")));
    }
    std::fs::rename(&partial, &path).with_context(context)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_in_the_storage() {
        let keys = [
            "a/lab/cp-1/etcd-20260101T000000Z-1.db",
            "a/lab/cp-1/etcd-20260101T000000Z-1.json",
            "a/lab/cp-1/etcd-20260103T000000Z-3.db",
            "a/lab/cp-1/etcd-20260102T000000Z-2.db",
            "a/lab/cp-1/notes.db",
            "a/lab/cp-1/x/etcd-20250101T000000Z-2.db",
            "a/lab/cp-10/etcd-20250101T000000Z-2.db",
        ];
        let names = |keep| surplus(&keys, "a/lab/cp-1/", keep);
        assert_eq!(names(2), ["a/lab/cp-1/etcd-20260101T000000Z-1.db"]);
        assert_eq!(names(0).len(), 2);
        assert!(names(3).is_empty());
    }
}
