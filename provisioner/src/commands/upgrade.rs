use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::bundle::Bundled;
use super::{Context, Outcome, end_on_interrupt};
use crate::bootstrap::preflight;
use crate::bundle::Prepared;
use crate::drain;
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::outside;
use crate::rollout::{Batch, any_api};
use crate::state::State;
use crate::survey;
use crate::upgrade::{self, Limits, Upgrade};

const COMMAND: &str = "upgrade";

/// Bring the cluster to another release: checked first, then control planes one by one and workers in batches.
///
/// A host that does not come up is put back on the release before, and the upgrade stops there; the same command
/// goes on, --abort takes everything back.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder with the new release's programs.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["abort", "bundle"], conflicts_with = "bundle")]
    to: Option<PathBuf>,
    #[command(flatten)]
    bundled: Bundled,
    /// Workers that are upgraded at once: a number or a percentage.
    #[arg(long, default_value = "1", value_name = "COUNT")]
    max_unavailable: Batch,
    /// Leave pods where they are; a restart of kubelet and proxy does not end them.
    #[arg(long)]
    in_place: bool,
    /// How long disruption budgets may hold a node up.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    drain_timeout: u64,
    /// Also end pods that no controller makes again.
    #[arg(long)]
    force: bool,
    /// Only tell what speaks against it; exit code 3 when something does.
    #[arg(long)]
    check: bool,
    /// Take an upgrade that was not finished back.
    #[arg(long, conflicts_with_all = ["to", "bundle", "check"])]
    abort: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.open(COMMAND)?;
        let bundle = self.bundled.prepare(context, &inventory, &state)?;
        let unpacked = bundle.as_ref().map(Prepared::binaries);
        let Some(folder) = self.to.as_ref().or(unpacked.as_ref()) else {
            return self.back(context, &inventory, &state);
        };
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot find {}", folder.display()))?;
        self.forward(context, &inventory, &state, &folder, bundle.as_ref())
    }

    fn limits(&self) -> Limits {
        Limits {
            batch: self.max_unavailable,
            in_place: self.in_place,
            drain: drain::Options {
                timeout: Duration::from_secs(self.drain_timeout),
                force: self.force,
            },
        }
    }

    fn forward(
        &self,
        context: &Context,
        written: &Inventory,
        state: &State,
        folder: &Path,
        bundle: Option<&Prepared>,
    ) -> anyhow::Result<Outcome> {
        let ui = &context.ui;
        ui.phase(state, "connect");
        let mut inventory = written.clone();
        inventory.release.binaries = Some(folder.to_owned());
        let fleet = Fleet::connect(&inventory, state, ui)?;
        ui.phase(state, "checks");
        let mut survey = survey::survey(&fleet, &inventory, state, true)?;
        let target = upgrade::target(folder, &survey)?;
        let now = upgrade::situation(&fleet, &inventory, &survey)?;
        let problems = upgrade::check(&now, &target);
        for problem in &problems {
            ui.error(None, "checks", &problem.0);
        }
        if self.check {
            context.answer(
                &json!({ "problems": problems }),
                if problems.is_empty() {
                    "nothing speaks against it\n"
                } else {
                    ""
                },
            );
            return Ok(Outcome::differs_if(!problems.is_empty()));
        }
        anyhow::ensure!(
            problems.is_empty(),
            "{} things speak against this upgrade; no host was changed",
            problems.len()
        );
        end_on_interrupt()?;
        if let Some(bundle) = bundle
            && bundle.install_packages(&inventory, state, ui, |_| true)? > 0
        {
            survey = survey::survey(&fleet, &inventory, state, true)?;
        }
        preflight(&inventory, &survey, ui)?;
        let mut operation = state.operation(COMMAND, &json!({ "to": folder.display().to_string() }))?;
        let mut survey = survey.issued(&inventory, state)?;
        let upgrade = Upgrade {
            fleet: &fleet,
            inventory: &inventory,
            state,
            ui,
            limits: self.limits(),
            cause: COMMAND,
        };
        let changes = upgrade.run(&mut survey, &mut operation).context(
            "the upgrade is not finished; the same command goes on, hardway upgrade --abort takes it back",
        )?;
        upgrade.record(folder, written.release.binaries.clone())?;
        operation.finish()?;
        if written.release.binaries.as_deref() != Some(folder) {
            ui.note(&format!(
                "write release.binaries = \"{}\" into {}; until it names another folder this one is used",
                folder.display(),
                written.path.display()
            ));
        }
        for outsider in outside::ask(&any_api(&fleet, &inventory, &survey.secrets)?, &inventory)? {
            ui.note(&format!(
                "{name} took itself in and keeps its release ({}): bring the new one with hardway node join-here on {name}",
                outsider.kubelet,
                name = outsider.name
            ));
        }
        ui.summary(if changes == 0 {
            "nothing to change"
        } else {
            "the cluster runs the new release"
        });
        Ok(Outcome::Done)
    }

    fn back(&self, context: &Context, inventory: &Inventory, state: &State) -> anyhow::Result<Outcome> {
        let open = state
            .unfinished()?
            .filter(|open| open.command == COMMAND)
            .context("no upgrade is unfinished")?;
        let ui = &context.ui;
        end_on_interrupt()?;
        let mut operation = state.resume(open);
        ui.phase(state, "connect");
        let fleet = Fleet::connect(inventory, state, ui)?;
        let mut survey = survey::survey(&fleet, inventory, state, false)?;
        preflight(inventory, &survey, ui)?;
        let upgrade = Upgrade {
            fleet: &fleet,
            inventory,
            state,
            ui,
            limits: self.limits(),
            cause: "upgrade-abort",
        };
        let changes = upgrade.run(&mut survey, &mut operation)?;
        operation.abandon()?;
        context.answer(&json!({ "taken_back": changes }), "");
        ui.summary("the cluster runs the release before");
        Ok(Outcome::Done)
    }
}
