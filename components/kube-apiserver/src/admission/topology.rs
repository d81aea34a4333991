//! PodTopologyLabels: a pod learns the zone and region of its node.

use super::Attributes;
use crate::server::Server;
use apimachinery::meta;
use serde_json::Value;

const COPIED: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// Labels a binding, or a pod that is made for a node, with what the node has. As with upstream a binding among the
/// bindings of a namespace isn't labelled, nor one that leaves out what it binds to.
pub fn label(server: &Server, attributes: &Attributes<'_>, object: &mut Value) {
    let node = match attributes.subresource.as_str() {
        "" => object["spec"]["nodeName"].as_str(),
        "binding" if object["target"]["kind"] == "Node" => object["target"]["name"].as_str(),
        _ => None,
    };
    let Some(node) = node.filter(|node| !node.is_empty() && server.has_feature("PodTopologyLabelsAdmission"))
    else {
        return;
    };
    // A node that isn't there yet has nothing to copy.
    let Some(node) = server
        .stores
        .named("", "nodes")
        .and_then(|nodes| nodes.cached_object("", node))
    else {
        return;
    };
    for key in COPIED {
        if let Some(value) = node.label(key) {
            meta::set_label(object, key, value);
        }
    }
}
