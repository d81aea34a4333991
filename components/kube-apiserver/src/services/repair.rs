//! Brings addresses and node ports back in line with the services that there are.

use super::addresses::{self, ALLOCATOR, AddressError, Owner};
use super::node_ports;
use super::ranges;
use super::reserve::Reserved;
use crate::server::Server;
use crate::stores;
use ahash::{AHashMap, AHashSet};
use apimachinery::meta;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(180);
/// Rounds in which a port must have been seen without a service before it is freed.
const PATIENCE: u8 = 3;
/// An address younger than this may belong to a service that is just being created, seconds.
const YOUNG: i64 = 60;

/// Repairs at start and then every few minutes. Never ends.
pub async fn run(server: Arc<Server>) {
    let mut leaked: AHashMap<u16, u8> = AHashMap::new();
    loop {
        if let Err(error) = ports(&server, &mut leaked).await {
            tracing::warn!(%error, "node ports could not be repaired");
        }
        if let Err(error) = service_addresses(&server).await {
            tracing::warn!(%error, "service addresses could not be repaired");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn services(server: &Server) -> Vec<Arc<Value>> {
    server.stores.cached_list("", "services", None)
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
    let wanted: BTreeSet<u16> = services(server)
        .iter()
        .flat_map(|service| ports_of(service))
        .collect();
    let before = leaked.clone();
    let orphans = node_ports::change(server, false, |ports| {
        let range = ports.range;
        ports.used.extend(
            wanted
                .iter()
                .filter(|port| (range.first..=range.last).contains(*port)),
        );
        let orphans: Vec<u16> = ports.used.difference(&wanted).copied().collect();
        for orphan in &orphans {
            if before.get(orphan).is_some_and(|seen| *seen + 1 >= PATIENCE) {
                ports.used.remove(orphan);
            }
        }
        Ok(orphans)
    })
    .await?;
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
    let mut used: AHashSet<String> = AHashSet::new();
    let ranges = ranges::all(&server.flags.service_cluster_ip_range, &ranges::objects(server));
    for service in services(server) {
        let owner = Owner {
            namespace: meta::namespace(&service),
            name: meta::name(&service),
        };
        for address in Reserved::of_service(&service).addresses() {
            used.insert(address.clone());
            let Ok(parsed) = address.parse() else { continue };
            let Some(range) = ranges.iter().find(|range| range.contains(&parsed)) else {
                continue;
            };
            if server
                .stores
                .cached("networking.k8s.io", "ipaddresses", "", address)
                .is_none()
            {
                match addresses::take(server, range, parsed, &owner, false).await {
                    Ok(()) => tracing::info!(
                        address,
                        service = owner.name,
                        namespace = owner.namespace,
                        "address of a service recorded again"
                    ),
                    Err(AddressError::Taken) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let now = jiff::Timestamp::now().as_second();
    let Some(store) = server.stores.named("networking.k8s.io", "ipaddresses") else {
        return Ok(());
    };
    for object in store.cached(None) {
        let managed = object.label("ipaddress.kubernetes.io/managed-by") == Some(ALLOCATOR);
        let Ok(value) = stores::parse(&object) else {
            continue;
        };
        let created = meta::creation_timestamp(&value)
            .parse::<jiff::Timestamp>()
            .map_or(now, |time| time.as_second());
        if managed && !used.contains(object.name()) && now - created > YOUNG {
            tracing::info!(address = object.name(), "address without a service freed");
            addresses::give_back(server, object.name()).await;
        }
    }
    Ok(())
}
