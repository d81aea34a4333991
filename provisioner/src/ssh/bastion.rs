//! A TCP connection through another host: libssh2 needs a file descriptor, so a thread copies between the
//! bastion's channel and one end of a socket pair.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ssh2::{Channel, Session};

use super::connect::{dial, handshake, login, session_over, shown_key};
use super::{SshError, Target, Trust};
use crate::inventory::Bastion;

/// The copying thread; it ends when either side hangs up.
pub struct Relay {
    ours: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Wakes the thread. It may have ended by itself, then there is nothing to shut down.
        let _ = self.ours.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(super) fn open(bastion: &Bastion, target: &Target) -> Result<(UnixStream, Relay), SshError> {
    let address = format!("bastion {}:{}", bastion.host, bastion.port);
    let stream = dial(&bastion.host, bastion.port)?;
    let wake = stream.try_clone().map_err(|error| local(&error))?;
    let mut session = session_over(stream)?;
    // A pin belongs to the host behind, so the bastion's own key has to be in known_hosts.
    let trust = Trust {
        pinned: None,
        known: target.trust.known.clone(),
    };
    handshake(
        &mut session,
        &wake,
        &address,
        &trust.preferred(&bastion.host, bastion.port),
    )?;
    trust.check(&bastion.host, bastion.port, &shown_key(&session, &address)?)?;
    let user = bastion.user.as_deref().unwrap_or(&target.settings.user);
    login(&session, &wake, &target.settings, user, &address)?;
    let channel = session
        .channel_direct_tcpip(&target.host, target.settings.port, None)
        .map_err(|error| SshError::Unreachable {
            address: format!("{}:{} through {address}", target.host, target.settings.port),
            reason: format!("{error} (the bastion's sshd must have AllowTcpForwarding)"),
        })?;
    let (near, far) = UnixStream::pair().map_err(|error| local(&error))?;
    let ours = near.try_clone().map_err(|error| local(&error))?;
    far.set_nonblocking(true).map_err(|error| local(&error))?;
    let thread = std::thread::spawn(move || copy(&session, channel, far, &wake));
    Ok((
        near,
        Relay {
            ours,
            thread: Some(thread),
        },
    ))
}

pub(super) fn local(error: &std::io::Error) -> SshError {
    SshError::Local {
        what: "a local socket".to_owned(),
        reason: error.to_string(),
    }
}

/// Copies both ways until either side ends. `far` must not block; `wire` is what the session runs over.
pub(super) fn copy(
    session: &Session,
    mut channel: Channel,
    mut far: impl Read + Write + AsFd,
    wire: &impl AsFd,
) {
    session.set_blocking(false);
    let mut up = Buffer::default();
    let mut down = Buffer::default();
    loop {
        let mut moved = false;
        for step in [
            up.fill(&mut far),
            up.drain(&mut channel),
            down.fill(&mut channel),
            down.drain(&mut far),
        ] {
            match step {
                Ok(some) => moved |= some,
                Err(()) => return,
            }
        }
        if moved {
            continue;
        }
        let mut wanted = PollFlags::POLLIN;
        if !up.is_empty() {
            wanted |= PollFlags::POLLOUT;
        }
        let mut fds = [
            PollFd::new(wire.as_fd(), wanted),
            PollFd::new(far.as_fd(), PollFlags::POLLIN),
        ];
        // libssh2 may hold decrypted bytes that poll cannot see.
        if poll(&mut fds, PollTimeout::from(100u8)).is_err_and(|error| error != nix::errno::Errno::EINTR) {
            return;
        }
    }
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Err when the source has ended.
    fn fill(&mut self, source: &mut impl Read) -> Result<bool, ()> {
        if !self.is_empty() {
            return Ok(false);
        }
        self.bytes.resize(32 * 1024, 0);
        self.start = 0;
        let result = source.read(&mut self.bytes);
        self.bytes.truncate(*result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(()),
        }
    }

    fn drain(&mut self, target: &mut impl Write) -> Result<bool, ()> {
        if self.is_empty() {
            return Ok(false);
        }
        match target.write(&self.bytes[self.start..]) {
            Ok(count) => {
                self.start += count;
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(()),
        }
    }
}
