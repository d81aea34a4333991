use std::net::IpAddr;

use anyhow::Context as _;
use serde_json::json;

use super::{Cluster, join, quorum};
use crate::commands::reset;
use crate::drain::{self, Options};
use crate::fleet::{self, Fleet};
use crate::inventory::Host;
use crate::ssh::Connection;

/// What is known about the host that goes.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// Its address, when it still runs and the fresh host has another one.
    pub old_address: Option<IpAddr>,
    /// Its SSH host key, when no known_hosts file has it.
    pub old_host_key: Option<String>,
    pub drain: Options,
}

/// A fresh host takes over the name and roles of another one, in one operation: also those of the first control
/// plane, and of a host that is gone for ever.
pub fn replace(cluster: &Cluster<'_>, name: &str, replacement: &Replacement) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    let host = cluster.host(name)?;
    let input = json!({ "name": name, "address": host.address });
    let mut operation = state.operation("node replace", &input)?;
    let secrets = cluster.secrets()?;
    let checked = operation.step("check", || {
        ui.phase(state, "check");
        let fleet = Fleet::connect_to(inventory, state, ui, |other| other.name == name)?;
        is_fresh(&fleet, host)?;
        if let Some(address) = replacement.old_address {
            // Known before anything is taken out.
            reach_old(cluster, host, address, replacement)?;
        }
        if inventory.runs_etcd(host) {
            quorum::removal(&cluster.etcd(&fleet, &secrets, name)?.voters, name)?;
        }
        Ok(())
    });
    if let Err(error) = checked {
        // Nothing has been touched; the next command must not be held up.
        operation.abandon()?;
        return Err(error);
    }
    let fleet = Fleet::connect_to(inventory, state, ui, |_| false)?;
    if host.is_node() {
        operation.step("drain", || {
            let Some(old) = replacement.old_address else {
                return Ok(());
            };
            ui.phase(state, "drain");
            ui.note(&format!("the old host is {old}"));
            drain::drain(&cluster.api(&fleet, &secrets, name)?, name, replacement.drain, ui)
        })?;
    }
    if inventory.runs_etcd(host) {
        operation.step("leave etcd", || {
            ui.phase(state, "etcd: leave");
            cluster
                .etcd(&fleet, &secrets, name)?
                .remove(cluster, &fleet, &secrets, name)
        })?;
    }
    operation.step("clean the old host", || match replacement.old_address {
        Some(address) => {
            ui.phase(state, "clean the old host");
            reset::clean(&reach_old(cluster, host, address, replacement)?)
        }
        None => Ok(()),
    })?;
    operation.step("delete the Node", || {
        ui.phase(state, "delete the Node");
        cluster
            .api(&fleet, &secrets, name)?
            .delete(&format!("/api/v1/nodes/{name}"))
    })?;
    operation.step("forget", || {
        let mut record = state.record()?;
        record.etcd_started.retain(|member| member != name);
        record.etcd_initial.remove(name);
        record.generations.remove(name);
        state.save(&record)
    })?;
    join::steps(cluster, host, &mut operation)?;
    operation.finish()?;
    ui.summary(&format!("{name} has been replaced"));
    Ok(())
}

/// The host must have nothing of the cluster: what runs is taken out with `node remove`, not replaced in passing.
fn is_fresh(fleet: &Fleet<'_>, host: &Host) -> anyhow::Result<()> {
    let answers = fleet.each(
        "facts",
        |other| other.name == host.name,
        |_, connection| Ok(crate::facts::gather(connection)?),
    )?;
    let facts = answers
        .get(&host.name)
        .with_context(|| format!("{} was not asked", host.name))?;
    anyhow::ensure!(
        facts.generation.is_empty() && !facts.etcd_data,
        "the host at {} is not fresh: it holds a cluster's configuration or data. Name a fresh host in the inventory, \
         or clean this one",
        host.address
    );
    Ok(())
}

/// A session to the host that goes.
fn reach_old(
    cluster: &Cluster<'_>,
    host: &Host,
    address: IpAddr,
    replacement: &Replacement,
) -> anyhow::Result<Connection> {
    anyhow::ensure!(
        address != host.address,
        "{address} is the fresh host's address; the old one cannot have the same"
    );
    let old = Host {
        address,
        // The pinned key is the fresh host's.
        host_key: replacement.old_host_key.clone(),
        ..host.clone()
    };
    let target = fleet::target(cluster.inventory, cluster.state, &old)?;
    Connection::open(&target).with_context(|| {
        format!("the old host at {address}; leave --old-address out when it is gone, give its key with --old-host-key")
    })
}
