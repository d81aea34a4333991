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
