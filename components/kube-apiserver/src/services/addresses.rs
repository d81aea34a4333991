//! Cluster addresses: each one in use is an IPAddress object, so creating it is taking it.

use crate::metrics::allocations::Wish;
use crate::server::Server;
use crate::stores;
use apimachinery::{meta, time};
use ipnet::IpNet;
use rand::Rng;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Instant;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};

const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// Random tries before the range is searched from its beginning.
const RANDOM_TRIES: usize = 16;
/// Addresses searched one by one at most; beyond it the range counts as full.
const SEARCH_LIMIT: u128 = 65_536;

/// Why an address was not given.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("provided IP is already allocated")]
    Taken,
    /// No range has it.
    #[error("the provided network does not match the current range")]
    Elsewhere,
    #[error("the provided IP ({address}) is not in the valid range. The range of valid IPs is {range}")]
    OutOfRange { address: IpAddr, range: IpNet },
    #[error("range is full")]
    Full,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("kind IPAddress is not registered")]
    NoStore,
}

/// The service that takes an address.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
}

fn store(server: &Server) -> Result<Store, AddressError> {
    server
        .stores
        .named("networking.k8s.io", "ipaddresses")
        .ok_or(AddressError::NoStore)
}

fn object(server: &Server, address: IpAddr, owner: &Owner<'_>) -> Value {
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": address.to_string(),
            "uid": crate::metadata::new_uid(),
            "creationTimestamp": time::format_time(jiff::Timestamp::now()),
            "labels": { FAMILY: family(address), MANAGED_BY: ALLOCATOR },
        },
        "spec": { "parentRef": { "group": "", "resource": "services", "namespace": owner.namespace, "name": owner.name } },
    });
    if let Some(spec) = object["spec"]["parentRef"].as_object_mut() {
        spec.retain(|key, value| key != "group" || value != "");
    }
    if let Some(row) = server
        .registry
        .load()
        .resource("networking.k8s.io", "v1", "ipaddresses")
    {
        let now = time::format_time(jiff::Timestamp::now());
        let writer = apimachinery::managed_fields::Writer {
            manager: "kube-apiserver",
            subresource: "",
            now: &now,
        };
        api::managed::track_whole(row, None, &mut object, writer);
    }
    object
}

/// The family of an address, as labels and messages have it.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Whether the allocator made the record of an address.
pub fn is_managed(record: &Value) -> bool {
    meta::label(record, MANAGED_BY) == Some(ALLOCATOR)
}

/// Whether the record of an address has the labels that the allocator gives it.
pub fn is_labelled(record: &Value, address: IpAddr) -> bool {
    is_managed(record) && meta::label(record, FAMILY) == Some(family(address))
}

/// Gives the record of an address its labels back.
pub async fn label(server: &Server, address: IpAddr) -> Result<(), AddressError> {
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok::<_, StorageError>(Change::Nothing);
        };
        let mut record = stores::parse(&current)?;
        meta::remove(&mut record, "resourceVersion");
        meta::set_label(&mut record, FAMILY, family(address));
        meta::set_label(&mut record, MANAGED_BY, ALLOCATOR);
        Ok(Change::Write {
            json: record.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    let name = address.to_string();
    store(server)?
        .update::<_, _, StorageError>("", &name, &Preconditions::default(), decide)
        .await?;
    Ok(())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// First and last address that services may have.
fn bounds(range: &IpNet) -> (u128, u128) {
    let first = number(range.network());
    let last = number(range.broadcast());
    match range {
        // The network and broadcast addresses are nobody's.
        IpNet::V4(_) if last - first >= 2 => (first + 1, last - 1),
        IpNet::V6(_) if last > first => (first + 1, last),
        _ => (first, last),
    }
}

fn address(range: &IpNet, number: u128) -> IpAddr {
    match range {
        IpNet::V4(_) => IpAddr::V4((number as u32).into()),
        IpNet::V6(_) => IpAddr::V6(number.into()),
    }
}

/// How many addresses services may have.
pub fn size(range: &IpNet) -> u128 {
    let (first, last) = bounds(range);
    last - first + 1
}

/// Addresses at the beginning that are left to those who ask for a certain one.
fn reserved_for_static(size: u128) -> u128 {
    if size < 16 {
        0
    } else {
        (size / 16).clamp(16, 256).min(size / 2)
    }
}

/// The first address of a range, which is the `kubernetes` service's.
pub fn first(range: &IpNet) -> IpAddr {
    address(range, bounds(range).0)
}

/// Whether services may have an address of this range.
fn gives(range: &IpNet, address: IpAddr) -> bool {
    let (first, last) = bounds(range);
    range.contains(&address) && (first..=last).contains(&number(address))
}

/// Takes a certain address. A dry run doesn't ask whether it is free, as upstream's doesn't.
pub async fn take(
    server: &Server,
    range: &IpNet,
    wanted: IpAddr,
    owner: &Owner<'_>,
    dry_run: bool,
) -> Result<(), AddressError> {
    let begun = Instant::now();
    let outcome = try_take(server, range, wanted, owner, dry_run).await;
    if !dry_run {
        let metrics = &server.metrics.allocations;
        metrics.address(range, Wish::Certain, outcome.is_ok(), begun.elapsed());
    }
    outcome
}

async fn try_take(
    server: &Server,
    range: &IpNet,
    wanted: IpAddr,
    owner: &Owner<'_>,
    dry_run: bool,
) -> Result<(), AddressError> {
    if !gives(range, wanted) {
        return Err(if dry_run || range.contains(&wanted) {
            AddressError::OutOfRange {
                address: wanted,
                range: *range,
            }
        } else {
            AddressError::Elsewhere
        });
    }
    if dry_run {
        return Ok(());
    }
    let store = store(server)?;
    let name = wanted.to_string();
    match store
        .create(
            "",
            &name,
            object(server, wanted, owner).to_string().as_bytes(),
            None,
        )
        .await
    {
        Ok(_) => Ok(()),
        Err(StorageError::AlreadyExists { .. }) => Err(AddressError::Taken),
        Err(error) => Err(error.into()),
    }
}

/// Takes any free address.
pub async fn take_any(
    server: &Server,
    range: &IpNet,
    owner: &Owner<'_>,
    dry_run: bool,
) -> Result<IpAddr, AddressError> {
    let begun = Instant::now();
    let outcome = try_take_any(server, range, owner, dry_run).await;
    if !dry_run {
        let metrics = &server.metrics.allocations;
        metrics.address(range, Wish::Any, outcome.is_ok(), begun.elapsed());
    }
    outcome
}

async fn try_take_any(
    server: &Server,
    range: &IpNet,
    owner: &Owner<'_>,
    dry_run: bool,
) -> Result<IpAddr, AddressError> {
    let (first, last) = bounds(range);
    let size = last - first + 1;
    let low = first + reserved_for_static(size);
    for _ in 0..RANDOM_TRIES {
        let candidate = address(range, rand::rng().random_range(low..=last));
        match try_take(server, range, candidate, owner, dry_run).await {
            Ok(()) => return Ok(candidate),
            Err(AddressError::Taken) => {}
            Err(error) => return Err(error),
        }
    }
    let store = store(server)?;
    // The lower part comes last, so that it stays free for as long as possible.
    let order = (low..=last)
        .chain(first..low)
        .take(usize::try_from(SEARCH_LIMIT.min(size)).unwrap_or(usize::MAX));
    for number in order {
        let candidate = address(range, number);
        if store.cached_object("", &candidate.to_string()).is_some() {
            continue;
        }
        match try_take(server, range, candidate, owner, dry_run).await {
            Ok(()) => return Ok(candidate),
            Err(AddressError::Taken) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AddressError::Full)
}

/// Gives an address back; one that isn't there is fine.
pub async fn give_back(server: &Server, address: &str) {
    let Ok(store) = store(server) else { return };
    let outcome = store
        .delete::<_, _, StorageError>("", address, &Preconditions::default(), |_| async { Ok(()) })
        .await;
    match outcome {
        Ok(_) | Err(StorageError::NotFound { .. } | StorageError::InvalidKey { .. }) => {}
        // The repair loop will find it.
        Err(error) => tracing::warn!(address, %error, "an address could not be given back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_the_addresses_of_the_network_itself() {
        for (range, address, given) in [
            ("10.32.0.0/24", "10.32.0.0", false),
            ("10.32.0.0/24", "10.32.0.1", true),
            ("10.32.0.0/24", "10.32.0.255", false),
            ("10.32.0.0/24", "10.32.1.1", false),
            ("fd00::/112", "fd00::", false),
            ("fd00::/112", "fd00::ffff", true),
            ("fd00::/112", "10.32.0.1", false),
        ] {
            let (range, parsed) = (range.parse().unwrap(), address.parse().unwrap());
            assert_eq!(gives(&range, parsed), given, "{address} of {range}");
        }
    }

    #[test]
    fn ends_of_ranges_are_not_given() {
        for (range, low, high) in [
            ("10.32.0.0/24", "10.32.0.1", "10.32.0.254"),
            ("10.0.0.0/30", "10.0.0.1", "10.0.0.2"),
            ("fd00::/120", "fd00::1", "fd00::ff"),
        ] {
            let range: IpNet = range.parse().unwrap();
            let (first_number, last_number) = bounds(&range);
            assert_eq!(first(&range).to_string(), low);
            assert_eq!(address(&range, first_number).to_string(), low);
            assert_eq!(address(&range, last_number).to_string(), high);
        }
        assert_eq!(
            (
                reserved_for_static(14),
                reserved_for_static(254),
                reserved_for_static(65534)
            ),
            (0, 16, 256)
        );
    }
}
