//! Where a pod's files are, with upstream's layout.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The directories of one pod below the kubelet's root.
#[derive(Clone, Debug)]
pub struct PodDirectories {
    base: PathBuf,
}

impl PodDirectories {
    pub fn new(root: &Path, uid: &str) -> Self {
        Self {
            base: root.join("pods").join(uid),
        }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    /// A volume of a plugin such as `empty-dir`.
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.base
            .join("volumes")
            .join(format!("kubernetes.io~{plugin}"))
            .join(name)
    }

    pub fn hosts_file(&self) -> PathBuf {
        self.base.join("etc-hosts")
    }

    /// Files of one container, such as termination messages.
    pub fn container(&self, name: &str) -> PathBuf {
        self.base.join("containers").join(name)
    }

    /// Where a part of a volume is bound for one mount of a container.
    pub fn sub_path(&self, volume: &str, container: &str, index: usize) -> PathBuf {
        self.base
            .join("volume-subpaths")
            .join(volume)
            .join(container)
            .join(index.to_string())
    }

    /// Unmounts and removes everything. Nothing that is still mounted is ever deleted through its mount.
    pub fn remove(&self) -> io::Result<()> {
        if !self.base.exists() {
            return Ok(());
        }
        for mount in host::mounts::mount_points_below(&self.base)? {
            host::mounts::unmount(&mount).map_err(io::Error::other)?;
        }
        if let Some(left) = host::mounts::mount_points_below(&self.base)?.first() {
            return Err(io::Error::other(format!("{} is still mounted", left.display())));
        }
        std::fs::remove_dir_all(&self.base)
    }
}

/// Removes the files of pods that are not in `known`; returns the UIDs whose files stay because of an error.
pub fn clean_orphans(root: &Path, known: &BTreeSet<String>) -> Vec<(String, io::Error)> {
    let Ok(entries) = std::fs::read_dir(root.join("pods")) else {
        return Vec::new();
    };
    let orphans = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|uid| !known.contains(uid));
    orphans
        .filter_map(|uid| {
            PodDirectories::new(root, &uid)
                .remove()
                .err()
                .map(|error| (uid, error))
        })
        .collect()
}
