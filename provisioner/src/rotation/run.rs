//! Takes a cluster through the stages. Each one may be cut anywhere: the next run reaches it again and goes on.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::json;

use super::gates::{self, Seen};
use super::{Gate, Rotation, Stage, Step, Subject, begin, steps, steps_back, turn_back};
use crate::bootstrap;
use crate::fleet::Fleet;
use crate::identities;
use crate::inventory::Inventory;
use crate::outside;
use crate::plan::{Action, UnitChange};
use crate::rollout::any_api;
use crate::state::{Operation, State};
use crate::survey::survey;
use crate::ui::Ui;

const COMMAND: &str = "certs rotate";
const PROMOTE: &str = "promote";

/// What the operator asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Empty: leaves, or what is under way.
    pub subjects: BTreeSet<Subject>,
    /// Lifetime of new leaves; the profile's when not given.
    pub lifetime: Option<Duration>,
    /// How long clients may keep a token that they have read.
    pub settle: Duration,
}

/// Begins a rotation, or goes on with the one that was interrupted, and takes it to its end.
pub fn rotate(inventory: &Inventory, state: &State, ui: &Ui, options: &Options) -> anyhow::Result<()> {
    let mut record = state.record()?;
    let rotation = begin(
        record.rotation.as_ref(),
        &options.subjects,
        seconds_now(),
        options.lifetime.map(|lifetime| lifetime.as_secs()),
    )?;
    if record.rotation.is_none() {
        anyhow::ensure!(
            !record.generations.is_empty(),
            "this cluster has not been bootstrapped, so there is nothing to rotate; run hardway bootstrap"
        );
        // Before anything is begun that would have to be finished.
        ui.phase(state, "connect");
        Fleet::connect(inventory, state, ui)?.each("connect", |_| true, |_, _| Ok(()))?;
        if rotation.subjects.contains(&Subject::KubernetesCa) {
            nobody_is_left_behind(inventory, state, ui)?;
        }
    }
    let mut operation = operation(state, &rotation)?;
    let all = steps(&rotation.subjects, None);
    let ended = all.iter().all(|step| operation.is_done(step.stage.name()));
    if record.rotation.is_none() && ended && operation.is_resumed() {
        // Only the last lines were missing.
        identities::clean(state)?;
        return operation.finish();
    }
    if record.rotation.is_none() {
        identities::clean(state)?;
    }
    let mut rotation = rotation;
    for step in &all {
        if operation.is_done(step.stage.name()) {
            continue;
        }
        rotation.stage = step.stage;
        record.rotation = Some(rotation.clone());
        state.save(&record)?;
        operation.step(step.stage.name(), || {
            reach(inventory, state, ui, step, options.settle)
        })?;
        record = state.record()?;
    }
    if rotation.subjects != BTreeSet::from([Subject::Leaves]) {
        operation.step(PROMOTE, || identities::promote(state, &rotation))?;
    }
    record.rotation = None;
    state.save(&record)?;
    identities::clean(state)?;
    operation.finish()?;
    ui.summary(&format!("rotated: {}", names(&rotation)));
    Ok(())
}

/// Nodes that took themselves in would not learn of a new authority, and would lose the cluster.
fn nobody_is_left_behind(inventory: &Inventory, state: &State, ui: &Ui) -> anyhow::Result<()> {
    let fleet = Fleet::connect_to(inventory, state, ui, |_| false)?;
    let secrets = identities::prepare(inventory, state, SystemTime::now(), true)?;
    let outsiders = outside::ask(&any_api(&fleet, inventory, &secrets)?, inventory)?;
    let names: Vec<&str> = outsiders.iter().map(|outsider| outsider.name.as_str()).collect();
    anyhow::ensure!(
        names.is_empty(),
        "{} took themselves in with a token, and SSH does not reach them to bring a new authority: take them out with \
         hardway node remove, and in again afterwards; nothing was changed",
        names.join(", ")
    );
    Ok(())
}

/// Goes back to what was before the rotation that is under way.
pub fn abort(inventory: &Inventory, state: &State, ui: &Ui, settle: Duration) -> anyhow::Result<()> {
    let mut record = state.record()?;
    let Some(present) = record.rotation.clone() else {
        // It was cut off before or after everything that matters.
        if let Some(open) = state.unfinished()?.filter(|open| open.command == COMMAND) {
            identities::clean(state)?;
            state.resume(open).abandon()?;
            ui.summary("nothing had been changed");
            return Ok(());
        }
        return Err(super::Refused::Nothing.into());
    };
    let mut rotation = if present.aborting {
        present
    } else {
        turn_back(Some(&present))?
    };
    if !rotation.returned {
        let back = steps_back(&rotation.subjects, rotation.stage).unwrap_or_default();
        record.rotation = Some(rotation.clone());
        state.save(&record)?;
        for step in &back {
            reach(inventory, state, ui, step, settle)?;
        }
        record = state.record()?;
        rotation.returned = true;
        record.rotation = Some(rotation.clone());
        state.save(&record)?;
    }
    let last = Step {
        stage: Stage::Trust,
        gates: steps(&rotation.subjects, Some(Stage::Drop))
            .pop()
            .map(|step| step.gates)
            .unwrap_or_default(),
    };
    reach(inventory, state, ui, &last, settle)?;
    identities::withdraw(state, &rotation)?;
    record = state.record()?;
    record.rotation = None;
    state.save(&record)?;
    if let Some(open) = state.unfinished()?.filter(|open| open.command == COMMAND) {
        state.resume(open).abandon()?;
    }
    ui.summary(&format!("went back; as before: {}", names(&rotation)));
    Ok(())
}

/// Everything has expired and the API is dead: new leaves, and authorities where those have expired too, put on the
/// hosts over SSH, and every daemon started again.
pub fn rescue(inventory: &Inventory, state: &State, ui: &Ui) -> anyhow::Result<()> {
    let now = SystemTime::now();
    for replaced in identities::replace_expired(inventory, state, now)? {
        ui.note(&format!("{replaced} had expired and was replaced"));
    }
    ui.phase(state, "connect");
    let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, ui)?;
    for failure in &unreachable {
        ui.error(Some(&failure.host), "connect", &failure.reason);
    }
    enough_members(inventory, &fleet)?;
    ui.phase(state, "facts and new certificates");
    let mut survey = survey(&fleet, inventory, state, false)?;
    ui.note(&format!(
        "{} certificates were issued",
        survey.secrets.issued.len()
    ));
    for (name, plan) in &mut survey.plans {
        // All at once: a member that waits for the others' new certificates must not be waited for.
        let units = survey.desired[name].units.iter();
        let kept = plan
            .units
            .iter()
            .filter(|unit| unit.action == Action::Stop)
            .cloned();
        plan.units = kept
            .chain(units.map(|unit| UnitChange {
                name: unit.name.to_owned(),
                action: Action::Start,
                stage: Some(unit.stage),
            }))
            .collect();
    }
    bootstrap::bring(&fleet, inventory, state, ui, &mut survey, "certs rescue")?;
    ui.phase(state, "live probes");
    let seen = Seen {
        fleet: &fleet,
        inventory,
        survey: &survey,
        settle: Duration::ZERO,
    };
    for gate in [Gate::EtcdHealthy, Gate::ApiServersReady, Gate::ServedCertificates] {
        gates::pass(&seen, gate)?;
    }
    ui.summary("rescued");
    Ok(())
}

/// Without a majority of etcd's members nothing can be brought back.
fn enough_members(inventory: &Inventory, fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let members = inventory.etcd_members();
    let reached = members.iter().filter(|host| fleet.is_connected(host)).count();
    anyhow::ensure!(
        reached * 2 > members.len(),
        "only {reached} of etcd's {} members can be reached; a majority is needed: bring more of them up, or restore a \
         snapshot with hardway etcd restore",
        members.len()
    );
    Ok(())
}

fn operation<'s>(state: &'s State, rotation: &Rotation) -> anyhow::Result<Operation<'s>> {
    state.operation(COMMAND, &json!({ "subjects": rotation.subjects }))
}

/// Brings all hosts to what the present stage says, then waits until it can be seen.
fn reach(inventory: &Inventory, state: &State, ui: &Ui, step: &Step, settle: Duration) -> anyhow::Result<()> {
    let stage = step.stage.name();
    ui.phase(state, &format!("{stage}: connect"));
    let fleet = Fleet::connect(inventory, state, ui)?;
    ui.phase(state, &format!("{stage}: facts and plan"));
    let mut survey = survey(&fleet, inventory, state, false)?;
    bootstrap::preflight(inventory, &survey, ui)?;
    let cause = format!("certs rotate, {stage}");
    bootstrap::bring(&fleet, inventory, state, ui, &mut survey, &cause)
        .with_context(|| format!("in stage {stage}"))?;
    let seen = Seen {
        fleet: &fleet,
        inventory,
        survey: &survey,
        settle,
    };
    for gate in &step.gates {
        ui.phase(state, &format!("{stage}: {}", gates::describe(*gate)));
        gates::pass(&seen, *gate).with_context(|| format!("in stage {stage}"))?;
    }
    Ok(())
}

fn names(rotation: &Rotation) -> String {
    super::names(&rotation.subjects)
}

fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
