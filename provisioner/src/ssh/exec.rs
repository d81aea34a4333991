use std::fmt::Display;
use std::io::{Read, Write};
use std::time::Duration;

use super::{Connection, SshError};

/// How long a channel that broke may take to end, in milliseconds.
const FAREWELL: u32 = 1_000;

/// Called with the number of bytes that were just sent.
pub type Progress<'p> = &'p dyn Fn(u64);

/// What a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// What a script printed that must have worked; else the end of what it complained about.
    pub(crate) fn checked(self, doing: &str) -> Result<String, SshError> {
        if self.status == 0 {
            return Ok(self.stdout);
        }
        Err(SshError::Command {
            doing: doing.to_owned(),
            status: self.status,
            stderr: last_lines(&self.stderr, 6),
        })
    }
}

/// What goes wrong on the way to a host.
pub(crate) fn lost<E: Display>(doing: &str) -> impl Fn(E) -> SshError + '_ {
    move |error| SshError::Lost {
        doing: doing.to_owned(),
        reason: error.to_string(),
    }
}

/// Sends all of `input`. What goes wrong at the other end is for the caller to judge.
pub(crate) fn feed(
    doing: &str,
    input: &mut dyn Read,
    output: &mut dyn Write,
    sent: Progress<'_>,
) -> Result<std::io::Result<()>, SshError> {
    let mut buffer = vec![0u8; 128 * 1024];
    loop {
        let count = input.read(&mut buffer).map_err(|error| SshError::Local {
            what: format!("the data for {doing}"),
            reason: error.to_string(),
        })?;
        if count == 0 {
            return Ok(Ok(()));
        }
        if let Err(error) = output.write_all(&buffer[..count]) {
            return Ok(Err(error));
        }
        sent(count as u64);
    }
}

impl Connection {
    /// Runs a shell script and returns what it printed; any exit status.
    /// The script stands in the command, so it must hold no secret; secrets go into `input`.
    pub fn run(
        &self,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<Output, SshError> {
        let mut channel = self.session.channel_session().map_err(lost(doing))?;
        let ended = self.talk(&mut channel, doing, script, input, sent);
        if ended.is_err() {
            // Before libssh2 lets go of a channel it waits for the other end to say so, and on a dead connection it
            // does that without a pause.
            let before = self.session.timeout();
            self.session.set_timeout(FAREWELL);
            drop(channel);
            self.session.set_timeout(before);
        }
        ended
    }

    fn talk(
        &self,
        channel: &mut ssh2::Channel,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<Output, SshError> {
        channel.exec(&self.command(script)).map_err(lost(doing))?;
        feed(doing, input, channel, sent)?.map_err(lost(doing))?;
        channel.send_eof().map_err(lost(doing))?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        channel.read_to_end(&mut stdout).map_err(lost(doing))?;
        channel.stderr().read_to_end(&mut stderr).map_err(lost(doing))?;
        channel.close().map_err(lost(doing))?;
        channel.wait_close().map_err(lost(doing))?;
        Ok(Output {
            status: channel.exit_status().map_err(lost(doing))?,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    /// Like [`Connection::run`]; an exit status other than zero is an error.
    pub fn check(
        &self,
        doing: &str,
        script: &str,
        input: &mut dyn Read,
        sent: Progress<'_>,
    ) -> Result<String, SshError> {
        self.run(doing, script, input, sent)?.checked(doing)
    }

    /// Starts a script that stays: sends `input` and waits for its first line of output.
    pub fn start(self, doing: &str, script: &str, input: &[u8]) -> Result<Running, SshError> {
        let mut channel = self.session.channel_session().map_err(lost(doing))?;
        channel.exec(&self.command(script)).map_err(lost(doing))?;
        channel.write_all(input).map_err(lost(doing))?;
        let mut running = Running {
            channel,
            connection: self,
            first_line: String::new(),
        };
        let mut line = Vec::new();
        let mut byte = [0u8; 1];
        while running.channel.read(&mut byte).map_err(lost(doing))? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        if byte[0] != b'\n' {
            let mut said = Vec::new();
            running
                .channel
                .stderr()
                .read_to_end(&mut said)
                .map_err(lost(doing))?;
            let ended = Output {
                // One that says nothing and is content is no use either.
                status: running
                    .channel
                    .exit_status()
                    .ok()
                    .filter(|status| *status != 0)
                    .unwrap_or(-1),
                stdout: String::new(),
                stderr: String::from_utf8_lossy(&said).into_owned(),
            };
            ended.checked(doing)?;
        }
        running.first_line = String::from_utf8_lossy(&line).into_owned();
        Ok(running)
    }

    /// Hands a connection to an address, as the host sees it, to `talk`. Either side's silence of `patience` ends it.
    pub fn through<T>(
        &self,
        address: &str,
        port: u16,
        patience: Duration,
        talk: impl FnOnce(&mut ssh2::Channel) -> T,
    ) -> Result<T, SshError> {
        let before = self.session.timeout();
        self.session
            .set_timeout(u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
        let talked = self
            .session
            .channel_direct_tcpip(address, port, None)
            .map(|mut channel| {
                let said = talk(&mut channel);
                // The other end may have gone first.
                let _ = channel.close();
                said
            })
            .map_err(|error| lost(&format!("connecting to {address}:{port}"))(error));
        self.session.set_timeout(before);
        talked
    }

    /// A script without input.
    pub fn script(&self, doing: &str, script: &str) -> Result<String, SshError> {
        self.check(doing, script, &mut std::io::empty(), &|_| {})
    }

    pub(super) fn command(&self, script: &str) -> String {
        let shell = if self.sudo { "sudo -n sh -c" } else { "sh -c" };
        // libssh2 does not notice that a command stopped reading and would wait for room in the channel, so what
        // a failed script leaves of its input is read to the end.
        format!(
            "{shell} {}",
            quote(&format!(
                "(\n{script}\n)\nstatus=$?\ncat >/dev/null\nexit $status"
            ))
        )
    }
}

/// A script that runs until this is dropped: its input ends then, which it takes as the sign to clean up.
pub struct Running {
    pub first_line: String,
    channel: ssh2::Channel,
    connection: Connection,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A host that is gone cleans up by itself, when its sshd notices.
        self.connection.session.set_timeout(10_000);
        if self.channel.send_eof().is_ok() {
            let _ = self.channel.read_to_end(&mut Vec::new());
        }
        let _ = self.channel.close();
        let _ = self.channel.wait_close();
    }
}

/// Quotes a text for a POSIX shell.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join(" | ")
}
