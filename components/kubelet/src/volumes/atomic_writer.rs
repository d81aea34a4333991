//! Writes a set of files so that readers see either all of the old or all of the new ones.
//!
//! As upstream: the files are in a directory with a time in its name, `..data` is a symbolic link to it that is
//! replaced by rename(2), and what users see are links through `..data`.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::payload::Payload;

const DATA: &str = "..data";

/// Makes `directory` hold `payload`. `finish` may change owners before the switch. Returns whether anything changed.
pub(super) fn write(
    directory: &Path,
    payload: &Payload,
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<bool> {
    let old = std::fs::read_link(directory.join(DATA)).ok();
    let unchanged = match &old {
        Some(old) => is_same(&directory.join(old), payload)?,
        None => false,
    };
    if !unchanged {
        let stamp = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S");
        let name = format!("..{stamp}.{}", rand::random_range(100_000_000..u32::MAX));
        let fresh = directory.join(&name);
        std::fs::create_dir(&fresh)?;
        std::fs::set_permissions(&fresh, PermissionsExt::from_mode(0o755))?;
        fill(&fresh, payload)?;
        finish(&fresh)?;
        let link = directory.join("..data_tmp");
        remove_if_there(&link)?;
        symlink(&name, &link)?;
        std::fs::rename(&link, directory.join(DATA))?;
    }
    link_names(directory, payload)?;
    if let (false, Some(old)) = (unchanged, old) {
        std::fs::remove_dir_all(directory.join(old))?;
    }
    Ok(!unchanged)
}

fn fill(fresh: &Path, payload: &Payload) -> io::Result<()> {
    for (path, file) in payload {
        let target = fresh.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&target, &file.bytes)?;
        std::fs::set_permissions(&target, PermissionsExt::from_mode(file.mode))?;
        if let Some(owner) = file.owner {
            chown(&target, Some(owner), None)?;
        }
    }
    Ok(())
}

fn is_same(current: &Path, payload: &Payload) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    let mut queue = vec![current.to_owned()];
    while let Some(directory) = queue.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                queue.push(entry.path());
            } else {
                found.insert(entry.path());
            }
        }
    }
    if found.len() != payload.len() {
        return Ok(false);
    }
    for (path, file) in payload {
        let target = current.join(path);
        if !found.contains(&target) || std::fs::read(&target)? != file.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

fn link_names(directory: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let link = directory.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let stale = name
            .to_str()
            .is_some_and(|name| !name.starts_with("..") && !wanted.contains(name));
        if stale && entry.file_type()?.is_symlink() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::File;
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let file = |text: &str| File {
            bytes: text.as_bytes().to_vec(),
            mode: 0o644,
            owner: None,
        };
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), file(text)))
            .collect()
    }

    #[test]
    fn files_are_replaced_together() {
        let directory = tempfile::tempdir().unwrap();
        let write = |files: &[(&str, &str)]| write(directory.path(), &payload(files), |_| Ok(())).unwrap();
        let read = |path: &str| std::fs::read_to_string(directory.path().join(path)).ok();
        assert!(write(&[("a", "1"), ("d/b", "2")]));
        assert_eq!(
            (read("a"), read("d/b")),
            (Some("1".to_owned()), Some("2".to_owned()))
        );
        assert!(!write(&[("a", "1"), ("d/b", "2")]));
        let before = std::fs::read_link(directory.path().join(DATA)).unwrap();
        assert!(write(&[("a", "3"), ("c", "4")]));
        assert_eq!(
            (read("a"), read("c"), read("d/b")),
            (Some("3".to_owned()), Some("4".to_owned()), None)
        );
        assert!(!directory.path().join(before).exists());
        assert_eq!(
            std::fs::read_link(directory.path().join("c")).unwrap(),
            Path::new("..data/c")
        );
    }
}
