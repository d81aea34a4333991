//! What a write of a claim is about: access as an administrator, drivers, the node of an allocation.
use crate::identity::{User, service_account};
use apimachinery::names;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// With what a service account's token says which node its pod is on.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// The first of the requests that asks for a device whoever uses it. Alternatives can't ask for that.
pub(super) fn admin_request(devices: &Value) -> Option<usize> {
    list(devices, "requests")
        .iter()
        .position(|request| request["exactly"]["adminAccess"] == true)
}

/// The first of the results of a claim that is such a device.
pub(super) fn admin_result(claim: &Value) -> Option<usize> {
    list(&claim["status"]["allocation"]["devices"], "results")
        .iter()
        .position(|result| result["adminAccess"] == true)
}

/// A device, or a share of it: what a result of an allocation and the status of a device say of it.
fn device(value: &Value) -> [&str; 4] {
    ["driver", "pool", "device", "shareID"].map(|field| value[field].as_str().unwrap_or(""))
}

/// The devices that a claim has.
fn allocated(claim: &Value) -> impl Iterator<Item = [&str; 4]> {
    list(&claim["status"]["allocation"]["devices"], "results")
        .iter()
        .map(device)
}

/// The drivers of whose devices something else is told than before. What went because its device was freed is not
/// what the writer told: the server dropped it.
pub(super) fn drivers<'a>(old: &'a Value, new: &'a Value) -> BTreeSet<&'a str> {
    let mut before: HashMap<_, _> = list(&old["status"], "devices")
        .iter()
        .map(|status| (device(status), status))
        .collect();
    let mut drivers = BTreeSet::new();
    for status in list(&new["status"], "devices") {
        let device = device(status);
        let known = before.remove(&device);
        if known.is_none_or(|known| !api::same(known, status)) {
            drivers.insert(device[0]);
        }
    }
    if !before.is_empty() {
        let kept: HashSet<_> = allocated(new).collect();
        for device in allocated(old).filter(|device| !kept.contains(device)) {
            before.remove(&device);
        }
    }
    drivers.extend(before.into_keys().map(|device| device[0]));
    drivers
}

/// The node of an allocation that can be used on this one node alone.
pub(super) fn node(allocation: &Value) -> Option<&str> {
    let [term] = list(&allocation["nodeSelector"], "nodeSelectorTerms") else {
        return None;
    };
    let ([], [field]) = (list(term, "matchExpressions"), list(term, "matchFields")) else {
        return None;
    };
    let [name] = list(field, "values") else {
        return None;
    };
    (field["key"] == "metadata.name" && field["operator"] == "In")
        .then(|| name.as_str())
        .flatten()
        .filter(|name| !name.is_empty())
}

/// Whether the user is a pod on this node, as far as its token says.
pub(super) fn runs_on(user: &User, node: Option<&str>) -> bool {
    let Some([own]) = user.extra.get(NODE_NAME).map(Vec::as_slice) else {
        return false;
    };
    service_account(&user.name).is_some() && names::dns1123_subdomain(own).is_empty() && node == Some(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_request_and_the_first_result_for_administrators_are_found() {
        let asks = |admin: Value| json!({"name": "a", "exactly": {"adminAccess": admin}});
        for (requests, found) in [
            (json!([asks(json!(true))]), Some(0)),
            (
                json!([asks(json!(false)), asks(json!(true)), asks(json!(true))]),
                Some(1),
            ),
            (json!([asks(Value::Null)]), None),
            (
                json!([{"name": "a", "firstAvailable": [{"adminAccess": true}]}]),
                None,
            ),
            (Value::Null, None),
        ] {
            assert_eq!(admin_request(&json!({"requests": requests})), found, "{requests}");
        }
        for (results, found) in [
            (json!([{"device": "a"}, {"adminAccess": true}]), Some(1)),
            (json!([{"adminAccess": false}]), None),
            (Value::Null, None),
        ] {
            let claim = json!({"status": {"allocation": {"devices": {"results": results}}}});
            assert_eq!(admin_result(&claim), found, "{results}");
        }
        assert_eq!(admin_result(&json!({})), None);
    }

    #[test]
    fn drivers_with_other_statuses_are_found() {
        let device = |driver: &str, name: &str| json!({"driver": driver, "pool": "p", "device": name});
        let ready = |driver: &str| {
            let mut device = device(driver, "x");
            device["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            device
        };
        let share = |id: &str| json!({"driver": "a", "pool": "p", "device": "x", "shareID": id});
        let mut empty = device("a", "x");
        empty["conditions"] = json!([]);
        for (before, after, found) in [
            (vec![], vec![], vec![]),
            (vec![device("a", "x")], vec![device("a", "x")], vec![]),
            // In another order.
            (
                vec![device("a", "x"), device("b", "x")],
                vec![device("b", "x"), device("a", "x")],
                vec![],
            ),
            (vec![device("a", "x")], vec![empty], vec![]),
            (vec![], vec![device("b", "x"), device("a", "x")], vec!["a", "b"]),
            (
                vec![device("a", "x"), device("b", "x")],
                vec![device("a", "x")],
                vec!["b"],
            ),
            (
                vec![device("a", "x"), device("b", "x")],
                vec![ready("a"), device("b", "x")],
                vec!["a"],
            ),
            (vec![device("a", "x")], vec![device("a", "y")], vec!["a"]),
            (vec![share("1")], vec![share("2")], vec!["a"]),
            // Twice the same is one more.
            (
                vec![device("a", "x")],
                vec![device("a", "x"), device("a", "x")],
                vec!["a"],
            ),
        ] {
            let claim = |devices: &[Value]| json!({"status": {"devices": devices}});
            let (old, new) = (claim(&before), claim(&after));
            let found: BTreeSet<&str> = found.into_iter().collect();
            assert_eq!(drivers(&old, &new), found, "{before:?} {after:?}");
        }
    }

    #[test]
    fn statuses_that_went_with_their_devices_are_nobodys_change() {
        let device = |name: &str| json!({"driver": "a", "pool": "p", "device": name});
        let claim = |results: Value, devices: Value| json!({"status": {"allocation": {"devices": {"results": results}}, "devices": devices}});
        let both = json!([device("x"), device("y")]);
        let old = claim(both.clone(), both.clone());
        let freed = json!({"status": {}});
        let none: BTreeSet<&str> = BTreeSet::new();
        assert_eq!(drivers(&old, &freed), none);
        let half = claim(json!([device("x")]), json!([device("x")]));
        assert_eq!(drivers(&old, &half), none);
        let untold = claim(both.clone(), json!([device("x")]));
        assert_eq!(drivers(&old, &untold), BTreeSet::from(["a"]));
        // It never was a device of this claim.
        let odd = claim(json!([device("x")]), both);
        assert_eq!(drivers(&odd, &freed), BTreeSet::from(["a"]));
    }

    #[test]
    fn an_allocation_for_one_node_names_it() {
        let field = |key: &str, operator: &str, values: Value| json!({"matchFields": [{"key": key, "operator": operator, "values": values}]});
        let one = field("metadata.name", "In", json!(["n"]));
        let mut both = one.clone();
        both["matchExpressions"] = json!([{"key": "a", "operator": "Exists"}]);
        for (terms, found) in [
            (json!([one]), Some("n")),
            (json!([one, one]), None),
            (json!([both]), None),
            (json!([field("metadata.name", "In", json!(["n", "m"]))]), None),
            (json!([field("metadata.name", "NotIn", json!(["n"]))]), None),
            (json!([field("metadata.namespace", "In", json!(["n"]))]), None),
            (json!([field("metadata.name", "In", json!([""]))]), None),
            (json!([{}]), None),
            (json!([]), None),
        ] {
            let allocation = json!({"nodeSelector": {"nodeSelectorTerms": terms}});
            assert_eq!(node(&allocation), found, "{terms}");
        }
        assert_eq!(node(&json!({})), None);
        assert_eq!(node(&Value::Null), None);
    }

    #[test]
    fn only_service_accounts_run_on_nodes() {
        let user = |name: &str, nodes: &[&str]| User {
            name: name.to_owned(),
            extra: [(
                NODE_NAME.to_owned(),
                nodes.iter().map(ToString::to_string).collect(),
            )]
            .into(),
            ..User::default()
        };
        let account = "system:serviceaccount:default:driver";
        for (user, node, runs) in [
            (user(account, &["n"]), Some("n"), true),
            (user(account, &["n"]), Some("m"), false),
            (user(account, &["n"]), None, false),
            (user(account, &["n", "m"]), Some("n"), false),
            (user(account, &[]), Some("n"), false),
            (user(account, &["N!"]), Some("N!"), false),
            (user("system:node:n", &["n"]), Some("n"), false),
            (User::default(), Some("n"), false),
        ] {
            assert_eq!(runs_on(&user, node), runs, "{user:?} {node:?}");
        }
    }
}
