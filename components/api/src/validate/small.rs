//! Validation of kinds with little to check.
use super::internal;
use super::pod::Allowed;
use super::shared::{immutable, non_negative, texts};
use crate::features::Features;
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashSet;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "RuntimeClass" => runtime_class(old, new, Allowed::new(features)),
        "ControllerRevision" => controller_revision(old, new),
        "APIService" => api_service(new),
        _ => return None,
    })
}

fn runtime_class(old: Option<&Value>, new: &Value, allowed: Allowed) -> ErrorList {
    let handler = text(new, &["handler"]);
    let mut errors: ErrorList = if handler.is_empty() {
        vec![Error::required(&Path::new("handler"), "")]
    } else {
        texts(&Path::new("handler"), handler, names::dns1123_label(handler))
    };
    // What is added to a pod is checked as if it were the limits of a container.
    let fixed = at(new, &["overhead", "podFixed"]);
    if fixed.is_object() {
        errors.extend(super::pod::requirements(
            &json!({ "limits": fixed }),
            &[],
            allowed,
            &Path::new("overhead"),
        ));
    }
    errors.extend(super::metadata::labels(
        at(new, &["scheduling", "nodeSelector"]),
        &Path::new("scheduling.nodeSelector"),
    ));
    let tolerations = list(new, &["scheduling", "tolerations"]);
    let path = Path::new("scheduling.tolerations");
    errors.extend(super::pod::tolerations(tolerations, allowed, &path));
    let mut seen = HashSet::new();
    for (index, toleration) in tolerations.iter().enumerate() {
        // For how long is no part of what makes them different.
        let key = ["key", "operator", "value", "effect"].map(|field| text(toleration, &[field]));
        if !seen.insert(key) {
            errors.push(Error::duplicate(
                &path.index(index),
                internal::shown(internal::TOLERATION, toleration),
            ));
        }
    }
    errors.extend(old.and_then(|old| {
        immutable(
            &Path::new("handler"),
            at(old, &["handler"]),
            at(new, &["handler"]),
        )
    }));
    errors
}

fn controller_revision(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("data");
    let data = at(new, &["data"]);
    let mut errors: ErrorList = non_negative(&Path::new("revision"), at(new, &["revision"]))
        .into_iter()
        .collect();
    match (old, data) {
        (Some(old), data) if at(old, &["data"]) != data => {
            errors.push(Error::invalid(&path, data, "field is immutable"));
        }
        (Some(_), _) | (None, Value::Object(_)) => {}
        (None, Value::Null) => errors.push(Error::required(&path, "data is mandatory")),
        (None, _) => errors.push(Error::required(&path, "data must be a valid JSON object")),
    }
    errors
}

fn api_service(new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let (group, version) = (text(spec, &["group"]), text(spec, &["version"]));
    let mut errors = ErrorList::new();
    let wanted = format!("{version}.{group}");
    let odd = names::path_segment_name(meta::name(new));
    if !odd.is_empty() {
        errors.extend(texts(&Path::new("metadata.name"), meta::name(new), odd));
    } else if !meta::name(new).is_empty() && meta::name(new) != wanted {
        errors.push(Error::invalid(
            &Path::new("metadata.name"),
            meta::name(new),
            format!("must be `spec.version+\".\"+spec.group`: \"{wanted}\""),
        ));
    }
    if group.is_empty() {
        if version != "v1" {
            errors.push(Error::required(
                &path.child("group"),
                "only v1 may have an empty group and it better be legacy kube",
            ));
        }
    } else {
        errors.extend(texts(
            &path.child("group"),
            group,
            names::dns1123_subdomain(group),
        ));
    }
    errors.extend(texts(
        &path.child("version"),
        version,
        names::dns1035_label(version),
    ));
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let number = int(spec, &[field]).unwrap_or(0);
        if number <= 0 || number > most {
            errors.push(Error::invalid(
                &path.child(field),
                number,
                format!("must be positive and less than {most}"),
            ));
        }
    }
    let service = at(spec, &["service"]);
    let bundle = text(spec, &["caBundle"]);
    let insecure = flag(spec, &["insecureSkipTLSVerify"]);
    let unchecked = |errors: &mut ErrorList, why: &str| {
        errors.push(Error::invalid(
            &path.child("insecureSkipTLSVerify"),
            Value::Bool(true),
            why,
        ));
    };
    if !service.is_object() {
        if !bundle.is_empty() {
            let bytes = STANDARD.decode(bundle).map_or(bundle.len(), |bytes| bytes.len());
            errors.push(Error::invalid(
                &path.child("caBundle"),
                format!("{bytes} bytes").as_str(),
                "local APIServices may not have a caBundle",
            ));
        }
        if insecure {
            unchecked(
                &mut errors,
                "local APIServices may not have insecureSkipTLSVerify",
            );
        }
        return errors;
    }
    for field in ["namespace", "name"] {
        if text(service, &[field]).is_empty() {
            errors.push(Error::required(&path.child("service").child(field), ""));
        }
    }
    let port = int(service, &["port"]).unwrap_or(0);
    if !(1..=65535).contains(&port) {
        errors.push(Error::invalid(
            &path.child("service.port"),
            port,
            "port is not valid: must be between 1 and 65535, inclusive",
        ));
    }
    if insecure && !bundle.is_empty() {
        unchecked(&mut errors, "may not be true if caBundle is present");
    }
    errors
}

#[cfg(test)]
mod tests;
