//! SSH to one host: a checked host key, a login, commands with a stream into them.
//!
//! libssh2 sessions are used by one thread at a time; files travel through an exec channel.

mod bastion;
mod connect;
mod exec;
mod fetch;
mod forward;
mod host_key;
mod known_hosts;
mod turns;

pub use connect::{Connection, Target, fetch_host_key};
pub use exec::{Output, Progress, Running, quote};
pub(crate) use exec::{feed, lost};
pub use forward::Forward;
pub use host_key::{HostKey, Trust, UntrustedKey};
pub use known_hosts::{KnownHosts, Lookup, entry_name};

/// What can go wrong between the operator's machine and a host.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error(
        "cannot reach {address}: {reason}; check that the host is up and that port and firewall are right"
    )]
    Unreachable { address: String, reason: String },
    #[error(transparent)]
    HostKey(#[from] UntrustedKey),
    #[error("{user}@{address} refused the login: {reason}; {remedy}")]
    Login {
        user: String,
        address: String,
        reason: String,
        remedy: String,
    },
    #[error("lost the connection while {doing}: {reason}")]
    Lost { doing: String, reason: String },
    #[error("{doing} failed with exit status {status}: {stderr}")]
    Command {
        doing: String,
        status: i32,
        stderr: String,
    },
    #[error("cannot read {what}: {reason}")]
    Local { what: String, reason: String },
}

/// True when the connection to a host broke off; what was under way there may have been done, half done or not begun.
pub fn is_lost(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| matches!(cause.downcast_ref(), Some(SshError::Lost { .. })))
}
