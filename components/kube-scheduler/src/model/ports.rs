//! Ports of a node that pods claim for themselves.

use k8s_openapi::api::core::v1::PodSpec;

const ANY: &str = "0.0.0.0";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

impl HostPort {
    /// The same port on the same address; the wildcard address collides with all.
    pub fn collides(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == ANY || other.ip == ANY)
    }
}

/// The host ports of a pod's containers and sidecars.
pub fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(HostPort {
                ip: port
                    .host_ip
                    .clone()
                    .filter(|ip| !ip.is_empty())
                    .unwrap_or_else(|| ANY.to_owned()),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: port.host_port.filter(|port| *port > 0)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wildcard_address_collides_with_every_address() {
        let port = |ip: &str, protocol: &str| HostPort {
            ip: ip.to_owned(),
            protocol: protocol.to_owned(),
            port: 80,
        };
        for (one, other, collides) in [
            (port("0.0.0.0", "TCP"), port("10.0.0.1", "TCP"), true),
            (port("10.0.0.2", "TCP"), port("10.0.0.1", "TCP"), false),
            (port("10.0.0.1", "UDP"), port("10.0.0.1", "TCP"), false),
            (port("10.0.0.1", "TCP"), port("10.0.0.1", "TCP"), true),
        ] {
            assert_eq!(one.collides(&other), collides, "{one:?} {other:?}");
            assert_eq!(other.collides(&one), collides, "{other:?} {one:?}");
        }
    }
}
