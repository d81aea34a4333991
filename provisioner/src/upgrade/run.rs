use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::api::{self, Api};
use crate::bootstrap::carry_out;
use crate::drain;
use crate::fleet::Fleet;
use crate::identities::{self, Secrets};
use crate::inventory::{Host, Inventory};
use crate::plan::Scope;
use crate::rollout::{Batch, Options, Rollout, any_api};
use crate::state::{Operation, State, UpgradedRelease};
use crate::survey::Survey;
use crate::ui::Ui;

/// How gently an upgrade goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Workers that are upgraded at the same time.
    pub batch: Batch,
    /// Pods stay on their nodes while those are upgraded.
    pub in_place: bool,
    /// How long disruption budgets may hold a node up, and whether pods that nobody makes again are ended.
    pub drain: drain::Options,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch: Batch::Count(1),
            in_place: false,
            drain: drain::Options {
                timeout: Duration::from_secs(300),
                force: false,
            },
        }
    }
}

/// An upgrade, or the way back from one.
pub struct Upgrade<'a> {
    pub fleet: &'a Fleet<'a>,
    pub inventory: &'a Inventory,
    pub state: &'a State,
    pub ui: &'a Ui,
    pub limits: Limits,
    pub cause: &'static str,
}

impl Upgrade<'_> {
    /// Brings every host to what the survey says, node after node emptied before and filled again after. A second
    /// run goes on where the first one stopped.
    pub fn run(&self, survey: &mut Survey, operation: &mut Operation<'_>) -> anyhow::Result<usize> {
        let secrets = identities::prepare(self.inventory, self.state, SystemTime::now(), true)?;
        // Several workers may be on their way at the same time.
        let steps = Mutex::new(&mut *operation);
        let before = |host: &Host| self.empty(&secrets, host, &steps);
        let after = |host: &Host| self.fill(&secrets, host, &steps);
        let rollout = Rollout {
            fleet: self.fleet,
            inventory: self.inventory,
            state: self.state,
            ui: self.ui,
            options: Options {
                batch: self.limits.batch,
                cause: self.cause.to_owned(),
                before: &before,
                after: &after,
            },
        };
        let changes = carry_out(&rollout, survey, &Scope::default())?;
        // Nodes that an interrupted run had emptied and whose hosts needed nothing more.
        for host in self.inventory.nodes() {
            self.fill(&secrets, host, &steps)?;
        }
        Ok(changes)
    }

    fn empty(&self, secrets: &Secrets, host: &Host, steps: &Mutex<&mut Operation<'_>>) -> anyhow::Result<()> {
        if self.limits.in_place || !host.is_node() {
            return Ok(());
        }
        let api = any_api(self.fleet, self.inventory, secrets)?;
        if !has_refuge(&api, &host.name)? {
            self.ui.note(&format!(
                "{}: no other node takes pods; they stay while it is upgraded",
                host.name
            ));
            return Ok(());
        }
        let path = format!("/api/v1/nodes/{}", host.name);
        if api.get(&path)?["spec"]["unschedulable"] != true {
            // Recorded first: a node that is found cordoned and is not recorded was cordoned by the operator.
            steps
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .step(&cordoned(&host.name), || Ok(()))?;
        }
        self.ui.host(&host.name, "drain");
        drain::drain(&api, &host.name, self.limits.drain, self.ui).or_else(|error| {
            self.fill(secrets, host, steps)?;
            Err(error)
        })
    }

    /// Lets pods come again, unless the operator had kept them away before.
    fn fill(&self, secrets: &Secrets, host: &Host, steps: &Mutex<&mut Operation<'_>>) -> anyhow::Result<()> {
        let ours = steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_done(&cordoned(&host.name));
        if ours {
            let api = any_api(self.fleet, self.inventory, secrets)?;
            drain::cordon(&api, &host.name, false)?;
        }
        Ok(())
    }

    /// From now on the release is `binaries`, until the inventory names another folder.
    pub fn record(&self, binaries: &Path, instead_of: Option<PathBuf>) -> anyhow::Result<()> {
        let mut record = self.state.record()?;
        record.release = (instead_of.as_deref() != Some(binaries)).then(|| UpgradedRelease {
            binaries: binaries.to_owned(),
            instead_of,
        });
        self.state.save(&record)
    }
}

fn cordoned(node: &str) -> String {
    format!("cordoned {node}")
}

/// Whether pods of a node can go elsewhere.
fn has_refuge(api: &Api, node: &str) -> anyhow::Result<bool> {
    Ok(api.nodes()?.iter().any(|other| {
        let taints = other["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let open = taints.iter().all(|taint| taint["effect"] == "PreferNoSchedule");
        other["metadata"]["name"] != node
            && other["spec"]["unschedulable"] != true
            && open
            && api::is_ready(other)
    }))
}
