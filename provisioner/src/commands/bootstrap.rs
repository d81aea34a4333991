use std::path::PathBuf;

use super::bundle::Pinned;
use super::{Context, Outcome, end_on_interrupt};
use crate::{bootstrap, bundle};

/// Bring all hosts to what the inventory says; repeat it at any time.
#[derive(clap::Args)]
pub struct Arguments {
    /// Take programs, images and the Debian packages that hosts lack from a bundle; nothing else is needed.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    key: Pinned,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.open("bootstrap")?;
        end_on_interrupt()?;
        if let Some(path) = &self.bundle {
            let key = self.key.key(Some(&inventory))?;
            context.ui.note("checking the bundle");
            let bundle = bundle::prepare(path, &key, &state.cache())?;
            bundle.take_as_release(&inventory, &state)?;
            bundle.install_packages(&inventory, &state, &context.ui)?;
        }
        bootstrap::run(&inventory, &state, &context.ui)?;
        Ok(Outcome::Done)
    }
}
