//! The commands, a file each: what can be typed, and what it does.

pub mod apply;
pub mod bootstrap;
pub mod bundle;
pub mod certs;
pub mod completions;
pub mod etcd;
pub mod explain;
pub mod history;
pub mod kubeconfig;
pub mod node;
pub mod plan;
pub mod render;
pub mod reset;
pub mod rollback;
pub mod smoke;
pub mod state;
pub mod status;
pub mod trust;
pub mod upgrade;
pub mod verify;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::inventory::Inventory;
use crate::state::{OpenOptions, State};
use crate::ui::Ui;

/// What every command can use.
pub struct Context {
    pub inventory_path: PathBuf,
    pub ui: Ui,
    pub json: bool,
    pub options: OpenOptions,
}

/// How a command ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A check found a difference, or there is something to do: exit code 3.
    Differs,
}

impl Outcome {
    pub fn differs_if(differs: bool) -> Outcome {
        if differs { Outcome::Differs } else { Outcome::Done }
    }
}

impl Context {
    pub fn inventory(&self) -> anyhow::Result<Inventory> {
        Ok(Inventory::load(&self.inventory_path)?)
    }

    /// The cluster's directory, held for `command` until it is dropped.
    pub fn open(&self, command: &str) -> anyhow::Result<State> {
        State::open(&self.inventory_path, command, &self.options)
    }

    /// The cluster's directory, to read only.
    pub fn peek(&self) -> State {
        State::peek(&self.inventory_path, &self.options.unlock)
    }

    /// Prints `value` with `--json`, else the text.
    pub fn answer(&self, value: &serde_json::Value, text: &str) {
        if self.json {
            self.ui.print(&format!("{value}\n"));
        } else {
            self.ui.print(text);
        }
    }
}

/// Asks a question on the terminal; without one, `yes` has to be given.
pub fn confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    use std::io::{BufRead, IsTerminal, Write};
    if yes {
        return Ok(true);
    }
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "{question}: without a terminal to ask on, confirm it with --yes"
    );
    eprint!("{question}? [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

/// Ctrl-C ends the program at once: every step on a host is whole or repeatable, and the journal says where it was.
pub fn end_on_interrupt() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                eprintln!("\ninterrupted; the hosts are consistent: run the command again to finish");
                std::process::exit(130);
            }
        })
        .context("cannot start a thread")?;
    Ok(())
}
