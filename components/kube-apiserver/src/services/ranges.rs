//! The ranges that addresses of services are from: those of the flags, and those of ServiceCIDR objects.

use super::families;
use crate::server::Server;
use apimachinery::meta;
use ipnet::IpNet;
use serde_json::Value;
use std::sync::Arc;

/// Whether addresses are given from a range: it is ready and stays.
fn is_open(range: &Value) -> bool {
    let conditions = range["status"]["conditions"].as_array();
    meta::deletion_timestamp(range).is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn nets(range: &Value) -> impl Iterator<Item = IpNet> + '_ {
    range["spec"]["cidrs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|cidr| cidr.as_str()?.parse().ok())
}

/// All ranges, the configured ones first.
pub fn all(configured: &[IpNet], objects: &[Arc<Value>]) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = configured.to_vec();
    for range in objects
        .iter()
        .filter(|range| is_open(range))
        .flat_map(|range| nets(range))
    {
        if !ranges.iter().any(|known| known.trunc() == range.trunc()) {
            ranges.push(range);
        }
    }
    ranges
}

/// The ranges of a family.
pub fn of_family(configured: &[IpNet], objects: &[Arc<Value>], family: &str) -> Vec<IpNet> {
    let mut ranges = all(configured, objects);
    ranges.retain(|range| families::of(range) == family);
    ranges
}

/// The objects that say which further ranges there are.
pub fn objects(server: &Server) -> Vec<Arc<Value>> {
    server
        .stores
        .cached_list("networking.k8s.io", "servicecidrs", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ranges_that_are_ready_and_stay_are_added() {
        let range = |cidr: &str, ready: &str, going: bool| {
            let mut range = json!({
                "metadata": {"name": "x"},
                "spec": {"cidrs": [cidr]},
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            });
            if going {
                range["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            range
        };
        let configured: Vec<IpNet> = vec!["10.32.0.0/24".parse().unwrap()];
        let objects: Vec<Arc<Value>> = [
            range("10.32.0.0/24", "True", false),
            range("10.64.0.0/24", "True", false),
            range("10.65.0.0/24", "False", false),
            range("10.66.0.0/24", "True", true),
            range("fd00::/112", "True", false),
        ]
        .map(Arc::new)
        .to_vec();
        let shown = |family: &str| {
            let ranges = of_family(&configured, &objects, family);
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown("IPv4"), ["10.32.0.0/24", "10.64.0.0/24"]);
        assert_eq!(shown("IPv6"), ["fd00::/112"]);
    }
}
