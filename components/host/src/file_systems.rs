//! Room on file systems.

use std::io;
use std::path::Path;

/// Room on the file system that holds a path; bytes and inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub capacity: u64,
    pub available: u64,
    pub inodes: u64,
    pub inodes_free: u64,
}

/// Bytes (as the disk has them) and inodes of everything below a directory on its own file system; nothing when it
/// is not there. What goes away meanwhile is not counted.
pub fn below(directory: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let Ok(top) = std::fs::symlink_metadata(directory) else {
        return (0, 0);
    };
    let device = top.dev();
    let (mut bytes, mut inodes) = (top.blocks().saturating_mul(512), 1_u64);
    // Files with several names are counted once.
    let mut linked = std::collections::HashSet::new();
    let mut queue = vec![directory.to_owned()];
    while let Some(next) = queue.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != device
                || (metadata.nlink() > 1 && metadata.is_file() && !linked.insert(metadata.ino()))
            {
                continue;
            }
            bytes = bytes.saturating_add(metadata.blocks().saturating_mul(512));
            inodes += 1;
            if metadata.is_dir() {
                queue.push(entry.path());
            }
        }
    }
    (bytes, inodes)
}

/// Asks the kernel.
pub fn usage(path: &Path) -> io::Result<Usage> {
    let found = nix::sys::statvfs::statvfs(path)?;
    let block = found.fragment_size();
    Ok(Usage {
        capacity: found.blocks().saturating_mul(block),
        available: found.blocks_available().saturating_mul(block),
        inodes: found.files(),
        inodes_free: found.files_available(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_counts_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::create_dir(path.join("inner")).unwrap();
        std::fs::write(path.join("inner/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(path.join("inner/file"), path.join("again")).unwrap();
        std::os::unix::fs::symlink("/", path.join("elsewhere")).unwrap();
        let (bytes, inodes) = below(path);
        assert_eq!(inodes, 4);
        assert!((100_000..200_000).contains(&bytes), "{bytes}");
        assert_eq!(below(&path.join("nothing")), (0, 0));
    }
}
