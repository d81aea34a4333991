use super::bundle::Bundled;
use super::{Context, Outcome, end_on_interrupt};
use crate::bootstrap;

/// Bring all hosts to what the inventory says; repeat it at any time.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    bundled: Bundled,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.open("bootstrap")?;
        end_on_interrupt()?;
        if let Some(bundle) = self.bundled.prepare(context, &inventory, &state)? {
            bundle.take_as_release(&inventory, &state)?;
            bundle.install_packages(&inventory, &state, &context.ui, |_| true)?;
        }
        bootstrap::run(&inventory, &state, &context.ui)?;
        Ok(Outcome::Done)
    }
}
