//! One operator at a time: a kernel lock against processes of this machine, a lease against other machines.

mod holder;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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

/// What stands in the file.
struct Lease {
    path: PathBuf,
    me: Holder,
    /// Renewals and looks take turns: half a renewal would look like a theft.
    file: Mutex<File>,
}

impl Lease {
    /// Who holds the lock by the file at its path, whatever became of the one that was opened.
    fn holder(&self) -> Option<Holder> {
        let _turn = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Holder::parse(&std::fs::read(&self.path).ok()?)
    }

    fn renew(&self) -> std::io::Result<()> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or_default()];
        file.read_exact_at(&mut text, 0)?;
        match Holder::parse(&text) {
            Some(found) if found.same(&self.me) => write(&file, &self.me),
            _ => Err(std::io::Error::other("taken away")),
        }
    }
}

/// Held until it is dropped; the lease is renewed meanwhile.
pub struct Lock {
    lease: Arc<Lease>,
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
        write(&file, &me).with_context(|| format!("cannot write {}", path.display()))?;
        let lease = Arc::new(Lease {
            path: path.to_owned(),
            me,
            file: Mutex::new(open(path)?),
        });
        let (end, ended) = channel();
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = {
            let (lease, lost) = (lease.clone(), lost.clone());
            std::thread::Builder::new()
                .name("lock".to_owned())
                .spawn(move || {
                    while ended.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                        if lease.renew().is_err() {
                            lost.store(true, Ordering::Release);
                            return;
                        }
                    }
                })
                .context("cannot start a thread")?
        };
        Ok(Ok(Lock {
            lease,
            lost,
            end: Some(end),
            renewal: Some(renewal),
            file,
        }))
    }

    /// An error when the lock was taken away: nothing more may be done then.
    pub fn check(&self) -> anyhow::Result<()> {
        let found = self.lease.holder();
        let mine = found.as_ref().is_some_and(|found| found.same(&self.lease.me));
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

/// The file is at no time empty, which would mean a free lock.
fn write(file: &File, holder: &Holder) -> std::io::Result<()> {
    let text = holder.with_lease(jiff::Timestamp::now(), LEASE).encode();
    file.write_all_at(&text, 0)?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests;
