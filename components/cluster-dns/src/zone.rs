//! What a name in the cluster's domain means. Pure: it only reads the catalog.

mod service;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::IpNet;

use crate::catalog::{Catalog, dashed, ready, service_of};

/// Version of the specification that is answered by.
const SCHEMA_VERSION: &str = "1.1.0";

/// The cluster's domain.
#[derive(Clone, Debug)]
pub struct Zone {
    pub origin: Name,
    pub ttl: u32,
    /// Ranges whose reverse names belong to the cluster.
    pub reverse: Vec<IpNet>,
}

/// What is known about a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Answers and additional records.
    Records(Vec<Record>, Vec<Record>),
    /// The name is an alias for one elsewhere.
    Alias(Name),
    /// The name exists, but not with this type.
    NoData,
    /// There is no such name.
    NoName,
    /// The name is not the cluster's.
    Elsewhere,
}

impl Zone {
    /// None if the domain is not a valid name.
    pub fn new(domain: &str, ttl: u32, reverse: Vec<IpNet>) -> Option<Zone> {
        let labels: Vec<String> = domain
            .split('.')
            .filter(|part| !part.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        let origin = name_of(labels.iter().map(String::as_str), &Name::root())?;
        (!labels.is_empty()).then_some(Zone { origin, ttl, reverse })
    }

    /// Answers for one name, in any case, and type.
    pub fn answer(&self, catalog: &Catalog, name: &Name, record_type: RecordType) -> Answer {
        if self.origin.zone_of(name) {
            let depth = usize::from(name.num_labels() - self.origin.num_labels());
            let labels: Option<Vec<String>> = name
                .iter()
                .take(depth)
                .map(|label| std::str::from_utf8(label).ok().map(str::to_ascii_lowercase))
                .collect();
            return match labels {
                Some(labels) => self.forward_name(catalog, name, &labels, record_type),
                None => Answer::NoName,
            };
        }
        match reverse_address(name) {
            Some(address) => self.reverse_name(catalog, name, address, record_type),
            None => Answer::Elsewhere,
        }
    }

    /// The record that comes with every negative answer.
    pub fn soa(&self) -> Record {
        let below =
            |label: &str| name_of([label].into_iter(), &self.origin).unwrap_or_else(|| self.origin.clone());
        let soa = SOA::new(below("ns"), below("hostmaster"), 1, 7200, 1800, 86400, self.ttl);
        Record::from_rdata(self.origin.clone(), self.ttl, RData::SOA(soa))
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl, data)
    }

    fn addresses(
        &self,
        name: &Name,
        addresses: impl Iterator<Item = IpAddr>,
        record_type: RecordType,
    ) -> Vec<Record> {
        let mut records: Vec<Record> = addresses
            .filter_map(|address| match (address, record_type) {
                (IpAddr::V4(address), RecordType::A) => Some(RData::A(A(address))),
                (IpAddr::V6(address), RecordType::AAAA) => Some(RData::AAAA(AAAA(address))),
                _ => None,
            })
            .map(|data| self.record(name, data))
            .collect();
        records.dedup();
        records
    }

    fn forward_name(
        &self,
        catalog: &Catalog,
        name: &Name,
        labels: &[String],
        record_type: RecordType,
    ) -> Answer {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        match labels.as_slice() {
            [] => match record_type {
                RecordType::SOA => Answer::Records(vec![self.soa()], vec![]),
                RecordType::NS => {
                    let server =
                        name_of(["ns"].into_iter(), &self.origin).unwrap_or_else(|| self.origin.clone());
                    Answer::Records(vec![self.record(name, RData::NS(NS(server)))], vec![])
                }
                _ => Answer::NoData,
            },
            ["dns-version"] => match record_type {
                RecordType::TXT => {
                    let text = TXT::new(vec![SCHEMA_VERSION.to_owned()]);
                    Answer::Records(vec![self.record(name, RData::TXT(text))], vec![])
                }
                _ => Answer::NoData,
            },
            ["svc" | "pod"] => Answer::NoData,
            [namespace, "svc" | "pod"] => exists(catalog.has_namespace(namespace)),
            [address, namespace, "pod"] => self.pod(catalog, name, address, namespace, record_type),
            [rest @ .., service, namespace, "svc"] => {
                let query = service::Query {
                    zone: self,
                    catalog,
                    name,
                    namespace,
                    service,
                    record_type,
                };
                query.answer(rest)
            }
            _ => Answer::NoName,
        }
    }

    /// Any address in an existing namespace, without a look at the pods: as clusters are commonly set up, and
    /// watching all pods would cost more than all else.
    fn pod(
        &self,
        catalog: &Catalog,
        name: &Name,
        label: &str,
        namespace: &str,
        record_type: RecordType,
    ) -> Answer {
        let v4 = label
            .replace('-', ".")
            .parse::<std::net::Ipv4Addr>()
            .map(IpAddr::V4);
        let v6 = || {
            label
                .replace('-', ":")
                .parse::<std::net::Ipv6Addr>()
                .map(IpAddr::V6)
        };
        match v4.or_else(|_| v6()) {
            Ok(address) if dashed(&address) == label && catalog.has_namespace(namespace) => {
                records_or_no_data(self.addresses(name, std::iter::once(address), record_type))
            }
            _ => Answer::NoName,
        }
    }

    fn reverse_name(
        &self,
        catalog: &Catalog,
        name: &Name,
        address: IpAddr,
        record_type: RecordType,
    ) -> Answer {
        let mut targets = Vec::new();
        for service in catalog.services_at(&address) {
            let (namespace, service) = (
                service.metadata.namespace.as_deref(),
                service.metadata.name.as_deref(),
            );
            targets.extend(self.service_name(namespace.unwrap_or_default(), service.unwrap_or_default()));
        }
        if targets.is_empty() {
            let slices = catalog.slices_with(&address);
            for ready in
                ready(&slices).filter(|ready| ready.address == address && ready.endpoint.hostname.is_some())
            {
                let owner = service_of(ready.slice);
                let Some((namespace, service)) = owner.as_deref().and_then(|owner| owner.split_once('/'))
                else {
                    continue;
                };
                let service = self.service_name(namespace, service);
                targets.extend(
                    service.and_then(|service| name_of([ready.label().as_str()].into_iter(), &service)),
                );
            }
        }
        if targets.is_empty() {
            return match self.reverse.iter().any(|range| range.contains(&address)) {
                true => Answer::NoName,
                false => Answer::Elsewhere,
            };
        }
        if record_type != RecordType::PTR {
            return Answer::NoData;
        }
        Answer::Records(
            targets
                .into_iter()
                .map(|target| self.record(name, RData::PTR(PTR(target))))
                .collect(),
            vec![],
        )
    }

    /// `service.namespace.svc` and the domain.
    fn service_name(&self, namespace: &str, service: &str) -> Option<Name> {
        name_of([service, namespace, "svc"].into_iter(), &self.origin)
    }
}

fn exists(exists: bool) -> Answer {
    if exists { Answer::NoData } else { Answer::NoName }
}

fn records_or_no_data(records: Vec<Record>) -> Answer {
    if records.is_empty() {
        Answer::NoData
    } else {
        Answer::Records(records, vec![])
    }
}

/// Labels below a name; None if it gets too long.
fn name_of<'a>(labels: impl Iterator<Item = &'a str>, below: &Name) -> Option<Name> {
    let mut name = Name::from_labels(labels.map(str::as_bytes)).ok()?;
    name.set_fqdn(false);
    let mut name = name.append_name(below).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The address that a name below in-addr.arpa or ip6.arpa stands for.
fn reverse_address(name: &Name) -> Option<IpAddr> {
    let network = name.parse_arpa_name().ok()?;
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}
