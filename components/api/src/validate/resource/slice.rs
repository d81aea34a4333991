use super::{driver, name_of, set};
use crate::validate::pod::node_selector;
use crate::validate::shared::{immutable, texts};
use crate::value::{at, int, list, object, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// Devices of a slice.
const MAX_DEVICES: usize = 128;

/// Attributes and capacities of a device.
const MAX_FACTS: usize = 32;

/// Bytes of an attribute's text.
const MAX_TEXT: usize = 64;

/// A ResourceSlice.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = driver(text(spec, &["driver"]), &path.child("driver"));
    errors.extend(pool(at(spec, &["pool"]), &path.child("pool")));
    for field in [&["pool", "name"][..], &["driver"], &["nodeName"]] {
        // What must be there is a text, what need not be is a pointer.
        let shown = |value: &Value| {
            if value.is_null() && field != ["nodeName"] {
                Value::from("")
            } else {
                value.clone()
            }
        };
        let (Some(before), after) = (
            old.map(|old| shown(at(at(old, &["spec"]), field))),
            shown(at(spec, field)),
        ) else {
            continue;
        };
        errors.extend(immutable(&path.child(&field.join(".")), &before, &after));
    }
    errors.extend(nodes(spec, &path));
    errors.extend(set(
        list(spec, &["devices"]),
        MAX_DEVICES,
        &path.child("devices"),
        name_of,
        device,
    ));
    errors
}

fn pool(pool: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(pool, &["name"]);
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    } else {
        if name.len() > 253 {
            errors.push(Error::too_long(&path.child("name"), 253));
        }
        errors.extend(
            name.split('/')
                .flat_map(|part| texts(&path.child("name"), part, names::dns1123_subdomain(part))),
        );
    }
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

/// The nodes that can use the devices are given in exactly one way.
fn nodes(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut given = Vec::new();
    match at(spec, &["nodeName"]).as_str() {
        Some("") => errors.push(Error::invalid(
            &path.child("nodeName"),
            "",
            "must be either unset or set to a non-empty string",
        )),
        Some(name) => {
            given.push("`nodeName`");
            errors.extend(texts(
                &path.child("nodeName"),
                name,
                names::dns1123_subdomain(name),
            ));
        }
        None => {}
    }
    let selector = at(spec, &["nodeSelector"]);
    if selector.is_object() {
        given.push("`nodeSelector`");
        errors.extend(node_selector(selector, &path.child("nodeSelector")));
        let terms = list(selector, &["nodeSelectorTerms"]);
        if terms.len() > 1 {
            errors.push(Error::invalid(
                &path.child("nodeSelector.nodeSelectorTerms"),
                Value::from(terms),
                "must have exactly one node selector term",
            ));
        }
    }
    for (field, shown) in [
        ("allNodes", "`allNodes`"),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`"),
    ] {
        match at(spec, &[field]).as_bool() {
            Some(true) => given.push(shown),
            Some(false) => errors.push(Error::invalid(
                &path.child(field),
                Value::Bool(false),
                "must be either unset or set to true",
            )),
            None => {}
        }
    }
    match given.len() {
        0 => errors.push(Error::required(
            path,
            "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
        )),
        1 => {}
        _ => {
            let shown = BadValue::from(format!("{{{}}}", given.join(", ")));
            errors.push(Error::invalid(path, shown, "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set"));
        }
    }
    errors
}

fn device(device: &Value, path: &Path) -> ErrorList {
    let mut errors = texts(
        &path.child("name"),
        name_of(device),
        names::dns1123_label(name_of(device)),
    );
    let facts = |field: &str| object(device, &[field]).map_or(0, serde_json::Map::len);
    let total = facts("attributes") + facts("capacity");
    if total > MAX_FACTS {
        errors.push(Error::invalid(
            path,
            total as i64,
            format!("the total number of attributes and capacities must not exceed {MAX_FACTS}"),
        ));
    }
    for (name, attribute) in object(device, &["attributes"]).into_iter().flatten() {
        let path = path.child("attributes").key(name);
        errors.extend(qualified_name(name, &path));
        errors.extend(self::attribute(attribute, &path));
    }
    for name in object(device, &["capacity"])
        .into_iter()
        .flat_map(serde_json::Map::keys)
    {
        errors.extend(qualified_name(name, &path.child("capacity").key(name)));
    }
    errors
}

/// A C identifier, with or without a domain before it.
fn qualified_name(name: &str, path: &Path) -> ErrorList {
    let (domain, identifier) = name
        .split_once('/')
        .map_or((None, name), |(domain, identifier)| (Some(domain), identifier));
    let mut errors = ErrorList::new();
    if let Some(domain) = domain {
        errors.extend(if domain.is_empty() {
            vec![Error::required(path, "the domain must not be empty")]
        } else {
            driver(domain, path)
        });
    }
    let fits = identifier
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !identifier.starts_with(|first: char| first.is_ascii_digit());
    if identifier.is_empty() {
        errors.push(Error::required(path, "the name must not be empty"));
    } else if identifier.len() > 32 {
        errors.push(Error::too_long(path, 32));
    } else if !fits {
        let message = names::regex_message(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
            "[A-Za-z_][A-Za-z0-9_]*",
            &["my_name", "MY_NAME", "MyName"],
        );
        errors.push(Error::invalid(path, identifier, message));
    }
    errors
}

fn attribute(attribute: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let values = attribute.as_object().map_or(0, serde_json::Map::len);
    for field in ["string", "version"] {
        if text(attribute, &[field]).len() > MAX_TEXT {
            errors.push(Error::too_long(&path.child(field), MAX_TEXT));
        }
    }
    if values != 1 {
        errors.push(Error::invalid(path, "", "exactly one value must be specified"));
    }
    errors
}
