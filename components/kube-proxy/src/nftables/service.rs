//! The part of the ruleset that one Service needs. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use base64::Engine;
use sha2::{Digest, Sha256};

use crate::model::Frontend;
use crate::nftables::chains::{Chain, external_local, family};
use crate::nftables::element::{By, Element, Place, Slot};
use crate::options::Options;

/// Elements in shared maps, and what the Service has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    pub elements: Vec<Element>,
    /// Shared chains that elements lead to.
    pub shared: BTreeSet<Chain>,
    /// Own chains with their rules.
    pub chains: BTreeMap<String, Vec<String>>,
    /// Own sets with their definitions.
    pub sets: BTreeMap<String, String>,
}

/// Rules of one Service in one family.
pub fn rules(frontends: &[Frontend], options: &Options) -> ServiceRules {
    let mut rules = ServiceRules::default();
    for frontend in frontends {
        rules.elements.push(Element::new(
            Place::ClusterIps,
            frontend.cluster_ip.to_string(),
            None,
        ));
        for address in &frontend.on_this_node {
            rules.elements.push(Element::new(
                Place::Hairpin,
                format!("{address} . {address}"),
                None,
            ));
        }
        if frontend.endpoints.is_empty() {
            no_endpoints(frontend, &mut rules);
        } else if let Some(seconds) = frontend.affinity {
            with_affinity(frontend, seconds, options, &mut rules);
        } else {
            plain(frontend, &mut rules);
        }
        firewall(frontend, options, &mut rules);
    }
    // Ports of one Service share addresses.
    rules.elements.sort_by(|a, b| a.key.cmp(&b.key));
    rules.elements.dedup_by(|a, b| a.key == b.key);
    rules
}

fn no_endpoints(frontend: &Frontend, rules: &mut ServiceRules) {
    let (protocol, port) = (frontend.protocol, frontend.port);
    let addresses = std::iter::once(frontend.cluster_ip).chain(frontend.external_addresses());
    rules.elements.extend(addresses.map(|address| {
        Element::at_address(
            Place::NoEndpointServices,
            address,
            protocol,
            port,
            "goto reject-chain",
        )
    }));
    rules.elements.extend(
        frontend.node_port.map(|port| {
            Element::at_node_port(Place::NoEndpointNodePorts, protocol, port, "goto reject-chain")
        }),
    );
}

fn plain(frontend: &Frontend, rules: &mut ServiceRules) {
    let (count, local) = (frontend.endpoints.len(), frontend.local_endpoints.len());
    let (protocol, port) = (frontend.protocol, frontend.port);
    let external = |by| match frontend.external_local {
        false => Chain::External(by, count),
        true => Chain::ExternalLocal(by, count, local),
    };
    let mut lead = |element: Element, chain: Chain| {
        rules.shared.insert(chain);
        rules.elements.push(element);
    };
    let internal = match frontend.internal_local {
        false => Chain::Cluster(By::Address, count),
        true => Chain::Local(By::Address, local),
    };
    let goto = |chain: Chain| format!("goto {}", chain.name());
    let cluster_ip = frontend.cluster_ip;
    lead(
        Element::at_address(Place::ServiceIps, cluster_ip, protocol, port, &goto(internal)),
        internal,
    );
    for address in frontend.external_addresses() {
        let chain = external(By::Address);
        lead(
            Element::at_address(Place::ServiceIps, address, protocol, port, &goto(chain)),
            chain,
        );
    }
    if let Some(port) = frontend.node_port {
        let chain = external(By::NodePort);
        lead(
            Element::at_node_port(Place::ServiceNodePorts, protocol, port, &goto(chain)),
            chain,
        );
    }

    let mut endpoints = |by: By, at: &str, cluster: bool, local: bool| {
        for (wanted, local, endpoints) in [
            (cluster, false, &frontend.endpoints),
            (local, true, &frontend.local_endpoints),
        ] {
            let numbered = endpoints.iter().enumerate().filter(|_| wanted);
            rules.elements.extend(
                numbered.map(|(index, endpoint)| Element::endpoint(Slot { by, local, index }, at, endpoint)),
            );
        }
    };
    let name = protocol.as_str();
    let internal_local = frontend.internal_local;
    endpoints(
        By::Address,
        &format!("{cluster_ip} . {name} . {port}"),
        !internal_local,
        internal_local,
    );
    for address in frontend.external_addresses() {
        endpoints(
            By::Address,
            &format!("{address} . {name} . {port}"),
            true,
            frontend.external_local,
        );
    }
    if let Some(port) = frontend.node_port {
        endpoints(
            By::NodePort,
            &format!("{name} . {port}"),
            true,
            frontend.external_local,
        );
    }
}

/// Clients are remembered in one set per endpoint, so the Service needs chains of its own.
fn with_affinity(frontend: &Frontend, seconds: u32, options: &Options, rules: &mut ServiceRules) {
    let id = identity(frontend);
    let ip = family(options);
    let endpoint_id = |endpoint: &SocketAddr| hash(&format!("{}{endpoint}", frontend.name));
    // A set cannot change its timeout, so the name tells it.
    let affinity_set = |endpoint: &str| format!("affinity-{id}-{endpoint}-{seconds}");
    let mut all: Vec<&SocketAddr> = frontend
        .endpoints
        .iter()
        .chain(&frontend.local_endpoints)
        .collect();
    all.sort();
    all.dedup();
    for endpoint in all {
        let set = affinity_set(&endpoint_id(endpoint));
        let address_type = if endpoint.is_ipv4() {
            "ipv4_addr"
        } else {
            "ipv6_addr"
        };
        let target = match endpoint {
            SocketAddr::V4(endpoint) => endpoint.to_string(),
            SocketAddr::V6(endpoint) => endpoint.to_string(),
        };
        rules.chains.insert(
            format!("endpoint-{id}-{}", endpoint_id(endpoint)),
            vec![
                format!("update @{set} {{ {ip} saddr }}"),
                format!("meta l4proto {} dnat to {target}", frontend.protocol.as_str()),
            ],
        );
        rules.sets.insert(
            set,
            format!("type {address_type} ; flags dynamic,timeout ; timeout {seconds}s"),
        );
    }
    let mut choose = |chain: String, endpoints: &[SocketAddr]| {
        let mut lines: Vec<String> = endpoints
            .iter()
            .map(|endpoint| {
                let endpoint = endpoint_id(endpoint);
                format!(
                    "{ip} saddr @{} goto endpoint-{id}-{endpoint}",
                    affinity_set(&endpoint)
                )
            })
            .collect();
        let choices: Vec<String> = endpoints
            .iter()
            .enumerate()
            .map(|(index, endpoint)| format!("{index} : goto endpoint-{id}-{}", endpoint_id(endpoint)))
            .collect();
        lines.push(match choices.is_empty() {
            true => "drop".to_owned(),
            false => format!(
                "numgen random mod {} vmap {{ {} }}",
                endpoints.len(),
                choices.join(", ")
            ),
        });
        rules.chains.insert(chain.clone(), lines);
        chain
    };
    let cluster = choose(format!("service-{id}"), &frontend.endpoints);
    let local = (frontend.internal_local || frontend.external_local)
        .then(|| choose(format!("service-local-{id}"), &frontend.local_endpoints));
    let internal = if frontend.internal_local {
        local.as_ref().unwrap_or(&cluster)
    } else {
        &cluster
    };
    let (protocol, port) = (frontend.protocol, frontend.port);
    rules.elements.push(Element::at_address(
        Place::ServiceIps,
        frontend.cluster_ip,
        protocol,
        port,
        &format!("goto {internal}"),
    ));
    if !frontend.has_external() {
        return;
    }
    let external = format!("external-{id}");
    let lines = match (frontend.external_local, &local) {
        (true, Some(local)) => external_local(options, &cluster, local),
        _ => vec!["jump mark-for-masquerade".to_owned(), format!("goto {cluster}")],
    };
    rules.chains.insert(external.clone(), lines);
    let verdict = format!("goto {external}");
    rules.elements.extend(
        frontend
            .external_addresses()
            .map(|address| Element::at_address(Place::ServiceIps, address, protocol, port, &verdict)),
    );
    rules.elements.extend(
        frontend
            .node_port
            .map(|port| Element::at_node_port(Place::ServiceNodePorts, protocol, port, &verdict)),
    );
}

fn firewall(frontend: &Frontend, options: &Options, rules: &mut ServiceRules) {
    if frontend.source_ranges.is_empty() || frontend.load_balancer_ips.is_empty() {
        return;
    }
    let chain = format!("firewall-{}", identity(frontend));
    let ranges: Vec<String> = ipnet::IpNet::aggregate(&frontend.source_ranges)
        .iter()
        .map(ToString::to_string)
        .collect();
    rules.chains.insert(
        chain.clone(),
        vec![format!(
            "{} saddr != {{ {} }} drop",
            family(options),
            ranges.join(", ")
        )],
    );
    rules
        .elements
        .extend(frontend.load_balancer_ips.iter().map(|address| {
            Element::at_address(
                Place::FirewallIps,
                *address,
                frontend.protocol,
                frontend.port,
                &format!("goto {chain}"),
            )
        }));
}

/// A short name for a Service's port that is valid in a chain's name.
fn identity(frontend: &Frontend) -> String {
    hash(&format!("{}{}", frontend.name, frontend.protocol.as_str()))
}

fn hash(text: &str) -> String {
    // 12 of 64 letters; `_` and `-` are allowed in names.
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&Sha256::digest(text.as_bytes())[..9])
}
