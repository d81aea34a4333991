//! Where scripts run that change a host: over SSH, or on this machine when it is the host itself.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::ssh::{Connection, Output, Progress, SshError, feed, lost};

/// Runs POSIX shell scripts as root of a host.
pub trait Shell {
    /// Runs a script with `input`; what it printed, or an error when its exit status is not zero.
    fn check(
        &self,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<String, SshError>;

    /// A script without input.
    fn script(&self, doing: &str, script: &str) -> Result<String, SshError> {
        self.check(doing, script, &mut std::io::empty(), &|_| {})
    }
}

impl Shell for Connection {
    fn check(
        &self,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<String, SshError> {
        Connection::check(self, doing, script, input, sent)
    }
}

/// This machine.
pub struct ThisHost;

impl Shell for ThisHost {
    fn check(
        &self,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<String, SshError> {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(lost(doing))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A script that stopped reading says why in its own words.
            let _ = feed(doing, input, &mut stdin, sent)?;
        }
        let output = child.wait_with_output().map_err(lost(doing))?;
        let ended = Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        ended.checked(doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_run_here_like_elsewhere() {
        let mut input = std::io::Cursor::new(b"word".to_vec());
        let said = ThisHost.check("echoing", "cat; echo '!'", &mut input, &|_| {});
        assert_eq!(said.unwrap(), "word!\n");
        let failed = ThisHost.script("failing", "echo why >&2; exit 3").unwrap_err();
        assert_eq!(failed.to_string(), "failing failed with exit status 3: why");
        // It need not read what it is given.
        let mut endless = std::io::repeat(b'x').take(1 << 22);
        assert!(
            ThisHost
                .check("ignoring", "exit 0", &mut endless, &|_| {})
                .is_ok()
        );
    }
}
