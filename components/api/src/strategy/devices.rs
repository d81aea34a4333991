//! What drivers told of devices that a claim no longer has (strategy in pkg/registry/resource/resourceclaim).
use super::update::put;
use crate::features::{Feature, Features};
use crate::value::{at, list, text};
use serde_json::Value;
use std::collections::HashSet;

/// Drops the statuses of devices that this change takes from a claim, so that whoever frees them need not know of these.
/// Tells whether there was one.
pub(super) fn forget_freed(old: &Value, new: &mut Value, features: Features) -> bool {
    let devices = |claim| list(claim, &["status", "devices"]);
    if devices(new).is_empty()
        || !features.has(Feature::DRAResourceClaimDeviceStatus) && devices(old).is_empty()
    {
        return false;
    }
    let freed: HashSet<_> = {
        let kept: HashSet<_> = results(new).collect();
        results(old).filter(|device| !kept.contains(device)).collect()
    };
    if freed.is_empty() {
        return false;
    }
    let before = devices(new).len();
    let left: Vec<Value> = devices(new)
        .iter()
        .filter(|status| !freed.contains(&identity(status)))
        .cloned()
        .collect();
    if left.len() == before {
        return false;
    }
    let left = if left.is_empty() {
        Value::Null
    } else {
        Value::Array(left)
    };
    put(new, &["status", "devices"], left);
    true
}

/// The devices, or shares of them, that a claim has.
fn results(claim: &Value) -> impl Iterator<Item = [&str; 4]> {
    list(at(claim, &["status", "allocation"]), &["devices", "results"])
        .iter()
        .map(identity)
}

fn identity(value: &Value) -> [&str; 4] {
    ["driver", "pool", "device", "shareID"].map(|field| text(value, &[field]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_of_freed_devices_go() {
        let device = |name: &str| json!({"driver": "a.example.com", "pool": "p", "device": name});
        let share = |name: &str, share: &str| json!({"driver": "a.example.com", "pool": "p", "device": name, "shareID": share});
        let claim = |results: Option<Vec<Value>>, devices: Vec<Value>| {
            let allocation = results.map(|results| json!({"devices": {"results": results}}));
            json!({"status": {"allocation": allocation, "devices": devices}})
        };
        let two = || vec![device("x"), device("y")];
        for (old, new, left) in [
            // Nothing is freed.
            (claim(Some(two()), two()), claim(Some(two()), two()), Some(two())),
            // All are.
            (claim(Some(two()), two()), claim(None, two()), None),
            // One is.
            (
                claim(Some(two()), two()),
                claim(Some(vec![device("y")]), two()),
                Some(vec![device("y")]),
            ),
            // What never was allocated is left to validation.
            (
                claim(Some(vec![device("x")]), vec![]),
                claim(None, two()),
                Some(vec![device("y")]),
            ),
            (claim(None, vec![]), claim(None, two()), Some(two())),
            // Shares of a device are apart.
            (
                claim(Some(vec![share("x", "1"), share("x", "2")]), vec![]),
                claim(
                    Some(vec![share("x", "2")]),
                    vec![share("x", "1"), share("x", "2")],
                ),
                Some(vec![share("x", "2")]),
            ),
        ] {
            let mut after = new.clone();
            let changed = forget_freed(&old, &mut after, Features::default());
            assert_eq!(
                after["status"].get("devices"),
                left.map(Value::from).as_ref(),
                "{new}"
            );
            assert_eq!(changed, after != new);
        }
    }

    #[test]
    fn without_the_feature_only_claims_that_had_statuses_are_looked_at() {
        let off = Features::default().with(Feature::DRAResourceClaimDeviceStatus, false);
        let device = json!({"driver": "a.example.com", "pool": "p", "device": "x"});
        let allocated = json!({"devices": {"results": [device]}});
        for (had, stays) in [(json!([]), true), (json!([device]), false)] {
            let old = json!({"status": {"allocation": allocated, "devices": had}});
            let mut new = json!({"status": {"devices": [device]}});
            assert_eq!(forget_freed(&old, &mut new, off), !stays);
            assert_eq!(new["status"].get("devices").is_some(), stays);
        }
    }
}
