//! `fsGroup`: the group of a volume's files.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const SET_GID: u32 = 0o2000;

/// Gives everything below `root` to `group`, readable (and writable when asked) for it; what is made later in
/// a directory inherits the group.
pub(super) fn set_group(root: &Path, group: u32, writable: bool) -> io::Result<()> {
    let mask = if writable { 0o660 } else { 0o440 };
    let mut queue = vec![root.to_owned()];
    while let Some(path) = queue.pop() {
        let metadata = std::fs::symlink_metadata(&path)?;
        if metadata.gid() != group {
            lchown(&path, None, Some(group))?;
        }
        if metadata.file_type().is_symlink() {
            continue;
        }
        let mut mode = metadata.mode() & 0o7777 | mask;
        if metadata.is_dir() {
            mode |= SET_GID | 0o110;
            for entry in std::fs::read_dir(&path)? {
                queue.push(entry?.path());
            }
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

/// The same for the root of a volume alone, whose content was given to the group when it was written.
pub(super) fn set_group_of_root(root: &Path, group: u32) -> io::Result<()> {
    let metadata = std::fs::metadata(root)?;
    if metadata.gid() != group {
        lchown(root, None, Some(group))?;
    }
    std::fs::set_permissions(
        root,
        PermissionsExt::from_mode(metadata.mode() & 0o7777 | SET_GID | 0o550),
    )
}

/// Whether the root of a volume already has what `set_group` would give it.
pub(super) fn has_group(root: &Path, group: u32) -> io::Result<bool> {
    let metadata = std::fs::metadata(root)?;
    Ok(metadata.gid() == group && metadata.mode() & (SET_GID | 0o770) == SET_GID | 0o770)
}
