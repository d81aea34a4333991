use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;

use super::plan::{host_text, order_text};
use super::{Context, Outcome, confirm, end_on_interrupt};
use crate::bootstrap::{carry_out, preflight};
use crate::drift::{self, Difference, PodRange};
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::outside;
use crate::plan::Scope;
use crate::rollout::{Batch, Options, Rollout, any_api, waves};
use crate::state::State;
use crate::survey::{Survey, survey};

/// Compare everything managed on the hosts with what should be there; exit code 3 when something differs.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Plan what puts it right, show the plan and carry it out.
    #[arg(long)]
    fix: bool,
    /// Do not ask before the plan is carried out.
    #[arg(long, requires = "fix")]
    yes: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        self.scope.check(&inventory)?;
        let state = context.open("verify")?;
        let covered = |host: &crate::inventory::Host| self.scope.covers(host);
        let fleet = Fleet::connect_to(&inventory, &state, &context.ui, covered)?;
        let survey = survey(&fleet, &inventory, &state, true)?;
        let mut found = compare(&fleet, &inventory, &survey, context)?;
        if self.scope.is_everything() {
            found.extend(outsiders(&fleet, &inventory, &survey, context)?);
        }
        let mut text = String::new();
        for (host, differences) in &found {
            for difference in differences {
                let kind = format!("{:?}", difference.kind).to_lowercase();
                text.push_str(&format!(
                    "{host}: {kind} {}: {}\n",
                    difference.subject, difference.problem
                ));
            }
        }
        let count: usize = found.values().map(Vec::len).sum();
        if count == 0 {
            text.push_str("all is as it should be\n");
        }
        context.answer(&json!({ "differences": count, "hosts": found }), &text);
        if count == 0 || !self.fix {
            return Ok(Outcome::differs_if(count > 0));
        }
        self.put_right(context, &inventory, &state, &fleet, survey, &found)
    }

    fn put_right(
        &self,
        context: &Context,
        inventory: &Inventory,
        state: &State,
        fleet: &Fleet<'_>,
        survey: Survey,
        found: &BTreeMap<String, Vec<Difference>>,
    ) -> anyhow::Result<Outcome> {
        let ui = &context.ui;
        let facts = survey
            .facts
            .iter()
            .map(|(host, facts)| {
                let differences = found.get(host).map(Vec::as_slice).unwrap_or_default();
                (host.clone(), drift::corrected(facts, differences))
            })
            .collect();
        let planned = survey.with_facts(facts, inventory, state, true)?;
        let members = inventory.etcd_members().len();
        if !context.json {
            for (host, plan) in &planned.plans {
                ui.print(&host_text(plan, &planned.facts[host].generation, &[], members));
            }
            ui.print(&order_text(
                &waves(inventory, &planned.plans, Batch::default()),
                &planned.plans,
            ));
        }
        if !confirm("carry this plan out", self.yes)? {
            return Ok(Outcome::Differs);
        }
        end_on_interrupt()?;
        let operation = state.simple_operation("verify --fix", &json!({}))?;
        preflight(inventory, &planned, ui)?;
        let mut planned = planned.issued(inventory, state)?;
        let rollout = Rollout {
            fleet,
            inventory,
            state,
            ui,
            options: Options::named("verify-fix"),
        };
        carry_out(&rollout, &mut planned, &self.scope)?;
        operation.finish()?;
        ui.summary("the differences are put right");
        Ok(Outcome::Done)
    }
}

/// Nodes that took themselves in, seen from the cluster.
fn outsiders(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    survey: &Survey,
    context: &Context,
) -> anyhow::Result<BTreeMap<String, Vec<Difference>>> {
    // That no API server answers was told already.
    let Ok(api) = any_api(fleet, inventory, &survey.secrets) else {
        return Ok(BTreeMap::new());
    };
    let outsiders = outside::ask(&api, inventory)?;
    let served = outside::certificates(fleet, &outsiders)?;
    let mut found = BTreeMap::new();
    for outsider in &outsiders {
        context.ui.note(&format!(
            "{} took itself in: its node and what its kubelet serves were looked at, its files were not",
            outsider.name
        ));
        let differences = drift::outsider(outsider, &served, SystemTime::now());
        found.insert(outsider.name.clone(), differences);
    }
    Ok(found)
}

fn compare(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    survey: &Survey,
    context: &Context,
) -> anyhow::Result<BTreeMap<String, Vec<Difference>>> {
    let probes = fleet.each_repeatable("verify", |_| true, |_, connection| Ok(drift::gather(connection)?))?;
    let ranges = match any_api(fleet, inventory, &survey.secrets).and_then(|api| api.nodes()) {
        Ok(nodes) => PodRange::of_nodes(&nodes),
        Err(error) => {
            context.ui.note(&format!(
                "routes are not compared, no API server answers: {error:#}"
            ));
            Vec::new()
        }
    };
    let mut found = BTreeMap::new();
    for host in &inventory.hosts {
        let Some(probe) = probes.get(&host.name) else {
            continue;
        };
        let (desired, facts) = (&survey.desired[&host.name], &survey.facts[&host.name]);
        let differences = drift::differences(inventory, host, desired, facts, probe, &ranges);
        found.insert(host.name.clone(), differences);
    }
    Ok(found)
}
