use super::MODES;
use crate::validate::pod::difference;
use crate::validate::shared::{immutable, label_selector, maybe_one_of, one_of, same, texts};
use crate::validate::status::capacities;
use crate::value::{at, list, object, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{Quantity, meta, names};
use serde_json::Value;

/// A PersistentVolumeClaim.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = claim_spec(at(new, &["spec"]), &Path::new("spec"));
    if let Some(old) = old {
        errors.extend(change(old, new));
    }
    errors
}

/// The spec of a claim.
pub(in crate::validate) fn claim_spec(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = access_modes(list(spec, &["accessModes"]), &path.child("accessModes"));
    errors.extend(label_selector(&path.child("selector"), at(spec, &["selector"])));
    errors.extend(size(spec, &path.child("resources").key("storage")));
    let class = text(spec, &["storageClassName"]);
    if !class.is_empty() {
        errors.extend(texts(
            &path.child("storageClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors.extend(maybe_one_of(
        &path.child("volumeMode"),
        at(spec, &["volumeMode"]),
        &["Block", "Filesystem"],
    ));
    errors.extend(data_sources(spec, path));
    let class = text(spec, &["volumeAttributesClassName"]);
    if !class.is_empty() {
        errors.extend(texts(
            &path.child("volumeAttributesClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors
}

fn access_modes(modes: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if modes.is_empty() {
        errors.push(Error::required(path, "at least 1 access mode is required"));
    }
    errors.extend(modes.iter().filter_map(|mode| one_of(path, mode, MODES)));
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(Error::forbidden(
            path,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    errors
}

fn size(spec: &Value, path: &Path) -> Option<Error> {
    match Quantity::from_json(at(spec, &["resources", "requests", "storage"])) {
        Err(_) => Some(Error::required(path, "")),
        Ok(amount) if amount.sign() <= 0 => Some(Error::invalid(
            path,
            amount.to_string(),
            "must be greater than zero",
        )),
        Ok(_) => None,
    }
}

/// What the volume is filled from. The old field follows the new one, and both must agree.
fn data_sources(spec: &Value, path: &Path) -> ErrorList {
    let (source, reference) = (at(spec, &["dataSource"]), at(spec, &["dataSourceRef"]));
    let mut errors = ErrorList::new();
    for (value, path) in [
        (source, path.child("dataSource")),
        (reference, path.child("dataSourceRef")),
    ] {
        if value.is_object() {
            errors.extend(data_source(value, &path));
        }
    }
    let shown = || BadValue::Raw("{}".to_owned());
    if source.is_object() && reference.is_object() {
        let field = |name: &str| text(source, &[name]) == text(reference, &[name]);
        if !text(reference, &["namespace"]).is_empty() {
            errors.push(Error::invalid(
                path,
                shown(),
                "may not be specified when dataSourceRef.namespace is specified",
            ));
        } else if !(field("kind") && field("name") && field("apiGroup")) {
            errors.push(Error::invalid(path, shown(), "must match dataSourceRef"));
        }
    }
    errors
}

fn data_source(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (kind, group) = (text(source, &["kind"]), text(source, &["apiGroup"]));
    for field in ["name", "kind"] {
        if text(source, &[field]).is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        errors.push(Error::invalid(
            path,
            kind,
            "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ));
    }
    if !group.is_empty() {
        errors.extend(texts(
            &path.child("apiGroup"),
            group,
            names::dns1123_subdomain(group),
        ));
    }
    let namespace = text(source, &["namespace"]);
    if !namespace.is_empty() {
        errors.extend(texts(
            &path.child("namespace"),
            namespace,
            names::dns1123_label(namespace),
        ));
    }
    errors
}

fn change(old: &Value, new: &Value) -> ErrorList {
    const WHY: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let path = Path::new("spec");
    let (before, after) = (at(old, &["spec"]), at(new, &["spec"]));
    let bound = text(new, &["status", "phase"]) == "Bound";
    let mut errors = ErrorList::new();
    let mut expected = before.clone();
    // A claim that has no class yet may get one: what the annotation said, or any if there is none.
    const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    let noted = meta::annotation(old, CLASS);
    if let (Value::Null, Some(class)) = (
        at(before, &["storageClassName"]),
        at(after, &["storageClassName"]).as_str(),
    ) && noted.is_none_or(|noted| noted == class)
    {
        expected["storageClassName"] = Value::from(class);
    }
    let moved = noted.is_some() && meta::annotation(new, CLASS).is_none() && expected != *before;
    if !moved && meta::annotation(new, CLASS) != noted {
        errors.push(Error::invalid(
            &Path::new("metadata.annotations").child(CLASS),
            meta::annotation(new, CLASS).unwrap_or(""),
            "field is immutable",
        ));
    }
    // Binding: the volume's name may be set once.
    if text(before, &["volumeName"]).is_empty()
        && let Some(name) = after.get("volumeName")
    {
        expected["volumeName"] = name.clone();
    }
    if bound {
        for field in [
            &["resources", "requests", "storage"][..],
            &["volumeAttributesClassName"],
        ] {
            copy(after, &mut expected, field);
        }
    }
    if !same(&expected, after) {
        errors.push(Error::forbidden(
            &path,
            format!("{WHY}\n{}", difference(after, before)),
        ));
    }
    let storage = |value: &Value, path: &[&str]| Quantity::from_json(at(value, path)).unwrap_or_default();
    const REQUEST: &[&str] = &["spec", "resources", "requests", "storage"];
    let wanted = storage(new, REQUEST);
    // A request may be taken back, but not below what the volume has already.
    if wanted < storage(old, REQUEST) && wanted <= storage(old, &["status", "capacity", "storage"]) {
        errors.push(Error::forbidden(
            &path.child("resources.requests.storage"),
            "field can not be less than status.capacity",
        ));
    }
    errors.extend(immutable(
        &Path::new("volumeMode"),
        at(before, &["volumeMode"]),
        at(after, &["volumeMode"]),
    ));
    if at(before, &["volumeAttributesClassName"]).is_string() {
        let lost = match at(after, &["volumeAttributesClassName"]).as_str() {
            None => Some("nil"),
            Some("") => Some("an empty string"),
            Some(_) => None,
        };
        errors.extend(lost.map(|what| {
            Error::forbidden(
                &path.child("volumeAttributesClassName"),
                format!("update from non-nil value to {what} is forbidden"),
            )
        }));
    }
    errors
}

fn copy(from: &Value, to: &mut Value, path: &[&str]) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let mut place = to;
    for parent in parents {
        let Some(next) = place.get_mut(*parent) else {
            return;
        };
        place = next;
    }
    let Some(map) = place.as_object_mut() else { return };
    match at(from, path) {
        Value::Null => map.remove(*last),
        value => map.insert((*last).to_owned(), value.clone()),
    };
}

/// What is said about a claim that is bound, or grows.
pub(in crate::validate) fn claim_status(claim: &Value) -> ErrorList {
    const STATES: &[&str] = &[
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let path = Path::new("status");
    let mut errors = ErrorList::new();
    if list(claim, &["spec", "accessModes"]).is_empty() {
        errors.push(Error::required(&Path::new("Spec.accessModes"), ""));
    }
    errors.extend(capacities(
        claim,
        &["status", "capacity"],
        &path.child("capacity"),
    ));
    let states = path.child("allocatedResourceStatus");
    for (name, state) in object(claim, &["status", "allocatedResourceStatuses"])
        .into_iter()
        .flatten()
    {
        errors.extend(resource_key(name, &states));
        if !STATES.iter().any(|known| state == known) {
            errors.push(Error::not_supported(&states, name.as_str(), STATES));
        }
    }
    let path = path.child("allocatedResources");
    const ALLOCATED: &[&str] = &["status", "allocatedResources"];
    for (name, _) in object(claim, ALLOCATED).into_iter().flatten() {
        errors.extend(resource_key(name, &path));
    }
    errors.extend(capacities(claim, ALLOCATED, &path));
    errors
}

/// Of Kubernetes' own resources, a claim can have storage only.
fn resource_key(name: &str, path: &Path) -> ErrorList {
    let mut errors = texts(path, name, names::qualified_name(name));
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if errors.is_empty() && native && name != "storage" {
        errors.push(Error::not_supported(path, name, &["storage"]));
    }
    errors
}
