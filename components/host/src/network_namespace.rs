//! Network namespaces without a name: nothing is left behind when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace; it lives as long as this value or a process in it.
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
}

impl NetworkNamespace {
    /// Makes a new one. Needs CAP_SYS_ADMIN.
    pub fn create() -> io::Result<NetworkNamespace> {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let file = made
            .join()
            .map_err(|_| io::Error::other("the thread that makes a network namespace panicked"))??;
        Ok(NetworkNamespace { file })
    }

    /// Opens an existing one, such as `/proc/PID/ns/net` or `/run/netns/NAME`.
    pub fn open(path: &Path) -> io::Result<NetworkNamespace> {
        Ok(NetworkNamespace {
            file: File::open(path)?,
        })
    }

    /// A path that other processes, `ip link set DEV netns PATH` for one, can open while this value lives.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// Runs the closure on a new thread inside the namespace. Sockets and processes that it makes stay in there.
    /// A panic of the closure becomes an error.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let handle = self.spawn(work)?;
        handle.join().map_err(|panic| {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown panic");
            io::Error::other(format!("work in a network namespace panicked: {message}"))
        })?
    }

    /// Like [`Self::run`], without waiting for the end.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<io::Result<T>>> {
        let file = self.file.try_clone()?;
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })
    }
}
