//! Brings addresses and node ports back in line with the services that there are.

use super::addresses::{self, AddressError, Owner};
use super::node_port_repair;
use super::node_ports;
use super::ranges;
use super::reserve::Reserved;
use crate::beat;
use crate::events::{self, Reporter};
use crate::metrics::allocations::Fault;
use crate::server::Server;
use ahash::AHashMap;
use apimachinery::meta;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::StorageError;

/// Done after the first round: until then node ports may be recorded for another range.
pub const STEP: &str = "poststarthook/start-service-ip-repair-controllers";

const PERIOD: Duration = Duration::from_secs(180);
/// A record younger than this may be of a service that is just being created, seconds.
const YOUNG: i64 = 60;

const PORTS: Reporter = Reporter::Counting("portallocator-repair-controller");
const ADDRESSES: &str = "ipallocator-repair-controller";
const CLUSTER_IPS: Reporter = Reporter::Series {
    controller: ADDRESSES,
    action: "ClusterIPAllocation",
};
const VALIDATION: Reporter = Reporter::Series {
    controller: ADDRESSES,
    action: "ClusterIPValidation",
};
const IP_ADDRESSES: Reporter = Reporter::Series {
    controller: ADDRESSES,
    action: "IPAddressAllocation",
};

/// Repairs at start and then every few minutes. Never ends.
pub async fn run(server: Arc<Server>) {
    let mut leaked: AHashMap<u16, u8> = AHashMap::new();
    loop {
        if let Err(error) = ports(&server, &mut leaked).await {
            server.metrics.allocations.port_repair.failed();
            tracing::warn!(%error, "node ports could not be repaired");
        }
        if let Err(error) = service_addresses(&server).await {
            server.metrics.allocations.address_repair.failed();
            tracing::warn!(%error, "service addresses could not be repaired");
        }
        server.lifecycle.finished(STEP);
        beat::next(PERIOD).await;
    }
}

/// All services as they are now: one that can't be read ends the round, else what it holds would be freed.
async fn services(server: &Server) -> Result<Vec<Arc<Value>>, StorageError> {
    server.stores.newest_list("", "services", "").await
}

/// Node ports of a service.
pub fn ports_of(service: &Value) -> Vec<u16> {
    let spec = &service["spec"];
    let listed = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| &port["nodePort"]);
    listed
        .chain(std::iter::once(&spec["healthCheckNodePort"]))
        .filter_map(Value::as_u64)
        .filter_map(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .collect()
}

async fn ports(server: &Server, leaked: &mut AHashMap<u16, u8>) -> Result<(), node_ports::PortError> {
    let services = services(server).await?;
    let range = server.flags.service_node_port_range;
    let (found, next) = node_ports::replace(server, false, |stored| {
        let rebuilt = node_port_repair::rebuilt(stored, range, &services, leaked);
        *stored = rebuilt.ports;
        Ok((rebuilt.findings, rebuilt.leaked))
    })
    .await?;
    *leaked = next;
    for finding in found {
        server.metrics.allocations.port_repair.found(finding.fault);
        if let Some((service, reason, message)) = finding.told {
            tracing::error!(
                service = meta::name(service),
                namespace = meta::namespace(service),
                reason,
                message,
                "a node port of a service is not as it should be"
            );
            events::warn(server, PORTS, service, reason, &message).await;
        }
    }
    Ok(())
}

async fn service_addresses(server: &Server) -> Result<(), AddressError> {
    let metrics = &server.metrics.allocations.address_repair;
    // Before the services: what is taken meanwhile looks as if it lacked its record, and then has one.
    let stores = &server.stores;
    let records = stores.newest_list("networking.k8s.io", "ipaddresses", "").await?;
    let services = services(server).await?;
    let by_name: AHashMap<&str, &Arc<Value>> = records
        .iter()
        .map(|record| (meta::name(record), record))
        .collect();
    let ranges = ranges::any(&ranges::known(server).await?);
    let held: Vec<Reserved> = services
        .iter()
        .map(|service| Reserved::of_service(service))
        .collect();
    let mut holders: AHashMap<&str, Vec<&Value>> = AHashMap::new();
    for (service, held) in services.iter().zip(&held) {
        for address in held.addresses() {
            holders.entry(address).or_default().push(service);
        }
    }
    for (address, owners) in &holders {
        let Ok(parsed) = address.parse::<IpAddr>() else {
            metrics.found(Fault::Invalid);
            let message = format!("Cluster IP {address} is not a valid IP; please recreate Service");
            tell(server, VALIDATION, owners, "ClusterIPNotValid", &message).await;
            continue;
        };
        let family = addresses::family(parsed);
        let Some(range) = ranges.iter().find(|range| range.contains(&parsed)) else {
            metrics.found(Fault::OutOfRange);
            let message = format!(
                "Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
            );
            tell(server, CLUSTER_IPS, owners, "ClusterIPOutOfRange", &message).await;
            continue;
        };
        let record = by_name.get(address).copied();
        // Whose it is: of several services that of the record.
        let (first, others) = {
            let at = record.and_then(|record| owners.iter().position(|service| is_of(record, service)));
            let mut ordered = owners.clone();
            ordered.swap(0, at.unwrap_or(0));
            (ordered[0], ordered.split_off(1))
        };
        if !others.is_empty() {
            metrics.found(Fault::Duplicate);
            let message = format!(
                "Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
            );
            tell(
                server,
                CLUSTER_IPS,
                &others,
                "ClusterIPAlreadyAllocated",
                &message,
            )
            .await;
        }
        let message = match record {
            Some(record) if is_of(record, first) => {
                if !addresses::is_labelled(record, parsed) {
                    addresses::label(server, parsed).await?;
                }
                continue;
            }
            Some(record) if is_young(record) => continue,
            // It says that somebody else has the address, who doesn't.
            Some(_) => {
                addresses::give_back(server, address).await;
                format!(
                    "the ClusterIP [{family}]: {address} for Service {}/{} has a wrong reference; repairing",
                    meta::namespace(first),
                    meta::name(first)
                )
            }
            None => format!("Cluster IP [{family}]: {address} is not allocated; repairing"),
        };
        let owner = Owner {
            namespace: meta::namespace(first),
            name: meta::name(first),
        };
        match addresses::take(server, range, parsed, &owner, false).await {
            Ok(()) => {
                metrics.found(Fault::Repair);
                tell(server, CLUSTER_IPS, &[first], "ClusterIPNotAllocated", &message).await;
            }
            Err(AddressError::Taken) => {}
            Err(error) => return Err(error),
        }
    }
    for record in &records {
        if addresses::is_managed(record) && !holders.contains_key(meta::name(record)) && !is_young(record) {
            metrics.found(Fault::Leak);
            let (reason, message) = nobodys(record, &services);
            tell(server, IP_ADDRESSES, &[&**record], reason, &message).await;
            addresses::give_back(server, meta::name(record)).await;
        }
    }
    Ok(())
}

/// What is said of the record of an address that no service has.
fn nobodys(record: &Value, services: &[Arc<Value>]) -> (&'static str, String) {
    let address = meta::name(record);
    let parent = &record["spec"]["parentRef"];
    let text = |field: &str| parent[field].as_str().unwrap_or("");
    let (namespace, name) = (text("namespace"), text("name"));
    if !text("group").is_empty() || text("resource") != "services" {
        let parent = format!(
            "&ParentReference{{Group:{},Resource:{},Namespace:{namespace},Name:{name},}}",
            text("group"),
            text("resource")
        );
        let message = format!(
            "IPAddress {address} appears to have been modified, not referencing a Service {parent}: cleaning up"
        );
        return ("IPAddressNotAllocated", message);
    }
    let of = format!("IPAddress: {address} for Service {namespace}/{name}");
    if services.iter().any(|service| is_of(record, service)) {
        (
            "IPAddressWrongReference",
            format!("{of} has a wrong reference; cleaning up"),
        )
    } else {
        (
            "IPAddressNotAllocated",
            format!("{of} appears to have leaked: cleaning up"),
        )
    }
}

/// Logs what was found, and writes it to the events of whom it is about.
async fn tell(server: &Server, reporter: Reporter, about: &[&Value], reason: &str, message: &str) {
    for object in about {
        tracing::warn!(
            name = meta::name(object),
            namespace = meta::namespace(object),
            reason,
            message,
            "an address of services is not as it should be"
        );
        events::warn(server, reporter, object, reason, message).await;
    }
}

/// Whether the service that an IPAddress is for may not be stored yet.
fn is_young(record: &Value) -> bool {
    let now = jiff::Timestamp::now().as_second();
    let created = meta::creation_timestamp(record).parse::<jiff::Timestamp>();
    created.map_or(true, |created| now - created.as_second() <= YOUNG)
}

/// Whether an IPAddress says that the service has it.
fn is_of(record: &Value, service: &Value) -> bool {
    let parent = &record["spec"]["parentRef"];
    parent["resource"] == "services"
        && parent["group"].as_str().unwrap_or("").is_empty()
        && parent["namespace"] == meta::namespace(service)
        && parent["name"] == meta::name(service)
}
