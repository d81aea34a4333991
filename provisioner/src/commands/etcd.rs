mod health;
mod snapshots;

use super::{Context, Outcome};

/// Look after etcd: health, snapshots, restore, defragmentation.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Status(health::Status),
    Defrag(health::Defrag),
    Snapshot(snapshots::Take),
    Snapshots(snapshots::List),
    Pull(snapshots::Pull),
    #[command(hide = true)]
    Backup(snapshots::OnHost),
    Drill(snapshots::Drill),
    Restore(snapshots::Restore),
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match &self.command {
            Command::Status(arguments) => arguments.run(context),
            Command::Defrag(arguments) => arguments.run(context),
            Command::Snapshot(arguments) => arguments.run(context),
            Command::Snapshots(arguments) => arguments.run(context),
            Command::Pull(arguments) => arguments.run(context),
            Command::Backup(arguments) => arguments.run(context),
            Command::Drill(arguments) => arguments.run(context),
            Command::Restore(arguments) => arguments.run(context),
        }
    }
}
