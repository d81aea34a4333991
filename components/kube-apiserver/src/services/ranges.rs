//! The ranges that addresses of services are from: those of ServiceCIDR objects, the first of which the flags make.

use super::families;
use crate::server::Server;
use apimachinery::meta;
use ipnet::IpNet;
use serde_json::Value;
use std::sync::Arc;
use storage::StorageError;

const GROUP: &str = "networking.k8s.io";
const PLURAL: &str = "servicecidrs";

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

/// All ranges that addresses are given from, the configured ones first. A configured range that no object has is none: the
/// flag only makes the default object, and servers that were told different ranges give from the same ones.
pub fn all(configured: &[IpNet], objects: &[Arc<Value>]) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = Vec::new();
    for range in objects
        .iter()
        .filter(|range| is_open(range))
        .flat_map(|range| nets(range))
    {
        if !ranges.iter().any(|known| known.trunc() == range.trunc()) {
            ranges.push(range);
        }
    }
    let is_configured = |range: &IpNet| configured.iter().any(|own| own.trunc() == range.trunc());
    ranges.sort_by_key(|range| !is_configured(range));
    ranges
}

/// The ranges of a family.
pub fn of_family(configured: &[IpNet], objects: &[Arc<Value>], family: &str) -> Vec<IpNet> {
    let mut ranges = all(configured, objects);
    ranges.retain(|range| families::of(range) == family);
    ranges
}

/// The ranges that services may have addresses of, whether or not further ones are given from them.
pub fn any(objects: &[Arc<Value>]) -> Vec<IpNet> {
    objects.iter().flat_map(|range| nets(range)).collect()
}

/// The objects that say which ranges there are.
pub fn objects(server: &Server) -> Vec<Arc<Value>> {
    server.stores.cached_list(GROUP, PLURAL, None)
}

/// Likewise; where the cache has none, because the first one was made just now, those that are stored.
pub async fn known(server: &Server) -> Result<Vec<Arc<Value>>, StorageError> {
    let cached = objects(server);
    if cached.is_empty() {
        return server.stores.newest_list(GROUP, PLURAL, "").await;
    }
    Ok(cached)
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
        let elsewhere: Vec<IpNet> = vec!["10.64.0.0/24".parse().unwrap(), "10.99.0.0/24".parse().unwrap()];
        let shown: Vec<String> = all(&elsewhere, &objects)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            shown,
            ["10.64.0.0/24", "10.32.0.0/24", "fd00::/112"],
            "the flag adds none"
        );
        assert_eq!(any(&objects).len(), 5);
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
