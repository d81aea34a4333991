//! The fewest writes that bring existing slices to what is wanted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::AHashMap;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

/// Ports of a slice in a comparable form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortKey(Vec<(String, Option<i32>, String, Option<String>)>);

impl PortKey {
    pub fn new(ports: impl IntoIterator<Item = EndpointPort>) -> Self {
        let mut all: Vec<_> = ports
            .into_iter()
            .map(|port| {
                (
                    port.name.unwrap_or_default(),
                    port.port,
                    port.protocol.unwrap_or_else(|| "TCP".to_owned()),
                    port.app_protocol,
                )
            })
            .collect();
        all.sort();
        Self(all)
    }

    pub fn ports(&self) -> Vec<EndpointPort> {
        let port = |(name, port, protocol, app_protocol): &(String, Option<i32>, String, Option<String>)| {
            EndpointPort {
                name: Some(name.clone()),
                port: *port,
                protocol: Some(protocol.clone()),
                app_protocol: app_protocol.clone(),
            }
        };
        self.0.iter().map(port).collect()
    }
}

/// What to write. Slices in `update` have their new endpoints; labels are up to the caller.
#[derive(Debug, Default)]
pub struct Writes {
    pub create: Vec<(PortKey, Vec<Endpoint>)>,
    pub update: Vec<EndpointSlice>,
    pub keep: Vec<Arc<EndpointSlice>>,
    pub delete: Vec<Arc<EndpointSlice>>,
}

/// Plans for the slices of one address type.
pub fn plan(
    existing: &[Arc<EndpointSlice>],
    desired: BTreeMap<PortKey, Vec<Endpoint>>,
    max: usize,
) -> Writes {
    let mut writes = Writes::default();
    let mut by_ports: BTreeMap<PortKey, Vec<Arc<EndpointSlice>>> = BTreeMap::new();
    for slice in existing {
        by_ports
            .entry(PortKey::new(slice.ports.clone().unwrap_or_default()))
            .or_default()
            .push(slice.clone());
    }
    for (ports, endpoints) in desired {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        plan_ports(ports, &slices, endpoints, max, &mut writes);
    }
    // Ports that nothing has any more.
    writes.delete.extend(by_ports.into_values().flatten());
    if writes.create.is_empty() && writes.update.is_empty() && writes.keep.is_empty() {
        keep_placeholder(&mut writes);
    }
    writes
}

/// A service without endpoints has one empty slice, so that consumers know that it was looked at.
fn keep_placeholder(writes: &mut Writes) {
    let is_empty =
        |slice: &Arc<EndpointSlice>| size(slice) == 0 && slice.ports.as_ref().is_none_or(Vec::is_empty);
    match writes.delete.iter().position(is_empty) {
        Some(index) => {
            let slice = writes.delete.swap_remove(index);
            writes.keep.push(slice);
        }
        None => writes.create.push((PortKey::new([]), Vec::new())),
    }
}

fn plan_ports(
    ports: PortKey,
    slices: &[Arc<EndpointSlice>],
    endpoints: Vec<Endpoint>,
    max: usize,
    writes: &mut Writes,
) {
    let mut order: Vec<String> = Vec::new();
    let mut left: AHashMap<String, Endpoint> = AHashMap::new();
    for endpoint in endpoints {
        let identity = identity(&endpoint);
        if left.insert(identity.clone(), endpoint).is_none() {
            order.push(identity);
        }
    }
    let mut updated: Vec<EndpointSlice> = Vec::new();
    let mut unchanged: Vec<Arc<EndpointSlice>> = Vec::new();
    for slice in slices {
        let mut changed = false;
        let mut kept = Vec::with_capacity(size(slice));
        for endpoint in slice.endpoints.iter().flatten() {
            match left.remove(&identity(endpoint)) {
                Some(wanted) if kept.len() < max => {
                    changed |= wanted != *endpoint;
                    kept.push(wanted);
                }
                Some(wanted) => {
                    left.insert(identity(endpoint), wanted);
                    changed = true;
                }
                None => changed = true,
            }
        }
        if kept.is_empty() {
            writes.delete.push(slice.clone());
        } else if changed {
            let mut slice = slice.as_ref().clone();
            slice.endpoints = Some(kept);
            updated.push(slice);
        } else {
            unchanged.push(slice.clone());
        }
    }
    let mut waiting: VecDeque<Endpoint> = order
        .iter()
        .filter_map(|identity| left.remove(identity))
        .collect();
    // Slices that are written anyway take what they can.
    for slice in &mut updated {
        let room = max.saturating_sub(size(slice)).min(waiting.len());
        slice
            .endpoints
            .get_or_insert_default()
            .extend(waiting.drain(..room));
    }
    // One more slice is written only when that takes all of the rest, the fullest that can.
    if !waiting.is_empty() {
        let fits = |slice: &EndpointSlice| size(slice) + waiting.len() <= max;
        let best = (0..unchanged.len())
            .filter(|index| fits(&unchanged[*index]))
            .max_by_key(|index| size(&unchanged[*index]));
        if let Some(index) = best {
            let mut slice = unchanged.swap_remove(index).as_ref().clone();
            slice.endpoints.get_or_insert_default().extend(waiting.drain(..));
            updated.push(slice);
        }
    }
    // A slice that would go can as well be filled, which is one write and not two.
    while !waiting.is_empty() {
        let size = max.min(waiting.len()).max(1);
        let chunk: Vec<Endpoint> = waiting.drain(..size).collect();
        let reusable = writes
            .delete
            .iter()
            .position(|slice| PortKey::new(slice.ports.clone().unwrap_or_default()) == ports);
        match reusable {
            Some(index) => {
                let mut slice = writes.delete.swap_remove(index).as_ref().clone();
                slice.endpoints = Some(chunk);
                updated.push(slice);
            }
            None => writes.create.push((ports.clone(), chunk)),
        }
    }
    writes.update.extend(updated);
    writes.keep.extend(unchanged);
}

fn size(slice: &EndpointSlice) -> usize {
    slice.endpoints.as_ref().map_or(0, Vec::len)
}

/// What makes an endpoint the same one: its pod, or its address.
fn identity(endpoint: &Endpoint) -> String {
    let uid = endpoint
        .target_ref
        .as_ref()
        .and_then(|target| target.uid.as_deref())
        .unwrap_or_default();
    format!(
        "{uid}/{}",
        endpoint.addresses.first().map(String::as_str).unwrap_or_default()
    )
}
