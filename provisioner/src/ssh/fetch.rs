use std::io::{Read as _, Write};

use super::{Connection, Output, SshError, lost};

impl Connection {
    /// Runs a script and writes what it prints into `sink`, byte for byte.
    pub fn fetch(&self, doing: &str, script: &str, sink: &mut dyn Write) -> Result<(), SshError> {
        let mut channel = self.session.channel_session().map_err(lost(doing))?;
        channel.exec(&self.command(script)).map_err(lost(doing))?;
        channel.send_eof().map_err(lost(doing))?;
        let mut buffer = vec![0u8; 128 * 1024];
        loop {
            let count = channel.read(&mut buffer).map_err(lost(doing))?;
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
        channel.stderr().read_to_end(&mut stderr).map_err(lost(doing))?;
        channel.close().map_err(lost(doing))?;
        channel.wait_close().map_err(lost(doing))?;
        let ended = Output {
            status: channel.exit_status().map_err(lost(doing))?,
            stdout: String::new(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        ended.checked(doing).map(drop)
    }
}
