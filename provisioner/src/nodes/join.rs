use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::{Cluster, peer, quorum, settle};
use crate::apply;
use crate::bootstrap;
use crate::desired::Stage;
use crate::etcd::{self, Membership};
use crate::fleet::Fleet;
use crate::inventory::{Host, Role};
use crate::rollout::{Options, Rollout};
use crate::state::{EtcdInitial, Operation};
use crate::survey::survey;

/// A learner catches up within this time, or something is wrong.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Takes a host of the inventory into the cluster. One that is only a worker touches no other host.
pub fn join(cluster: &Cluster<'_>, name: &str) -> anyhow::Result<()> {
    let host = cluster.host(name)?;
    let mut operation = cluster
        .state
        .operation("node join", &json!({ "name": name, "address": host.address }))?;
    steps(cluster, host, &mut operation)?;
    operation.finish()?;
    cluster.ui.summary(&format!("{name} has joined"));
    Ok(())
}

/// The steps that a join and a replacement have in common.
pub(super) fn steps(cluster: &Cluster<'_>, host: &Host, operation: &mut Operation<'_>) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    if inventory.runs_etcd(host) {
        operation.step("announce to etcd", || {
            ui.phase(state, "etcd: announce");
            announce(cluster, host)
        })?;
        operation.step("join etcd", || {
            ui.phase(state, "etcd: join");
            join_etcd(cluster, host)
        })?;
    }
    let alone = !host.has(Role::ControlPlane) && !host.has(Role::LoadBalancer) && !inventory.runs_etcd(host);
    operation.step("host", || {
        if !alone {
            // The others learn of a new API server or member, one after the other.
            return settle(cluster, "node join");
        }
        ui.phase(state, "facts and plan");
        let fleet = Fleet::connect_to(inventory, state, ui, |other| other.name == host.name)?;
        let mut survey = survey(&fleet, inventory, state, false)?;
        bootstrap::preflight(inventory, &survey, ui)?;
        bootstrap::bring(&fleet, inventory, state, ui, &mut survey, "node join")?;
        Ok(())
    })
}

/// Makes the host a learner on paper and writes down how it has to start.
fn announce(cluster: &Cluster<'_>, host: &Host) -> anyhow::Result<()> {
    let fleet = Fleet::connect_to(cluster.inventory, cluster.state, cluster.ui, |_| false)?;
    let secrets = cluster.secrets()?;
    let etcd = cluster.etcd(&fleet, &secrets, &host.name)?;
    let own = peer(host);
    let known = |members: &[Membership]| members.iter().any(|member| member.peers.contains(&own));
    let members = if known(&etcd.members) {
        etcd.members
    } else {
        anyhow::ensure!(
            !etcd.members.iter().any(|member| member.learner),
            "another member is still a learner; let it be promoted, or take it out, first"
        );
        quorum::present(&etcd.voters)?;
        etcd.member.add_learner(host)?;
        etcd.member.members()?
    };
    let parts: Vec<String> = members
        .iter()
        .flat_map(|member| {
            let name = if member.peers.contains(&own) {
                &host.name
            } else {
                &member.name
            };
            member.peers.iter().map(move |peer| format!("{name}={peer}"))
        })
        .collect();
    let mut record = cluster.state.record()?;
    record.etcd_initial.insert(
        host.name.clone(),
        EtcdInitial {
            cluster: parts.join(","),
            existing: true,
        },
    );
    if !record.etcd_members.contains(&host.name) {
        record.etcd_members.push(host.name.clone());
    }
    record.etcd_started.retain(|name| *name != host.name);
    cluster.state.save(&record)
}

/// Starts the member on its host and makes it a voter once it has caught up.
fn join_etcd(cluster: &Cluster<'_>, host: &Host) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    let fleet = Fleet::connect_to(inventory, state, ui, |other| other.name == host.name)?;
    let mut survey = survey(&fleet, inventory, state, false)?;
    bootstrap::preflight(inventory, &survey, ui)?;
    let plan = survey
        .plans
        .get_mut(&host.name)
        .with_context(|| format!("{} was not asked", host.name))?;
    let whole = plan.clone();
    plan.units.retain(|unit| unit.stage == Some(Stage::Host));
    let rollout = Rollout {
        fleet: &fleet,
        inventory,
        state,
        ui,
        options: Options::named("node join"),
    };
    rollout.switch_only(&mut survey)?;
    fleet.each(
        "etcd",
        |_| true,
        |host, connection| {
            ui.host(&host.name, "etcd");
            apply::start(connection, &whole, Stage::Etcd)
        },
    )?;
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let last = match promoted(cluster, &fleet, host) {
            Ok(true) => break,
            Ok(false) => continue,
            Err(error) => error,
        };
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} did not catch up with etcd: {last:#}",
            host.name
        );
        std::thread::sleep(Duration::from_millis(250));
    }
    etcd::wait_healthy(&fleet, host, &survey.secrets, deadline)?;
    let mut record = state.record()?;
    if !record.etcd_started.contains(&host.name) {
        record.etcd_started.push(host.name.clone());
    }
    state.save(&record)
}

/// True when the host votes; asks for it while it is a learner.
fn promoted(cluster: &Cluster<'_>, fleet: &Fleet<'_>, host: &Host) -> anyhow::Result<bool> {
    let secrets = cluster.secrets()?;
    let etcd = cluster.etcd(fleet, &secrets, &host.name)?;
    let own = peer(host);
    let member = etcd
        .members
        .iter()
        .find(|member| member.peers.contains(&own))
        .with_context(|| format!("{} is no member", host.name))?;
    if !member.learner {
        return Ok(true);
    }
    etcd.member.promote(&member.id)?;
    Ok(false)
}
