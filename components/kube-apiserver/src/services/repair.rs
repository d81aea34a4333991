//! Brings addresses and node ports back in line with the services that there are.

use super::addresses::{self, ALLOCATOR, AddressError, Owner};
use super::node_ports;
use super::ranges;
use super::reserve::Reserved;
use crate::beat;
use crate::metrics::allocations::Fault;
use crate::server::Server;
use ahash::AHashMap;
use apimachinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use storage::StorageError;

const PERIOD: Duration = Duration::from_secs(180);
/// Rounds in which a port must have been seen without a service before it is freed.
const PATIENCE: u8 = 3;
/// A record younger than this may be of a service that is just being created, seconds.
const YOUNG: i64 = 60;

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
    let metrics = &server.metrics.allocations.port_repair;
    let mut wanted = BTreeSet::new();
    for service in services(server).await? {
        // Ports of several protocols may have the same number.
        let own: BTreeSet<u16> = ports_of(&service).into_iter().collect();
        for port in own {
            if !wanted.insert(port) {
                metrics.found(Fault::Duplicate);
            }
        }
    }
    let before = leaked.clone();
    let found = node_ports::change(server, false, |ports| {
        let range = ports.range;
        let mut faults = Vec::new();
        for port in &wanted {
            if !(range.first..=range.last).contains(port) {
                faults.push(Fault::OutOfRange);
            } else if ports.used.insert(*port) {
                faults.push(Fault::Repair);
            }
        }
        let orphans: Vec<u16> = ports.used.difference(&wanted).copied().collect();
        for orphan in &orphans {
            if before.get(orphan).is_some_and(|seen| *seen + 1 >= PATIENCE) {
                ports.used.remove(orphan);
                faults.push(Fault::Leak);
            }
        }
        Ok((orphans, faults))
    })
    .await?;
    let (orphans, faults) = found;
    faults.into_iter().for_each(|fault| metrics.found(fault));
    let mut next = AHashMap::new();
    for orphan in orphans {
        let seen = before.get(&orphan).copied().unwrap_or(0).saturating_add(1);
        if seen < PATIENCE {
            next.insert(orphan, seen);
        }
    }
    *leaked = next;
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
    let ranges = ranges::all(&server.flags.service_cluster_ip_range, &ranges::objects(server));
    let mut holders: AHashMap<&str, Vec<Owner<'_>>> = AHashMap::new();
    let held: Vec<Reserved> = services
        .iter()
        .map(|service| Reserved::of_service(service))
        .collect();
    for (service, held) in services.iter().zip(&held) {
        for address in held.addresses() {
            let owner = Owner {
                namespace: meta::namespace(service),
                name: meta::name(service),
            };
            holders.entry(address).or_default().push(owner);
        }
    }
    for (address, owners) in &holders {
        let Ok(parsed) = address.parse() else {
            metrics.found(Fault::Invalid);
            continue;
        };
        let Some(range) = ranges.iter().find(|range| range.contains(&parsed)) else {
            metrics.found(Fault::OutOfRange);
            continue;
        };
        if let [_, other, ..] = &owners[..] {
            metrics.found(Fault::Duplicate);
            tracing::error!(
                address,
                service = other.name,
                namespace = other.namespace,
                "an address is held by several services, and has to be taken from one of them"
            );
        }
        if let Some(record) = by_name.get(address) {
            if is_young(record) || owners.iter().any(|owner| is_of(record, owner)) {
                continue;
            }
            // It says that somebody else has the address, who doesn't.
            addresses::give_back(server, address).await;
        }
        match addresses::take(server, range, parsed, &owners[0], false).await {
            Ok(()) => {
                metrics.found(Fault::Repair);
                tracing::info!(
                    address,
                    service = owners[0].name,
                    namespace = owners[0].namespace,
                    "address of a service recorded again"
                );
            }
            Err(AddressError::Taken) => {}
            Err(error) => return Err(error),
        }
    }
    for record in &records {
        let managed = meta::label(record, "ipaddress.kubernetes.io/managed-by") == Some(ALLOCATOR);
        if managed && !holders.contains_key(meta::name(record)) && !is_young(record) {
            metrics.found(Fault::Leak);
            tracing::info!(address = meta::name(record), "address without a service freed");
            addresses::give_back(server, meta::name(record)).await;
        }
    }
    Ok(())
}

/// Whether the service that an IPAddress is for may not be stored yet.
fn is_young(record: &Value) -> bool {
    let now = jiff::Timestamp::now().as_second();
    let created = meta::creation_timestamp(record).parse::<jiff::Timestamp>();
    created.map_or(true, |created| now - created.as_second() <= YOUNG)
}

/// Whether an IPAddress says that the service has it.
fn is_of(record: &Value, owner: &Owner<'_>) -> bool {
    let parent = &record["spec"]["parentRef"];
    parent["resource"] == "services" && parent["namespace"] == owner.namespace && parent["name"] == owner.name
}
