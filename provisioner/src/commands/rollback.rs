use serde_json::json;

use super::{Context, Outcome, end_on_interrupt};
use crate::fleet::Fleet;
use crate::plan::Scope;
use crate::rollout::{Options, Rollout, stay};
use crate::survey::survey;
use crate::upgrade;

/// Put hosts back on the generation before; nothing is uploaded.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// This generation instead of the one before; hardway history lists those that are kept.
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        self.scope.check(&inventory)?;
        let state = context.open("rollback")?;
        end_on_interrupt()?;
        let ui = &context.ui;
        let operation = state.simple_operation("rollback", &json!({ "scope": self.scope, "to": self.to }))?;
        ui.phase(&state, "connect");
        let fleet = Fleet::connect_to(&inventory, &state, ui, |host| self.scope.covers(host))?;
        let survey = survey(&fleet, &inventory, &state, true)?;
        let rollout = Rollout {
            fleet: &fleet,
            inventory: &inventory,
            state: &state,
            ui,
            options: Options::named("rollback"),
        };
        let stay = stay(&survey.facts, self.to);
        // Who names hosts means each of them; who means all means those that were changed.
        let chosen = !self.scope.is_everything() || self.to.is_some();
        if let Some((host, reason)) = stay.iter().next()
            && (chosen || stay.len() == survey.facts.len())
        {
            anyhow::bail!("{host}: {reason}; no host was changed");
        }
        for (host, reason) in &stay {
            ui.note(&format!("{host} stays where it is: {reason}"));
        }
        let done = rollout.go_back(&survey, self.to, |host| !stay.contains_key(&host.name))?;
        let left = match self.scope.is_everything() {
            true => upgrade::forget_if_left(&state, &inventory, &survey, &done)?,
            false => None,
        };
        operation.finish()?;
        if let Some(left) = left {
            ui.note(&format!(
                "the release in {} is used no longer",
                left.binaries.display()
            ));
        }
        let mut text = String::new();
        for (host, back) in &done {
            let units: Vec<&str> = back
                .restarted
                .iter()
                .map(|unit| unit.trim_end_matches(".service"))
                .collect();
            let from = survey.facts[host].generation_number();
            text.push_str(&format!("{host:<16} generation {from} -> {}", back.generation));
            if !units.is_empty() {
                text.push_str(&format!(", restarted {}", units.join(", ")));
            }
            text.push('\n');
        }
        context.answer(&json!({ "hosts": done }), &text);
        ui.summary("the hosts are back");
        Ok(Outcome::Done)
    }
}
