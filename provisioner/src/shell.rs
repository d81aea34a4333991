//! Where scripts run that change a host: over SSH, or on this machine when it is the host itself.

use std::io::{Read, Write as _};
use std::process::{Command, Stdio};

use crate::ssh::{Connection, Progress, SshError};

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
        let lost = |error: std::io::Error| SshError::Lost {
            doing: doing.to_owned(),
            reason: error.to_string(),
        };
        let mut child = Command::new("sh")
            .args(["-c", script])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(lost)?;
        if let Some(mut stdin) = child.stdin.take() {
            let mut buffer = vec![0u8; 128 * 1024];
            loop {
                let count = input.read(&mut buffer).map_err(lost)?;
                // A script that stopped reading says why in its own words.
                if count == 0 || stdin.write_all(&buffer[..count]).is_err() {
                    break;
                }
                sent(count as u64);
            }
        }
        let output = child.wait_with_output().map_err(lost)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
        Err(SshError::Command {
            doing: doing.to_owned(),
            status: output.status.code().unwrap_or(-1),
            stderr: lines[lines.len().saturating_sub(6)..].join(" | "),
        })
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
