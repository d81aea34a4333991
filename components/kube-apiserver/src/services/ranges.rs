//! The ranges that addresses of services are from: those of the flags, and those of ServiceCIDR objects.

use super::families;
use crate::server::Server;
use apimachinery::meta;
use ipnet::IpNet;
use serde_json::Value;
use std::sync::Arc;

/// Whether addresses are given from a range: it is ready, or nobody has said so yet, and stays.
fn is_open(range: &Value) -> bool {
    let conditions = range["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    meta::deletion_timestamp(range).is_none() && ready.is_none_or(|condition| condition["status"] == "True")
}

fn nets(range: &Value) -> impl Iterator<Item = IpNet> + '_ {
    range["spec"]["cidrs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|cidr| cidr.as_str()?.parse().ok())
}

/// All ranges, the configured ones first. One of these whose objects are all closed is closed, too.
pub fn all(configured: &[IpNet], objects: &[Arc<Value>]) -> Vec<IpNet> {
    let is_closed = |net: &IpNet| {
        let of_net = |range: &&Arc<Value>| nets(range).any(|other| other.trunc() == net.trunc());
        let mut of_net = objects.iter().filter(of_net).peekable();
        of_net.peek().is_some() && !of_net.any(|range| is_open(range))
    };
    let open = configured.iter().copied().filter(|net| !is_closed(net));
    let mut ranges: Vec<IpNet> = open.collect();
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
        let migrated = [
            range("10.32.0.0/24", "True", true),
            range("10.64.0.0/24", "True", false),
        ];
        let migrated = migrated.map(Arc::new);
        assert_eq!(
            all(&configured, &migrated),
            ["10.64.0.0/24".parse::<IpNet>().unwrap()]
        );
        let unsaid = Arc::new(json!({"spec": {"cidrs": ["10.66.0.0/24"]}}));
        assert_eq!(all(&[], &[unsaid]).len(), 1);
    }
}
