use std::time::{Duration, SystemTime};

use super::{Context, Outcome};
use crate::certs;

/// List every certificate on every host: in files, in kubeconfigs, and as processes serve them.
///
/// Exit code 3 when one has expired or expires within --warn-days, when a process still serves one that has been
/// renewed on disk, or when a host cannot be asked.
#[derive(clap::Args)]
pub struct Arguments {
    /// Less than this left is a finding.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    warn_days: u64,
    /// Print metrics for node_exporter's textfile collector.
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let warn = Duration::from_secs(self.warn_days.saturating_mul(86_400));
        let collected = certs::collect(&inventory, &context.peek(), &context.ui, warn)?;
        let now = SystemTime::now();
        if self.prometheus {
            context.ui.print(&certs::prometheus(&collected));
        } else {
            context.answer(&certs::json(&collected, now), &certs::table(&collected, now));
        }
        let found = collected.rows.iter().any(|row| !row.findings.is_empty());
        Ok(Outcome::differs_if(found || !collected.unreachable.is_empty()))
    }
}
