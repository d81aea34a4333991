use anyhow::Context as _;
use serde_json::json;

use super::{Cluster, edit, quorum, settle};
use crate::commands::reset;
use crate::drain::{self, Options};
use crate::fleet::Fleet;
use crate::inventory::{Host, Inventory, Role};
use crate::state::write_file;

/// Takes a host out: its pods, its etcd member, what hardway put on it, its Node, its table in the inventory.
/// One that cannot be reached is taken out as well; what is on it stays there.
pub fn remove(cluster: &Cluster<'_>, name: &str, options: Options) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    let host = cluster.host(name)?;
    let left = inventory
        .control_planes()
        .filter(|other| other.name != name)
        .count();
    anyhow::ensure!(
        left > 0,
        "{name} is the only control plane; hardway reset removes the whole cluster"
    );
    let text = std::fs::read_to_string(&inventory.path)
        .with_context(|| format!("cannot read {}", inventory.path.display()))?;
    let remaining = edit::without_host(&text, name).with_context(|| {
        format!(
            "{} has no [[hosts]] table for {name} alone; write one, so that it can be taken out",
            inventory.path.display()
        )
    })?;
    let fleet = reach(cluster, host)?;
    let secrets = cluster.secrets()?;
    if inventory.runs_etcd(host) {
        let etcd = cluster.etcd(&fleet, &secrets, name)?;
        if etcd.named(name).is_some_and(|member| !member.learner) {
            quorum::removal(&etcd.voters, name)?;
        }
    }
    // What is left must be a whole inventory.
    let after = Inventory::parse(&inventory.path, &remaining)?;
    let mut operation = state.operation("node remove", &json!({ "name": name }))?;
    if host.is_node() {
        operation.step("drain", || {
            if !fleet.is_connected(host) {
                ui.note(&format!(
                    "{name} cannot be reached, so its pods are not asked to leave"
                ));
                return Ok(());
            }
            ui.phase(state, "drain");
            drain::drain(&cluster.api(&fleet, &secrets, name)?, name, options, ui)
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
    operation.step("clean", || {
        ui.phase(state, "clean");
        clean(&fleet, host)
    })?;
    operation.step("delete the Node", || {
        ui.phase(state, "delete the Node");
        cluster
            .api(&fleet, &secrets, name)?
            .delete(&format!("/api/v1/nodes/{name}"))
    })?;
    operation.step("forget", || {
        let mut record = state.record()?;
        record.etcd_members.retain(|member| member != name);
        record.etcd_started.retain(|member| member != name);
        record.etcd_initial.remove(name);
        record.generations.remove(name);
        state.save(&record)
    })?;
    if host.has(Role::ControlPlane) || host.has(Role::LoadBalancer) || inventory.runs_etcd(host) {
        operation.step("others", || {
            let others = Cluster {
                inventory: &after,
                ..*cluster
            };
            settle(&others, "node remove")
        })?;
    }
    // The last: until here the same command finishes what was cut off.
    write_file(&inventory.path, remaining.as_bytes(), 0o644)?;
    remove_leaves(cluster, name)?;
    operation.finish()?;
    ui.summary(&format!("{name} is out, of {} too", inventory.path.display()));
    Ok(())
}

/// Sessions to the host, if it answers.
fn reach<'a>(cluster: &Cluster<'a>, host: &Host) -> anyhow::Result<Fleet<'a>> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    let fleet = Fleet::connect_to(inventory, state, ui, |other| other.name == host.name)?;
    // A session is opened with the first work; whether there is one decides what is asked of the host.
    match fleet.each("connect", |_| true, |_, _| Ok(())) {
        Ok(_) => Ok(fleet),
        Err(_) => Fleet::connect_to(inventory, state, ui, |_| false),
    }
}

fn clean(fleet: &Fleet<'_>, host: &Host) -> anyhow::Result<()> {
    fleet.each(
        "clean",
        |other| other.name == host.name,
        |_, connection| reset::clean(connection),
    )?;
    Ok(())
}

/// Keys that nobody needs any more open nothing.
fn remove_leaves(cluster: &Cluster<'_>, name: &str) -> anyhow::Result<()> {
    let folder = cluster.state.folder().join("pki/leaves").join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::state::{State, Unlock};
    use crate::ui::{Format, Ui};

    #[test]
    fn a_host_that_cannot_be_reached_is_not_asked_for_anything() {
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let text = format!(
            "[cluster]\nname = \"one\"\n[ssh]\nuser = \"root\"\nport = {closed}\n[[hosts]]\nname = \"cp-1\"\n\
             address = \"127.0.0.1\"\nroles = [\"control-plane\"]\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts.toml");
        let inventory = Inventory::parse(&path, &text).unwrap();
        let state = State::peek(&path, &Unlock::default());
        let ui = Ui::new(Format::Json);
        let cluster = Cluster {
            inventory: &inventory,
            state: &state,
            ui: &ui,
        };
        let host = &inventory.hosts[0];
        let fleet = reach(&cluster, host).unwrap();
        assert!(!fleet.is_connected(host));
        clean(&fleet, host).unwrap();
    }
}
