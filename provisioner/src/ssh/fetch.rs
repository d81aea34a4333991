use std::io::{Read as _, Write};

use super::{Connection, SshError};

impl Connection {
    /// Runs a script and writes what it prints into `sink`, byte for byte.
    pub fn fetch(&self, doing: &str, script: &str, sink: &mut dyn Write) -> Result<(), SshError> {
        let lost = |error: &dyn std::fmt::Display| SshError::Lost {
            doing: doing.to_owned(),
            reason: error.to_string(),
        };
        let mut channel = self.session.channel_session().map_err(|error| lost(&error))?;
        channel
            .exec(&self.command(script))
            .map_err(|error| lost(&error))?;
        channel.send_eof().map_err(|error| lost(&error))?;
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = channel.read(&mut buffer).map_err(|error| lost(&error))?;
            if count == 0 {
                break;
            }
            sink.write_all(&buffer[..count])
                .map_err(|error| SshError::Local {
                    what: format!("the file for {doing}"),
                    reason: error.to_string(),
                })?;
        }
        let mut stderr = Vec::new();
        channel
            .stderr()
            .read_to_end(&mut stderr)
            .map_err(|error| lost(&error))?;
        channel.close().map_err(|error| lost(&error))?;
        channel.wait_close().map_err(|error| lost(&error))?;
        let status = channel.exit_status().map_err(|error| lost(&error))?;
        if status == 0 {
            return Ok(());
        }
        Err(SshError::Command {
            doing: doing.to_owned(),
            status,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }
}
