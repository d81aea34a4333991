//! A snapshot becomes the cluster's data, on the same hosts or on fresh ones.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::snapshot;
use crate::bootstrap;
use crate::desired::Stage;
use crate::fleet::Fleet;
use crate::inventory::{Host, Inventory, Role, host_port};
use crate::render::initial_cluster;
use crate::rollout::{Options, Rollout};
use crate::ssh::Connection;
use crate::state::{EtcdInitial, State};
use crate::survey::survey;
use crate::ui::Ui;

const SCRIPT: &str = include_str!("../../../templates/scripts/etcd-restore.sh");

/// Replaces all members' data with the snapshot. What they held is kept beside it on each host.
/// A run that was cut off is finished by the same command.
pub fn restore(inventory: &Inventory, state: &State, ui: &Ui, path: &Path) -> anyhow::Result<()> {
    let checked = snapshot::verify(path)?;
    ui.phase(state, "connect");
    let fleet = Fleet::connect(inventory, state, ui)?;
    // Also of a run that goes on in the middle: nothing more is stopped or replaced while a host is out of reach.
    fleet.each("connect", |_| true, |_, _| Ok(()))?;
    let mut operation = state.operation("etcd restore", &json!({ "sha256": checked.sha256 }))?;
    operation.step("prepare", || prepare(&fleet, inventory, state, ui))?;
    operation.step("stop", || {
        ui.phase(state, "stop");
        stop(&fleet, inventory, ui)
    })?;
    operation.step("data", || {
        ui.phase(state, "data");
        fleet.each(
            "data",
            |host| inventory.runs_etcd(host),
            |host, connection| member(inventory, host, connection, path, &checked.sha256),
        )?;
        Ok(())
    })?;
    operation.step("start", || {
        let mut survey = survey(&fleet, inventory, state, false)?;
        bootstrap::preflight(inventory, &survey, ui)?;
        bootstrap::bring(&fleet, inventory, state, ui, &mut survey, "etcd restore")?;
        Ok(())
    })?;
    operation.step("clients", || {
        ui.phase(state, "clients of the API");
        again(&fleet)
    })?;
    operation.finish()?;
    ui.summary("restored");
    Ok(())
}

/// Hosts that are fresh get what they need, etcd excepted; the record forgets the members that were.
fn prepare(fleet: &Fleet<'_>, inventory: &Inventory, state: &State, ui: &Ui) -> anyhow::Result<()> {
    let members: Vec<String> = inventory
        .etcd_members()
        .iter()
        .map(|host| host.name.clone())
        .collect();
    let mut record = state.record()?;
    record.etcd_members = members.clone();
    record.etcd_started.clear();
    let initial = EtcdInitial {
        cluster: initial_cluster(inventory),
        existing: false,
    };
    record.etcd_initial = members.into_iter().map(|name| (name, initial.clone())).collect();
    state.save(&record)?;
    let mut survey = survey(fleet, inventory, state, false)?;
    bootstrap::preflight(inventory, &survey, ui)?;
    for plan in survey.plans.values_mut() {
        plan.units.retain(|unit| unit.stage == Some(Stage::Host));
    }
    Rollout {
        fleet,
        inventory,
        state,
        ui,
        options: Options::named("etcd restore"),
    }
    .switch_only(&mut survey)
}

/// Nobody may write while the data is replaced.
fn stop(fleet: &Fleet<'_>, inventory: &Inventory, ui: &Ui) -> anyhow::Result<()> {
    for (role, units) in [
        (
            true,
            "kube-apiserver.service kube-controller-manager.service kube-scheduler.service",
        ),
        (false, "etcd.service"),
    ] {
        fleet.each(
            "stop",
            |host| {
                if role {
                    host.has(Role::ControlPlane)
                } else {
                    inventory.runs_etcd(host)
                }
            },
            |host, connection| {
                ui.host(&host.name, "stop");
                connection.script(
                    "stopping the control plane",
                    &format!(
                        "for unit in {units}; do systemctl stop \"$unit\" 2>/dev/null; \
                         ! systemctl is-active --quiet \"$unit\" || exit 1; done"
                    ),
                )?;
                Ok(())
            },
        )?;
    }
    Ok(())
}

fn member(
    inventory: &Inventory,
    host: &Host,
    connection: &Connection,
    path: &Path,
    sha256: &str,
) -> anyhow::Result<()> {
    let script = SCRIPT
        .replace("@SHA256@", sha256)
        .replace("@NAME@", &host.name)
        .replace("@CLUSTER@", &initial_cluster(inventory))
        .replace("@TOKEN@", &inventory.cluster.name)
        .replace("@PEER@", &format!("https://{}", host_port(host.address, 2380)));
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    connection.check("restoring the snapshot", &script, &mut file, &|_| {})?;
    Ok(())
}

/// What has seen later objects than those that are there now begins anew; containers keep running.
fn again(fleet: &Fleet<'_>) -> anyhow::Result<()> {
    let units = "kube-controller-manager kube-scheduler kubelet kube-proxy pod-network";
    fleet.each(
        "clients of the API",
        |host| host.is_node(),
        |_, connection| {
            connection.script(
                "starting the clients again",
                &format!(
                    "for unit in {units}; do systemctl cat \"$unit.service\" >/dev/null 2>&1 || continue; \
                     systemctl try-restart \"$unit.service\" || exit 1; done"
                ),
            )?;
            Ok(())
        },
    )?;
    Ok(())
}
