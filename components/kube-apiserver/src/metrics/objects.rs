//! What there is in the cluster, counted when somebody asks.

use crate::server::Server;
use crate::services::ranges;
use apimachinery::GroupResource;
use ipnet::IpNet;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObjectLabels {
    group: String,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StorageLabels {
    /// With its group behind a dot.
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RangeLabels {
    cidr: String,
}

/// Objects by resource, and what is left of addresses and ports.
#[derive(Clone, Default)]
pub struct ObjectMetrics {
    objects: Family<ObjectLabels, Gauge>,
    /// Upstream's older name of the same.
    stored: Family<StorageLabels, Gauge>,
    bytes: Family<ObjectLabels, Gauge>,
    addresses: Family<RangeLabels, Gauge>,
    free_addresses: Family<RangeLabels, Gauge>,
    ports: Gauge,
    free_ports: Gauge,
}

impl ObjectMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "apiserver_resource_objects",
            "Objects by resource",
            metrics.objects.clone(),
        );
        registry.register(
            "apiserver_storage_objects",
            "Objects by resource and group",
            metrics.stored.clone(),
        );
        registry.register(
            "apiserver_resource_size_estimate_bytes",
            "Bytes of the objects as JSON, by resource",
            metrics.bytes.clone(),
        );
        let services = registry.sub_registry_with_prefix("kube_apiserver");
        services.register(
            "clusterip_allocator_allocated_ips",
            "Addresses of a range that services have",
            metrics.addresses.clone(),
        );
        services.register(
            "clusterip_allocator_available_ips",
            "Addresses of a range that nobody has",
            metrics.free_addresses.clone(),
        );
        services.register(
            "nodeport_allocator_allocated_ports",
            "Node ports that services have",
            metrics.ports.clone(),
        );
        services.register(
            "nodeport_allocator_available_ports",
            "Node ports that nobody has",
            metrics.free_ports.clone(),
        );
        metrics
    }

    /// Counts, in the caches; where there is none, as etcd has counted.
    pub fn publish(&self, server: &Server) {
        // Kinds of definitions that are gone are told no longer.
        self.objects.clear();
        self.stored.clear();
        self.bytes.clear();
        let registry = server.registry.load_full();
        let counted = registry.stored().map(|row| {
            let store = server.stores.of(row);
            let (count, bytes) = (store.objects(), store.bytes());
            (row.gvk.group.clone(), row.plural.clone(), count, bytes)
        });
        self.count(counted);
        let addresses: Vec<IpAddr> = server
            .stores
            .named("networking.k8s.io", "ipaddresses")
            .map(|store| store.cached(None))
            .unwrap_or_default()
            .iter()
            .filter_map(|address| address.name().parse().ok())
            .collect();
        self.addresses.clear();
        self.free_addresses.clear();
        let configured = &server.flags.service_cluster_ip_range;
        for range in ranges::all(configured, &ranges::objects(server)) {
            self.range(&range, &addresses);
        }
        let ports: BTreeSet<u16> = server
            .stores
            .cached_list("", "services", None)
            .iter()
            .flat_map(|service| crate::services::repair::ports_of(service))
            .collect();
        let all = &server.flags.service_node_port_range;
        let size = i64::from(all.last) - i64::from(all.first) + 1;
        let taken = ports.len() as i64;
        self.ports.set(taken);
        self.free_ports.set((size - taken).max(0));
    }

    fn count(&self, counted: impl Iterator<Item = (String, String, usize, usize)>) {
        for (group, resource, count, bytes) in counted {
            let full = GroupResource::new(&*group, &*resource).to_string();
            let count = count as i64;
            self.stored
                .get_or_create(&StorageLabels { resource: full })
                .set(count);
            let labels = ObjectLabels { group, resource };
            self.objects.get_or_create(&labels).set(count);
            self.bytes.get_or_create(&labels).set(bytes as i64);
        }
    }

    fn range(&self, range: &IpNet, addresses: &[IpAddr]) {
        let labels = RangeLabels {
            cidr: range.trunc().to_string(),
        };
        let taken = addresses
            .iter()
            .filter(|address| range.contains(*address))
            .count();
        let taken = i64::try_from(taken).unwrap_or(i64::MAX);
        let size = i64::try_from(crate::services::addresses::size(range)).unwrap_or(i64::MAX);
        self.addresses.get_or_create(&labels).set(taken);
        self.free_addresses
            .get_or_create(&labels)
            .set((size - taken).max(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let mut registry = Registry::default();
        let metrics = ObjectMetrics::register(&mut registry);
        let counted = [("", "pods", 3, 900), ("apps", "deployments", 1, 100)];
        metrics.count(
            counted
                .into_iter()
                .map(|(group, resource, count, bytes)| (group.to_owned(), resource.to_owned(), count, bytes)),
        );
        let addresses: Vec<IpAddr> = ["10.32.0.1", "10.33.0.1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        metrics.range(&"10.32.0.0/24".parse().unwrap(), &addresses);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "apiserver_resource_objects{group=\"\",resource=\"pods\"} 3",
            "apiserver_storage_objects{resource=\"pods\"} 3",
            "apiserver_resource_size_estimate_bytes{group=\"\",resource=\"pods\"} 900",
            "apiserver_storage_objects{resource=\"deployments.apps\"} 1",
            "kube_apiserver_clusterip_allocator_allocated_ips{cidr=\"10.32.0.0/24\"} 1",
            "kube_apiserver_clusterip_allocator_available_ips{cidr=\"10.32.0.0/24\"} 253",
            "kube_apiserver_nodeport_allocator_allocated_ports 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
    }
}
