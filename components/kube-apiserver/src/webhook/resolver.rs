//! From a service to addresses, by what this server has in its own caches.

use super::connection::joined;
use super::place::Service;
use crate::stores::Stores;
use apimachinery::meta;
use rand::seq::{IndexedRandom, SliceRandom};
use serde_json::Value;
use std::borrow::Borrow;
use std::sync::Arc;

/// Why a service leads nowhere; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("service {0:?} not found")]
    NotFound(String),
    #[error("no service port {port} found for service {service:?}")]
    NoPort { service: String, port: u16 },
    #[error("no endpoints available for service {0:?}")]
    NoEndpoints(String),
    #[error("cannot route to service with ClusterIP \"None\"")]
    Headless,
}

/// Which port of a service is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServicePort<'a> {
    Number(u16),
    /// By name, or by number as text; the only one if empty.
    Named(&'a str),
}

/// Finds services in the watch caches.
#[derive(Clone)]
pub struct Resolver {
    stores: Stores,
    /// `--enable-aggregator-routing`: never by cluster address.
    endpoints_only: bool,
}

impl Resolver {
    pub fn new(stores: Stores, endpoints_only: bool) -> Arc<Self> {
        Arc::new(Self {
            stores,
            endpoints_only,
        })
    }

    /// Addresses to try one after the other.
    ///
    /// Ready endpoints come first: the host of an API server need not run a proxy for cluster addresses.
    pub fn resolve(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> Result<Vec<(String, u16)>, ResolveError> {
        let (service, slices) = self.known(namespace, name)?;
        let mut found = addresses(&service, &slices, port, self.endpoints_only)?;
        found.shuffle(&mut rand::rng());
        Ok(found)
    }

    /// The `host:port` that stands for a port of a service in URLs.
    pub fn authority(&self, of: &Service) -> Result<String, ResolveError> {
        let (service, slices) = self.known(&of.namespace, &of.name)?;
        let (host, port) = location(&service, &slices, of.port, self.endpoints_only)?;
        Ok(joined(&host, port))
    }

    fn known(&self, namespace: &str, name: &str) -> Result<(Arc<Value>, Vec<Arc<Value>>), ResolveError> {
        let service = self
            .stores
            .cached("", "services", namespace, name)
            .ok_or_else(|| ResolveError::NotFound(name.to_owned()))?;
        let slices = self
            .stores
            .cached_list("discovery.k8s.io", "endpointslices", Some(namespace));
        Ok((service, slices))
    }
}

/// What upstream's server calls a port of a service: its cluster address where it has one, whatever connections go to.
fn location(
    service: &Value,
    slices: &[impl Borrow<Value>],
    port: u16,
    endpoints_only: bool,
) -> Result<(String, u16), ResolveError> {
    let spec = &service["spec"];
    let found = addresses(service, slices, port, endpoints_only)?;
    let address = spec["clusterIP"].as_str().unwrap_or("");
    let cluster = !endpoints_only && !matches!(address, "" | "None") && spec["type"] != "ExternalName";
    if cluster {
        return Ok((address.to_owned(), port));
    }
    let unreachable = || ResolveError::NoEndpoints(meta::name(service).to_owned());
    found.choose(&mut rand::rng()).cloned().ok_or_else(unreachable)
}

fn addresses(
    service: &Value,
    slices: &[impl Borrow<Value>],
    port: u16,
    endpoints_only: bool,
) -> Result<Vec<(String, u16)>, ResolveError> {
    let name = meta::name(service);
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" {
        let external = spec["externalName"].as_str().unwrap_or("").to_owned();
        return Ok(vec![(external, port)]);
    }
    let port_name = port_name(service, ServicePort::Number(port)).ok_or_else(|| ResolveError::NoPort {
        service: name.to_owned(),
        port,
    })?;
    let ready = ready_endpoints(name, &port_name, slices);
    if !ready.is_empty() {
        return Ok(ready);
    }
    if endpoints_only {
        return Err(ResolveError::NoEndpoints(name.to_owned()));
    }
    match spec["clusterIP"].as_str().unwrap_or("") {
        "None" => Err(ResolveError::Headless),
        "" => Err(ResolveError::NoEndpoints(name.to_owned())),
        address => Ok(vec![(address.to_owned(), port)]),
    }
}

/// The name of a port of a service; it may be empty.
pub fn port_name(service: &Value, asked: ServicePort<'_>) -> Option<String> {
    let ports = service["spec"]["ports"].as_array()?;
    let found = match asked {
        ServicePort::Named("") if ports.len() == 1 => ports.first(),
        ServicePort::Named("") => None,
        ServicePort::Named(text) => ports.iter().find(|port| {
            port["name"] == text
                || port["port"]
                    .as_u64()
                    .is_some_and(|number| number.to_string() == text)
        }),
        ServicePort::Number(number) => ports
            .iter()
            .find(|port| port["port"].as_u64() == Some(u64::from(number))),
    };
    found.map(|port| port["name"].as_str().unwrap_or("").to_owned())
}

/// Ready addresses behind a port of a service, from the slices of its namespace.
pub fn ready_endpoints(service: &str, port_name: &str, slices: &[impl Borrow<Value>]) -> Vec<(String, u16)> {
    let mut ready = Vec::new();
    let of_service = |slice: &&Value| meta::label(slice, "kubernetes.io/service-name") == Some(service);
    for slice in slices.iter().map(Borrow::borrow).filter(of_service) {
        let port = slice["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|port| port["name"].as_str().unwrap_or("") == port_name);
        let Some(port) = port
            .and_then(|port| port["port"].as_u64())
            .and_then(|port| u16::try_from(port).ok())
        else {
            continue;
        };
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            if endpoint["conditions"]["ready"] != false
                && let Some(address) = endpoint["addresses"][0].as_str()
            {
                ready.push((address.to_owned(), port));
            }
        }
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn endpoints_come_before_the_cluster_address() {
        let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.5", "ports": [{"name": "https", "port": 443}, {"name": "x", "port": 80}]}});
        let slice = |ready: bool| {
            json!({"metadata": {"labels": {"kubernetes.io/service-name": "s"}}, "ports": [{"name": "https", "port": 8443}],
            "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": ready}}]})
        };
        let headless =
            json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"port": 443}]}});
        let external =
            json!({"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "e.example"}});
        let told = |service: &Value, slices: Vec<Value>, endpoints_only: bool| {
            location(service, &slices, 443, endpoints_only).map(|(host, port)| joined(&host, port))
        };
        for (service, slices, endpoints_only, expected) in [
            (&service, vec![slice(true)], false, Ok("10.0.0.5:443")),
            (&service, vec![slice(true)], true, Ok("10.1.0.1:8443")),
            (&external, vec![], false, Ok("e.example:443")),
            (&headless, vec![], false, Err(ResolveError::Headless)),
        ] {
            assert_eq!(told(service, slices, endpoints_only), expected.map(str::to_owned));
        }
        let at = |host: &str, port: u16| Ok(vec![(host.to_owned(), port)]);
        for (service, slices, port, endpoints_only, expected) in [
            (&service, vec![slice(true)], 443, false, at("10.1.0.1", 8443)),
            (&service, vec![slice(false)], 443, false, at("10.0.0.5", 443)),
            (&service, vec![slice(true)], 80, false, at("10.0.0.5", 80)),
            (
                &service,
                vec![],
                443,
                true,
                Err(ResolveError::NoEndpoints("s".into())),
            ),
            (
                &service,
                vec![slice(true)],
                444,
                false,
                Err(ResolveError::NoPort {
                    service: "s".into(),
                    port: 444,
                }),
            ),
            (&headless, vec![], 443, false, Err(ResolveError::Headless)),
            (&external, vec![], 9, false, at("e.example", 9)),
        ] {
            assert_eq!(addresses(service, &slices, port, endpoints_only), expected);
        }
    }
}
