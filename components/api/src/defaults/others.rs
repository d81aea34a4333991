use super::Defaulting;
use crate::value::{Object, absent, is_zero, items_mut, make, map_mut, zero};
use serde_json::{Value, json};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Defaults of kinds of the smaller groups.
pub(super) fn of(kind: &str) -> Option<Defaulting> {
    Some(match kind {
        "CustomResourceDefinition" => |object, _| custom_resource_definition(object),
        "RoleBinding" | "ClusterRoleBinding" => |object, _| binding(object),
        "NetworkPolicy" => |object, _| network_policy(make(object, "spec")),
        "IngressClass" => |object, _| {
            if let Some(parameters) = map_mut(make(object, "spec"), "parameters") {
                absent(parameters, "scope", "Cluster");
            }
        },
        "EndpointSlice" => |object, _| {
            for port in items_mut(object, "ports") {
                absent(port, "name", "");
                absent(port, "protocol", "TCP");
            }
        },
        "PriorityClass" => |object, _| absent(object, "preemptionPolicy", "PreemptLowerPriority"),
        "StorageClass" => |object, _| {
            absent(object, "reclaimPolicy", "Delete");
            absent(object, "volumeBindingMode", "Immediate");
        },
        "CSIDriver" => |object, _| driver(make(object, "spec")),
        "APIService" => |object, _| {
            if let Some(service) = map_mut(make(object, "spec"), "service") {
                absent(service, "port", 443);
            }
        },
        "FlowSchema" => |object, _| zero(make(object, "spec"), "matchingPrecedence", 1000),
        "PriorityLevelConfiguration" => |object, _| priority_level(make(object, "spec")),
        "ResourceClaim" => |object, _| devices(make(object, "spec")),
        "ResourceClaimTemplate" => |object, _| devices(make(make(object, "spec"), "spec")),
        "ResourceSlice" => |object, _| published_devices(make(object, "spec")),
        _ => return None,
    })
}

fn binding(object: &mut Object) {
    zero(make(object, "roleRef"), "apiGroup", RBAC);
    for subject in items_mut(object, "subjects") {
        if matches!(
            subject.get("kind").and_then(Value::as_str),
            Some("User" | "Group")
        ) {
            zero(subject, "apiGroup", RBAC);
        }
    }
}

fn driver(spec: &mut Object) {
    absent(spec, "attachRequired", true);
    absent(spec, "podInfoOnMount", false);
    absent(spec, "storageCapacity", false);
    absent(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    zero(spec, "volumeLifecycleModes", json!(["Persistent"]));
    absent(spec, "requiresRepublish", false);
    absent(spec, "seLinuxMount", false);
}

fn network_policy(spec: &mut Object) {
    for direction in ["ingress", "egress"] {
        for rule in items_mut(spec, direction) {
            items_mut(rule, "ports").for_each(|port| absent(port, "protocol", "TCP"));
        }
    }
    if is_zero(spec.get("policyTypes")) {
        let types = if is_zero(spec.get("egress")) {
            json!(["Ingress"])
        } else {
            json!(["Ingress", "Egress"])
        };
        spec.insert("policyTypes".into(), types);
    }
}

fn priority_level(spec: &mut Object) {
    if let Some(limited) = map_mut(spec, "limited") {
        absent(limited, "nominalConcurrencyShares", 30);
        absent(limited, "lendablePercent", 0);
        if let Some(queuing) =
            map_mut(limited, "limitResponse").and_then(|response| map_mut(response, "queuing"))
        {
            zero(queuing, "queues", 64);
            zero(queuing, "handSize", 8);
            zero(queuing, "queueLengthLimit", 50);
        }
    }
    if let Some(exempt) = map_mut(spec, "exempt") {
        absent(exempt, "nominalConcurrencyShares", 0);
        absent(exempt, "lendablePercent", 0);
    }
}

fn devices(spec: &mut Object) {
    let request = |request: &mut Object| {
        zero(request, "allocationMode", "ExactCount");
        if request["allocationMode"] == "ExactCount" {
            zero(request, "count", 1);
        }
        items_mut(request, "tolerations").for_each(|toleration| zero(toleration, "operator", "Equal"));
    };
    let Some(devices) = map_mut(spec, "devices") else {
        return;
    };
    for wanted in items_mut(devices, "requests") {
        if let Some(exactly) = map_mut(wanted, "exactly") {
            request(exactly);
        }
        items_mut(wanted, "firstAvailable").for_each(request);
    }
}

fn published_devices(spec: &mut Object) {
    for device in items_mut(spec, "devices") {
        for taint in items_mut(device, "taints") {
            if is_zero(taint.get("timeAdded")) {
                let now = apimachinery::time::format_time(jiff::Timestamp::now());
                taint.insert("timeAdded".into(), Value::from(now));
            }
        }
        let mappings = map_mut(device, "nodeAllocatableResourceMappings")
            .into_iter()
            .flatten();
        for (_, mapping) in mappings {
            if let Some(mapping) = mapping.as_object_mut() {
                absent(mapping, "allocationMultiplier", "1");
            }
        }
    }
}

/// Defaults of a CustomResourceDefinition.
fn custom_resource_definition(object: &mut Object) {
    let spec = make(object, "spec");
    absent(spec, "conversion", json!({"strategy": "None"}));
    if let Some(service) = map_mut(spec, "conversion")
        .and_then(|conversion| map_mut(conversion, "webhook"))
        .and_then(|webhook| map_mut(webhook, "clientConfig"))
        .and_then(|client| map_mut(client, "service"))
    {
        absent(service, "port", 443);
    }
    if let Some(names) = map_mut(spec, "names") {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or("").to_owned();
        if !kind.is_empty() {
            zero(names, "singular", kind.to_lowercase());
            zero(names, "listKind", format!("{kind}List"));
        }
    }
    // Objects may be stored at least in the version that is the storage version now.
    let storage: Vec<Value> = items_mut(spec, "versions")
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    if !storage.is_empty() {
        zero(make(object, "status"), "storedVersions", storage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_devices_say_since_when_they_are_tainted() {
        const EARLIER: &str = "2024-01-01T00:00:00Z";
        let mut slice = json!({"spec": {"devices": [{
            "taints": [{"key": "a", "timeAdded": EARLIER}, {"key": "b"}, {"key": "c", "timeAdded": null}],
            "nodeAllocatableResourceMappings": {"cpu": {"capacityKey": "cores"}, "memory": {"allocationMultiplier": "2"}},
        }, {}]}});
        published_devices(slice["spec"].as_object_mut().unwrap());
        let device = &slice["spec"]["devices"][0];
        assert_eq!(device["taints"][0]["timeAdded"], EARLIER);
        for index in [1, 2] {
            let added = device["taints"][index]["timeAdded"].as_str().unwrap();
            assert!(added > EARLIER, "{added}");
        }
        let mappings = &device["nodeAllocatableResourceMappings"];
        assert_eq!(mappings["cpu"]["allocationMultiplier"], "1");
        assert_eq!(mappings["memory"]["allocationMultiplier"], "2");
        assert_eq!(slice["spec"]["devices"][1], json!({}));
    }
}
