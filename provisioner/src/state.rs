//! The cluster's directory beside the inventory: keys, what was put where, a journal, a lock.

mod file;
pub mod journal;
pub mod lock;
mod operation;
mod record;
pub mod vault;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

pub use file::{private_folder, read_file, write_file};
pub use journal::Event;
pub use lock::{LockOptions, Locked};
pub use operation::{InTheWay, Operation, Unfinished, unfinished};
pub use record::{BadState, EtcdInitial, LONGEST_LIFETIME, Record, UpgradedRelease};
pub use vault::Unlock;

use lock::Lock;
use vault::Vault;

/// How a cluster's directory is opened.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    pub lock: LockOptions,
    /// Where the key to an encrypted directory comes from.
    pub unlock: Unlock,
}

/// The directory, held by one command at a time.
pub struct State {
    folder: PathBuf,
    vault: Vault,
    lock: Option<Lock>,
}

impl State {
    /// `lab.toml` keeps its state in `lab.hardway/`.
    pub fn folder_of(inventory: &Path) -> PathBuf {
        inventory.with_extension("hardway")
    }

    /// Opens the directory to read and write it for `command`; refuses or waits while somebody else holds it.
    pub fn open(inventory: &Path, command: &str, options: &OpenOptions) -> anyhow::Result<State> {
        let folder = Self::folder_of(inventory);
        private_folder(&folder.join("cache"))?;
        let lock = Lock::take(&folder, command, options.lock)?;
        Ok(State {
            vault: Vault::of(&folder, options.unlock.clone()),
            folder,
            lock: Some(lock),
        })
    }

    /// Opens it to read only, without the lock.
    pub fn peek(inventory: &Path, unlock: &Unlock) -> State {
        let folder = Self::folder_of(inventory);
        State {
            vault: Vault::of(&folder, unlock.clone()),
            folder,
            lock: None,
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// A key or another secret; None when it does not exist.
    pub fn read_secret(&self, path: &Path) -> anyhow::Result<Option<String>> {
        let Some(content) = read_file(path)? else {
            return Ok(None);
        };
        let content = self.vault.open(path, content)?;
        String::from_utf8(content)
            .map(Some)
            .map_err(|_| BadState::new(path, "is not text; restore it from a backup").into())
    }

    /// Writes a key or another secret, mode 0600, encrypted when the directory is.
    pub fn write_secret(&self, path: &Path, content: &str) -> anyhow::Result<()> {
        write_file(path, &self.vault.seal(content.as_bytes())?, 0o600)
    }

    pub fn record(&self) -> anyhow::Result<Record> {
        let path = self.folder.join("state.json");
        let Some(text) = read_file(&path)? else {
            return Ok(Record::default());
        };
        let read = serde_json::from_slice::<Record>(&text).map_err(|error| error.to_string());
        read.and_then(|record| record.check().map(|()| record))
            .map_err(|problem| {
                BadState::new(&path, format!("is damaged ({problem}); restore it from a backup")).into()
            })
    }

    pub fn save(&self, record: &Record) -> anyhow::Result<()> {
        self.check_lock()?;
        write_file(
            &self.folder.join("state.json"),
            &serde_json::to_vec_pretty(record)?,
            0o600,
        )
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// Appends one line to the journal.
    pub fn journal(&self, event: Event) -> anyhow::Result<()> {
        self.check_lock()?;
        journal::append(&self.journal_path(), event)
    }

    /// The journal, oldest line first.
    pub fn entries(&self) -> anyhow::Result<Vec<journal::Entry>> {
        journal::read(&self.journal_path())
    }

    fn compact_journal(&self) -> anyhow::Result<()> {
        journal::compact(&self.journal_path())
    }

    /// An error when another operator has broken this command's lock.
    pub fn check_lock(&self) -> anyhow::Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::check)
    }

    /// The phase in which the last run stopped, when it did not finish.
    pub fn interrupted(&self) -> anyhow::Result<Option<String>> {
        let entries = self.entries().context("reading the journal")?;
        Ok(match entries.last().map(|entry| &entry.event) {
            Some(Event::Phase { phase }) => Some(phase.clone()),
            _ => None,
        })
    }
}
