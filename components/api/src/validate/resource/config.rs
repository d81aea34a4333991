//! Configuration for drivers, which nobody but these can read.
use super::lists::{MAX_ITEMS, each, itself, set};
use super::names::{self, Requests};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::io;

/// Bytes of what a driver is told, or tells.
pub(super) const MAX_RAW: usize = 10 * 1024;

/// The configurations of a claim, for some of its requests or all.
pub(super) fn of_claim(devices: &Value, requests: &Requests<'_>, path: &Path) -> ErrorList {
    each(list(devices, &["config"]), MAX_ITEMS, path, |item, path| {
        of_requests(item, requests, path)
    })
}

/// The configurations of a class. Those that are `stored` may be longer than new ones.
pub(super) fn of_class(spec: &Value, stored: bool, path: &Path) -> ErrorList {
    each(list(spec, &["config"]), MAX_ITEMS, path, |item, path| {
        opaque(item, stored, path)
    })
}

/// The configurations that came with an allocation, from its claim and from classes.
pub(super) fn of_allocation(devices: &Value, requests: &Requests<'_>, path: &Path) -> ErrorList {
    each(list(devices, &["config"]), 2 * MAX_ITEMS, path, |item, path| {
        let mut errors = ErrorList::new();
        match text(item, &["source"]) {
            "" => errors.push(Error::required(&path.child("source"), "")),
            "FromClaim" | "FromClass" => {}
            other => errors.push(Error::not_supported(
                &path.child("source"),
                other,
                &["FromClaim", "FromClass"],
            )),
        }
        errors.extend(of_requests(item, requests, path));
        errors
    })
}

fn of_requests(item: &Value, requests: &Requests<'_>, path: &Path) -> ErrorList {
    let mut errors = references(item, requests, path);
    errors.extend(opaque(item, false, path));
    errors
}

/// The requests that something is about.
pub(super) fn references(item: &Value, requests: &Requests<'_>, path: &Path) -> ErrorList {
    set(
        list(item, &["requests"]),
        MAX_ITEMS,
        &path.child("requests"),
        itself,
        |name, path| requests.reference(itself(name), path),
    )
}

fn opaque(item: &Value, stored: bool, path: &Path) -> ErrorList {
    let (opaque, path) = (at(item, &["opaque"]), path.child("opaque"));
    if !opaque.is_object() {
        return vec![Error::required(&path, "")];
    }
    let mut errors = names::driver(text(opaque, &["driver"]), &path.child("driver"));
    errors.extend(raw(
        at(opaque, &["parameters"]),
        stored,
        &path.child("parameters"),
    ));
    errors
}

/// An object of whatever form. One that is `stored` may have any length.
pub(super) fn raw(value: &Value, stored: bool, path: &Path) -> Option<Error> {
    match value {
        Value::Null => Some(Error::required(path, "")),
        value if !stored && length(value) > MAX_RAW => Some(Error::too_long(path, MAX_RAW)),
        Value::Object(_) => None,
        _ => Some(Error::invalid(
            path,
            "<value omitted>",
            "must be a valid JSON object",
        )),
    }
}

/// Bytes of a value as JSON.
fn length(value: &Value) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Neither a value nor the count can fail.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}
