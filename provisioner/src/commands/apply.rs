use std::path::PathBuf;

use serde_json::json;

use super::{Context, Outcome, end_on_interrupt, plan};
use crate::bootstrap::{carry_out, preflight};
use crate::fleet::Fleet;
use crate::plan::SavedPlan;
use crate::rollout::{Batch, Options, Rollout};
use crate::survey::survey;

/// Carry out a plan that hardway plan wrote, exactly; refused when something has changed since.
#[derive(clap::Args)]
pub struct Arguments {
    /// The plan.
    plan: PathBuf,
    /// Workers that may be interrupted at once: a number or a percentage.
    #[arg(long, default_value = "25%")]
    max_unavailable: Batch,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        // All that can be wrong on this machine is found before a host is connected to.
        let saved = SavedPlan::read(&self.plan)?;
        let inventory = context.inventory()?;
        saved.scope.check(&inventory)?;
        let state = context.open("apply")?;
        end_on_interrupt()?;
        let ui = &context.ui;
        let operation = state.simple_operation("apply", &json!({ "plan": saved.checksum }))?;
        ui.phase(&state, "facts and plan");
        let fleet = Fleet::connect_to(&inventory, &state, ui, |host| saved.scope.covers(host))?;
        let survey = survey(&fleet, &inventory, &state, true)?;
        let now = plan::make(&fleet, &inventory, &survey, &saved.scope);
        let differences = saved.differences(&now);
        if !differences.is_empty() {
            for difference in &differences {
                ui.error(None, "the plan no longer holds", difference);
            }
            operation.abandon()?;
            anyhow::bail!(
                "{} is refused: {} things have changed since it was made; no host was changed: plan again",
                self.plan.display(),
                differences.len()
            );
        }
        if let Err(error) = preflight(&inventory, &survey, ui) {
            operation.abandon()?;
            return Err(error);
        }
        let mut survey = survey.issued(&inventory, &state)?;
        let rollout = Rollout {
            fleet: &fleet,
            inventory: &inventory,
            state: &state,
            ui,
            options: Options {
                batch: self.max_unavailable,
                ..Options::named("apply")
            },
        };
        let changes = carry_out(&rollout, &mut survey, &saved.scope)?;
        operation.finish()?;
        ui.summary(if changes == 0 {
            "nothing to change"
        } else {
            "the plan is carried out"
        });
        Ok(Outcome::Done)
    }
}
