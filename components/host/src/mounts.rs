//! The mount table of this process's namespace.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A failed mount operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct MountError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(nix::Error) -> MountError {
    let path = path.to_owned();
    move |error| MountError {
        operation,
        path,
        source: error.into(),
    }
}

/// Mounts a tmpfs; `options` are such as `size=1048576,mode=0755`.
pub fn mount_tmpfs(target: &Path, options: &str) -> Result<(), MountError> {
    let flags = MsFlags::MS_RELATIME;
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options))
        .map_err(failed("mount tmpfs on", target))
}

/// Makes `source` visible at `target`, which must exist and be of the same kind.
pub fn bind(source: &Path, target: &Path) -> Result<(), MountError> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(failed("bind to", target))
}

/// Mounts from the host below `path` are seen by containers and the other way round.
pub fn make_shared(path: &Path) -> Result<(), MountError> {
    mount(
        None::<&str>,
        path,
        None::<&str>,
        MsFlags::MS_SHARED | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(failed("make shared", path))
}

/// Unmounts. A mount that is still in use goes away with its last user.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).map_err(failed("unmount", target))
}

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    pub path: PathBuf,
    pub file_system: String,
    pub shared: bool,
}

/// All mounts, in the order in which they were made.
pub fn mount_points() -> io::Result<Vec<MountPoint>> {
    Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
}

/// Mounts at `path` or below, the innermost first.
pub fn mount_points_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = mount_points()?
        .into_iter()
        .map(|point| point.path)
        .filter(|point| point.starts_with(path))
        .collect();
    found.reverse();
    Ok(found)
}

/// Whether something is mounted at `path`.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    Ok(mount_points()?.iter().any(|point| point.path == path))
}

fn parse(table: &str) -> Vec<MountPoint> {
    table
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ');
            let path = fields.nth(4)?;
            let shared = fields.skip(1).any(|field| field.starts_with("shared:"));
            let file_system = right.split(' ').next()?.to_owned();
            Some(MountPoint {
                path: PathBuf::from(unescape(path)),
                file_system,
                shared,
            })
        })
        .collect()
}

/// Blanks and backslashes stand as octal escapes in the table.
fn unescape(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        match octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_with_its_escapes() {
        let table = "22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n30 22 0:30 / /a\\040b rw - tmpfs tmpfs rw,size=1k\nbroken\n";
        let points = parse(table);
        assert_eq!(points.len(), 2);
        assert_eq!((points[0].shared, points[1].shared), (true, false));
        assert_eq!(points[1].path, Path::new("/a b"));
        assert_eq!(points[1].file_system, "tmpfs");
    }
}
