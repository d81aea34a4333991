mod diffs;
mod text;

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Outcome};
use crate::bootstrap::pending_objects;
use crate::fleet::Fleet;
use crate::inventory::Inventory;
use crate::plan::{SavedPlan, Scope};
use crate::rollout::{Batch, any_api, waves};
use crate::survey::{Survey, survey};

pub use diffs::FileDiff;
pub use text::{host_text, order_text};

/// Show what would change, host by host; exit code 3 when there is something to do. Changes nothing.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    scope: Scope,
    /// Write the plan to a file, for hardway apply.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Name the files that change without showing how.
    #[arg(long)]
    brief: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        self.scope.check(&inventory)?;
        let state = context.open("plan")?;
        let fleet = Fleet::connect_to(&inventory, &state, &context.ui, |host| self.scope.covers(host))?;
        let survey = survey(&fleet, &inventory, &state, true)?;
        let plan = make(&fleet, &inventory, &survey, &self.scope);
        if let Some(path) = &self.out {
            plan.write(path)?;
        }
        let diffs = if self.brief {
            Default::default()
        } else {
            diffs::collect(&fleet, &survey)?
        };
        let findings = survey.preflight(&inventory);
        let order = waves(&inventory, &survey.plans, Batch::default());
        let nothing = is_nothing(&plan);
        if context.json {
            let hosts: Vec<_> = survey
                .plans
                .values()
                .map(|plan| json!({ "plan": plan, "diffs": diffs.get(&plan.host) }))
                .collect();
            let problems: Vec<_> = findings
                .iter()
                .map(|finding| json!({ "host": finding.host, "text": finding.text }))
                .collect();
            let report = json!({
                "hosts": hosts,
                "objects": plan.objects,
                "order": order.iter().map(text::wave).collect::<Vec<_>>(),
                "problems": problems,
            });
            context.ui.print(&format!("{report}\n"));
            return Ok(Outcome::differs_if(!nothing));
        }
        let members = inventory.etcd_members().len();
        for (host, plan) in &survey.plans {
            let shown = diffs.get(host).map(Vec::as_slice).unwrap_or_default();
            context
                .ui
                .print(&host_text(plan, &survey.facts[host].generation, shown, members));
        }
        for object in plan.objects.iter().flatten() {
            context.ui.print(&format!("api\n  ~ {object}\n"));
        }
        context.ui.print(&order_text(&order, &survey.plans));
        if nothing {
            context.ui.print("nothing to change\n");
        }
        for finding in &findings {
            context
                .ui
                .print(&format!("preflight: {}: {}\n", finding.host, finding.text));
        }
        if let Some(path) = &self.out {
            context.ui.print(&format!(
                "the plan is in {}; hardway apply {} carries it out\n",
                path.display(),
                path.display()
            ));
        }
        Ok(Outcome::differs_if(!nothing))
    }
}

/// What would be done now.
pub fn make(fleet: &Fleet<'_>, inventory: &Inventory, survey: &Survey, scope: &Scope) -> SavedPlan {
    let up = survey
        .facts
        .values()
        .any(|facts| facts.unit("kube-apiserver.service").state == "active");
    let asks_elsewhere = !scope.is_everything();
    let objects = (up || asks_elsewhere)
        .then(|| {
            any_api(fleet, inventory, &survey.secrets)
                .and_then(|api| pending_objects(inventory, survey, &api, scope))
        })
        .and_then(|pending| pending.ok());
    SavedPlan::new(&inventory.cluster.name, scope, survey.plans.clone(), objects)
}

pub fn is_nothing(plan: &SavedPlan) -> bool {
    plan.hosts.values().all(crate::plan::HostPlan::is_empty) && plan.objects.iter().flatten().next().is_none()
}
