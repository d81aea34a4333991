//! Claims that the scheduler made for a pod: for resources of devices by their names, and for what the node itself has.
use crate::validate::shared::{is_native, texts};
use crate::value::{at, list, object, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;
use std::collections::HashSet;

/// The claim for resources that containers ask for by name, and which request of it is for which.
pub(super) fn extended(pod: &Value, path: &Path) -> ErrorList {
    let status = at(pod, &["status", "extendedResourceClaimStatus"]);
    if !status.is_object() {
        return ErrorList::new();
    }
    let mut errors = ErrorList::new();
    let own = path.child("requestMappings");
    let mappings = list(status, &["requestMappings"]);
    if mappings.is_empty() {
        errors.push(Error::required(&own, "at least one request mapping is required"));
    }
    let containers = || {
        ["containers", "initContainers"]
            .iter()
            .flat_map(|kind| list(pod, &["spec", kind]))
    };
    let mut seen = HashSet::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let own = own.index(index);
        let [container, resource, request] =
            ["containerName", "resourceName", "requestName"].map(|field| text(mapping, &[field]));
        match containers().find(|other| text(other, &["name"]) == container) {
            None => errors.push(Error::invalid(
                &own.child("containerName"),
                container,
                "must match the name of an entry in spec.initContainers.name or spec.containers.name",
            )),
            Some(found) if at(found, &["resources", "requests", resource]).is_null() => {
                errors.push(Error::invalid(
                    &own.child("resourceName"),
                    resource,
                    "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests",
                ));
            }
            Some(_) => {}
        }
        // Upstream's path of the request has no mapping.
        errors.extend(texts(
            &path.child("requestName"),
            request,
            names::dns1123_label(request),
        ));
        if !seen.insert((container, resource, request)) {
            for (field, value) in [
                ("containerName", container),
                ("resourceName", resource),
                ("requestName", request),
            ] {
                errors.push(Error::duplicate(&own.child(field), value));
            }
        }
    }
    let own = path.child("resourceClaimName");
    match text(status, &["resourceClaimName"]) {
        "" => errors.push(Error::required(&own, "")),
        name => errors.extend(texts(&own, name, names::dns1123_subdomain(name))),
    }
    errors
}

/// Claims for what the node itself has, such as CPUs.
pub(super) fn of_node(pod: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let statuses = list(pod, &["status", "nodeAllocatableResourceClaimStatuses"]);
    for (index, status) in statuses.iter().enumerate() {
        let path = path.index(index);
        let name = text(status, &["resourceClaimName"]);
        let own = path.child("resourceClaimName");
        if name.is_empty() {
            errors.push(Error::required(&own, "must not be empty"));
        }
        let known = list(pod, &["spec", "resourceClaims"])
            .iter()
            .chain(list(pod, &["status", "resourceClaimStatuses"]))
            .any(|claim| at(claim, &["resourceClaimName"]).as_str() == Some(name));
        if !known {
            errors.push(Error::invalid(&own, name, "no mapping found in pod reference"));
        }
        if list(status, &["containers"]).is_empty() {
            errors.push(Error::required(&path.child("containers"), "must not be empty"));
        }
        let own = path.child("resources");
        let amounts = object(status, &["resources"]).filter(|amounts| !amounts.is_empty());
        if amounts.is_none() {
            errors.push(Error::required(&own, "must not be empty"));
        }
        for (name, amount) in amounts.into_iter().flatten() {
            let own = own.key(name);
            if !is_native(name) {
                errors.push(Error::invalid(
                    &own,
                    name.as_str(),
                    "must be a node allocatable resource name",
                ));
            }
            let amount = Quantity::from_json(amount)
                .ok()
                .filter(|amount| amount.sign() < 0);
            errors.extend(
                amount.map(|amount| Error::invalid(&own, amount.to_string(), "must be non-negative")),
            );
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(errors: ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn requests_are_mapped_to_what_containers_ask_for() {
        let mapping = |container: &str, resource: &str| json!({"containerName": container, "resourceName": resource, "requestName": "r"});
        for (mappings, wrong) in [
            (json!([mapping("a", "x/gpu")]), vec![]),
            (
                json!([]),
                vec!["s.requestMappings: Required value: at least one request mapping is required"],
            ),
            (
                json!([mapping("b", "x/gpu"), mapping("a", "x/tpu")]),
                vec![
                    "s.requestMappings[0].containerName: Invalid value: \"b\": must match the name of an entry in spec.initContainers.name or spec.containers.name",
                    "s.requestMappings[1].resourceName: Invalid value: \"x/tpu\": must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests",
                ],
            ),
            (
                json!([mapping("a", "x/gpu"), mapping("a", "x/gpu")]),
                vec![
                    "s.requestMappings[1].containerName: Duplicate value: \"a\"",
                    "s.requestMappings[1].resourceName: Duplicate value: \"x/gpu\"",
                    "s.requestMappings[1].requestName: Duplicate value: \"r\"",
                ],
            ),
        ] {
            let pod = json!({
                "spec": {"containers": [{"name": "a", "resources": {"requests": {"x/gpu": "1"}}}]},
                "status": {"extendedResourceClaimStatus": {
                    "resourceClaimName": "c", "requestMappings": mappings
                }},
            });
            assert_eq!(told(extended(&pod, &Path::new("s"))), wrong, "{mappings}");
        }
    }

    #[test]
    fn what_the_node_has_is_claimed_by_the_pod() {
        for (status, wrong) in [
            (
                json!({"resourceClaimName": "c", "containers": ["a"], "resources": {"cpu": "1"}}),
                vec![],
            ),
            (
                json!({"resourceClaimName": "d", "resources": {"x/gpu": "-1"}}),
                vec![
                    "s[0].resourceClaimName: Invalid value: \"d\": no mapping found in pod reference",
                    "s[0].containers: Required value: must not be empty",
                    "s[0].resources[x/gpu]: Invalid value: \"x/gpu\": must be a node allocatable resource name",
                    "s[0].resources[x/gpu]: Invalid value: \"-1\": must be non-negative",
                ],
            ),
        ] {
            let pod = json!({
                "spec": {"resourceClaims": [{"name": "n", "resourceClaimName": "c"}]},
                "status": {"nodeAllocatableResourceClaimStatuses": [status]},
            });
            assert_eq!(told(of_node(&pod, &Path::new("s"))), wrong, "{status}");
        }
    }
}
