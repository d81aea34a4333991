use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who holds a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub user: String,
    pub host: String,
    pub pid: u32,
    /// The command, for example `bootstrap`.
    pub command: String,
    pub since: Timestamp,
    /// The holder renews it while it lives.
    pub expires: Timestamp,
}

/// What a lock file means to somebody who holds the kernel lock on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Free,
    /// A lease of another machine that still runs.
    Held(Holder),
    /// A lease of another machine that has run out.
    Stale(Holder),
    Damaged,
}

/// Decides for `me` at `now`; the kernel lock is held, so no process of this machine holds the cluster.
pub fn judge(text: &[u8], me: &Holder, now: Timestamp) -> Verdict {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Free;
    }
    match Holder::parse(text) {
        None => Verdict::Damaged,
        Some(found) if found.host == me.host => Verdict::Free,
        Some(found) if found.expires < now => Verdict::Stale(found),
        Some(found) => Verdict::Held(found),
    }
}

impl Holder {
    /// This process.
    pub fn here(command: &str) -> Holder {
        let now = Timestamp::now();
        let host = nix::unistd::gethostname()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_default();
        Holder {
            user: std::env::var("USER").unwrap_or_else(|_| format!("uid {}", nix::unistd::getuid())),
            host,
            pid: std::process::id(),
            command: command.to_owned(),
            since: now,
            expires: now,
        }
    }

    pub fn parse(text: &[u8]) -> Option<Holder> {
        serde_json::from_slice(text).ok()
    }

    pub fn encode(&self) -> Vec<u8> {
        // Plain strings and numbers always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub fn with_lease(&self, now: Timestamp, lease: Duration) -> Holder {
        let expires = now.checked_add(lease).unwrap_or(Timestamp::MAX);
        Holder {
            expires,
            ..self.clone()
        }
    }

    /// The same process, whatever its lease.
    pub fn same(&self, other: &Holder) -> bool {
        (&self.host, self.pid, self.since) == (&other.host, other.pid, other.since)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder {
            user,
            host,
            pid,
            command,
            since,
            expires,
        } = self;
        write!(
            f,
            "{user}@{host} (hardway {command}, process {pid}, since {since:.0}, lease until {expires:.0})"
        )
    }
}
