use crate::features::{Feature, Features};
use crate::validate::internal;
use crate::validate::shared::{
    amount, has_invalid_values, immutable, label_selector_with, maybe_one_of, non_negative, one_of, same,
    texts,
};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// A CSIDriver.
pub(super) fn driver(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors: ErrorList = maybe_one_of(
        &path.child("fsGroupPolicy"),
        at(new, &["spec", "fsGroupPolicy"]),
        &["File", "None", "ReadWriteOnceWithFSType"],
    )
    .into_iter()
    .collect();
    errors.extend(token_requests(
        list(new, &["spec", "tokenRequests"]),
        &path.child("tokenRequests"),
    ));
    errors.extend(
        list(new, &["spec", "volumeLifecycleModes"])
            .iter()
            .filter_map(|mode| {
                one_of(
                    &path.child("volumeLifecycleModes"),
                    mode,
                    &["Persistent", "Ephemeral"],
                )
            }),
    );
    if let Some(seconds) = at(new, &["spec", "nodeAllocatableUpdatePeriodSeconds"])
        .as_i64()
        .filter(|seconds| *seconds < 10)
    {
        errors.push(Error::invalid(
            &path.child("nodeAllocatableUpdatePeriodSeconds"),
            seconds,
            "must be greater than or equal to 10 seconds",
        ));
    }
    let in_secrets = at(new, &["spec", "serviceAccountTokenInSecrets"]);
    if !in_secrets.is_null() && list(new, &["spec", "tokenRequests"]).is_empty() {
        errors.push(Error::invalid(
            &path.child("serviceAccountTokenInSecrets"),
            in_secrets,
            "serviceAccountTokenInSecrets is set but no tokenRequests are specified",
        ));
    }
    if let Some(old) = old {
        for (field, shown) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            errors.extend(immutable(
                &path.child(shown),
                at(old, &["spec", field]),
                at(new, &["spec", field]),
            ));
        }
    }
    errors
}

/// Tokens for which a driver asks, each for another audience and between ten minutes and 2^32 seconds.
fn token_requests(requests: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut audiences = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let path = path.index(index);
        let audience = text(request, &["audience"]);
        if !audiences.insert(audience) {
            errors.push(Error::duplicate(&path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = at(request, &["expirationSeconds"]).as_i64() else {
            continue;
        };
        let why = match seconds {
            ..600 => "may not specify a duration less than 10 minutes",
            seconds if seconds > 1 << 32 => "may not specify a duration larger than 2^32 seconds",
            _ => continue,
        };
        errors.push(Error::invalid(&path.child("expirationSeconds"), seconds, why));
    }
    errors
}

/// A CSIStorageCapacity.
pub(super) fn capacity(old: Option<&Value>, new: &Value) -> ErrorList {
    let before = old.map(|old| at(old, &["nodeTopology"]));
    let mut errors = label_selector_with(
        &Path::new("nodeTopology"),
        at(new, &["nodeTopology"]),
        before.is_some_and(has_invalid_values),
    );
    let class = text(new, &["storageClassName"]);
    errors.extend(texts(
        &Path::new("storageClassName"),
        class,
        names::dns1123_subdomain(class),
    ));
    // Upstream never looks at `maximumVolumeSize`.
    errors.extend(amount(&Path::new("capacity"), at(new, &["capacity"])));
    if let Some(old) = old {
        for field in ["nodeTopology", "storageClassName"] {
            errors.extend(immutable(&Path::new(field), at(old, &[field]), at(new, &[field])));
        }
    }
    errors
}

/// A CSINode.
pub(super) fn node(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    let path = Path::new("spec.drivers");
    let drivers = list(new, &["spec", "drivers"]);
    for (index, driver) in drivers.iter().enumerate() {
        let path = path.index(index);
        let name = text(driver, &["name"]);
        errors.extend(super::driver_name(name, &path.child("name")));
        let node = text(driver, &["nodeID"]);
        if node.is_empty() {
            errors.push(Error::required(&path.child("nodeID"), ""));
        } else if node.len() > 256 {
            errors.push(Error::invalid(
                &path.child("nodeID"),
                node,
                "must be 256 characters or less",
            ));
        }
        errors.extend(non_negative(
            &path.child("allocatable.count"),
            at(driver, &["allocatable", "count"]),
        ));
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let mut keys = HashSet::new();
        for key in list(driver, &["topologyKeys"]).iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(Error::required(&path, ""));
            }
            if !keys.insert(key) {
                errors.push(Error::duplicate(&path, key));
            }
            errors.extend(texts(&path, key, names::qualified_name(key)));
        }
    }
    if let Some(old) = old {
        errors.extend(changed_drivers(
            list(old, &["spec", "drivers"]),
            drivers,
            features,
        ));
    }
    errors
}

/// What was said of a driver stays, but for how many volumes it may have.
fn changed_drivers(old: &[Value], new: &[Value], features: Features) -> ErrorList {
    let may_count = features.has(Feature::MutableCSINodeAllocatableCount);
    let mut by_name: HashMap<&str, Vec<&Value>> = HashMap::new();
    for driver in new {
        by_name.entry(text(driver, &["name"])).or_default().push(driver);
    }
    let mut errors = ErrorList::new();
    for before in old {
        for after in by_name.get(text(before, &["name"])).into_iter().flatten() {
            let stays = |field: &str| same(at(before, &[field]), at(after, &[field]));
            if stays("nodeID") && stays("topologyKeys") && (may_count || stays("allocatable")) {
                continue;
            }
            let mut shown = (*after).clone();
            if may_count && let Some(shown) = shown.as_object_mut() {
                shown.remove("allocatable");
            }
            errors.push(Error::invalid(
                &Path::new("spec.drivers"),
                internal::shown(internal::CSI_NODE_DRIVER, &shown),
                "field is immutable",
            ));
        }
    }
    errors
}
