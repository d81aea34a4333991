//! Annotations of services that mean something to the server.
use crate::features::Features;
use crate::validate::addresses::Addresses;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

pub(super) fn check(service: &Value, kind: &str, features: Features) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("metadata.annotations");
    if let (Some(mode), Some(hints)) = (meta::annotation(service, MODE), meta::annotation(service, HINTS))
        && mode != hints
    {
        errors.push(Error::invalid(
            &path.key(MODE),
            mode,
            format!("must match annotations[{HINTS}] when both are specified"),
        ));
    }
    let in_spec = !crate::value::list(service, &["spec", "loadBalancerSourceRanges"]).is_empty();
    let Some(ranges) = meta::annotation(service, RANGES).filter(|_| !in_spec) else {
        return errors;
    };
    let path = path.key(RANGES);
    if kind != "LoadBalancer" {
        errors.push(Error::forbidden(
            &path,
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let ranges = ranges.trim();
    if !ranges.is_empty() {
        let each = ranges.split(',');
        let rules = Addresses::new(features);
        errors.extend(each.filter_map(|range| rules.cidr(&path, range.trim())));
    }
    errors
}
