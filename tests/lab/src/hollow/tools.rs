//! `systemctl`, `ctr` and `journalctl` of a hollow host: what the provisioner asks of them, written down.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{init, listener, record, root};

/// Runs the tool that this program was called as; none when it is hardway-lab itself.
pub fn called() -> Option<anyhow::Result<ExitCode>> {
    let mut arguments = std::env::args();
    let name = arguments.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let arguments: Vec<String> = arguments.collect();
    match name.as_str() {
        "hollow-root" => Some(root::enter(Path::new(arguments.first()?)).map(|()| ExitCode::FAILURE)),
        "systemd" => Some(init::main()),
        "hollow-unit" => Some(listener::main(arguments.first()?)),
        "systemctl" => Some(systemctl(&arguments)),
        "ctr" => Some(ctr(&arguments)),
        // Nothing that a hollow unit does is worth a log.
        "journalctl" => Some(Ok(ExitCode::SUCCESS)),
        _ => None,
    }
}

fn systemctl(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (verb, rest) = words.split_first().context("systemctl without a verb")?;
    let units: Vec<&str> = operands(rest);
    if !matches!(*verb, "show" | "is-active") {
        record::append(record::CALLS, &format!("systemctl {}", words.join(" ")))?;
    }
    match *verb {
        "daemon-reload" | "reset-failed" | "enable" => {}
        "start" | "restart" => {
            for unit in units {
                if *verb == "restart" || record::pid(unit) == 0 {
                    stop(unit)?;
                    listener::start(unit, &environment(unit)?)?;
                }
            }
        }
        "stop" => units.into_iter().try_for_each(stop)?,
        "disable" => {
            if rest.contains(&"--now") {
                units.into_iter().try_for_each(stop)?;
            }
        }
        "is-active" => {
            let active = units.iter().all(|unit| record::pid(unit) > 0);
            return Ok(if active {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(3)
            });
        }
        "show" => print!("{}", show(rest, &units)),
        other => anyhow::bail!("a hollow host has no systemctl {other}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Arguments that are neither options nor an option's value.
fn operands<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "-p" {
            words.next();
        } else if !word.starts_with('-') {
            found.push(*word);
        }
    }
    found
}

/// Like systemd: the properties in its own order, units apart by an empty line.
fn show(words: &[&str], units: &[&str]) -> String {
    let wanted: Vec<&str> = words
        .windows(2)
        .filter(|pair| pair[0] == "-p")
        .flat_map(|pair| pair[1].split(','))
        .collect();
    let bare = words.contains(&"--value");
    let one = |unit: &&str| {
        let pid = record::pid(unit);
        let state = if pid > 0 { "active" } else { "inactive" };
        [
            ("MainPID", pid.to_string()),
            ("NRestarts", "0".to_owned()),
            ("Id", (*unit).to_owned()),
            ("ActiveState", state.to_owned()),
        ]
        .iter()
        .filter(|(name, _)| wanted.contains(name))
        .map(|(name, value)| {
            if bare {
                format!("{value}\n")
            } else {
                format!("{name}={value}\n")
            }
        })
        .collect::<String>()
    };
    units.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn stop(unit: &str) -> anyhow::Result<()> {
    let pid = record::pid(unit);
    if pid > 0 {
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        // Its ports are free when it is gone; process 1 reaps it.
        while Path::new(&format!("/proc/{pid}")).exists() {
            std::thread::yield_now();
        }
    }
    record::forget(unit);
    Ok(())
}

/// `Environment=` of a unit and its drop-ins.
fn environment(unit: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut files: Vec<PathBuf> = ["/etc/systemd/system", "/usr/lib/systemd/system"]
        .iter()
        .map(|folder| Path::new(folder).join(unit))
        .filter(|path| path.exists())
        .take(1)
        .collect();
    anyhow::ensure!(!files.is_empty(), "Unit {unit} not found.");
    if let Ok(entries) = std::fs::read_dir(format!("/etc/systemd/system/{unit}.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    let mut found = Vec::new();
    for file in files {
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines = text.lines().filter_map(|line| line.strip_prefix("Environment="));
        found.extend(
            lines
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    Ok(found)
}

fn ctr(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["-n", _, "images", "ls", "-q"] => {
            print!("{}", std::fs::read_to_string(record::IMAGES).unwrap_or_default());
        }
        ["-n", _, "images", "import", path] => {
            record::append(record::CALLS, &format!("ctr {}", words.join(" ")))?;
            record::append(record::IMAGES, &reference(path)?)?;
        }
        _ => anyhow::bail!("a hollow host has no ctr {}", words.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The name that an image archive gives itself.
fn reference(path: &str) -> anyhow::Result<String> {
    let output = Command::new("tar").args(["-xOf", path, "index.json"]).output()?;
    anyhow::ensure!(output.status.success(), "{path} is no image archive");
    let index: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    index["manifests"][0]["annotations"]["io.containerd.image.name"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("{path} does not say its name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_told_from_options() {
        let words = ["--now", "a.service", "-p", "Id", "b.service", "--value"];
        assert_eq!(operands(&words), ["a.service", "b.service"]);
    }

    #[test]
    fn properties_are_shown_unit_after_unit() {
        let words = ["x.service", "y.service", "-p", "Id,ActiveState"];
        let shown = show(&words, &operands(&words));
        assert_eq!(
            shown,
            "Id=x.service\nActiveState=inactive\n\nId=y.service\nActiveState=inactive\n"
        );
    }
}
