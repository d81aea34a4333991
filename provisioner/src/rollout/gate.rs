use std::time::{Duration, Instant};

use http::StatusCode;

use crate::api::{self, Api};
use crate::apply;
use crate::bootstrap::connect;
use crate::etcd::Member;
use crate::fleet::Fleet;
use crate::identities::Secrets;
use crate::inventory::{Host, Inventory, Role};
use crate::ports::ports;
use crate::shell::Shell;
use crate::ssh::Connection;
use crate::survey::Survey;

/// A daemon that is not up after this long does not come up by waiting.
const LIMIT: Duration = Duration::from_secs(60);

pub fn deadline() -> Instant {
    Instant::now() + LIMIT
}

/// Waits until a host does all that it should: units, ports, its etcd member, its API server, its node.
pub fn host(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    survey: &Survey,
    host: &Host,
    units: &[String],
    connection: &Connection,
) -> anyhow::Result<()> {
    fleet.ui.host(&host.name, "health");
    local(inventory, host, units, connection)?;
    let deadline = deadline();
    if inventory.runs_etcd(host) {
        let healthy = || etcd_member(fleet, &survey.secrets, host).map(Some);
        api::wait("the etcd member is healthy", deadline, healthy)?;
    }
    let server = if host.has(Role::ControlPlane) {
        let server = connect(fleet, host, &survey.secrets)?;
        server.wait_ready(deadline)?;
        Some(server)
    } else {
        None
    };
    if host.is_node() {
        let server = match server {
            Some(server) => server,
            None => any_api(fleet, inventory, &survey.secrets)?,
        };
        let path = format!("/api/v1/nodes/{}", host.name);
        api::wait("the node is ready", deadline, || {
            Ok(api::is_ready(&server.get(&path)?).then_some(()))
        })?;
    }
    Ok(())
}

/// These units run, keep running and listen; asked on the host itself.
pub fn local(
    inventory: &Inventory,
    host: &Host,
    units: &[String],
    connection: &dyn Shell,
) -> anyhow::Result<()> {
    let names: Vec<&str> = units.iter().map(String::as_str).collect();
    let numbers: Vec<u16> = ports(inventory, host)
        .iter()
        .filter(|port| units.contains(&port.unit()))
        .map(|port| port.number)
        .collect();
    apply::wait_up(connection, &names, &numbers, LIMIT)
}

/// Asks one etcd member for its health; it needs a leader and quorum to call itself healthy.
pub fn etcd_member(fleet: &Fleet<'_>, secrets: &Secrets, host: &Host) -> anyhow::Result<()> {
    let healthy = Member::connect(fleet, host, secrets)?.is_healthy()?;
    anyhow::ensure!(healthy, "etcd is not healthy");
    Ok(())
}

/// Refuses to interrupt a member of etcd when the others would not be enough.
pub fn others_hold_quorum(
    fleet: &Fleet<'_>,
    inventory: &Inventory,
    survey: &Survey,
    host: &Host,
) -> anyhow::Result<()> {
    let members = inventory.etcd_members();
    if members.len() < 2 {
        // A single member has no others; that its restart interrupts is said in the plan.
        return Ok(());
    }
    let quorum = members.len() / 2 + 1;
    let mut sick = Vec::new();
    for other in members.iter().filter(|other| other.name != host.name) {
        if let Err(error) = etcd_member(fleet, &survey.secrets, other) {
            sick.push(format!("{}: {error:#}", other.name));
        }
    }
    let left = members.len() - 1 - sick.len();
    anyhow::ensure!(
        left >= quorum,
        "without this member etcd would have {left} of {} members, {quorum} are needed ({}); bring them up first",
        members.len(),
        sick.join("; ")
    );
    Ok(())
}

/// The first API server that answers.
pub fn any_api(fleet: &Fleet<'_>, inventory: &Inventory, secrets: &Secrets) -> anyhow::Result<Api> {
    let mut last = anyhow::anyhow!("the inventory has no control plane");
    for host in inventory.control_planes() {
        match connect(fleet, host, secrets).and_then(|api| api.get("/version").map(|_| api)) {
            Ok(api) => return Ok(api),
            // It answers, though this path is not to be had yet.
            Err(error) if api::is_status(&error, StatusCode::FORBIDDEN) => {
                return connect(fleet, host, secrets);
            }
            Err(error) => last = error.context(format!("the API server of {} does not answer", host.name)),
        }
    }
    Err(last)
}
