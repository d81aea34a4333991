//! One operator at a time: a kernel lock against processes of this machine, a lease against other machines.

mod holder;

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};

pub use holder::{Holder, Verdict, judge};

/// A holder that has not renewed its lease for this long is gone.
pub const LEASE: Duration = Duration::from_secs(120);
const RENEWAL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

/// How the lock is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockOptions {
    /// How long to wait for another holder.
    pub wait: Duration,
    /// Take a lock whose lease has run out, or that cannot be read.
    pub break_stale: bool,
}

/// Somebody else holds the cluster.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Locked(String);

/// Held until it is dropped; the lease is renewed meanwhile.
pub struct Lock {
    path: std::path::PathBuf,
    me: Holder,
    lost: Arc<AtomicBool>,
    // Ends the renewal.
    end: Option<Sender<()>>,
    renewal: Option<JoinHandle<()>>,
    // The kernel lets it go when the process ends, however it ends.
    file: Flock<File>,
}

impl Lock {
    /// Takes the lock of a cluster's folder for `command`.
    pub fn take(folder: &Path, command: &str, options: LockOptions) -> anyhow::Result<Lock> {
        let path = folder.join("lock");
        let deadline = Instant::now() + options.wait;
        let mut file = open(&path)?;
        loop {
            let refused = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => match Self::enter(&path, locked, command, options)? {
                    Ok(lock) => return Ok(lock),
                    Err((unlocked, refused)) => {
                        file = unlocked;
                        refused
                    }
                },
                Err((unlocked, _)) => {
                    file = unlocked;
                    let holder = std::fs::read(&path).ok().and_then(|text| Holder::parse(&text));
                    let holder =
                        holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                    format!(
                        "{holder} works on this cluster; wait with --wait-lock SECONDS, or end that process"
                    )
                }
            };
            if Instant::now() >= deadline {
                return Err(Locked(refused).into());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Inside the kernel lock: is there a lease from another machine?
    fn enter(
        path: &Path,
        mut file: Flock<File>,
        command: &str,
        options: LockOptions,
    ) -> anyhow::Result<Result<Lock, (File, String)>> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let me = Holder::here(command);
        let refused = match judge(&text, &me, jiff::Timestamp::now()) {
            Verdict::Free => None,
            Verdict::Held(holder) => Some(format!(
                "{holder} works on this cluster from another machine; wait with --wait-lock SECONDS"
            )),
            Verdict::Stale(_) | Verdict::Damaged if options.break_stale => None,
            Verdict::Stale(holder) => Some(format!(
                "{holder} held this cluster and did not renew its lease; when that process is gone for certain, \
                 take the lock with --break-lock"
            )),
            Verdict::Damaged => Some(format!(
                "{} cannot be read; when no other operator works on this cluster, take the lock with --break-lock",
                path.display()
            )),
        };
        if let Some(refused) = refused {
            let file = file
                .unlock()
                .map_err(|(_, error)| error)
                .context("cannot unlock")?;
            // The next try reads it from the start.
            drop(file);
            return Ok(Err((open(path)?, refused)));
        }
        write(&mut file, &me).with_context(|| format!("cannot write {}", path.display()))?;
        let (end, ended) = channel();
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = {
            let (mut copy, me, lost) = (open(path)?, me.clone(), lost.clone());
            std::thread::Builder::new()
                .name("lock".to_owned())
                .spawn(move || {
                    while ended.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                        if renew(&mut copy, &me).is_err() {
                            lost.store(true, Ordering::Release);
                            return;
                        }
                    }
                })
                .context("cannot start a thread")?
        };
        Ok(Ok(Lock {
            path: path.to_owned(),
            me,
            lost,
            end: Some(end),
            renewal: Some(renewal),
            file,
        }))
    }

    /// An error when the lock was taken away: nothing more may be done then.
    pub fn check(&self) -> anyhow::Result<()> {
        let found = std::fs::read(&self.path)
            .ok()
            .and_then(|text| Holder::parse(&text));
        let mine = found.as_ref().is_some_and(|found| found.same(&self.me));
        if mine && !self.lost.load(Ordering::Acquire) {
            return Ok(());
        }
        let taker = found.map_or_else(String::new, |found| format!(" by {found}"));
        Err(Locked(format!(
            "the lock on this cluster was taken away{taker}; stopped before the next change"
        ))
        .into())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(renewal) = self.renewal.take() {
            // A renewal that panicked has nothing left to hold.
            let _ = renewal.join();
        }
        if self.check().is_ok() {
            // What stays is judged stale by the next operator.
            let _ = self.file.set_len(0);
        }
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn write(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = holder.with_lease(jiff::Timestamp::now(), LEASE).encode();
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&text)
}

fn renew(file: &mut File, me: &Holder) -> std::io::Result<()> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    match Holder::parse(&text) {
        Some(found) if found.same(me) => write(file, me),
        _ => Err(std::io::Error::other("taken away")),
    }
}

#[cfg(test)]
mod tests;
