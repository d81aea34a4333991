//! Which node ports are in use: those that services have, and for a while those that were taken and that no service has.

use super::node_ports::Ports;
use crate::metrics::allocations::Fault;
use ahash::{AHashMap, AHashSet};
use component_config::kube_apiserver::PortRange;
use serde_json::Value;
use std::sync::Arc;

/// Rounds in which a port must have been seen without a service before it is freed.
const PATIENCE: u8 = 3;

/// The set as it should be, of the range that this server was told.
pub struct Rebuilt<'s> {
    pub ports: Ports,
    pub findings: Vec<Finding<'s>>,
    /// In how many rounds ports were seen without a service.
    pub leaked: AHashMap<u16, u8>,
}

/// What was wrong.
pub struct Finding<'s> {
    pub fault: Fault,
    /// The service that it is told of, with reason and message.
    pub told: Option<(&'s Value, &'static str, String)>,
}

/// Makes the set anew. What was `stored` may be of another range: ports are compared by their numbers.
pub fn rebuilt<'s>(
    stored: &Ports,
    range: PortRange,
    services: &'s [Arc<Value>],
    leaked: &AHashMap<u16, u8>,
) -> Rebuilt<'s> {
    let mut made = Rebuilt {
        ports: Ports::none_of(range),
        findings: Vec::new(),
        leaked: AHashMap::new(),
    };
    for service in services {
        for port in held(service) {
            let (fault, reason, message) = if !range.contains(port) {
                let message =
                    format!("Port {port} is not within the port range {range}; please recreate service");
                (Fault::OutOfRange, "PortOutOfRange", message)
            } else if !made.ports.used.insert(port) {
                let message =
                    format!("Port {port} was assigned to multiple services; please recreate service");
                (Fault::Duplicate, "PortAlreadyAllocated", message)
            } else if !stored.used.contains(&port) {
                let message = format!("Port {port} is not allocated; repairing");
                (Fault::Repair, "PortNotAllocated", message)
            } else {
                continue;
            };
            let told = Some((&**service, reason, message));
            made.findings.push(Finding { fault, told });
        }
    }
    let orphans: Vec<u16> = stored.used.difference(&made.ports.used).copied().collect();
    for port in orphans.into_iter().filter(|port| range.contains(*port)) {
        let seen = leaked.get(&port).copied().unwrap_or(0).saturating_add(1);
        if seen < PATIENCE {
            // Its service may be about to be stored.
            made.ports.used.insert(port);
            made.leaked.insert(port, seen);
        } else {
            made.findings.push(Finding {
                fault: Fault::Leak,
                told: None,
            });
        }
    }
    made
}

/// The ports that a service has. Ports of several protocols may have the same number; what it has twice for one protocol it
/// has twice here.
fn held(service: &Value) -> Vec<u16> {
    let spec = &service["spec"];
    let listed = spec["ports"].as_array().into_iter().flatten().map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        (&port["nodePort"], protocol)
    });
    let (mut ports, mut seen, mut numbers) = (Vec::new(), AHashSet::new(), AHashSet::new());
    for (port, protocol) in listed.chain(std::iter::once((&spec["healthCheckNodePort"], "TCP"))) {
        let number = port.as_u64().and_then(|number| u16::try_from(number).ok());
        let Some(port) = number.filter(|number| *number > 0) else {
            continue;
        };
        let (new_number, new) = (numbers.insert(port), seen.insert((port, protocol)));
        if new_number || !new {
            ports.push(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    const RANGE: PortRange = PortRange {
        first: 30000,
        last: 32767,
    };

    #[test]
    fn the_set_is_made_anew_by_numbers() {
        let service = |ports: &[(u16, &str)]| {
            let ports: Vec<Value> = ports
                .iter()
                .map(|(port, protocol)| json!({"nodePort": port, "protocol": protocol}))
                .collect();
            Arc::new(json!({"spec": {"ports": ports}}))
        };
        let services = [
            service(&[(30001, "TCP"), (30001, "UDP")]),
            service(&[(30001, "TCP"), (30002, "TCP")]),
            service(&[(29500, "TCP")]),
        ];
        let stored = Ports {
            range: PortRange {
                first: 29000,
                last: 32767,
            },
            used: BTreeSet::from([29500, 29600, 30001, 30009]),
        };
        let mut leaked = AHashMap::new();
        let mut ports = stored;
        for (round, used, reasons) in [
            (
                1,
                vec![30001, 30002, 30009],
                vec!["PortAlreadyAllocated", "PortNotAllocated", "PortOutOfRange"],
            ),
            (
                2,
                vec![30001, 30002, 30009],
                vec!["PortAlreadyAllocated", "PortOutOfRange"],
            ),
            (
                3,
                vec![30001, 30002],
                vec!["PortAlreadyAllocated", "PortOutOfRange", ""],
            ),
            (
                4,
                vec![30001, 30002],
                vec!["PortAlreadyAllocated", "PortOutOfRange"],
            ),
        ] {
            let made = rebuilt(&ports, RANGE, &services, &leaked);
            let found: Vec<&str> = made
                .findings
                .iter()
                .map(|finding| finding.told.as_ref().map_or("", |(_, reason, _)| *reason))
                .collect();
            assert_eq!(found, reasons, "round {round}");
            assert_eq!(made.ports.used, BTreeSet::from_iter(used), "round {round}");
            assert_eq!(made.ports.range, RANGE);
            (ports, leaked) = (made.ports, made.leaked);
        }
    }
}
