//! Nodes that took themselves in: they are in the cluster and in no inventory, and SSH does not reach them. What is known
//! of them is what the API says, and what their kubelets show to a control plane.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::api::{self, Api};
use crate::certs::{Row, served};
use crate::fleet::Fleet;
use crate::inventory::Inventory;

const KUBELET_PORT: u16 = 10250;

/// A node that no inventory names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outsider {
    pub name: String,
    pub address: Option<IpAddr>,
    pub ready: bool,
    /// As its kubelet tells them.
    pub kubelet: String,
    pub os: String,
    pub pod_cidr: Option<String>,
}

impl Outsider {
    pub fn of_node(node: &Value) -> Outsider {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let internal = |address: &&Value| address["type"] == "InternalIP";
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        Outsider {
            name: text(&node["metadata"]["name"]),
            address: addresses
                .filter(|address| internal(address))
                .find_map(|address| address["address"].as_str()?.parse().ok()),
            ready: api::is_ready(node),
            kubelet: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
            os: text(&node["status"]["nodeInfo"]["osImage"]),
            pod_cidr: node["spec"]["podCIDR"].as_str().map(str::to_owned),
        }
    }
}

/// Those of the nodes that the inventory does not name.
pub fn of_nodes(inventory: &Inventory, nodes: &[Value]) -> Vec<Outsider> {
    let is_known = |outsider: &Outsider| inventory.hosts.iter().any(|host| host.name == outsider.name);
    let all = nodes.iter().map(Outsider::of_node);
    all.filter(|outsider| !is_known(outsider)).collect()
}

pub fn ask(api: &Api, inventory: &Inventory) -> anyhow::Result<Vec<Outsider>> {
    Ok(of_nodes(inventory, &api.nodes()?))
}

/// What their kubelets serve, as a connected control plane sees it; nothing for one that it does not reach.
pub fn certificates(fleet: &Fleet<'_>, outsiders: &[Outsider]) -> anyhow::Result<Vec<Row>> {
    let mut planes = fleet.inventory.control_planes();
    let Some(eye) = planes.find(|host| fleet.is_connected(host)) else {
        return Ok(Vec::new());
    };
    let found = fleet.each(
        "certificates",
        |host| host.name == eye.name,
        |_, connection| {
            let row = |outsider: &Outsider| {
                let address = (outsider.address?, KUBELET_PORT).into();
                served(connection, &outsider.name, "kubelet", address)
            };
            Ok(outsiders.iter().filter_map(row).collect::<Vec<_>>())
        },
    )?;
    Ok(found.into_values().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_that_no_inventory_names_is_one() {
        let text = "[cluster]\nname = \"lab\"\n[[hosts]]\nname = \"cp-1\"\naddress = \"10.77.0.11\"\nroles = [\"control-plane\"]\n";
        let inventory = Inventory::parse(Path::new("lab.toml"), text).unwrap();
        let node = |name: &str, ready: &str| {
            json!({
                "metadata": { "name": name },
                "spec": { "podCIDR": "10.200.3.0/24" },
                "status": {
                    "addresses": [{ "type": "Hostname", "address": name }, { "type": "InternalIP", "address": "10.77.0.41" }],
                    "conditions": [{ "type": "Ready", "status": ready }],
                    "nodeInfo": { "kubeletVersion": "v1.36.2", "osImage": "Debian" },
                },
            })
        };
        let nodes = [node("cp-1", "True"), node("edge-1", "Unknown"), json!({})];
        let found = of_nodes(&inventory, &nodes);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].ready), ("edge-1", false));
        assert_eq!(found[0].address, "10.77.0.41".parse().ok());
        // What does not look like a node is no reason to stop.
        assert_eq!(found[1].address, None);
    }
}
