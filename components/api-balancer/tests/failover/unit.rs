//! The balancer's program as a unit of systemd: told by a socket what to keep, started again with it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use nix::sys::signal::{Signal, kill};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

type Store = Arc<Mutex<Vec<(String, OwnedFd)>>>;

pub struct Unit {
    arguments: Vec<String>,
    directory: tempfile::TempDir,
    store: Store,
    ready: mpsc::Receiver<()>,
    child: Child,
}

impl Unit {
    pub fn start(arguments: Vec<String>) -> Unit {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        let store = Store::default();
        let (sender, ready) = mpsc::channel();
        let kept = store.clone();
        std::thread::spawn(move || while take_in(&socket, &kept, &sender) {});
        let child = spawn(&arguments, &directory, &store);
        let unit = Unit {
            arguments,
            directory,
            store,
            ready,
            child,
        };
        unit.wait_until_ready();
        unit
    }

    fn wait_until_ready(&self) {
        self.ready
            .recv_timeout(Duration::from_secs(15))
            .expect("the balancer says that it is ready");
    }

    pub fn restart(&mut self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.arguments, &self.directory, &self.store);
        self.wait_until_ready();
    }

    /// Names of what is kept for the next process.
    pub fn kept(&self) -> Vec<String> {
        let store = self.store.lock().unwrap();
        store.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let end = UnixDatagram::unbound().unwrap();
        let _ = end.send_to(b"END=1", self.directory.path().join("notify"));
    }
}

fn spawn(arguments: &[String], directory: &tempfile::TempDir, store: &Store) -> Child {
    let store = store.lock().unwrap();
    let names: Vec<&str> = store.iter().map(|(name, _)| name.as_str()).collect();
    let mappings = store
        .iter()
        .enumerate()
        .map(|(index, (_, descriptor))| FdMapping {
            parent_fd: descriptor.try_clone().unwrap(),
            child_fd: i32::try_from(3 + index).unwrap(),
        })
        .collect();
    // The shell becomes the program and so knows its process ID.
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "LISTEN_PID=$$ exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_api-balancer"),
        ])
        .args(arguments)
        .env("NOTIFY_SOCKET", directory.path().join("notify"))
        .env("LISTEN_FDS", store.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .fd_mappings(mappings)
        .unwrap();
    command.spawn().unwrap()
}

/// One message. False when there will be no more.
fn take_in(socket: &UnixDatagram, store: &Store, ready: &mpsc::Sender<()>) -> bool {
    let mut text = [0; 512];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [std::io::IoSliceMut::new(&mut text)];
    let received = recvmsg(socket.as_fd(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
    let says = |what: &str| text.lines().any(|line| line == what);
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("FDNAME="))
        .unwrap_or("stored");
    let mut store = store.lock().unwrap();
    if says("FDSTORE=1") {
        assert!(!name.contains(':') && name.len() < 256, "{name}");
        store.extend(
            descriptors
                .into_iter()
                .map(|descriptor| (name.to_owned(), descriptor)),
        );
    } else if says("FDSTOREREMOVE=1") {
        store.retain(|(kept, _)| kept != name);
    }
    if says("READY=1") {
        let _ = ready.send(());
    }
    !says("END=1")
}
