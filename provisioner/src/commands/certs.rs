mod list;
mod rotate;

use super::{Context, Outcome};

/// Show every certificate of the cluster, or replace them.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    List(list::Arguments),
    Rotate(rotate::Arguments),
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match &self.command {
            Command::List(arguments) => arguments.run(context),
            Command::Rotate(arguments) => arguments.run(context),
        }
    }
}
