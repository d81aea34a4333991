//! The files of the embedded backend: snapshots and logs, numbered by the revision at which they begin.
//!
//! `snapshot-N` holds everything at revision N, `log-N` what came after. A snapshot is written aside, synced and
//! renamed, so one that is there is whole; only the end of the newest log can be torn, by a crash in the middle of
//! a write that nobody was told of.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::BackendError;
use super::super::history::History;
use super::record::Entry;
use crate::revision::Revision;

const SNAPSHOT: &str = "snapshot-";
const LOG: &str = "log-";
const ASIDE: &str = "snapshot.new";
const LOCK: &str = "lock";

/// The directory and the log that is written.
pub(super) struct Files {
    directory: PathBuf,
    log: File,
    length: u64,
    /// Held as long as the backend runs, so that no second one writes.
    _lock: File,
}

fn failed(what: &str, path: &Path, error: impl std::fmt::Display) -> BackendError {
    BackendError::Unavailable {
        message: format!("{what} {}: {error}", path.display()),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600);
    options
}

impl Files {
    /// Opens the directory, made if it is missing, and reads what it holds.
    pub fn open(directory: &Path) -> Result<(Files, History), BackendError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| failed("making the storage directory", directory, error))?;
        let lock_path = directory.join(LOCK);
        let lock = private()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(|error| failed("opening", &lock_path, error))?;
        lock.try_lock().map_err(|error| {
            failed(
                "another server uses the storage directory, locking",
                &lock_path,
                error,
            )
        })?;
        let mut history = History::default();
        let newest = numbered(directory, SNAPSHOT)?.pop();
        if let Some((_, path)) = &newest {
            read_snapshot(path, &mut history)?;
        }
        let base = newest.as_ref().map_or(0, |(number, _)| *number);
        let mut logs = numbered(directory, LOG)?;
        logs.retain(|(number, _)| *number >= base);
        let last = logs.last().cloned();
        for (number, path) in &logs {
            let is_last = last.as_ref().is_some_and(|(last, _)| last == number);
            replay(path, is_last, &mut history)?;
        }
        let path = last.map_or_else(|| log_path(directory, history.revision()), |(_, path)| path);
        let log = open_log(&path)?;
        let length = log
            .metadata()
            .map_err(|error| failed("reading", &path, error))?
            .len();
        let files = Files {
            directory: directory.to_owned(),
            log,
            length,
            _lock: lock,
        };
        files.sync_directory()?;
        files.remove_older(base)?;
        Ok((files, history))
    }

    /// Bytes in the log that is written.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes entries and waits until they are on disk.
    pub fn append(&mut self, entries: &[u8]) -> Result<(), BackendError> {
        self.log
            .write_all(entries)
            .and_then(|()| self.log.sync_data())
            .map_err(|error| failed("writing the log in", &self.directory, error))?;
        self.length += entries.len() as u64;
        Ok(())
    }

    /// Writes a snapshot; until it is whole the old files count, so a failure changes nothing.
    pub fn write_snapshot(&self, history: &[Entry], at: Revision) -> Result<(), BackendError> {
        let aside = self.directory.join(ASIDE);
        let write = || -> std::io::Result<()> {
            let mut file = private().write(true).create(true).truncate(true).open(&aside)?;
            let mut buffer = Vec::new();
            for entry in history {
                entry.write(&mut buffer);
                if buffer.len() >= 1 << 20 {
                    file.write_all(&buffer)?;
                    buffer.clear();
                }
            }
            Entry::End(at).write(&mut buffer);
            file.write_all(&buffer)?;
            file.sync_all()
        };
        write().map_err(|error| failed("writing the snapshot", &aside, error))
    }

    /// Makes the snapshot that was written count, and begins a new log. After a failure it isn't known which files
    /// will be read next.
    pub fn rotate(&mut self, at: Revision) -> Result<(), BackendError> {
        let path = self.directory.join(format!("{SNAPSHOT}{:020}", at.value()));
        std::fs::rename(self.directory.join(ASIDE), &path)
            .map_err(|error| failed("renaming the snapshot to", &path, error))?;
        self.sync_directory()?;
        self.log = open_log(&log_path(&self.directory, at))?;
        self.length = 0;
        self.sync_directory()?;
        self.remove_older(at.value())
    }

    fn sync_directory(&self) -> Result<(), BackendError> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed("syncing", &self.directory, error))
    }

    /// Removes what the snapshot at `base` makes superfluous.
    fn remove_older(&self, base: i64) -> Result<(), BackendError> {
        for prefix in [SNAPSHOT, LOG] {
            for (number, path) in numbered(&self.directory, prefix)? {
                if number < base {
                    std::fs::remove_file(&path).map_err(|error| failed("removing", &path, error))?;
                }
            }
        }
        Ok(())
    }
}

fn log_path(directory: &Path, at: Revision) -> PathBuf {
    directory.join(format!("{LOG}{:020}", at.value()))
}

fn open_log(path: &Path) -> Result<File, BackendError> {
    private()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| failed("opening", path, error))
}

/// Files of a kind, in the order of their numbers.
fn numbered(directory: &Path, prefix: &str) -> Result<Vec<(i64, PathBuf)>, BackendError> {
    let entries = std::fs::read_dir(directory).map_err(|error| failed("listing", directory, error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("listing", directory, error))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
        found.extend(
            number
                .and_then(|number| number.parse().ok())
                .map(|number: i64| (number, entry.path())),
        );
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Bytes, BackendError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|error| failed("reading", path, error))?;
    Ok(bytes.into())
}

fn read_snapshot(path: &Path, history: &mut History) -> Result<(), BackendError> {
    let mut rest = read(path)?;
    while let Some((entry, length)) = Entry::read(&rest) {
        rest = rest.slice(length..);
        match entry {
            Entry::Change(record) => history.apply(copied(record)),
            Entry::Compact(at) => history.compact(at),
            Entry::End(at) if rest.is_empty() => {
                history.reach(at);
                return Ok(());
            }
            Entry::End(_) => break,
        }
    }
    Err(failed("reading the snapshot", path, "it is damaged"))
}

/// Values of their own, so that one of them doesn't keep the whole file in memory.
fn copied(mut record: super::super::history::Record) -> super::super::history::Record {
    record.version.value = record.version.value.map(|value| Bytes::copy_from_slice(&value));
    record
}

fn replay(path: &Path, is_last: bool, history: &mut History) -> Result<(), BackendError> {
    let mut rest = read(path)?;
    let whole = rest.len();
    while let Some((entry, length)) = Entry::read(&rest) {
        rest = rest.slice(length..);
        match entry {
            Entry::Change(record) => history.apply(copied(record)),
            Entry::Compact(at) => history.compact(at),
            Entry::End(_) => return Err(failed("reading the log", path, "it is no log")),
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    if !is_last {
        return Err(failed("reading the log", path, "it is damaged"));
    }
    let good = (whole - rest.len()) as u64;
    tracing::warn!(
        file = %path.display(),
        bytes = rest.len(),
        "the end of the log is torn: a write that was never acknowledged is dropped"
    );
    let cut = || -> std::io::Result<()> {
        let file = private().write(true).open(path)?;
        file.set_len(good)?;
        file.sync_all()
    };
    cut().map_err(|error| failed("cutting the torn end of", path, error))
}
