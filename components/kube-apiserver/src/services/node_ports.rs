//! Node ports: a bitmap in one key, shared by all API servers.

use crate::metrics::allocations::Wish;
use crate::server::Server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use component_config::kube_apiserver::{PortRange, parse_port_range};
use rand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use storage::{RawStore, Revision, StorageError, TxnOutcome};

const KEY: &str = "ranges/servicenodeports";
const RETRIES: usize = 64;

/// Why a port was not given.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("provided port is already allocated")]
    Taken,
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    OutOfRange(PortRange),
    #[error("range is full")]
    Full,
    /// Another server, or this one before, was told another range; until the repair has gone over it nothing is given,
    /// because two servers would give the same port.
    #[error("the provided range does not match the current range")]
    OtherRange,
    #[error("the port allocation kept changing")]
    Contended,
    #[error("the port allocation can't be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How many ports at the beginning of a range are left to those who ask for a certain one: between 16 and 128, a 32nd
/// otherwise, and none of a small range (upstream's `calculateRangeOffset` of the port allocator, KEP-3668).
fn reserved_for_static(range: PortRange) -> u16 {
    const LEAST: u16 = 16;
    const MOST: u16 = 128;
    let size = (range.last - range.first).saturating_add(1);
    if size <= LEAST {
        return 0;
    }
    (size / 32).clamp(LEAST, MOST)
}

/// Ports in use, out of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    pub range: PortRange,
    pub used: BTreeSet<u16>,
}

impl Ports {
    /// No port of the range is in use.
    pub fn none_of(range: PortRange) -> Self {
        Self {
            range,
            used: BTreeSet::new(),
        }
    }

    /// Reads upstream's RangeAllocation: the bitmap is one big-endian number whose bit 0 is the first port of the range that
    /// it names. `usual` is the range of one that names none.
    fn decode(value: &[u8], usual: PortRange) -> Result<Self, PortError> {
        let unreadable = |why: &str| PortError::Unreadable(why.to_owned());
        let object: Value = match value.strip_prefix(b"k8s\0") {
            Some(_) => crate::protobuf::decode_range_allocation(value)
                .ok_or_else(|| unreadable("malformed protobuf"))?,
            None => serde_json::from_slice(value).map_err(|error| unreadable(&error.to_string()))?,
        };
        let range = match object["range"].as_str().unwrap_or("") {
            "" => usual,
            text => parse_port_range(text).map_err(|why| unreadable(&why))?,
        };
        let bytes = STANDARD
            .decode(object["data"].as_str().unwrap_or(""))
            .map_err(|_| unreadable("malformed base64"))?;
        let mut used = BTreeSet::new();
        for (position, byte) in bytes.iter().rev().enumerate() {
            for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
                let offset = u16::try_from(position * 8 + bit).map_err(|_| unreadable("bitmap too long"))?;
                if let Some(port) = range.first.checked_add(offset).filter(|port| *port <= range.last) {
                    used.insert(port);
                }
            }
        }
        Ok(Self { range, used })
    }

    fn encode(&self) -> Vec<u8> {
        let highest = self
            .used
            .last()
            .map_or(0, |port| usize::from(port - self.range.first) / 8 + 1);
        let mut bytes = vec![0u8; highest];
        for port in &self.used {
            let offset = usize::from(port - self.range.first);
            bytes[highest - 1 - offset / 8] |= 1 << (offset % 8);
        }
        let range = self.range.to_string();
        json!({ "kind": "RangeAllocation", "apiVersion": "v1", "metadata": {}, "range": range, "data": STANDARD.encode(bytes) })
            .to_string()
            .into_bytes()
    }

    /// A free port. Those at the beginning, which are left to who asks for a certain one, are only given when there is no
    /// other.
    fn free(&self) -> Option<u16> {
        let PortRange { first, last } = self.range;
        let low = first + reserved_for_static(self.range);
        let is_free = |port: &u16| !self.used.contains(port);
        let mut random = rand::rng();
        (0..32)
            .map(|_| random.random_range(low..=last))
            .find(is_free)
            .or_else(|| (low..=last).find(is_free))
            .or_else(|| (first..low).find(is_free))
    }
}

async fn load(raw: &RawStore, usual: PortRange) -> Result<(Ports, Option<Revision>), PortError> {
    Ok(match raw.get(KEY).await? {
        Some(stored) => (Ports::decode(&stored.value, usual)?, Some(stored.mod_revision)),
        None => (Ports::none_of(usual), None),
    })
}

/// Changes the set in a transaction; `change` is asked again when somebody else was faster.
async fn change<T>(
    server: &Server,
    dry_run: bool,
    mut change: impl FnMut(&mut Ports) -> Result<T, PortError>,
) -> Result<T, PortError> {
    let own = server.flags.service_node_port_range;
    replace(server, dry_run, |ports| {
        if ports.range != own {
            return Err(PortError::OtherRange);
        }
        change(ports)
    })
    .await
}

/// Likewise, of whichever range the set is: `change` may put one of another range in its place.
pub async fn replace<T>(
    server: &Server,
    dry_run: bool,
    mut change: impl FnMut(&mut Ports) -> Result<T, PortError>,
) -> Result<T, PortError> {
    let raw = server.stores.storage.raw();
    for _ in 0..RETRIES {
        let (mut ports, revision) = load(&raw, server.flags.service_node_port_range).await?;
        let before = ports.clone();
        let outcome = change(&mut ports)?;
        if dry_run || (ports == before && revision.is_some()) {
            return Ok(outcome);
        }
        if let TxnOutcome::Done(_) = raw.put(KEY, ports.encode(), revision, None).await? {
            return Ok(outcome);
        }
    }
    Err(PortError::Contended)
}

/// Takes a certain port.
pub async fn take(server: &Server, port: u16, dry_run: bool) -> Result<(), PortError> {
    let range = server.flags.service_node_port_range;
    // As with upstream a dry run only looks whether the port is free.
    let outcome = if dry_run || range.contains(port) {
        change(server, dry_run, |ports| {
            if ports.used.insert(port) {
                Ok(())
            } else {
                Err(PortError::Taken)
            }
        })
        .await
    } else {
        Err(PortError::OutOfRange(range))
    };
    if !dry_run {
        server.metrics.allocations.port(Wish::Certain, outcome.is_ok());
    }
    outcome
}

/// Takes any free port.
pub async fn take_any(server: &Server, dry_run: bool) -> Result<u16, PortError> {
    let outcome = change(server, dry_run, |ports| {
        let port = ports.free().ok_or(PortError::Full)?;
        ports.used.insert(port);
        Ok(port)
    })
    .await;
    if !dry_run {
        server.metrics.allocations.port(Wish::Any, outcome.is_ok());
    }
    outcome
}

/// Gives ports back.
pub async fn give_back(server: &Server, given: &[u16]) {
    if given.is_empty() {
        return;
    }
    let outcome = change(server, false, |ports| {
        given.iter().for_each(|port| {
            ports.used.remove(port);
        });
        Ok(())
    })
    .await;
    if let Err(error) = outcome {
        // The repair loop will find them.
        tracing::warn!(?given, %error, "node ports could not be given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange {
        first: 30000,
        last: 32767,
    };

    #[test]
    fn the_bitmap_is_upstreams() {
        let recorded = br#"{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30000-32767","data":"CAAAAAAAAAAAAAAAAAAAAA=="}"#;
        let ports = Ports::decode(recorded, RANGE).unwrap();
        assert_eq!(ports.used, BTreeSet::from([30123]));
        assert_eq!(Ports::decode(&ports.encode(), RANGE).unwrap(), ports);
    }

    #[test]
    fn the_bitmap_is_of_the_range_that_it_names() {
        let of = |range: &str| {
            let stored = json!({"range": range, "data": STANDARD.encode([0b101])}).to_string();
            Ports::decode(stored.as_bytes(), RANGE).map(|ports| (ports.range.first, ports.used))
        };
        assert_eq!(of("").unwrap(), (30000, BTreeSet::from([30000, 30002])));
        assert_eq!(
            of("29000-32767").unwrap(),
            (29000, BTreeSet::from([29000, 29002]))
        );
        assert_eq!(of("29000-29001").unwrap(), (29000, BTreeSet::from([29000])));
        assert!(of("x").is_err());
    }

    #[test]
    fn ports_at_the_beginning_are_given_last() {
        for (first, last, kept) in [(1, 16, 0), (1, 17, 16), (30000, 32767, 86), (1, 65535, 128)] {
            assert_eq!(
                reserved_for_static(PortRange { first, last }),
                kept,
                "{first}-{last}"
            );
        }
        let range = PortRange {
            first: 100,
            last: 139,
        };
        let mut ports = Ports::none_of(range);
        for given in 0..40 {
            let port = ports.free().unwrap();
            assert_eq!(port >= 116, given < 24, "{port}");
            ports.used.insert(port);
        }
    }

    #[test]
    fn a_full_range_has_nothing_free() {
        let range = PortRange { first: 1, last: 3 };
        let mut ports = Ports::none_of(range);
        for _ in 0..3 {
            let port = ports.free().unwrap();
            assert!(ports.used.insert(port));
        }
        assert_eq!(ports.free(), None);
    }
}
