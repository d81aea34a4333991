//! Nodes, and what they tell of themselves.
mod annotations;
mod config;

use crate::addresses;
use crate::features::Features;
use crate::validate::addresses::Addresses;
use crate::validate::internal;
use crate::validate::shared::{self, set_to_one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

/// A new or changed node. A changed one is checked as if it were new, too; upstream's causes repeat accordingly.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let mut errors = whole(new, features);
    errors.extend(old.map_or_else(ErrorList::new, |old| change(old, new)));
    errors
}

fn whole(node: &Value, features: Features) -> ErrorList {
    let mut errors = annotations::check(node);
    errors.extend(spec_taints(node));
    errors.extend(amounts(node));
    let swap = int(node, &["status", "nodeInfo", "swap", "capacity"]).filter(|swap| *swap <= 0);
    errors.extend(swap.map(|swap| {
        Error::invalid(
            &Path::new("metadata.nodeSwapStatus.capacity"),
            swap,
            "must be greater than zero",
        )
    }));
    errors.extend(declared_features(node));
    let (path, ranges) = (Path::new("spec.podCIDRs"), list(node, &["spec", "podCIDRs"]));
    let rules = Addresses::new(features);
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        errors.extend(rules.cidr(&path.index(index), range));
    }
    errors.extend(one_range_per_family(ranges, &path));
    errors
}

/// What may change in a node, through its own endpoint or that of its status.
pub(in crate::validate) fn change(old: &Value, new: &Value) -> ErrorList {
    let mut errors = annotations::check(new);
    errors.extend(amounts(new));
    errors.extend(declared_features(new));
    errors.extend(addresses(new));
    let spec = Path::new("spec");
    let ranges = |node| list(node, &["spec", "podCIDRs"]);
    let (before, after) = (ranges(old), ranges(new));
    let changes = match before.len() {
        0 => 0,
        count if count != after.len() => 1,
        _ => before.iter().zip(after).filter(|(old, new)| old != new).count(),
    };
    let changed = Error::forbidden(
        &spec.child("podCIDRs"),
        "node updates may not change podCIDR except from \"\" to valid",
    );
    errors.extend(std::iter::repeat_n(changed, changes));
    let (before, after) = (
        text(old, &["spec", "providerID"]),
        text(new, &["spec", "providerID"]),
    );
    if !before.is_empty() && before != after {
        errors.push(Error::forbidden(
            &spec.child("providerID"),
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
    errors.extend(config::check(new));
    errors.extend(spec_taints(new));
    if text(old, &["spec", "externalID"]) != text(new, &["spec", "externalID"]) {
        errors.push(Error::forbidden(&spec.child("externalID"), "may not be updated"));
    }
    errors
}

/// Upstream's path of the spec's taints is in the metadata.
fn spec_taints(node: &Value) -> ErrorList {
    taints(list(node, &["spec", "taints"]), &Path::new("metadata.taints"))
}

fn taints(taints: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, value) = (text(taint, &["key"]), text(taint, &["value"]));
        errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, wrong.join(";")));
        }
        errors.extend(set_to_one_of(
            &path.child("effect"),
            at(taint, &["effect"]),
            &["NoSchedule", "PreferNoSchedule", "NoExecute"],
        ));
        if !seen.insert((key, text(taint, &["effect"]))) {
            errors.push(Error {
                detail: "taints must be unique by key and effect pair".into(),
                ..Error::duplicate(&path, internal::shown(internal::TAINT, taint))
            });
        }
    }
    errors
}

/// Amounts in a node's status, which are checked in every write.
fn amounts(node: &Value) -> ErrorList {
    ["capacity", "allocatable"]
        .iter()
        .flat_map(|field| {
            let path = Path::new("status").child(field);
            let amounts = at(node, &["status", field]).as_object().into_iter().flatten();
            amounts
                .flat_map(move |(name, quantity)| shared::resource_amount(&path.child(name), name, quantity))
        })
        .collect()
}

/// A feature's name has at most this many bytes.
const MAX_FEATURE: usize = 253;

/// Features of the node's kubelet, by names in order.
fn declared_features(node: &Value) -> ErrorList {
    let path = Path::new("status.declaredFeatures");
    let features = list(node, &["status", "declaredFeatures"]);
    let name = |value: &'_ Value| value.as_str().unwrap_or("").to_owned();
    let mut errors = ErrorList::new();
    for (index, feature) in features.iter().map(name).enumerate() {
        errors.extend(unfit_feature(&feature).map(|why| {
            let detail = format!("invalid feature name {feature:?}: {why}");
            Error::invalid(&path.index(index), feature.as_str(), detail)
        }));
        let Some(next) = features.get(index + 1).map(name) else {
            continue;
        };
        let path = path.index(index + 1);
        if feature == next {
            errors.push(Error::duplicate(&path, next));
        } else if feature > next {
            errors.push(Error::invalid(&path, next, "list must be sorted alphabetically"));
        }
    }
    errors
}

fn unfit_feature(name: &str) -> Option<String> {
    let segment = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let fits = name.starts_with(|first: char| first.is_ascii_uppercase()) && name.split('/').all(segment);
    if name.len() > MAX_FEATURE {
        Some(format!("must be no more than {MAX_FEATURE} characters"))
    } else {
        (!fits).then(|| {
            "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes".to_owned()
        })
    }
}

fn addresses(node: &Value) -> ErrorList {
    let addresses = list(node, &["status", "addresses"]);
    let path = Path::new("status.addresses");
    let mut seen = HashSet::new();
    let repeats = addresses.iter().enumerate().filter(|(_, address)| {
        let address = *address;
        !seen.insert((text(address, &["type"]), text(address, &["address"])))
    });
    repeats
        .map(|(index, address)| {
            let shown = internal::shown(internal::NODE_ADDRESS, address);
            Error::duplicate(&path.index(index), shown)
        })
        .collect()
}

/// Several ranges must be a pair, one of each family.
fn one_range_per_family(ranges: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if ranges.len() < 2 {
        return errors;
    }
    let mut families = Vec::new();
    for (index, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        match addresses::cidr(range) {
            Some(range) => families.push(range.value.addr().is_ipv6()),
            None => {
                let why = format!(
                    "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{index}]: <nil> (invalid CIDR address: {range})"
                );
                errors.push(Error::internal(path, why));
                families.clear();
                break;
            }
        }
    }
    let both = families.contains(&true) && families.contains(&false);
    if !both || ranges.len() > 2 {
        errors.push(Error::invalid(
            path,
            Value::from(ranges),
            "may specify no more than one CIDR for each IP family",
        ));
    }
    errors
}

#[cfg(test)]
mod tests;
