//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::inventory::{InvalidInventory, Inventory};
use crate::state::State;
use crate::ui::{Format, Ui};
use crate::{bootstrap, commands, identities, kubeconfig};

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const DRIFT: u8 = 3;

/// Turns plain Linux hosts into a Kubernetes cluster over SSH.
#[derive(Parser)]
#[command(name = "hardway", version, about)]
struct Arguments {
    /// The inventory of the cluster.
    #[arg(long, short, global = true, default_value = "hosts.toml")]
    inventory: PathBuf,
    /// Print events as JSON, one a line, to standard output.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring all hosts to what the inventory says; repeat it at any time.
    Bootstrap,
    /// Show what bootstrap would change, host by host. Changes nothing.
    Plan,
    /// Print the administrator's kubeconfig.
    Kubeconfig {
        /// Write it to a file (mode 0600) instead.
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// The certificate in system:masters, for when RBAC is broken.
        #[arg(long)]
        break_glass: bool,
    },
    /// Show units, versions, certificates, etcd and nodes; exit code 3 when something differs.
    Status,
    /// Remove from the hosts everything that bootstrap put there, etcd's data included.
    Reset {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Show the host keys of hosts that are not known yet and record them.
    Trust {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command that the operator typed.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            let bad_input = error.downcast_ref::<InvalidInventory>().is_some();
            report(&arguments, &error);
            ExitCode::from(if bad_input { BAD_INPUT } else { FAILED })
        }
    }
}

fn report(arguments: &Arguments, error: &anyhow::Error) {
    if arguments.json {
        let event = serde_json::json!({ "event": "failed", "text": format!("{error:#}") });
        Ui::new(Format::Json).print(&format!("{event}\n"));
    } else {
        eprintln!("error: {error:#}");
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let inventory = Inventory::load(&arguments.inventory)?;
    let ui = Ui::new(if arguments.json {
        Format::Json
    } else {
        Format::Human
    });
    match &arguments.command {
        Command::Bootstrap => {
            let state = State::open(&arguments.inventory)?;
            end_on_interrupt()?;
            bootstrap::run(&inventory, &state, &ui)?;
        }
        Command::Plan => commands::plan::run(
            &inventory,
            &State::open(&arguments.inventory)?,
            &ui,
            arguments.json,
        )?,
        Command::Kubeconfig { output, break_glass } => {
            let state = State::peek(&arguments.inventory);
            anyhow::ensure!(
                state.folder().join("pki").is_dir(),
                "{} does not exist; run hardway bootstrap first",
                state.folder().join("pki").display()
            );
            let secrets = identities::prepare(&inventory, &state, std::time::SystemTime::now(), true)?;
            let text = kubeconfig::render(&inventory, &secrets, *break_glass)?;
            match output {
                Some(path) => crate::state::write_file(path, text.as_bytes(), 0o600)?,
                None => ui.print(&text),
            }
        }
        Command::Status => {
            let state = State::open(&arguments.inventory)?;
            if commands::status::run(&inventory, &state, &ui, arguments.json)? {
                return Ok(ExitCode::from(DRIFT));
            }
        }
        Command::Reset { yes } => {
            let state = State::open(&arguments.inventory)?;
            commands::reset::run(&inventory, &state, &ui, *yes)?;
        }
        Command::Trust { yes } => {
            let state = State::open(&arguments.inventory)?;
            commands::trust::run(&inventory, &state, &ui, *yes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C ends the program at once: every step on a host is whole or repeatable, and the journal says where it was.
fn end_on_interrupt() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                eprintln!("\ninterrupted; the hosts are consistent: run hardway bootstrap again to finish");
                std::process::exit(130);
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}
