use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter with the clients that are tested: `HARDWAY_PYTHON`, or the one that `make deps` made.
pub fn interpreter() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HARDWAY_PYTHON") {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    let made = Path::new(&home).join(".cache/hardway/tools/python/bin/python3");
    if !made.exists() {
        bail!(
            "{} is missing; run `make deps`, or set HARDWAY_PYTHON",
            made.display()
        );
    }
    Ok(made)
}

/// The file of one of the scripts in `python/`.
pub fn path(name: &str) -> PathBuf {
    testkit::own_folder().join("python").join(name)
}

/// A command that runs one of the scripts in `python/`.
pub fn script(name: &str) -> Result<Command> {
    let mut command = Command::new(interpreter()?);
    command
        .arg(path(name))
        .env("PYTHONUNBUFFERED", "1")
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs it to its end; its output when it failed is the error.
pub fn run(mut command: Command) -> Result<String> {
    let output = command.output().context("python starts")?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if !output.status.success() {
        bail!("{}: {said}", output.status);
    }
    Ok(said)
}
