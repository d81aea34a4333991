//! What of a Node matters here.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use serde::{Deserialize, Serialize};

/// A node's pod ranges and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeNetwork {
    pub name: String,
    pub pod_cidrs: Vec<IpNet>,
    /// InternalIP addresses in the Node's order.
    pub addresses: Vec<IpAddr>,
}

impl NodeNetwork {
    /// Takes what is well-formed; the rest is logged, so that one bad object doesn't stop the others.
    pub fn from_node(node: &Node) -> Option<NodeNetwork> {
        let name = node.metadata.name.clone()?;
        let spec = node.spec.as_ref();
        let mut ranges: Vec<&String> = spec
            .and_then(|spec| spec.pod_cidrs.as_ref())
            .into_iter()
            .flatten()
            .collect();
        if ranges.is_empty() {
            ranges.extend(spec.and_then(|spec| spec.pod_cidr.as_ref()));
        }
        let pod_cidrs = ranges
            .into_iter()
            .filter_map(|range| match range.parse::<IpNet>() {
                Ok(range) => Some(range.trunc()),
                Err(error) => {
                    tracing::warn!(node = %name, range, %error, "pod range is malformed");
                    None
                }
            })
            .collect();
        let addresses = node
            .status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten())
            .filter(|address| address.type_ == "InternalIP")
            .filter_map(|address| match address.address.parse() {
                Ok(address) => Some(address),
                Err(_) => {
                    tracing::warn!(node = %name, address = address.address, "InternalIP is malformed");
                    None
                }
            })
            .collect();
        Some(NodeNetwork {
            name,
            pod_cidrs,
            addresses,
        })
    }
}
