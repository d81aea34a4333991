//! The objects that names are made of.

use std::net::IpAddr;
use std::sync::Arc;

use client::Informer;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

const BY_SERVICE: &str = "service";
const BY_ADDRESS: &str = "address";

/// Watched objects with the indexes that names need.
#[derive(Clone)]
pub struct Catalog {
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    namespaces: Informer<Namespace>,
}

/// One address of a ready endpoint with its slice.
pub struct Ready<'a> {
    pub slice: &'a EndpointSlice,
    pub endpoint: &'a Endpoint,
    pub address: IpAddr,
}

impl Ready<'_> {
    /// The label under which it is known below its Service.
    pub fn label(&self) -> String {
        match self.endpoint.hostname.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => name.to_ascii_lowercase(),
            None => dashed(&self.address),
        }
    }
}

/// An address as a label: `10-0-0-1`.
pub fn dashed(address: &IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

impl Catalog {
    pub fn new(
        services: Informer<Service>,
        slices: Informer<EndpointSlice>,
        namespaces: Informer<Namespace>,
    ) -> Catalog {
        services.add_index(BY_ADDRESS, |service| {
            cluster_ips(service).map(|address| address.to_string()).collect()
        });
        slices.add_index(BY_SERVICE, |slice| service_of(slice).into_iter().collect());
        slices.add_index(BY_ADDRESS, |slice| {
            // Only hostnames have reverse names; the other addresses would be most of the memory.
            let named = slice
                .endpoints
                .iter()
                .flatten()
                .filter(|endpoint| endpoint.hostname.is_some());
            named.flat_map(|endpoint| endpoint.addresses.clone()).collect()
        });
        Catalog {
            services,
            slices,
            namespaces,
        }
    }

    pub fn is_synced(&self) -> bool {
        self.services.is_synced() && self.slices.is_synced() && self.namespaces.is_synced()
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get("", name).is_some()
    }

    pub fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(namespace, name)
    }

    pub fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices
            .by_index(BY_SERVICE, &format!("{namespace}/{service}"))
    }

    pub fn services_at(&self, address: &IpAddr) -> Vec<Arc<Service>> {
        self.services.by_index(BY_ADDRESS, &address.to_string())
    }

    pub fn slices_with(&self, address: &IpAddr) -> Vec<Arc<EndpointSlice>> {
        self.slices.by_index(BY_ADDRESS, &address.to_string())
    }
}

/// The cluster IPs of a Service; none if it is headless.
pub fn cluster_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.as_ref();
    let listed = spec
        .and_then(|spec| spec.cluster_ips.as_ref())
        .filter(|listed| !listed.is_empty());
    let single = spec
        .and_then(|spec| spec.cluster_ip.as_ref())
        .filter(|_| listed.is_none());
    listed
        .into_iter()
        .flatten()
        .chain(single)
        .filter_map(|address| address.parse().ok())
}

/// The addresses of slices that take traffic.
pub fn ready(slices: &[Arc<EndpointSlice>]) -> impl Iterator<Item = Ready<'_>> {
    slices.iter().flat_map(|slice| {
        let endpoints = slice.endpoints.iter().flatten();
        let ready = endpoints.filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true)
        });
        ready.flat_map(move |endpoint| {
            let addresses = endpoint
                .addresses
                .iter()
                .filter_map(|address| address.parse().ok());
            addresses.map(move |address| Ready {
                slice,
                endpoint,
                address,
            })
        })
    })
}

/// `namespace/name` of the Service that a slice belongs to.
pub fn service_of(slice: &EndpointSlice) -> Option<String> {
    let name = slice
        .metadata
        .labels
        .as_ref()?
        .get("kubernetes.io/service-name")?;
    Some(format!(
        "{}/{name}",
        slice.metadata.namespace.as_deref().unwrap_or_default()
    ))
}
