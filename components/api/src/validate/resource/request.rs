//! What a claim requests, and what must hold between the devices that it gets.
use super::lists::set;
use super::names::{self, Requests, name_of};
use super::{config, selector, taint};
use crate::features::{Feature, Features};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;

/// Alternatives of a request.
const MAX_ALTERNATIVES: usize = 8;

/// A request: for devices of one sort, or for one of several.
pub(super) fn check(request: &Value, features: Features, path: &Path) -> ErrorList {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    let mut errors = names::label(name_of(request), &path.child("name"));
    let (exactly, alternatives) = (at(request, &["exactly"]), list(request, &["firstAvailable"]));
    match (exactly.is_object(), alternatives.is_empty()) {
        (false, true) => errors.push(Error::required(path, ONE)),
        (true, false) => errors.push(Error::invalid(
            path,
            BadValue::Json(Value::Null),
            format!("{ONE}, but multiple fields are set"),
        )),
        (true, true) => errors.extend(devices(exactly, features, &path.child("exactly"))),
        (false, false) => errors.extend(set(
            alternatives,
            MAX_ALTERNATIVES,
            &path.child("firstAvailable"),
            name_of,
            |alternative, path| {
                let mut errors = names::label(name_of(alternative), &path.child("name"));
                errors.extend(devices(alternative, features, path));
                errors
            },
        )),
    }
    errors
}

/// Which devices, and how many.
fn devices(request: &Value, features: Features, path: &Path) -> ErrorList {
    let class = text(request, &["deviceClassName"]);
    let mut errors = names::subdomain(class, &path.child("deviceClassName"));
    errors.extend(selector::selectors(request, features, &path.child("selectors")));
    let count = int(request, &["count"]).unwrap_or(0);
    match text(request, &["allocationMode"]) {
        "ExactCount" if count <= 0 => errors.push(Error::invalid(
            &path.child("count"),
            count,
            "must be greater than zero",
        )),
        "All" if count != 0 => errors.push(Error::invalid(
            &path.child("count"),
            count,
            "must not be specified when allocationMode is 'All'",
        )),
        "ExactCount" | "All" => {}
        other => errors.push(Error::not_supported(
            &path.child("allocationMode"),
            other,
            &["All", "ExactCount"],
        )),
    }
    errors.extend(taint::tolerations(request, path));
    errors
}

/// An attribute in which devices agree or differ. Of two attributes upstream looks at the first alone, and it says of
/// none what it means to say of both.
pub(super) fn constraint(
    constraint: &Value,
    requests: &Requests<'_>,
    features: Features,
    path: &Path,
) -> ErrorList {
    let mut errors = config::references(constraint, requests, path);
    let attribute = |field: &str| {
        let name = at(constraint, &[field]).as_str()?;
        Some(names::fully_qualified(name, &path.child(field)))
    };
    let found = attribute("matchAttribute").or_else(|| attribute("distinctAttribute"));
    match found {
        Some(found) => errors.extend(found),
        None if features.has(Feature::DRAConsumableCapacity) => errors.push(Error::required(
            path,
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
        )),
        None => errors.push(Error::required(&path.child("matchAttribute"), "")),
    }
    errors
}
