//! What a claim was given, and to whom.
use super::lists::set;
use super::names::{self, Requests};
use super::{binding, config, lists, taint};
use crate::validate::addresses::interface_address;
use crate::validate::shared::same;
use crate::validate::{internal, pod, status};
use crate::value::{at, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

/// Who may use the devices at the same time.
const MAX_CONSUMERS: usize = 256;

/// Conditions of a device.
const MAX_CONDITIONS: usize = 8;

/// Addresses of a network interface, and bytes of its name and of its hardware address.
const MAX_ADDRESSES: usize = 16;
const MAX_INTERFACE: usize = 256;
const MAX_HARDWARE_ADDRESS: usize = 128;

/// One device, or one share of it, among all that are allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Device<'a> {
    driver: &'a str,
    pool: &'a str,
    device: &'a str,
    share: &'a str,
}

impl<'a> Device<'a> {
    /// What a result of an allocation, or the status of a device, is about.
    fn of(value: &'a Value) -> Self {
        Self {
            driver: text(value, &["driver"]),
            pool: text(value, &["pool"]),
            device: text(value, &["device"]),
            share: text(value, &["shareID"]),
        }
    }
}

impl From<Device<'_>> for BadValue {
    /// As upstream's structure is printed.
    fn from(device: Device<'_>) -> Self {
        let quoted = |text: &str| Value::from(text).to_string();
        Self::Raw(format!(
            r#"{{"Driver":{},"Pool":{},"Device":{},"ShareID":{}}}"#,
            quoted(device.driver),
            quoted(device.pool),
            quoted(device.device),
            quoted(device.share),
        ))
    }
}

/// A status that is written. An allocation is checked when it is new: rules that came later hold for later ones.
pub(in crate::validate) fn check(old: &Value, new: &Value) -> ErrorList {
    let path = Path::new("status");
    let (before, after) = (
        at(old, &["status", "allocation"]),
        at(new, &["status", "allocation"]),
    );
    let consumers = path.child("reservedFor");
    let mut errors = set(
        list(new, &["status", "reservedFor"]),
        MAX_CONSUMERS,
        &consumers,
        |consumer| text(consumer, &["uid"]),
        consumer,
    );
    let allocated: HashSet<Device<'_>> = list(after, &["devices", "results"])
        .iter()
        .map(Device::of)
        .collect();
    errors.extend(set(
        list(new, &["status", "devices"]),
        usize::MAX,
        &path.child("devices"),
        Device::of,
        |status, path| device(status, &allocated, path),
    ));
    errors.extend(reserved(old, new, &consumers));
    let path = path.child("allocation");
    if before.is_object() && after.is_object() {
        if !same(before, after) {
            errors.push(Error::invalid(
                &path,
                internal::shown(internal::ALLOCATION_RESULT, after),
                "field is immutable",
            ));
        }
    } else if after.is_object() {
        errors.extend(allocation(after, new, &path));
    }
    errors
}

/// Who uses the devices.
fn consumer(consumer: &Value, path: &Path) -> ErrorList {
    ["resource", "name", "uid"]
        .iter()
        .filter(|field| text(consumer, &[field]).is_empty())
        .map(|field| Error::required(&path.child(field), ""))
        .collect()
}

/// Nobody uses what is not allocated, and nobody new what is about to go.
fn reserved(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    let consumers = list(new, &["status", "reservedFor"]);
    if consumers.is_empty() {
        return None;
    }
    if !at(new, &["status", "allocation"]).is_object() {
        return Some(Error::forbidden(
            path,
            "may not be specified when `allocated` is not set",
        ));
    }
    apimachinery::meta::deletion_timestamp(new)?;
    let who = |consumer| ["apiGroup", "resource", "name", "uid"].map(|field| text(consumer, &[field]));
    let known: HashSet<_> = list(old, &["status", "reservedFor"]).iter().map(who).collect();
    consumers
        .iter()
        .any(|consumer| !known.contains(&who(consumer)))
        .then(|| {
            Error::forbidden(
                path,
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
            )
        })
}

/// An allocation that wasn't there.
fn allocation(allocation: &Value, claim: &Value, path: &Path) -> ErrorList {
    let requests = Requests::of(at(claim, &["spec", "devices"]));
    let (devices, of_devices) = (at(allocation, &["devices"]), path.child("devices"));
    let mut errors = lists::each(
        list(devices, &["results"]),
        lists::MAX_ITEMS,
        &of_devices.child("results"),
        |item, path| result(item, &requests, path),
    );
    errors.extend(config::of_allocation(
        devices,
        &requests,
        &of_devices.child("config"),
    ));
    let selector = at(allocation, &["nodeSelector"]);
    if selector.is_object() {
        errors.extend(pod::node_selector(selector, &path.child("nodeSelector")));
    }
    errors
}

/// A device that was given to a request.
fn result(result: &Value, requests: &Requests<'_>, path: &Path) -> ErrorList {
    let mut errors = requests.reference(text(result, &["request"]), &path.child("request"));
    errors.extend(identity(result, path));
    errors.extend(binding::conditions(result, path));
    errors.extend(taint::tolerations(result, path));
    errors.extend(share(result, path));
    errors
}

/// Driver, pool and name of a device.
fn identity(value: &Value, path: &Path) -> ErrorList {
    let mut errors = names::driver(text(value, &["driver"]), &path.child("driver"));
    errors.extend(names::pool(text(value, &["pool"]), &path.child("pool")));
    errors.extend(names::label(text(value, &["device"]), &path.child("device")));
    errors
}

fn share(value: &Value, path: &Path) -> Option<Error> {
    names::uuid(at(value, &["shareID"]).as_str()?, &path.child("shareID"))
}

/// What a driver tells of a device.
fn device(status: &Value, allocated: &HashSet<Device<'_>>, path: &Path) -> ErrorList {
    let mut errors = identity(status, path);
    errors.extend(share(status, path));
    let device = Device::of(status);
    if !allocated.contains(&device) {
        errors.push(Error::invalid(
            path,
            device,
            "must be an allocated device in the claim",
        ));
    }
    let (conditions, of_conditions) = (list(status, &["conditions"]), path.child("conditions"));
    if conditions.len() > MAX_CONDITIONS {
        errors.push(Error::too_many(&of_conditions, conditions.len(), MAX_CONDITIONS));
    }
    errors.extend(status::conditions(conditions, &of_conditions));
    let data = at(status, &["data"]);
    if !data.is_null() {
        errors.extend(config::raw(data, false, &path.child("data")));
    }
    errors.extend(network(at(status, &["networkData"]), &path.child("networkData")));
    errors
}

/// The network interface that a device is.
fn network(data: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, most) in [
        ("interfaceName", MAX_INTERFACE),
        ("hardwareAddress", MAX_HARDWARE_ADDRESS),
    ] {
        if text(data, &[field]).len() > most {
            errors.push(Error::too_long(&path.child(field), most));
        }
    }
    errors.extend(set(
        list(data, &["ips"]),
        MAX_ADDRESSES,
        &path.child("ips"),
        lists::itself,
        |address, path| {
            interface_address(path, lists::itself(address))
                .into_iter()
                .collect()
        },
    ));
    errors
}
