//! The command line: what is common to all commands. Each command is a file in `commands/`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{self, Context, Outcome};
use crate::inventory::InvalidInventory;
use crate::state::{BadState, LockOptions, OpenOptions, Unlock};
use crate::ui::{Format, Ui};

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
const DIFFERS: u8 = 3;

/// Turns plain Linux hosts into a Kubernetes cluster over SSH.
///
/// Exit codes: 0 done, 1 failed, 2 bad usage, configuration, plan or state, 3 a check found a difference, or
/// there is something to do.
#[derive(Parser)]
#[command(name = "hardway", version)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Global {
    /// The inventory of the cluster.
    #[arg(long, short, global = true, default_value = "hosts.toml")]
    inventory: PathBuf,
    /// Print events and answers as JSON to standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Wait this long for another operator who holds the cluster.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    wait_lock: u64,
    /// Take the lock of an operator on another machine whose lease has run out.
    #[arg(long, global = true)]
    break_lock: bool,
    /// The age identity that opens an encrypted cluster directory [env: HARDWAY_IDENTITY].
    #[arg(long, global = true, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// A file with the passphrase that opens an encrypted cluster directory [env: HARDWAY_PASSPHRASE_FILE].
    #[arg(long, global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    Bootstrap(commands::bootstrap::Arguments),
    Bundle(commands::bundle::Arguments),
    Plan(commands::plan::Arguments),
    Apply(commands::apply::Arguments),
    Upgrade(commands::upgrade::Arguments),
    Rollback(commands::rollback::Arguments),
    History(commands::history::Arguments),
    Kubeconfig(commands::kubeconfig::Arguments),
    Status(commands::status::Arguments),
    Certs(commands::certs::Arguments),
    Etcd(commands::etcd::Arguments),
    Node(commands::node::Arguments),
    Verify(commands::verify::Arguments),
    Smoke(commands::smoke::Arguments),
    Render(commands::render::Arguments),
    Explain(commands::explain::Arguments),
    State(commands::state::Arguments),
    Reset(commands::reset::Arguments),
    Trust(commands::trust::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::completions::ManArguments),
}

impl Command {
    fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match self {
            Command::Bootstrap(arguments) => arguments.run(context),
            Command::Bundle(arguments) => arguments.run(context),
            Command::Plan(arguments) => arguments.run(context),
            Command::Apply(arguments) => arguments.run(context),
            Command::Upgrade(arguments) => arguments.run(context),
            Command::Rollback(arguments) => arguments.run(context),
            Command::History(arguments) => arguments.run(context),
            Command::Kubeconfig(arguments) => arguments.run(context),
            Command::Status(arguments) => arguments.run(context),
            Command::Certs(arguments) => arguments.run(context),
            Command::Etcd(arguments) => arguments.run(context),
            Command::Node(arguments) => arguments.run(context),
            Command::Verify(arguments) => arguments.run(context),
            Command::Smoke(arguments) => arguments.run(context),
            Command::Render(arguments) => arguments.run(context),
            Command::Explain(arguments) => arguments.run(context),
            Command::State(arguments) => arguments.run(context),
            Command::Reset(arguments) => arguments.run(context),
            Command::Trust(arguments) => arguments.run(context),
            Command::Completions(arguments) => arguments.run(context),
            Command::Man(arguments) => arguments.run(context),
        }
    }
}

/// The whole command line, for completions and manual pages.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the operator typed.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let json = arguments.global.json;
    match arguments.command.run(&context(arguments.global)) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::from(DIFFERS),
        Err(error) => {
            let bad_input = error
                .chain()
                .any(|cause| cause.is::<InvalidInventory>() || cause.is::<BadState>());
            report(json, &error);
            ExitCode::from(if bad_input { BAD_INPUT } else { FAILED })
        }
    }
}

/// What was typed is no command, or asks for help.
fn misused(error: &clap::Error) -> ExitCode {
    // It is not known what was meant; a program that said this word anywhere reads JSON.
    let json = std::env::args_os().any(|word| word == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.trim_end();
        // The event says already that it is one.
        let text = text.strip_prefix("error: ").unwrap_or(text);
        report(json, &anyhow::anyhow!("{text}"));
    } else {
        // When nobody reads it the exit code says it.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(BAD_INPUT))
}

fn context(global: Global) -> Context {
    let from_environment = |name: &str| std::env::var_os(name).map(PathBuf::from);
    Context {
        inventory_path: global.inventory,
        ui: Ui::new(if global.json { Format::Json } else { Format::Human }),
        json: global.json,
        options: OpenOptions {
            lock: LockOptions {
                wait: Duration::from_secs(global.wait_lock),
                break_stale: global.break_lock,
            },
            unlock: Unlock {
                identity: global.identity.or_else(|| from_environment("HARDWAY_IDENTITY")),
                passphrase_file: global
                    .passphrase_file
                    .or_else(|| from_environment("HARDWAY_PASSPHRASE_FILE")),
            },
        },
    }
}

fn report(json: bool, error: &anyhow::Error) {
    if json {
        let event = serde_json::json!({ "event": "failed", "text": format!("{error:#}") });
        Ui::new(Format::Json).print(&format!("{event}\n"));
    } else {
        eprintln!("error: {error:#}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_can_be_typed_is_no_contradiction() {
        super::command().debug_assert();
    }
}
