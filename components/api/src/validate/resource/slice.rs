//! Slices of the pools that drivers publish: devices, or counters that devices share.
use super::device::{self, counters};
use super::lists::set;
use super::names::{self, name_of};
use super::nodes::Nodes;
use crate::validate::internal;
use crate::validate::shared::immutable;
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashMap;

/// Devices of a slice.
const MAX_DEVICES: usize = 128;

/// Devices of a slice with taints, counters or attributes with several values.
const MAX_ADVANCED_DEVICES: usize = 64;

/// Sets of counters of a slice.
const MAX_COUNTER_SETS: usize = 8;

/// A ResourceSlice.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let before = old.map(|old| at(old, &["spec"]));
    let mut errors = names::driver(text(spec, &["driver"]), &path.child("driver"));
    errors.extend(pool(at(spec, &["pool"]), &path.child("pool")));
    if let Some(before) = before {
        errors.extend(fixed(before, spec, &path));
    }
    errors.extend(nodes(spec, &path));
    let devices = list(spec, &["devices"]);
    if at(spec, &["sharedCounters"]).is_array() && at(spec, &["devices"]).is_array() {
        errors.push(Error::invalid(
            &path,
            "",
            "only one of `sharedCounters` or `devices` is allowed",
        ));
    }
    let most = if devices.iter().any(device::is_advanced) {
        MAX_ADVANCED_DEVICES
    } else {
        MAX_DEVICES
    };
    let per_device = flag(spec, &["perDeviceNodeSelection"]);
    let known = by_name(before, devices);
    errors.extend(set(
        devices,
        most,
        &path.child("devices"),
        name_of,
        |item, path| device::check(item, known.get(name_of(item)).copied(), per_device, path),
    ));
    errors.extend(set(
        list(spec, &["sharedCounters"]),
        MAX_COUNTER_SETS,
        &path.child("sharedCounters"),
        name_of,
        |item, path| counters::check(item, "name", path),
    ));
    errors
}

/// The devices that there were, for those whose taints are looked at only when they are others.
fn by_name<'a>(before: Option<&'a Value>, devices: &[Value]) -> HashMap<&'a str, &'a Value> {
    let tainted = devices.iter().any(|device| !list(device, &["taints"]).is_empty());
    let before = before
        .filter(|_| tainted)
        .map_or(&[][..], |spec| list(spec, &["devices"]));
    // Of several with a name the first counts.
    before
        .iter()
        .rev()
        .map(|device| (name_of(device), device))
        .collect()
}

fn pool(pool: &Value, path: &Path) -> ErrorList {
    let mut errors = names::pool(name_of(pool), &path.child("name"));
    let (count, generation) = (
        int(pool, &["resourceSliceCount"]).unwrap_or(0),
        int(pool, &["generation"]).unwrap_or(0),
    );
    if count <= 0 {
        errors.push(Error::invalid(
            &path.child("resourceSliceCount"),
            count,
            "must be greater than zero",
        ));
    }
    if generation < 0 {
        errors.push(Error::invalid(
            &path.child("generation"),
            generation,
            "must be greater than or equal to zero",
        ));
    }
    errors
}

/// What a slice is of never changes.
fn fixed(before: &Value, after: &Value, path: &Path) -> ErrorList {
    [&["pool", "name"][..], &["driver"], &["nodeName"]]
        .into_iter()
        .filter_map(|field| {
            // What must be there is a text, what need not be is a pointer.
            let shown = |value: &Value| {
                if value.is_null() && field != ["nodeName"] {
                    Value::from("")
                } else {
                    value.clone()
                }
            };
            immutable(
                &path.child(&field.join(".")),
                &shown(at(before, field)),
                &shown(at(after, field)),
            )
        })
        .collect()
}

/// The nodes that can use the devices are given in exactly one way.
fn nodes(spec: &Value, path: &Path) -> ErrorList {
    const ONE: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut nodes = Nodes::default();
    nodes.name(spec, "must be either unset or set to a non-empty string", path);
    let selector = at(spec, &["nodeSelector"]);
    if selector.is_object() {
        nodes.selector(selector, path);
        // Selectors of several slices can only be joined when each is one term.
        if list(selector, &["nodeSelectorTerms"]).len() != 1 {
            nodes.errors.push(Error::invalid(
                &path.child("nodeSelector.nodeSelectorTerms"),
                internal::shown_list(internal::NODE_TERM, at(selector, &["nodeSelectorTerms"])),
                "must have exactly one node selector term",
            ));
        }
    }
    nodes.switch(spec, "allNodes", "`allNodes`", path);
    nodes.switch(spec, "perDeviceNodeSelection", "`perDeviceNodeSelection`", path);
    nodes.exactly_one(ONE, &format!("{ONE}, but multiple fields are set"), path)
}
