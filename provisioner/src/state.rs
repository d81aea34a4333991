//! The cluster's directory beside the inventory: keys, what was put where, a journal, a lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// What is remembered between two runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Generation that each host should be on.
    #[serde(default)]
    pub generations: BTreeMap<String, u64>,
    /// Members that etcd was formed with; empty before.
    #[serde(default)]
    pub etcd_members: Vec<String>,
    /// Members whose data directory has been seen: one that lacks it later has lost it.
    #[serde(default)]
    pub etcd_started: Vec<String>,
}

/// The directory, held by one command at a time.
pub struct State {
    folder: PathBuf,
    // The kernel drops the lock when the process ends, however it ends, so a stale one cannot exist.
    _lock: Option<Flock<File>>,
}

impl State {
    /// `lab.toml` keeps its state in `lab.hardway/`.
    pub fn folder_of(inventory: &Path) -> PathBuf {
        inventory.with_extension("hardway")
    }

    /// Opens the directory to read and write it; refuses when another process holds it.
    pub fn open(inventory: &Path) -> anyhow::Result<State> {
        let folder = Self::folder_of(inventory);
        for folder in [folder.clone(), folder.join("cache")] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let lock = lock(&folder)?;
        Ok(State {
            folder,
            _lock: Some(lock),
        })
    }

    /// Opens it to read only, without the lock.
    pub fn peek(inventory: &Path) -> State {
        State {
            folder: Self::folder_of(inventory),
            _lock: None,
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

    pub fn record(&self) -> anyhow::Result<Record> {
        let path = self.folder.join("state.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged; restore it from a backup", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub fn save(&self, record: &Record) -> anyhow::Result<()> {
        write_file(
            &self.folder.join("state.json"),
            &serde_json::to_vec_pretty(record)?,
            0o600,
        )
    }

    /// Appends one line to the journal.
    pub fn journal(&self, entry: &serde_json::Value) -> anyhow::Result<()> {
        let path = self.folder.join("journal.jsonl");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        file.write_all(format!("{entry}\n").as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The phase in which the last run stopped, when it did not finish.
    pub fn interrupted(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join("journal.jsonl")).ok()?;
        let last: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
        (last["event"] == "phase").then(|| last["phase"].as_str().unwrap_or("unknown").to_owned())
    }
}

fn lock(folder: &Path) -> anyhow::Result<Flock<File>> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut file) => {
            let owner = serde_json::json!({
                "pid": std::process::id(),
                "user": std::env::var("USER").unwrap_or_default(),
                "since": jiff::Timestamp::now().to_string(),
            });
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(owner.to_string().as_bytes()))
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(file)
        }
        Err((mut file, _)) => {
            let mut owner = String::new();
            // Only for the message.
            let _ = file.read_to_string(&mut owner);
            anyhow::bail!(
                "another hardway works on this cluster ({owner}); wait until it has ended, or end it"
            )
        }
    }
}

/// Writes a file whole or not at all.
pub fn write_file(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(context)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().with_context(context)
}
