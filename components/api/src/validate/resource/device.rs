//! A device of a slice.
mod attribute;
mod capacity;
pub(super) mod counters;
mod mapping;

use super::lists::{each, set};
use super::names::{self, name_of};
use super::nodes::Nodes;
use super::{binding, taint};
use crate::validate::shared::same;
use crate::value::{at, list, object, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;

/// Attributes and capacities of a device.
const MAX_FACTS: usize = 32;

/// Values of a device's attributes, of which some may have several.
const MAX_VALUES: usize = 48;

/// Taints of a device.
const MAX_TAINTS: usize = 16;

/// Sets of counters that a device uses.
const MAX_CONSUMED: usize = 2;

/// Whether a slice may have only half as many devices because of this one.
pub(super) fn is_advanced(device: &Value) -> bool {
    !list(device, &["taints"]).is_empty()
        || !list(device, &["consumesCounters"]).is_empty()
        || attribute::any_has_several(device)
}

/// A device, which was there as `old` or is new.
pub(super) fn check(device: &Value, old: Option<&Value>, per_device: bool, path: &Path) -> ErrorList {
    let mut errors = names::label(name_of(device), &path.child("name"));
    let facts = |field: &str| object(device, &[field]).map_or(0, serde_json::Map::len);
    for (total, most, what) in [
        (
            facts("attributes") + facts("capacity"),
            MAX_FACTS,
            "attributes and capacities",
        ),
        (attribute::values(device), MAX_VALUES, "attribute values"),
    ] {
        if total > most {
            errors.push(Error::invalid(
                path,
                total as i64,
                format!("the total number of {what} must not exceed {most}"),
            ));
        }
    }
    let of_attributes = path.child("attributes");
    for (name, value) in object(device, &["attributes"]).into_iter().flatten() {
        errors.extend(names::qualified(name, &of_attributes));
        errors.extend(attribute::check(value, &names::key(&of_attributes, name)));
    }
    errors.extend(capacity::check(device, &path.child("capacity")));
    if old.is_none_or(|old| !same(at(old, &["taints"]), at(device, &["taints"]))) {
        errors.extend(each(
            list(device, &["taints"]),
            MAX_TAINTS,
            &path.child("taints"),
            taint::taint,
        ));
    }
    errors.extend(set(
        list(device, &["consumesCounters"]),
        MAX_CONSUMED,
        &path.child("consumesCounters"),
        |item| text(item, &["counterSet"]),
        |item, path| counters::check(item, "counterSet", path),
    ));
    errors.extend(nodes(device, per_device, path));
    errors.extend(binding::conditions(device, path));
    errors.extend(mapping::check(
        device,
        &path.child("nodeAllocatableResourceMappings"),
    ));
    errors
}

/// The nodes that can use this device, if its slice leaves that to the devices.
fn nodes(device: &Value, per_device: bool, path: &Path) -> ErrorList {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    if !per_device {
        let given = ["nodeName", "nodeSelector", "allNodes"]
            .iter()
            .any(|field| !at(device, &[field]).is_null());
        return if given {
            vec![Error::invalid(
                path,
                BadValue::Json(Value::Null),
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
            )]
        } else {
            ErrorList::new()
        };
    }
    let mut nodes = Nodes::default();
    nodes.name(device, "must not be empty", path);
    let selector = at(device, &["nodeSelector"]);
    if selector.is_object() {
        nodes.selector(selector, path);
    }
    nodes.switch(device, "allNodes", "`allNodes`", path);
    nodes.exactly_one(ONE, ONE, path)
}
