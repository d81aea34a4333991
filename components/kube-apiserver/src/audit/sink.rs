//! Where audit events are written: a file with rotation, or standard output.

use anyhow::Context;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

/// Events that may wait for the disk, as upstream's buffer; more are dropped with a log line.
const BUFFER: usize = 10_000;

/// Rotation rules of `--audit-log-*`.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// 0 is never.
    pub max_megabytes: u64,
    /// 0 is no limit.
    pub max_backups: usize,
    /// Days; 0 is no limit.
    pub max_age: u64,
}

/// Hands events to one writing thread.
pub struct Sink {
    sender: SyncSender<Vec<u8>>,
}

impl Sink {
    /// Opens the log; `-` is standard output.
    pub fn open(path: &str, rotation: Rotation) -> anyhow::Result<Self> {
        let (sender, receiver) = sync_channel(BUFFER);
        if path == "-" {
            spawn(move || to_stdout(&receiver))?;
        } else {
            let mut log = RotatingFile::open(PathBuf::from(path), rotation)?;
            spawn(move || log.run(&receiver))?;
        }
        Ok(Self { sender })
    }

    pub fn write(&self, event: &Value) {
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        if let Err(TrySendError::Full(_)) = self.sender.try_send(line) {
            tracing::error!("audit log can't keep up; an event was dropped");
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    std::thread::Builder::new()
        .name("audit".to_owned())
        .spawn(work)
        .context("starting the audit thread")?;
    Ok(())
}

fn to_stdout(receiver: &Receiver<Vec<u8>>) {
    while let Ok(line) = receiver.recv() {
        if let Err(error) = std::io::stdout().write_all(&line) {
            tracing::error!(%error, "writing an audit event failed");
        }
    }
}

struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    written: u64,
}

impl RotatingFile {
    fn open(path: PathBuf, rotation: Rotation) -> anyhow::Result<Self> {
        let file = open_append(&path)?;
        let written = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        Ok(Self {
            path,
            rotation,
            file,
            written,
        })
    }

    fn run(&mut self, receiver: &Receiver<Vec<u8>>) {
        while let Ok(line) = receiver.recv() {
            let limit = self.rotation.max_megabytes * 1024 * 1024;
            if limit > 0
                && self.written + line.len() as u64 > limit
                && let Err(error) = self.rotate()
            {
                tracing::error!(error = format!("{error:#}"), "rotating the audit log failed");
            }
            match self.file.write_all(&line) {
                Ok(()) => self.written += line.len() as u64,
                Err(error) => tracing::error!(%error, "writing an audit event failed"),
            }
        }
    }

    fn rotate(&mut self) -> anyhow::Result<()> {
        let stamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%3f");
        let extension = self
            .path
            .extension()
            .map(|text| format!(".{}", text.to_string_lossy()))
            .unwrap_or_default();
        let stem = self
            .path
            .file_stem()
            .map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default();
        let backup = self.path.with_file_name(format!("{stem}-{stamp}{extension}"));
        std::fs::rename(&self.path, &backup).context("renaming the full log")?;
        self.file = open_append(&self.path)?;
        self.written = 0;
        self.prune(&stem, &extension)
    }

    fn prune(&self, stem: &str, extension: &str) -> anyhow::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut backups: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with(&format!("{stem}-")) && name.ends_with(extension)
            })
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        backups.sort_by_key(|backup| std::cmp::Reverse(backup.0));
        let oldest = Duration::from_secs(self.rotation.max_age * 86_400);
        for (position, (modified, path)) in backups.iter().enumerate() {
            let too_many = self.rotation.max_backups > 0 && position >= self.rotation.max_backups;
            let too_old = self.rotation.max_age > 0 && modified.elapsed().is_ok_and(|age| age > oldest);
            if too_many || too_old {
                std::fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn open_append(path: &Path) -> anyhow::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("opening audit log {}", path.display()))
}
