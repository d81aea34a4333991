//! Addresses and ports that services were given, under upstream's names.

use super::timed::Durations;
use ipnet::IpNet;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

/// The usual bounds of clients of Prometheus.
const DURATIONS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Whether a certain one was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Certain,
    Any,
}

impl Wish {
    fn scope(self) -> &'static str {
        match self {
            Self::Certain => "static",
            Self::Any => "dynamic",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabels {
    cidr: String,
    scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RangeLabels {
    cidr: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabels {
    scope: &'static str,
}

/// What a repair found wrong with an address or port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody's, and freed.
    Leak,
    /// A service's, and recorded again.
    Repair,
    OutOfRange,
    /// Several services'.
    Duplicate,
    /// Not an address.
    Invalid,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Repair => "repair",
            Self::OutOfRange => "outOfRange",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    r#type: &'static str,
}

/// What the repairs of addresses, or those of ports, found and could not do.
#[derive(Clone, Debug, Default)]
pub struct RepairMetrics {
    faults: Family<FaultLabels, Counter>,
    failures: Counter,
}

impl RepairMetrics {
    pub fn found(&self, fault: Fault) {
        let r#type = fault.name();
        self.faults.get_or_create(&FaultLabels { r#type }).inc();
    }

    /// A round came to no end.
    pub fn failed(&self) {
        self.failures.inc();
    }
}

/// Dry runs give nothing and are not counted.
#[derive(Clone, Debug)]
pub struct AllocationMetrics {
    addresses: Family<AddressLabels, Counter>,
    address_errors: Family<AddressLabels, Counter>,
    durations: Durations<RangeLabels>,
    ports: Family<PortLabels, Counter>,
    port_errors: Family<PortLabels, Counter>,
    pub address_repair: RepairMetrics,
    pub port_repair: RepairMetrics,
}

impl AllocationMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            addresses: Family::default(),
            address_errors: Family::default(),
            durations: Family::new_with_constructor(|| AtomicHistogram::new(&DURATIONS)),
            ports: Family::default(),
            port_errors: Family::default(),
            address_repair: RepairMetrics::default(),
            port_repair: RepairMetrics::default(),
        };
        for (name, item, repair) in [
            ("clusterip", "ip", &metrics.address_repair),
            ("nodeport", "port", &metrics.port_repair),
        ] {
            let registry = registry.sub_registry_with_prefix("apiserver");
            registry.register(
                format!("{name}_repair_{item}_errors"),
                "What the repairs found to be wrong, by type",
                repair.faults.clone(),
            );
            registry.register(
                format!("{name}_repair_reconcile_errors"),
                "Repairs that failed",
                repair.failures.clone(),
            );
        }
        let registry = registry.sub_registry_with_prefix("kube_apiserver");
        registry.register(
            "clusterip_allocator_allocation",
            "Addresses of a range that services were given",
            metrics.addresses.clone(),
        );
        registry.register(
            "clusterip_allocator_allocation_errors",
            "Addresses of a range that services were not given",
            metrics.address_errors.clone(),
        );
        registry.register(
            "clusterip_allocator_allocation_duration_seconds",
            "Time to give a service an address",
            metrics.durations.clone(),
        );
        registry.register(
            "nodeport_allocator_allocation",
            "Node ports that services were given",
            metrics.ports.clone(),
        );
        registry.register(
            "nodeport_allocator_allocation_errors",
            "Node ports that services were not given",
            metrics.port_errors.clone(),
        );
        metrics
    }

    /// A service got an address, or got none.
    pub fn address(&self, range: &IpNet, wish: Wish, given: bool, elapsed: Duration) {
        let cidr = range.trunc().to_string();
        let labels = AddressLabels {
            cidr: cidr.clone(),
            scope: wish.scope(),
        };
        if !given {
            self.address_errors.get_or_create(&labels).inc();
            return;
        }
        self.addresses.get_or_create(&labels).inc();
        let durations = self.durations.get_or_create(&RangeLabels { cidr });
        durations.observe(elapsed.as_secs_f64());
    }

    /// A service got a node port, or got none.
    pub fn port(&self, wish: Wish, given: bool) {
        let counts = if given { &self.ports } else { &self.port_errors };
        let scope = wish.scope();
        counts.get_or_create(&PortLabels { scope }).inc();
    }
}
