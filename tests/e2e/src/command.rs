//! Commands and what they said.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub line: String,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The standard output of a command that must have worked.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "{} failed:\n{}{}",
            self.line, self.stdout, self.stderr
        );
        self.stdout
    }

    pub fn result(self) -> Result<String, String> {
        if self.code == 0 {
            Ok(self.stdout)
        } else {
            Err(format!("{}: {}{}", self.code, self.stdout, self.stderr))
        }
    }
}

/// Runs a command to its end, with `input` on its standard input.
pub fn run(command: &mut Command, input: Option<&[u8]>) -> Finished {
    let line = format!("{command:?}");
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let writer = input.map(|input| {
        let mut stdin = child.stdin.take().expect("piped");
        let input = input.to_vec();
        std::thread::spawn(move || {
            // A command that does not read all of it says why in its own words.
            let _ = stdin.write_all(&input);
        })
    });
    let output = child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    if let Some(writer) = writer {
        writer.join().expect("the writer does not panic");
    }
    Finished {
        line,
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
