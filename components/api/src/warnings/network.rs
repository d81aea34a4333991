//! Services, endpoints, policies and nodes: what is ignored, and how addresses are written.
use super::addresses;
use crate::value::{at, list, text};
use apimachinery::meta;
use serde_json::Value;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

fn texts<'a>(holder: &'a Value, field: &[&str]) -> impl Iterator<Item = (usize, &'a str)> {
    list(holder, field).iter().filter_map(Value::as_str).enumerate()
}

/// A Service (pkg/api/service/warnings.go).
pub(super) fn service(service: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = at(service, &["spec"]);
    let (kind, first) = (text(spec, &["type"]), text(spec, &["clusterIP"]));
    let outside = kind == "ExternalName";
    let headless = kind == "ClusterIP" && first == "None";
    let external = !list(spec, &["externalIPs"]).is_empty();
    if meta::annotation(service, HINTS).is_some() {
        warnings.push(format!(
            "annotation {HINTS} is deprecated, please use {MODE} instead"
        ));
    }
    if !matches!(first, "" | "None") {
        for (index, ip) in texts(spec, &["clusterIPs"]) {
            warnings.extend(addresses::ip(|| format!("spec.clusterIPs[{index}]"), ip));
        }
    }
    if headless {
        let given = [
            ("loadBalancerIP", !text(spec, &["loadBalancerIP"]).is_empty()),
            ("externalIPs", external),
            ("SessionAffinity", text(spec, &["sessionAffinity"]) != "None"),
        ];
        let ignored = given.iter().filter(|(_, given)| *given);
        warnings.extend(ignored.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    }
    for (index, ip) in texts(spec, &["externalIPs"]) {
        warnings.extend(addresses::ip(|| format!("spec.externalIPs[{index}]"), ip));
    }
    if external && !headless && !outside {
        warnings
            .push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    let balancer = text(spec, &["loadBalancerIP"]);
    warnings.extend(addresses::ip(|| "spec.loadBalancerIP".into(), balancer));
    for (index, range) in texts(spec, &["loadBalancerSourceRanges"]) {
        let path = || format!("spec.loadBalancerSourceRanges[{index}]");
        warnings.extend(addresses::cidr(path, range));
    }
    if outside && external {
        warnings.push(r#"spec.externalIPs is ignored when spec.type is "ExternalName""#.into());
    }
    if !outside && !text(spec, &["externalName"]).is_empty() {
        warnings.push(r#"spec.externalName is ignored when spec.type is not "ExternalName""#.into());
    }
    if text(spec, &["trafficDistribution"]) == "PreferClose" {
        warnings
            .push(r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#.into());
    }
    warnings
}

/// Where a balancer can be reached, of a service or an ingress.
pub(super) fn balancer_status(object: &Value) -> Vec<String> {
    let ingress = list(object, &["status", "loadBalancer", "ingress"]).iter();
    let path = |index| format!("status.loadBalancer.ingress[{index}]");
    ingress
        .enumerate()
        .filter_map(|(index, entry)| addresses::ip(|| path(index), text(entry, &["ip"])))
        .collect()
}

/// Endpoints, unless their controller wrote them.
pub(super) fn endpoints(endpoints: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if meta::label(endpoints, "endpoints.kubernetes.io/managed-by") == Some("endpoint-controller") {
        return warnings;
    }
    for (index, subset) in list(endpoints, &["subsets"]).iter().enumerate() {
        for field in ["addresses", "notReadyAddresses"] {
            for (number, address) in list(subset, &[field]).iter().enumerate() {
                let path = || format!("subsets[{index}].{field}[{number}].ip");
                warnings.extend(addresses::ip(path, text(address, &["ip"])));
            }
        }
    }
    warnings
}

/// An EndpointSlice, unless a controller wrote it.
pub(super) fn slice(slice: &Value, is_new: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if is_new && text(slice, &["addressType"]) == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".into());
    }
    if matches!(
        meta::label(slice, "endpointslice.kubernetes.io/managed-by"),
        Some("endpointslice-controller.k8s.io" | "endpointslicemirroring-controller.k8s.io")
    ) {
        return warnings;
    }
    for (index, endpoint) in list(slice, &["endpoints"]).iter().enumerate() {
        for (number, address) in texts(endpoint, &["addresses"]) {
            let path = || format!("endpoints[{index}].addresses[{number}]");
            warnings.extend(addresses::ip(path, address));
        }
    }
    warnings
}

/// A NetworkPolicy.
pub(super) fn policy(policy: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(policy, &["spec", direction]).iter().enumerate() {
            for (number, peer) in list(rule, &[peers]).iter().enumerate() {
                let path = || format!("spec.{direction}[{index}].{peers}[{number}].ipBlock");
                let block = at(peer, &["ipBlock"]);
                if !block.is_object() {
                    continue;
                }
                let range = text(block, &["cidr"]);
                warnings.extend(addresses::cidr(|| format!("{}.cidr", path()), range));
                for (excepted, range) in texts(block, &["except"]) {
                    let path = || format!("{}.except[{excepted}]", path());
                    warnings.extend(addresses::cidr(path, range));
                }
            }
        }
    }
    warnings
}

/// A new Ingress.
pub(super) fn ingress(ingress: &Value) -> Option<String> {
    let annotated = meta::annotation(ingress, INGRESS_CLASS).is_some();
    (annotated && at(ingress, &["spec", "ingressClassName"]).is_null()).then(|| {
        format!("annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead")
    })
}

/// A Node.
pub(super) fn node(node: &Value) -> Vec<String> {
    let spec = at(node, &["spec"]);
    let mut warnings = Vec::new();
    if !at(spec, &["configSource"]).is_null() {
        warnings.push("spec.configSource: the feature is removed".into());
    }
    if !text(spec, &["externalID"]).is_empty() {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
    }
    for (index, range) in texts(spec, &["podCIDRs"]) {
        warnings.extend(addresses::cidr(|| format!("spec.podCIDRs[{index}]"), range));
    }
    warnings
}
