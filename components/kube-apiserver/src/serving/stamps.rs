//! Whether files have changed, without reading them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells one state of a file from another: inode, length and time of the last change. None without the file.
pub type Stamp = Option<(u64, u64, i64, i64)>;

pub fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

/// Files, and what they were when they were last looked at.
pub struct Stamps {
    files: Vec<PathBuf>,
    seen: Option<Vec<Stamp>>,
}

impl Stamps {
    /// They count as changed at the first look: what was read of them may be older.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: files.into_iter().collect(),
            seen: None,
        }
    }

    /// Whether one has changed since the last look.
    pub fn changed(&mut self) -> bool {
        let now: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        let changed = self.seen.as_ref() != Some(&now);
        self.seen = Some(now);
        changed
    }

    /// Counts them as changed at the next look: they could not be used.
    pub fn forget(&mut self) {
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tls.crt");
        let mut stamps = Stamps::of([file.clone()]);
        assert!(stamps.changed(), "the first look");
        assert!(!stamps.changed(), "it is not there, as before");
        std::fs::write(&file, "one").unwrap();
        assert!(stamps.changed());
        assert!(!stamps.changed());
        let fresh = directory.path().join("fresh");
        std::fs::write(&fresh, "two").unwrap();
        std::fs::rename(&fresh, &file).unwrap();
        assert!(stamps.changed(), "of the same length");
        stamps.forget();
        assert!(stamps.changed());
    }
}
