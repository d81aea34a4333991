use serde_json::json;

use super::{Context, Outcome};
use crate::fleet::Fleet;
use crate::smoke;
use crate::survey::survey;

/// Try what a cluster is for: Secrets, Deployments, logs, exec, port-forward, Services, DNS, every pair of nodes.
#[derive(clap::Args)]
pub struct Arguments {}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.open("smoke")?;
        let fleet = Fleet::connect(&inventory, &state, &context.ui)?;
        let survey = survey(&fleet, &inventory, &state, true)?;
        let tried = smoke::run(&fleet, &inventory, &state, &survey, &context.ui)?;
        let failed = tried.iter().filter(|one| one.error.is_some()).count();
        let mut text = String::new();
        for one in &tried {
            let (mark, seen) = match &one.error {
                None => ("ok", one.seen.as_str()),
                Some(error) => ("FAILED", error.as_str()),
            };
            text.push_str(&format!(
                "{mark:<7} {:<32} {:>6} ms  {seen}\n",
                one.name, one.milliseconds
            ));
        }
        context.answer(&json!({ "failed": failed, "checks": tried }), &text);
        anyhow::ensure!(failed == 0, "{failed} of {} checks failed", tried.len());
        Ok(Outcome::Done)
    }
}
