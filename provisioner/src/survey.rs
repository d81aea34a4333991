//! What `plan`, `bootstrap` and `status` begin with: facts of all hosts, what they should hold, the difference.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::artifacts::{self, Release};
use crate::desired::Desired;
use crate::facts::{self, Facts};
use crate::fleet::Fleet;
use crate::identities::{self, Secrets};
use crate::inventory::Inventory;
use crate::plan::{HostPlan, certificates, plan};
use crate::preflight::{self, Finding};
use crate::render::{self, Cluster};
use crate::state::{Record, State};
use crate::templates::Templates;

/// A snapshot of everything, and what would change.
pub struct Survey {
    pub facts: BTreeMap<String, Facts>,
    pub skew: BTreeMap<String, f64>,
    pub release: Release,
    pub secrets: Secrets,
    pub templates: Templates,
    pub desired: BTreeMap<String, Desired>,
    pub plans: BTreeMap<String, HostPlan>,
    pub record: Record,
}

/// Facts of all connected hosts, with each clock's distance from this machine's in seconds.
pub fn ask(fleet: &Fleet<'_>) -> anyhow::Result<(BTreeMap<String, Facts>, BTreeMap<String, f64>)> {
    let answers = fleet.each_repeatable(
        "facts",
        |_| true,
        |_, connection| {
            let before = seconds_now();
            let facts = facts::gather(connection)?;
            // The clock is the first thing the script reads.
            let skew = facts.time - before;
            Ok((facts, skew))
        },
    )?;
    let skew = answers
        .iter()
        .map(|(host, (_, skew))| (host.clone(), *skew))
        .collect();
    Ok((
        answers
            .into_iter()
            .map(|(host, (facts, _))| (host, facts))
            .collect(),
        skew,
    ))
}

fn seconds_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Compares all hosts with what they should be. With `dry`, no key is written.
pub fn survey(fleet: &Fleet<'_>, inventory: &Inventory, state: &State, dry: bool) -> anyhow::Result<Survey> {
    let (facts, skew) = ask(fleet)?;
    compare(facts, skew, inventory, state, dry)
}

/// The comparison alone, with facts that were asked for before.
pub fn compare(
    facts: BTreeMap<String, Facts>,
    skew: BTreeMap<String, f64>,
    inventory: &Inventory,
    state: &State,
    dry: bool,
) -> anyhow::Result<Survey> {
    let record = state.record()?;
    let release = artifacts::collect(binaries(inventory, &record), state)?;
    let secrets = identities::prepare(inventory, state, SystemTime::now(), dry)?;
    let templates = Templates::load()?;
    let cluster = Cluster {
        inventory,
        secrets: &secrets,
        release: &release,
        templates: &templates,
        record: &record,
    };
    let mut desired = BTreeMap::new();
    let mut plans = BTreeMap::new();
    for host in &inventory.hosts {
        let Some(found) = facts.get(&host.name) else {
            continue;
        };
        let wanted =
            render::desired(&cluster, host, found).with_context(|| format!("rendering {}", host.name))?;
        let recorded = record.generations.get(&host.name).copied().unwrap_or_default();
        let mut changes = plan(&host.name, &wanted, found, recorded);
        changes.certificates = certificates(&host.name, &wanted, &changes, &secrets);
        plans.insert(host.name.clone(), changes);
        desired.insert(host.name.clone(), wanted);
    }
    Ok(Survey {
        facts,
        skew,
        release,
        secrets,
        templates,
        desired,
        plans,
        record,
    })
}

/// The folder that the release comes from: the inventory's, or an upgrade's that the inventory does not know of yet.
pub fn binaries<'a>(inventory: &'a Inventory, record: &'a Record) -> Option<&'a Path> {
    let upgraded = record
        .release
        .as_ref()
        .filter(|upgraded| upgraded.instead_of == inventory.release.binaries);
    upgraded
        .map(|upgraded| upgraded.binaries.as_path())
        .or(inventory.release.binaries.as_deref())
}

impl Survey {
    /// The same comparison again, now with keys that are written.
    pub fn issued(self, inventory: &Inventory, state: &State) -> anyhow::Result<Survey> {
        compare(self.facts, self.skew, inventory, state, false)
    }

    /// The comparison again, with facts that were corrected.
    pub fn with_facts(
        self,
        facts: BTreeMap<String, Facts>,
        inventory: &Inventory,
        state: &State,
        dry: bool,
    ) -> anyhow::Result<Survey> {
        compare(facts, self.skew, inventory, state, dry)
    }

    /// What stands in the way of a bootstrap.
    pub fn preflight(&self, inventory: &Inventory) -> Vec<Finding> {
        let mut findings = preflight::check(inventory, &self.facts, &self.plans, &self.skew);
        findings.extend(crate::etcd::check(inventory, &self.record, &self.facts));
        findings
    }
}
