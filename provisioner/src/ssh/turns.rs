//! Who may be at which step of a connection at the same time.

use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ssh2::{BlockDirections, Error, ErrorCode, Session};

/// Handshakes and logins compute in turns: OpenSSL's first use of each algorithm fills caches that all threads share,
/// and in statically linked builds parallel first uses were seen to crash inside it (sk_pop on freed memory).
/// Nobody waits for the network while it has the turn, and what follows on a session, the bulk, runs in parallel.
static KEY_EXCHANGE: Mutex<()> = Mutex::new(());

/// Calls a step of libssh2 until it is through; other sessions have their turn while it waits.
pub(super) fn in_turns<T>(
    session: &mut Session,
    wire: &impl AsFd,
    limit: Duration,
    mut step: impl FnMut(&mut Session) -> Result<T, Error>,
) -> Result<T, Error> {
    let deadline = Instant::now() + limit;
    session.set_blocking(false);
    let result = loop {
        let outcome = whole(|| step(session));
        match outcome {
            Err(error) if error.code() == AGAIN && Instant::now() < deadline => {
                wait(session, wire, deadline);
            }
            Err(error) if error.code() == AGAIN => break Err(Error::from_errno(TIMEOUT)),
            other => break other,
        }
    };
    session.set_blocking(true);
    result
}

/// LIBSSH2_ERROR_EAGAIN and LIBSSH2_ERROR_TIMEOUT.
const AGAIN: ErrorCode = ErrorCode::Session(-37);
const TIMEOUT: ErrorCode = ErrorCode::Session(-9);

/// Has the turn from its beginning to its end.
pub(super) fn whole<T>(step: impl FnOnce() -> T) -> T {
    let _turn = KEY_EXCHANGE.lock().unwrap_or_else(PoisonError::into_inner);
    step()
}

fn wait(session: &Session, wire: &impl AsFd, deadline: Instant) {
    let wanted = match session.block_directions() {
        BlockDirections::Outbound => PollFlags::POLLOUT,
        BlockDirections::Both => PollFlags::POLLIN | PollFlags::POLLOUT,
        _ => PollFlags::POLLIN,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    // An error shows in the next step.
    let _ = poll(&mut [PollFd::new(wire.as_fd(), wanted)], timeout);
}

/// An sshd drops connections at random when more than ten have not logged in yet (MaxStartups), and a bastion's sees
/// them all.
const AT_A_BASTION: usize = 6;
static DOORSTEP: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// A place in front of the bastion, until it is dropped.
pub(super) struct Place;

pub(super) fn doorstep() -> Place {
    let (count, free) = &DOORSTEP;
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    while *count >= AT_A_BASTION {
        count = free.wait(count).unwrap_or_else(PoisonError::into_inner);
    }
    *count += 1;
    Place
}

impl Drop for Place {
    fn drop(&mut self) {
        let (count, free) = &DOORSTEP;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        free.notify_one();
    }
}
