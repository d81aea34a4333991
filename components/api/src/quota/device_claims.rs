//! Claims of devices: how many of each class at worst. Classes that stand for an extended resource are counted as that
//! too, less what the pod that a claim was made for is counted for already.

use super::{Surroundings, Usage, count, pods};
use crate::value::list;
use apimachinery::{Quantity, meta};
use serde_json::Value;
use std::collections::BTreeMap;

const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT: &str = "requests.deviceclass.resource.kubernetes.io/";
/// Says that the scheduler made the claim, for extended resources of a pod.
const FOR_EXTENDED: &str = "resource.kubernetes.io/extended-resource-claim";
/// Devices that one claim can get at most.
const MOST_DEVICES: i64 = 32;

/// What is known of classes and of who owns a claim.
pub trait Devices: Sync {
    /// The extended resource that a device class says it stands for.
    fn extended_resource(&self, class: &str) -> Option<String>;
    /// Whether some device class says that it stands for an extended resource.
    fn has_class_for(&self, resource: &str) -> bool;
    /// A pod, as it is known.
    fn pod(&self, namespace: &str, name: &str) -> Option<Value>;
    /// Creation and name of the claims for extended resources that are of the pod with this uid.
    fn claims_of(&self, namespace: &str, pod: &str) -> Vec<(String, String)>;
}

/// Whether the scheduler made the claim for a pod's extended resources, and the uid of that pod.
pub fn extended_owner(claim: &Value) -> Option<&str> {
    let owner = meta::controller_of(claim)?;
    let made = meta::annotation(claim, FOR_EXTENDED) == Some("true");
    let of_pod = owner["apiVersion"] == "v1" && owner["kind"] == "Pod";
    owner["uid"].as_str().filter(|_| made && of_pod)
}

pub(super) fn covers(name: &str, surroundings: &Surroundings<'_>) -> bool {
    if name.ends_with(DEVICES) {
        return true;
    }
    let Some(devices) = surroundings.devices.filter(|_| pods::is_extended_request(name)) else {
        return false;
    };
    devices.has_class_for(name.strip_prefix("requests.").unwrap_or(name))
}

fn wanted(request: &Value) -> i64 {
    match request["allocationMode"].as_str() {
        Some("ExactCount") => request["count"].as_i64().unwrap_or(0),
        Some("All") => MOST_DEVICES,
        _ => 0,
    }
}

pub(super) fn usage(claim: &Value, surroundings: &Surroundings<'_>) -> Usage {
    let mut by_class: BTreeMap<&str, Quantity> = BTreeMap::new();
    for request in list(claim, &["spec", "devices", "requests"]) {
        let choices = list(request, &["firstAvailable"]);
        let exactly = request["exactly"].is_object().then(|| &request["exactly"]);
        let mut most: BTreeMap<&str, i64> = BTreeMap::new();
        // One of the choices is made later; at worst the largest of each class.
        for one in choices.iter().chain(exactly.filter(|_| choices.is_empty())) {
            let class = one["deviceClassName"].as_str().unwrap_or("");
            let entry = most.entry(class).or_default();
            *entry = (*entry).max(wanted(one));
        }
        for (class, number) in most {
            *by_class.entry(class).or_default() += Quantity::new(number);
        }
    }
    let mut usage = Usage::new();
    if let Some(devices) = surroundings.devices {
        add_extended(&by_class, claim, devices, surroundings, &mut usage);
    }
    for (class, number) in by_class {
        usage.insert(format!("{class}{DEVICES}"), number);
    }
    usage
}

fn add_extended(
    by_class: &BTreeMap<&str, Quantity>,
    claim: &Value,
    devices: &dyn Devices,
    surroundings: &Surroundings<'_>,
    usage: &mut Usage,
) {
    let mut extended = Usage::new();
    for (class, number) in by_class.iter().filter(|(class, _)| !class.is_empty()) {
        extended.insert(format!("{IMPLICIT}{class}"), *number);
        if let Some(resource) = devices.extended_resource(class) {
            extended.insert(format!("requests.{resource}"), *number);
        }
    }
    if extended.is_empty() {
        return;
    }
    let counted = counted_for_pod(claim, devices, surroundings).unwrap_or_default();
    for (name, number) in extended {
        let left = number - counted.get(&name).copied().unwrap_or_else(|| count(0));
        if left.sign() > 0 {
            usage.insert(name, left);
        }
    }
}

/// What the pod that a claim was made for is counted for. The pod must know the claim as its own, or know of none, and
/// then the claim must be the first: nobody gets devices uncounted by making claims that look like the scheduler's.
fn counted_for_pod(claim: &Value, devices: &dyn Devices, surroundings: &Surroundings<'_>) -> Option<Usage> {
    let uid = extended_owner(claim)?;
    let name = meta::controller_of(claim)?["name"].as_str()?;
    let namespace = meta::namespace(claim);
    let pod = devices.pod(namespace, name).filter(|pod| meta::uid(pod) == uid)?;
    let known = &pod["status"]["extendedResourceClaimStatus"];
    if known.is_object() {
        if known["resourceClaimName"] != meta::name(claim) {
            return None;
        }
    } else {
        let own = (meta::creation_timestamp(claim), meta::name(claim));
        let earlier = |(created, name): &(String, String)| (created.as_str(), name.as_str()) < own;
        if devices.claims_of(namespace, uid).iter().any(earlier) {
            return None;
        }
    }
    Some(pods::usage(&pod, surroundings))
}
