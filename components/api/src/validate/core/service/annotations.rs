//! Annotations of services that mean something to the server.
use crate::features::Features;
use crate::validate::addresses::Addresses;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// What both names of one annotation say must be the same.
pub(super) fn topology(service: &Value) -> Option<Error> {
    let mode = meta::annotation(service, MODE)?;
    let hints = meta::annotation(service, HINTS)?;
    (mode != hints).then(|| {
        Error::invalid(
            &Path::new("metadata.annotations").key(MODE),
            mode,
            format!("must match annotations[{HINTS}] when both are specified"),
        )
    })
}

/// Who may call the balancer, of a service whose spec doesn't say; what was stored already is not looked at.
pub(super) fn ranges(old: Option<&Value>, new: &Value, kind: &str, features: Features) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(ranges) = meta::annotation(new, RANGES) else {
        return errors;
    };
    let path = Path::new("metadata.annotations").key(RANGES);
    if kind != "LoadBalancer" {
        errors.push(Error::forbidden(
            &path,
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    let stored = old.and_then(|old| meta::annotation(old, RANGES)) == Some(ranges);
    let ranges = ranges.trim();
    if !stored && !ranges.is_empty() {
        let rules = Addresses::new(features);
        errors.extend(
            ranges
                .split(',')
                .filter_map(|range| rules.cidr(&path, range.trim())),
        );
    }
    errors
}
