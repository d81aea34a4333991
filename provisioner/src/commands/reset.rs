use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context as _;

use super::{Context, Outcome};
use crate::fleet::{Failed, Fleet};
use crate::inventory::Inventory;
use crate::render::all_names;
use crate::shell::Shell;
use crate::state::State;
use crate::ui::Ui;

const SCRIPT: &str = include_str!("../../../templates/scripts/reset.sh");
/// pod-network marks its routes with this number.
const ROUTE_PROTOCOL: u8 = 143;

/// Remove from the hosts everything that bootstrap put there, etcd's data included.
#[derive(clap::Args)]
pub struct Arguments {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (inventory, state) = (context.inventory()?, context.open("reset")?);
        run(&inventory, &state, &context.ui, self.yes).map(|()| Outcome::Done)
    }
}

/// Removes from every host what bootstrap put there. Asks first unless `yes`.
fn run(inventory: &Inventory, state: &State, ui: &Ui, yes: bool) -> anyhow::Result<()> {
    if !yes {
        confirm(inventory)?;
    }
    ui.phase(state, "connect");
    let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, ui)?;
    for failure in &unreachable {
        ui.error(Some(&failure.host), "connect", &failure.reason);
    }
    ui.phase(state, "reset");
    fleet.each(
        "reset",
        |_| true,
        |host, connection| {
            ui.host(&host.name, "reset");
            clean(connection)
        },
    )?;
    if !unreachable.is_empty() {
        return Err(Failed {
            phase: "connect".to_owned(),
            failures: unreachable,
        }
        .into());
    }
    // The keys of a cluster that is gone must open nothing in the next one.
    for name in ["pki", "secrets"] {
        remove(&state.folder().join(name), true)?;
    }
    for name in ["state.json", "journal.jsonl"] {
        remove(&state.folder().join(name), false)?;
    }
    ui.summary("the hosts are as they were");
    Ok(())
}

/// Takes from one host what hardway put there.
pub fn clean(shell: &dyn Shell) -> anyhow::Result<()> {
    let units: Vec<&str> = all_names().collect();
    let script = SCRIPT
        .replace("@UNITS@", &units.join(" "))
        .replace("@ROUTE_PROTOCOL@", &ROUTE_PROTOCOL.to_string());
    shell.script("removing the cluster", &script)?;
    Ok(())
}

fn confirm(inventory: &Inventory) -> anyhow::Result<()> {
    let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
    let cluster = &inventory.cluster.name;
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "reset removes the cluster {cluster} with its data from {}; without a terminal to ask on, confirm it with --yes",
        names.join(", ")
    );
    eprintln!(
        "This removes the cluster {cluster} and all its data from {}.",
        names.join(", ")
    );
    eprint!("Type the cluster's name to go on: ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    anyhow::ensure!(answer.trim() == cluster, "not confirmed; nothing was changed");
    Ok(())
}

fn remove(path: &std::path::Path, folder: bool) -> anyhow::Result<()> {
    let result = if folder {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
