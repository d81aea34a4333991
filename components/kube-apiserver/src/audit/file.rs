//! The audit log's file: rotation by size, and rotated files kept by number and age.

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Rotation rules of `--audit-log-*`.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// 0 is never.
    pub max_megabytes: u64,
    /// 0 is no limit.
    pub max_backups: usize,
    /// Days; 0 is no limit.
    pub max_age: u64,
    /// Rotated files are compressed.
    pub compress: bool,
}

#[derive(Debug)]
enum Output {
    File(File),
    Standard,
}

/// The log.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    rotation: Rotation,
    output: Output,
    written: u64,
}

impl RotatingFile {
    /// Opens the log; `-` is standard output.
    pub fn open(path: &str, rotation: Rotation) -> anyhow::Result<Self> {
        let path = PathBuf::from(path);
        if path.as_os_str() == "-" {
            return Ok(Self {
                path,
                rotation,
                output: Output::Standard,
                written: 0,
            });
        }
        let file = open_append(&path)?;
        let written = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        Ok(Self {
            path,
            rotation,
            output: Output::File(file),
            written,
        })
    }

    /// Appends lines, to a new file when the old one is full.
    pub fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let limit = self.rotation.max_megabytes * 1024 * 1024;
        let full = limit > 0 && self.written > 0 && self.written + lines.len() as u64 > limit;
        if full
            && matches!(self.output, Output::File(_))
            && let Err(error) = self.rotate()
        {
            tracing::error!(error = format!("{error:#}"), "rotating the audit log failed");
        }
        match &mut self.output {
            Output::Standard => std::io::stdout().write_all(lines),
            Output::File(file) => {
                file.write_all(lines)?;
                self.written += lines.len() as u64;
                Ok(())
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
        self.output = Output::File(open_append(&self.path)?);
        self.written = 0;
        if self.rotation.compress {
            compress(&backup)?;
        }
        self.prune(&stem, &extension)
    }

    fn prune(&self, stem: &str, extension: &str) -> anyhow::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut backups: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .filter(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                let plain = name.strip_suffix(".gz").unwrap_or(&name);
                plain.starts_with(&format!("{stem}-")) && plain.ends_with(extension)
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

fn compress(file: &Path) -> anyhow::Result<()> {
    let target = PathBuf::from(format!("{}.gz", file.display()));
    let mut encoder = GzEncoder::new(open_append(&target)?, Compression::default());
    let mut plain = File::open(file).context("reading the full log")?;
    std::io::copy(&mut plain, &mut encoder).context("compressing the full log")?;
    encoder.finish().context("compressing the full log")?;
    std::fs::remove_file(file).context("removing the full log")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_are_rotated_compressed_and_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let rotation = Rotation {
            max_megabytes: 1,
            max_backups: 2,
            max_age: 0,
            compress: true,
        };
        let mut log = RotatingFile::open(path.to_str().unwrap(), rotation).unwrap();
        let half = vec![b'x'; 600 * 1024];
        for _ in 0..5 {
            log.write(&half).unwrap();
            // Names of rotated files are milliseconds.
            let now = SystemTime::now();
            while now.elapsed().unwrap() < Duration::from_millis(2) {}
        }
        let names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(
            names.iter().filter(|name| name.ends_with(".log.gz")).count(),
            2,
            "{names:?}"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().len(), half.len() as u64);
    }
}
