use crate::validate::internal;
use crate::validate::shared::{amount, immutable, label_selector, maybe_one_of, non_negative, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::HashSet;

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
    let requests = list(new, &["spec", "tokenRequests"]);
    for (index, request) in requests.iter().enumerate() {
        let path = path.child("tokenRequests").index(index);
        if requests[..index]
            .iter()
            .any(|other| text(other, &["audience"]) == text(request, &["audience"]))
        {
            errors.push(Error::duplicate(
                &path.child("audience"),
                text(request, &["audience"]),
            ));
        }
        if let Some(seconds) = at(request, &["expirationSeconds"])
            .as_i64()
            .filter(|seconds| *seconds < 600)
        {
            errors.push(Error::invalid(
                &path.child("expirationSeconds"),
                seconds,
                "may not specify a duration less than 10 minutes",
            ));
        }
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

/// A CSIStorageCapacity.
pub(super) fn capacity(old: Option<&Value>, new: &Value) -> ErrorList {
    let class = text(new, &["storageClassName"]);
    let mut errors = texts(
        &Path::new("storageClassName"),
        class,
        names::dns1123_subdomain(class),
    );
    errors.extend(label_selector(
        &Path::new("nodeTopology"),
        at(new, &["nodeTopology"]),
    ));
    for field in ["capacity", "maximumVolumeSize"] {
        errors.extend(amount(&Path::new(field), at(new, &[field])));
    }
    if let Some(old) = old {
        for field in ["nodeTopology", "storageClassName"] {
            errors.extend(immutable(&Path::new(field), at(old, &[field]), at(new, &[field])));
        }
    }
    errors
}

/// A CSINode.
pub(super) fn node(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    let path = Path::new("spec.drivers");
    for (index, driver) in list(new, &["spec", "drivers"]).iter().enumerate() {
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
        let mut keys = HashSet::new();
        for key in list(driver, &["topologyKeys"]).iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(Error::required(&path, ""));
            } else if !keys.insert(key) {
                errors.push(Error::duplicate(&path, key));
            }
            errors.extend(texts(&path, key, names::qualified_name(key)));
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    for driver in old.into_iter().flat_map(|old| list(old, &["spec", "drivers"])) {
        let Some(changed) = list(new, &["spec", "drivers"])
            .iter()
            .find(|other| other["name"] == driver["name"])
        else {
            continue;
        };
        let same = at(driver, &["nodeID"]) == at(changed, &["nodeID"])
            && at(driver, &["topologyKeys"]) == at(changed, &["topologyKeys"]);
        if !same {
            // The count may change, and is not shown.
            let mut shown = changed.clone();
            shown.as_object_mut().map(|shown| shown.remove("allocatable"));
            errors.push(Error::invalid(
                &path,
                internal::shown(internal::CSI_NODE_DRIVER, &shown),
                "field is immutable",
            ));
        }
    }
    errors
}
