use super::{Context, Outcome, end_on_interrupt};
use crate::bootstrap;

/// Bring all hosts to what the inventory says; repeat it at any time.
#[derive(clap::Args)]
pub struct Arguments {}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.open("bootstrap")?;
        end_on_interrupt()?;
        bootstrap::run(&inventory, &state, &context.ui)?;
        Ok(Outcome::Done)
    }
}
