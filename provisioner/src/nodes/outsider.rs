use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::Cluster;
use crate::api;
use crate::drain::{self, Options};
use crate::enroll;
use crate::fleet::Fleet;
use crate::outside::Outsider;
use crate::rollout::any_api;
use crate::ssh::quote;

/// pod-network follows the Node objects within a second or two.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(30);

/// Takes a node out that took itself in: its pods, its tokens, its Node, the routes to its pods. What is on the host
/// stays there until it is told to leave as well.
pub fn remove_outsider(cluster: &Cluster<'_>, name: &str, options: Options) -> anyhow::Result<()> {
    let Cluster {
        inventory, state, ui, ..
    } = *cluster;
    let nobody = Fleet::connect_to(inventory, state, ui, |_| false)?;
    let api = any_api(&nobody, inventory, &cluster.secrets()?)?;
    let path = format!("/api/v1/nodes/{name}");
    let input = json!({ "name": name });
    let resumed = state
        .unfinished()?
        .is_some_and(|open| open.command == "node remove" && open.input == input);
    let node = api.get(&path);
    let outsider = match &node {
        Ok(node) => Some(Outsider::of_node(node)),
        Err(error) if api::is_status(error, http::StatusCode::NOT_FOUND) && resumed => None,
        Err(error) if api::is_status(error, http::StatusCode::NOT_FOUND) => anyhow::bail!(
            "{name} is neither in {} nor a node of the cluster",
            inventory.path.display()
        ),
        Err(error) => anyhow::bail!("{error:#}"),
    };
    let mut operation = state.operation("node remove", &input)?;
    let ready = outsider.as_ref().is_some_and(|outsider| outsider.ready);
    operation.step("drain", || {
        if !ready {
            ui.note(&format!(
                "{name} is not ready, so its pods are not asked to leave"
            ));
            return Ok(());
        }
        ui.phase(state, "drain");
        drain::drain(&api, name, options, ui)
    })?;
    operation.step("tokens", || enroll::delete_for(&api, name))?;
    operation.step("delete the Node", || {
        ui.phase(state, "delete the Node");
        api.delete(&path)
    })?;
    if let Some(range) = outsider
        .as_ref()
        .and_then(|outsider| outsider.pod_cidr.as_deref())
    {
        ui.phase(state, "routes");
        withdrawn(cluster, range)?;
    }
    let is_back = api.get(&path).is_ok();
    operation.finish()?;
    if is_back {
        ui.note(&format!(
            "{name} still runs and has put its Node back: run this again after it has left"
        ));
    }
    ui.summary(&format!(
        "{name} is out; on {name} itself, as root, hardway node leave-here removes what is there"
    ));
    Ok(())
}

/// Waits until no host of the inventory that can be reached has a route to the range.
fn withdrawn(cluster: &Cluster<'_>, range: &str) -> anyhow::Result<()> {
    let (fleet, unreachable) = Fleet::connect_reachable(cluster.inventory, cluster.state, cluster.ui)?;
    for failure in &unreachable {
        cluster
            .ui
            .note(&format!("{}: not looked at: {}", failure.host, failure.reason));
    }
    let script = format!("ip -4 route show {}", quote(range));
    api::wait(
        "the routes are withdrawn",
        Instant::now() + WITHDRAWN_WITHIN,
        || {
            let found = fleet.each(
                "routes",
                |host| host.is_node(),
                |_, connection| Ok(connection.script("reading routes", &script)?),
            )?;
            let left: Vec<&str> = found
                .iter()
                .filter(|(_, routes)| !routes.trim().is_empty())
                .map(|(host, _)| host.as_str())
                .collect();
            anyhow::ensure!(left.is_empty(), "{} have one to {range}", left.join(", "));
            Ok(Some(()))
        },
    )
    .context("journalctl -u pod-network on these hosts says why")
}
