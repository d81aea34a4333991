//! `subPath` mounts: a part of a volume, which must never lead out of it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

/// A part of a volume that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to prepare subPath for volumeMount {volume:?}: {reason}")]
pub struct SubPathError {
    pub volume: String,
    pub reason: String,
}

/// Binds the part of `volume` to `target`.
///
/// The path is opened step by step, following no symbolic link below its resolved form and making missing
/// directories; what was opened is bound, so nothing can be exchanged between check and use.
pub fn resolve_sub_path(
    volume_name: &str,
    volume: &Path,
    sub_path: &str,
    target: &Path,
) -> Result<PathBuf, SubPathError> {
    let refuse = |reason: String| SubPathError {
        volume: volume_name.to_owned(),
        reason,
    };
    let io = |error: std::io::Error| refuse(error.to_string());
    if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
        return Err(refuse(format!(
            "{sub_path:?} must be relative and must not contain '..'"
        )));
    }
    let base = volume
        .canonicalize()
        .map_err(|error| refuse(format!("{}: {error}", volume.display())))?;
    // Files of config maps and secrets are links through ..data, so links that stay inside are resolved.
    let parts: Vec<String> = match base.join(sub_path).canonicalize() {
        Ok(real) => {
            let inside = real
                .strip_prefix(&base)
                .map_err(|_| refuse(format!("{sub_path:?} leads out of the volume")))?;
            inside
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect()
        }
        Err(_) => sub_path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(str::to_owned)
            .collect(),
    };
    let opened = open_below(&base, &parts).map_err(|error| refuse(format!("{sub_path:?}: {error}")))?;
    let link = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    if host::mounts::is_mount_point(target).map_err(io)? {
        host::mounts::unmount(target).map_err(|error| refuse(error.to_string()))?;
    }
    if std::fs::metadata(&link).map_err(io)?.is_dir() {
        std::fs::create_dir_all(target).map_err(io)?;
    } else {
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(io)?;
        }
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(target)
            .map_err(io)?;
    }
    host::mounts::bind(&link, target).map_err(|error| refuse(error.to_string()))?;
    Ok(target.to_owned())
}

fn open_below(base: &Path, parts: &[String]) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut current = nix::fcntl::open(base, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    for part in parts {
        let opened = match openat(&current, part.as_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                mkdirat(&current, part.as_str(), Mode::from_bits_truncate(0o750))?;
                openat(&current, part.as_str(), flags, Mode::empty())?
            }
            opened => opened?,
        };
        // A link here was put in after the path was resolved.
        if SFlag::from_bits_truncate(fstat(&opened)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK {
            return Err(Errno::ELOOP);
        }
        current = opened;
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_followed_and_directories_are_made() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", directory.path().join("link")).unwrap();
        let open = |parts: &[&str]| {
            open_below(
                directory.path(),
                &parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>(),
            )
        };
        assert!(open(&["a", "b"]).is_ok());
        assert!(directory.path().join("a/b").is_dir());
        assert!(matches!(open(&["link"]), Err(Errno::ELOOP)));
        assert!(open(&["link", "passwd"]).is_err());
        let out = resolve_sub_path("v", directory.path(), "link/passwd", &directory.path().join("t"));
        assert!(out.unwrap_err().reason.contains("leads out"));
        assert!(resolve_sub_path("v", directory.path(), "../x", &directory.path().join("t")).is_err());
    }
}
