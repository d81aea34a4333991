//! What a service takes when it is written, and gives back when the write fails or the service goes.

use super::addresses::{self, AddressError, Owner};
use super::families;
use super::node_ports::{self, PortError};
use super::ranges;
use crate::server::Server;
use api::Resource;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, meta};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::IpAddr;

/// An address as the record of it is named, however the service writes it.
fn canonical(address: &str) -> String {
    api::addresses::ip(address).map_or_else(|| address.to_owned(), |ip| ip.value.to_string())
}

/// Addresses and ports that are taken.
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// In their canonical form.
    addresses: Vec<String>,
    ports: Vec<u16>,
    /// Held by the old state of the service; given back once the new one is stored.
    superseded: Option<Box<Reserved>>,
}

impl Reserved {
    /// Everything that a stored service holds.
    pub fn of_service(service: &Value) -> Self {
        let spec = &service["spec"];
        let external = spec["type"] == "ExternalName";
        let listed = spec["clusterIPs"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![spec["clusterIP"].clone()]);
        let addresses = listed
            .iter()
            .filter_map(Value::as_str)
            .filter(|address| !external && !matches!(*address, "" | "None"))
            .map(canonical)
            .collect();
        Self {
            addresses,
            ports: ports_of(spec),
            superseded: None,
        }
    }

    /// Addresses that are taken.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The write is done: only what it replaced is given back.
    pub async fn keep(self, server: &Server) {
        if let Some(old) = self.superseded {
            Box::pin(old.give_back(server)).await;
        }
    }

    /// The write failed, or the service is gone.
    pub async fn give_back(self, server: &Server) {
        for address in &self.addresses {
            addresses::give_back(server, address).await;
        }
        node_ports::give_back(server, &self.ports).await;
    }
}

fn ports_of(spec: &Value) -> Vec<u16> {
    let listed = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| &port["nodePort"]);
    let mut ports: Vec<u16> = listed
        .chain(std::iter::once(&spec["healthCheckNodePort"]))
        .filter_map(port_number)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Takes what a new or changed service needs, and writes it into the object.
pub async fn reserve(
    server: &Server,
    row: &Resource,
    old: Option<&Value>,
    object: &mut Value,
    dry_run: bool,
) -> Result<Reserved, ApiError> {
    if !super::is_service(row) {
        return Ok(Reserved::default());
    }
    let held = old.map(Reserved::of_service).unwrap_or_default();
    let mut taken = Reserved::default();
    let outcome = fill(server, old.is_none(), &held, object, &mut taken, dry_run).await;
    if let Err(errors) = outcome {
        if !dry_run {
            taken.give_back(server).await;
        }
        return Err(match errors {
            Failure::Field(error) => ApiError::invalid(&row.gvk, meta::name(object), &[error]),
            Failure::Internal(error) => ApiError::internal(error),
        });
    }
    if dry_run {
        return Ok(Reserved::default());
    }
    let now = Reserved::of_service(object);
    let superseded = Reserved {
        addresses: held
            .addresses
            .into_iter()
            .filter(|address| !now.addresses.contains(address))
            .collect(),
        ports: held
            .ports
            .into_iter()
            .filter(|port| !now.ports.contains(port))
            .collect(),
        superseded: None,
    };
    taken.superseded = Some(Box::new(superseded));
    Ok(taken)
}

enum Failure {
    Field(Error),
    Internal(String),
}

async fn fill(
    server: &Server,
    is_new: bool,
    held: &Reserved,
    object: &mut Value,
    taken: &mut Reserved,
    dry_run: bool,
) -> Result<(), Failure> {
    let (namespace, name) = (meta::namespace(object).to_owned(), meta::name(object).to_owned());
    let ranges = &server.flags.service_cluster_ip_range;
    let Some(spec) = object.get_mut("spec") else {
        return Ok(());
    };
    if spec["type"] == "ExternalName" {
        if let Some(map) = spec.as_object_mut() {
            map.remove("clusterIPs");
            map.remove("clusterIP");
        }
        return Ok(());
    }
    let owner = Owner {
        namespace: &namespace,
        name: &name,
    };
    if families::is_headless(spec) {
        spec["clusterIP"] = json!("None");
        spec["clusterIPs"] = json!(["None"]);
    } else {
        take_addresses(server, ranges, held, spec, &owner, taken, dry_run).await?;
    }
    take_ports(server, is_new, held, spec, taken, dry_run).await
}

async fn take_addresses(
    server: &Server,
    configured: &[IpNet],
    held: &Reserved,
    spec: &mut Value,
    owner: &Owner<'_>,
    taken: &mut Reserved,
    dry_run: bool,
) -> Result<(), Failure> {
    let mut given: Vec<String> = spec["clusterIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if given.is_empty()
        && let Some(one) = spec["clusterIP"].as_str().filter(|one| !one.is_empty())
    {
        given.push(one.to_owned());
    }
    let families: Vec<String> = spec["ipFamilies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let objects = ranges::known(server)
        .await
        .map_err(|error| Failure::Internal(error.to_string()))?;
    let mut addresses_now = Vec::new();
    for (position, family) in families.iter().enumerate() {
        let wanted = given.get(position).filter(|address| !address.is_empty());
        if let Some(address) = wanted.filter(|address| held.addresses.contains(&canonical(address))) {
            addresses_now.push(address.clone());
            continue;
        }
        let ranges = ranges::of_family(configured, &objects, family);
        match wanted {
            Some(address) => {
                let refuse = |why: String| {
                    Failure::Field(Error::invalid(
                        &Path::new("spec").child("clusterIPs"),
                        json!(given),
                        format!("failed to allocate IP {address}: {why}"),
                    ))
                };
                let parsed = api::addresses::ip(address)
                    .ok_or_else(|| refuse("not an IP address".to_owned()))?
                    .value;
                // A dry run asks any range, as upstream's does.
                let range = ranges
                    .iter()
                    .find(|range| range.contains(&parsed))
                    .or_else(|| ranges.first().filter(|_| dry_run));
                let outcome = match range {
                    Some(range) => addresses::take(server, range, parsed, owner, dry_run).await,
                    None => Err(AddressError::Elsewhere),
                };
                match outcome {
                    Ok(()) => {}
                    Err(
                        error @ (AddressError::Taken
                        | AddressError::Elsewhere
                        | AddressError::OutOfRange { .. }),
                    ) => {
                        return Err(refuse(error.to_string()));
                    }
                    Err(error) => return Err(Failure::Internal(error.to_string())),
                }
                taken.addresses.push(parsed.to_string());
                addresses_now.push(address.clone());
            }
            None => {
                let address = take_any(server, &ranges, owner, dry_run)
                    .await
                    .map_err(|error| Failure::Internal(format!("failed to allocate a serviceIP: {error}")))?
                    .to_string();
                taken.addresses.push(address.clone());
                addresses_now.push(address);
            }
        }
    }
    if let Some(first) = addresses_now.first() {
        spec["clusterIP"] = json!(first);
        spec["clusterIPs"] = json!(addresses_now);
    }
    Ok(())
}

/// An address of the first range that has one.
async fn take_any(
    server: &Server,
    ranges: &[IpNet],
    owner: &Owner<'_>,
    dry_run: bool,
) -> Result<IpAddr, AddressError> {
    for range in ranges {
        match addresses::take_any(server, range, owner, dry_run).await {
            Err(AddressError::Full) => {}
            outcome => return outcome,
        }
    }
    Err(AddressError::Full)
}

async fn take_ports(
    server: &Server,
    is_new: bool,
    held: &Reserved,
    spec: &mut Value,
    taken: &mut Reserved,
    dry_run: bool,
) -> Result<(), Failure> {
    let kind = spec["type"].as_str().unwrap_or("").to_owned();
    let wanted =
        kind == "NodePort" || (kind == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false);
    let local = kind == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local";
    let mut ports = spec["ports"].as_array().cloned().unwrap_or_default();
    for position in 0..ports.len() {
        let given = match node_port(&ports[position]) {
            Some(given) => given,
            None if !wanted => continue,
            None => match shared_node_port(&ports, position).filter(|_| is_new) {
                Some(shared) => shared,
                None => {
                    let given = node_ports::take_any(server, dry_run).await.map_err(|error| {
                        Failure::Internal(format!("failed to allocate a nodePort: {error}"))
                    })?;
                    taken.ports.push(given);
                    given
                }
            },
        };
        if !held.ports.contains(&given) && !taken.ports.contains(&given) {
            take_port(
                server,
                given,
                &format!("spec.ports[{position}].nodePort"),
                dry_run,
            )
            .await?;
            taken.ports.push(given);
        }
        ports[position]["nodePort"] = json!(given);
    }
    if !ports.is_empty() {
        spec["ports"] = Value::Array(ports);
    }
    if !local {
        return Ok(());
    }
    match port_number(&spec["healthCheckNodePort"]) {
        Some(given) if held.ports.contains(&given) => {}
        Some(given) => {
            // What a dry run has taken is not recorded.
            let outcome = match taken.ports.contains(&given) {
                true => Err(PortError::Taken),
                false => node_ports::take(server, given, dry_run).await,
            };
            outcome.map_err(|error| {
                Failure::Internal(format!(
                    "failed to allocate requested HealthCheck NodePort {given}: {error}"
                ))
            })?;
            taken.ports.push(given);
        }
        None => {
            let given = node_ports::take_any(server, dry_run).await.map_err(|error| {
                Failure::Internal(format!("failed to allocate a HealthCheck NodePort: {error}"))
            })?;
            taken.ports.push(given);
            spec["healthCheckNodePort"] = json!(given);
        }
    }
    Ok(())
}

/// One number may serve one port of each protocol: that of an earlier port, which has one by now, or of a later one.
fn shared_node_port(ports: &[Value], position: usize) -> Option<u16> {
    let number = &ports[position]["port"];
    ports
        .iter()
        .filter(|other| other["port"] == *number)
        .find_map(node_port)
}

fn node_port(port: &Value) -> Option<u16> {
    port_number(&port["nodePort"])
}

fn port_number(value: &Value) -> Option<u16> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.filter(|number| *number > 0)
}

async fn take_port(server: &Server, port: u16, field: &str, dry_run: bool) -> Result<(), Failure> {
    match node_ports::take(server, port, dry_run).await {
        Ok(()) => Ok(()),
        Err(error @ (PortError::Taken | PortError::OutOfRange(_) | PortError::OtherRange)) => Err(
            Failure::Field(Error::invalid(&Path::new(field), json!(port), error.to_string())),
        ),
        Err(error) => Err(Failure::Internal(error.to_string())),
    }
}
