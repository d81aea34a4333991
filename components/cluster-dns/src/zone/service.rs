//! Names at and below a Service.

use std::net::IpAddr;

use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::{Service, ServicePort};

use super::{Answer, Zone, exists, name_of, records_or_no_data};
use crate::catalog::{Catalog, cluster_ips, ready};

/// A question about `*.service.namespace.svc`.
pub struct Query<'a> {
    pub zone: &'a Zone,
    pub catalog: &'a Catalog,
    /// The full name, as asked.
    pub name: &'a Name,
    pub namespace: &'a str,
    pub service: &'a str,
    pub record_type: RecordType,
}

impl Query<'_> {
    /// `rest` is what stands before the Service's name.
    pub fn answer(&self, rest: &[&str]) -> Answer {
        let Some(service) = self.catalog.service(self.namespace, self.service) else {
            return Answer::NoName;
        };
        let Some(spec) = service.spec.as_ref() else {
            return Answer::NoName;
        };
        if spec.type_.as_deref() == Some("ExternalName") {
            return match (
                rest,
                spec.external_name
                    .as_deref()
                    .and_then(|name| Name::from_ascii(name).ok()),
            ) {
                ([], Some(mut target)) => {
                    target.set_fqdn(true);
                    Answer::Alias(target)
                }
                _ => Answer::NoName,
            };
        }
        let addresses: Vec<IpAddr> = cluster_ips(&service).collect();
        let headless = addresses.is_empty();
        match rest {
            [] if headless => {
                let slices = self.catalog.slices(self.namespace, self.service);
                let mut endpoints: Vec<IpAddr> = ready(&slices).map(|ready| ready.address).collect();
                endpoints.sort();
                endpoints.dedup();
                // As the specification has it.
                if endpoints.is_empty() {
                    return Answer::NoName;
                }
                records_or_no_data(
                    self.zone
                        .addresses(self.name, endpoints.into_iter(), self.record_type),
                )
            }
            [] => records_or_no_data(
                self.zone
                    .addresses(self.name, addresses.into_iter(), self.record_type),
            ),
            [label] if label.starts_with('_') => {
                let protocol = label.trim_start_matches('_');
                let mut ports = spec.ports.iter().flatten();
                exists(
                    ports.any(|port| port.name.is_some() && protocol_of(port).eq_ignore_ascii_case(protocol)),
                )
            }
            [label] if headless => self.endpoint(label),
            [port, protocol] => match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) if headless => self.endpoint_ports(port, protocol),
                (Some(port), Some(protocol)) => self.service_port(&service, port, protocol, &addresses),
                _ => Answer::NoName,
            },
            _ => Answer::NoName,
        }
    }

    fn endpoint(&self, label: &str) -> Answer {
        let slices = self.catalog.slices(self.namespace, self.service);
        let found: Vec<IpAddr> = ready(&slices)
            .filter(|ready| ready.label() == label)
            .map(|ready| ready.address)
            .collect();
        match found.is_empty() {
            true => Answer::NoName,
            false => records_or_no_data(
                self.zone
                    .addresses(self.name, found.into_iter(), self.record_type),
            ),
        }
    }

    fn service_port(&self, service: &Service, name: &str, protocol: &str, addresses: &[IpAddr]) -> Answer {
        let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        let found = ports.filter(|port| {
            port.name.as_deref() == Some(name) && protocol_of(port).eq_ignore_ascii_case(protocol)
        });
        let found: Vec<u16> = found.filter_map(|port| u16::try_from(port.port).ok()).collect();
        let Some(target) = self.zone.service_name(self.namespace, self.service) else {
            return Answer::NoName;
        };
        let targets = found
            .into_iter()
            .map(|port| (port, target.clone(), addresses.to_vec()))
            .collect();
        self.srv(targets)
    }

    fn endpoint_ports(&self, name: &str, protocol: &str) -> Answer {
        let slices = self.catalog.slices(self.namespace, self.service);
        let Some(service) = self.zone.service_name(self.namespace, self.service) else {
            return Answer::NoName;
        };
        let mut targets: Vec<(u16, Name, Vec<IpAddr>)> = Vec::new();
        for ready in ready(&slices) {
            let ports = ready.slice.ports.iter().flatten().filter(|port| {
                port.name.as_deref() == Some(name)
                    && port
                        .protocol
                        .as_deref()
                        .unwrap_or("TCP")
                        .eq_ignore_ascii_case(protocol)
            });
            let Some(target) = name_of([ready.label().as_str()].into_iter(), &service) else {
                continue;
            };
            for port in ports.filter_map(|port| port.port.and_then(|port| u16::try_from(port).ok())) {
                match targets
                    .iter_mut()
                    .find(|(other, name, _)| *other == port && *name == target)
                {
                    Some((_, _, addresses)) => addresses.push(ready.address),
                    None => targets.push((port, target.clone(), vec![ready.address])),
                }
            }
        }
        self.srv(targets)
    }

    fn srv(&self, targets: Vec<(u16, Name, Vec<IpAddr>)>) -> Answer {
        if targets.is_empty() {
            return Answer::NoName;
        }
        if self.record_type != RecordType::SRV {
            return Answer::NoData;
        }
        // Equal weights that add up to about 100, as the specification's example.
        let weight = u16::try_from(100 / targets.len().min(100)).unwrap_or(1);
        let mut additional: Vec<Record> = Vec::new();
        let mut answers = Vec::with_capacity(targets.len());
        for (port, target, addresses) in targets {
            for record_type in [RecordType::A, RecordType::AAAA] {
                let known = self
                    .zone
                    .addresses(&target, addresses.iter().copied(), record_type);
                additional.extend(
                    known
                        .into_iter()
                        .filter(|record| !additional.contains(record))
                        .collect::<Vec<_>>(),
                );
            }
            answers.push(
                self.zone
                    .record(self.name, RData::SRV(SRV::new(0, weight, port, target))),
            );
        }
        Answer::Records(answers, additional)
    }
}

fn protocol_of(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}
