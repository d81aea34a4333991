//! Running a short program with input and output.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("cannot start {program}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot talk to {program}")]
    Talk {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} failed ({status}): {stderr}")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
        stderr: String,
    },
}

/// Runs a program to its end, with `input` on its standard input; returns its standard output.
/// The program is killed when the future is dropped.
pub async fn run(program: &str, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, CommandError> {
    let talk = |source| CommandError::Talk {
        program: program.to_owned(),
        source,
    };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| CommandError::Start {
            program: program.to_owned(),
            source,
        })?;
    let stdin = child.stdin.take();
    // Written while the output is read: a program may answer before it has read all.
    let write = async {
        if let Some(mut stdin) = stdin {
            match stdin.write_all(&input).await {
                // Its exit status tells why it stopped reading.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
                other => other?,
            }
        }
        Ok(())
    };
    let (output, written) = tokio::join!(child.wait_with_output(), write);
    let output = output.map_err(talk)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // A bulk load can repeat thousands of lines.
        let stderr = stderr.trim().chars().take(2000).collect();
        return Err(CommandError::Failed {
            program: program.to_owned(),
            status: output.status,
            stderr,
        });
    }
    written.map_err(talk)?;
    Ok(output.stdout)
}
