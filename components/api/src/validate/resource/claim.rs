use super::{MAX_ITEMS, driver, name_of, selector, set};
use crate::validate::internal;
use crate::validate::shared::{same, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// Alternatives of a request.
const MAX_ALTERNATIVES: usize = 8;

/// A ResourceClaim. What is wanted never changes, so it is only checked once.
pub(super) fn claim(old: Option<&Value>, new: &Value) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    match old {
        None => self::spec(spec, &path),
        Some(old) => immutable_spec(old, spec, internal::CLAIM_SPEC, &path),
    }
}

/// A ResourceClaimTemplate.
pub(super) fn template(old: Option<&Value>, new: &Value) -> ErrorList {
    let (template, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = spec(at(template, &["spec"]), &path.child("spec"));
    if let Some(old) = old {
        errors.extend(immutable_spec(
            old,
            template,
            internal::CLAIM_TEMPLATE_SPEC,
            &path,
        ));
    }
    errors
}

fn immutable_spec(old: &Value, spec: &Value, members: &'static [internal::Member], path: &Path) -> ErrorList {
    if same(at(old, &["spec"]), spec) {
        ErrorList::new()
    } else {
        vec![Error::invalid(
            path,
            internal::shown(members, spec),
            "field is immutable",
        )]
    }
}

fn spec(spec: &Value, path: &Path) -> ErrorList {
    let (devices, path) = (at(spec, &["devices"]), path.child("devices"));
    let requests = list(devices, &["requests"]);
    let mut errors = set(requests, MAX_ITEMS, &path.child("requests"), name_of, request);
    let names: Vec<String> = requests.iter().flat_map(references).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (index, constraint) in list(devices, &["constraints"]).iter().enumerate() {
        errors.extend(self::constraint(
            constraint,
            &names,
            &path.child("constraints").index(index),
        ));
    }
    errors.extend(configurations(devices, &names, &path.child("config")));
    errors
}

/// What constraints may name: a request, or one of its alternatives.
fn references(request: &Value) -> Vec<String> {
    let name = name_of(request);
    let alternatives = list(request, &["firstAvailable"])
        .iter()
        .map(|alternative| format!("{name}/{}", name_of(alternative)));
    std::iter::once(name.to_owned()).chain(alternatives).collect()
}

fn request(request: &Value, path: &Path) -> ErrorList {
    const ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
    let mut errors = request_name(request, path);
    let (exactly, alternatives) = (at(request, &["exactly"]), list(request, &["firstAvailable"]));
    if !alternatives.is_empty() {
        errors.extend(set(
            alternatives,
            MAX_ALTERNATIVES,
            &path.child("firstAvailable"),
            name_of,
            |alternative, path| {
                let mut errors = request_name(alternative, path);
                errors.extend(devices(alternative, path));
                errors
            },
        ));
    }
    if exactly.is_object() {
        errors.extend(devices(exactly, &path.child("exactly")));
    }
    match (exactly.is_object(), alternatives.is_empty()) {
        (false, true) => errors.push(Error::required(path, ONE)),
        (true, false) => errors.push(Error::invalid(
            path,
            BadValue::Json(Value::Null),
            format!("{ONE}, but multiple fields are set"),
        )),
        _ => {}
    }
    errors
}

fn request_name(request: &Value, path: &Path) -> ErrorList {
    texts(
        &path.child("name"),
        name_of(request),
        names::dns1123_label(name_of(request)),
    )
}

/// Which devices, and how many.
fn devices(request: &Value, path: &Path) -> ErrorList {
    let class = text(request, &["deviceClassName"]);
    let mut errors = if class.is_empty() {
        vec![Error::required(&path.child("deviceClassName"), "")]
    } else {
        texts(
            &path.child("deviceClassName"),
            class,
            names::dns1123_subdomain(class),
        )
    };
    errors.extend(selector::selectors(request, &path.child("selectors")));
    let count = int(request, &["count"]).unwrap_or(0);
    match text(request, &["allocationMode"]) {
        "ExactCount" if count <= 0 => errors.push(Error::invalid(
            &path.child("count"),
            count,
            "must be greater than zero",
        )),
        "ExactCount" => {}
        "All" if count != 0 => errors.push(Error::invalid(
            &path.child("count"),
            count,
            "must not be specified when allocationMode is 'All'",
        )),
        "All" => {}
        other => errors.push(Error::not_supported(
            &path.child("allocationMode"),
            other,
            &["All", "ExactCount"],
        )),
    }
    errors
}

fn constraint(constraint: &Value, names: &[&str], path: &Path) -> ErrorList {
    let mut errors = request_references(constraint, names, path);
    let attribute = at(constraint, &["matchAttribute"]);
    if attribute.is_null() && at(constraint, &["distinctAttribute"]).is_null() {
        errors.push(Error::required(&path.child("matchAttribute"), ""));
    }
    errors
}

fn request_references(value: &Value, names: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, name) in list(value, &["requests"])
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
        .filter(|(_, name)| !names.contains(name))
    {
        errors.push(Error::invalid(&path.child("requests").index(index), name, "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"));
    }
    errors
}

/// Configurations for drivers, of a claim or of a class, which has no requests.
pub(super) fn configurations(value: &Value, names: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, configuration) in list(value, &["config"]).iter().enumerate() {
        let path = path.index(index);
        errors.extend(request_references(configuration, names, &path));
        let (opaque, path) = (at(configuration, &["opaque"]), path.child("opaque"));
        if !opaque.is_object() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        errors.extend(driver(text(opaque, &["driver"]), &path.child("driver")));
        match at(opaque, &["parameters"]) {
            Value::Null => errors.push(Error::required(&path.child("parameters"), "")),
            Value::Object(_) => {}
            other => errors.push(Error::invalid(
                &path.child("parameters"),
                other.to_string(),
                "parameters must be a valid JSON object",
            )),
        }
    }
    errors
}

/// Who may use the devices at the same time.
const MAX_CONSUMERS: usize = 256;

/// What was given out, and to whom.
pub(in crate::validate) fn status(old: &Value, new: &Value) -> ErrorList {
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    let (before, after) = (
        at(old, &["status", "allocation"]),
        at(new, &["status", "allocation"]),
    );
    if before.is_object() && after.is_object() && !same(before, after) {
        errors.push(Error::invalid(
            &path.child("allocation"),
            after,
            "field is immutable",
        ));
    }
    let consumers = list(new, &["status", "reservedFor"]);
    let path = path.child("reservedFor");
    if !consumers.is_empty() && !after.is_object() {
        errors.push(Error::forbidden(
            &path,
            "may not be specified when `allocated` is not set",
        ));
    }
    let added = consumers
        .iter()
        .any(|consumer| !list(old, &["status", "reservedFor"]).contains(consumer));
    if added && apimachinery::meta::deletion_timestamp(new).is_some() {
        errors.push(Error::forbidden(
            &path,
            "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        ));
    }
    errors.extend(set(
        consumers,
        MAX_CONSUMERS,
        &path,
        |consumer| text(consumer, &["uid"]),
        |consumer, path| {
            ["resource", "name", "uid"]
                .iter()
                .filter(|field| text(consumer, &[field]).is_empty())
                .map(|field| Error::required(&path.child(field), ""))
                .collect()
        },
    ));
    errors
}
