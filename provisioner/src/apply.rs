//! The thin layer that acts on one host: activate, start. Every step may be cut at any point and repeated.

use std::io::{Cursor, Read};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::desired::{Desired, Stage};
use crate::facts::Facts;
use crate::plan::{Action, HostPlan};
use crate::shell::Shell;
use crate::ssh::quote;

const ACTIVATE: &str = include_str!("../../templates/scripts/activate.sh");
const ROLLBACK: &str = include_str!("../../templates/scripts/rollback.sh");
const GATE: &str = include_str!("../../templates/scripts/gate.sh");

/// Takes a file from standard input beside its place, compares the hash, renames. A cut leaves a hidden file that the next
/// one writes over.
pub fn place_script(sha256: &str) -> String {
    format!(
        "set -eu; umask 022; cd /; mkdir -p /opt/hardway/blobs; new=/opt/hardway/blobs/.{sha256}; \
         trap 'rm -f \"$new\"' EXIT; cat >\"$new\"; echo '{sha256}  '\"$new\" | sha256sum -c --quiet - >&2; \
         chmod 755 \"$new\"; mv \"$new\" /opt/hardway/blobs/{sha256}"
    )
}

/// Switches the host to its release and generation and makes its users, links and kernel settings.
pub fn activate(
    connection: &dyn Shell,
    desired: &Desired,
    plan: &HostPlan,
    facts: &Facts,
    cause: &str,
) -> anyhow::Result<()> {
    if !plan.activates() {
        return Ok(());
    }
    let stops: Vec<String> = plan
        .units
        .iter()
        .filter(|unit| unit.action == Action::Stop)
        .map(|unit| quote(&unit.name))
        .collect();
    let drop_ins: Vec<String> = plan.drop_ins.iter().map(|path| quote(path)).collect();
    let links: String = plan
        .links
        .iter()
        .map(|(link, target)| format!("{link} {target}\n"))
        .collect();
    let release = if desired.artifacts.is_empty() {
        String::new()
    } else {
        desired.release_hash()
    };
    let script = ACTIVATE
        .replace("@RELEASE@", &release)
        .replace("@CAUSE@", &word(cause))
        .replace("@RELEASE_MANIFEST@", &desired.release_manifest())
        .replace(
            "@GENERATION@",
            &plan
                .generation
                .map(|number| number.to_string())
                .unwrap_or_default(),
        )
        .replace("@USERS@", &plan.users.join(" "))
        .replace("@STOP@", &stops.join(" "))
        .replace("@STALE@", &plan.stale_links.join(" "))
        .replace("@LINKS@", &links)
        .replace("@DROP_INS@", &drop_ins.join(" "))
        .replace("@KERNEL@", if plan.kernel_settings { "yes" } else { "" })
        .replace("@CONTAINER@", if facts.container { "yes" } else { "" })
        .replace("@SWAP@", if plan.swap_off { "yes" } else { "" });
    let archive = match plan.generation {
        Some(_) => archive(desired)?,
        None => Vec::new(),
    };
    let mut input: Box<dyn Read> = Box::new(Cursor::new(archive));
    connection.check("activating the generation", &script, &mut input, &|_| {})?;
    Ok(())
}

/// What may stand between quotes in a script and as one column of the host's history.
fn word(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || "-.,:".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

/// What going back did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WentBack {
    pub generation: u64,
    /// The hash of that generation's release.
    pub release: String,
    /// Units that were restarted, in order.
    pub restarted: Vec<String>,
    /// All units of that generation.
    pub units: Vec<String>,
}

/// Puts the host back on a generation that it still holds: `target`, or the one before the current.
pub fn go_back(connection: &dyn Shell, target: Option<u64>, cause: &str) -> anyhow::Result<WentBack> {
    let target = target.map(|number| number.to_string()).unwrap_or_default();
    let script = rollback_script(&target, cause, false);
    let said = connection.script("going back", &script)?;
    let mut back = WentBack::default();
    for (key, value) in said.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "generation" => back.generation = value.parse().unwrap_or_default(),
            "release" => value.clone_into(&mut back.release),
            "restarted" => back.restarted.push(value.to_owned()),
            "unit" => back.units.push(value.to_owned()),
            _ => {}
        }
    }
    anyhow::ensure!(
        back.generation > 0,
        "the host did not say which generation it is on"
    );
    Ok(back)
}

fn rollback_script(target: &str, cause: &str, unattended: bool) -> String {
    ROLLBACK
        .replace("@TARGET@", target)
        .replace("@CAUSE@", &word(cause))
        .replace("@UNATTENDED@", if unattended { "yes" } else { "" })
}

/// What the host runs to go back by itself.
pub fn unattended_script(target: u64, cause: &str) -> String {
    rollback_script(&target.to_string(), &format!("failed-{cause},unattended"), true)
}

/// Waits until units run, keep running and listen on their ports.
pub fn wait_up(connection: &dyn Shell, units: &[&str], ports: &[u16], limit: Duration) -> anyhow::Result<()> {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let script = GATE
        .replace("@UNITS@", &units.join(" "))
        .replace("@PORTS@", &ports.join(" "))
        .replace("@SECONDS@", &limit.as_secs().to_string());
    connection.script("the health check", &script)?;
    Ok(())
}

/// A generation as a tar archive, with its manifest.
fn archive(desired: &Desired) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        // Owners and modes are set from MODES before the switch; until then only root reads.
        header.set_mode(0o600);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, path, content)
    };
    for file in &desired.files {
        add(&file.path, &file.content).with_context(|| format!("cannot pack {}", file.path))?;
    }
    add("MANIFEST", desired.manifest().as_bytes()).context("cannot pack MANIFEST")?;
    add("MODES", desired.modes().as_bytes()).context("cannot pack MODES")?;
    archive.into_inner().context("cannot pack the generation")
}

/// Starts or restarts the units of one stage and waits until systemd calls them started.
pub fn start(connection: &dyn Shell, plan: &HostPlan, stage: Stage) -> anyhow::Result<()> {
    let changes = plan.starts(stage);
    if changes.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = changes.iter().map(|unit| unit.name.as_str()).collect();
    let list = names.join(" ");
    let command = |verb: &str, reload: bool| {
        let concerned = changes
            .iter()
            .filter(|unit| (unit.action == Action::Reload) == reload);
        let names: Vec<&str> = concerned.map(|unit| unit.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("systemctl {verb} {}", names.join(" ")))
    };
    // One that has ended since it was looked at is started.
    let commands = [command("reload-or-restart", true), command("restart", false)];
    let restarts = commands.into_iter().flatten().collect::<Vec<_>>().join(" && ");
    // A unit that failed often is not held back by its start limit. On failure the journal says why.
    let script = format!(
        "systemctl reset-failed {list} >/dev/null 2>&1; {restarts} && exit 0; \
         for unit in {list}; do systemctl is-active --quiet \"$unit\" || \
         journalctl -u \"$unit\" -n 8 --no-pager -o cat >&2; done; exit 1"
    );
    connection.script(&format!("starting {}", names.join(", ")), &script)?;
    Ok(())
}

/// Imports the images that containerd lacks, once it runs.
pub fn import_images(connection: &dyn Shell, desired: &Desired, plan: &HostPlan) -> anyhow::Result<()> {
    for artifact in &desired.artifacts {
        let Some(image) = &artifact.image else { continue };
        if !plan.images.contains(image) {
            continue;
        }
        let script = format!(
            "ctr -n k8s.io images import /opt/hardway/blobs/{} >&2",
            artifact.sha256
        );
        connection.script(&format!("importing {image}"), &script)?;
    }
    Ok(())
}
