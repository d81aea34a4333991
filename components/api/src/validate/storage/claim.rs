use super::NO_CLASSES;
use super::volume::access_modes;
use crate::features::{Feature, Features};
use crate::validate::internal;
use crate::validate::shared::{
    self, has_invalid_values, immutable, label_selector_with, maybe_one_of, same, texts,
};
use crate::validate::status::capacities;
use crate::value::{at, list, object, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{Quantity, meta, names};
use serde_json::Value;

/// A PersistentVolumeClaim.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let before = old.map(|old| at(old, &["spec"]));
    let stored = Stored {
        any_values: before.is_some_and(|spec| has_invalid_values(at(spec, &["selector"]))),
        any_group: before.is_some_and(|spec| {
            ["dataSource", "dataSourceRef"]
                .iter()
                .any(|field| !at(spec, &[field, "apiGroup"]).is_null())
        }),
    };
    let mut errors = spec(at(new, &["spec"]), stored, &Path::new("spec"));
    if let Some(old) = old {
        errors.extend(change(old, new, features));
    }
    errors
}

/// What a stored claim has already, and may go on having.
#[derive(Clone, Copy, Default)]
struct Stored {
    /// A selector that compares labels with what no label can have.
    any_values: bool,
    /// A source of another group, whose name was not looked at before.
    any_group: bool,
}

/// The spec of a claim that is yet to be made.
pub(in crate::validate) fn claim_spec(spec: &Value, path: &Path) -> ErrorList {
    self::spec(spec, Stored::default(), path)
}

fn spec(spec: &Value, stored: Stored, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let modes = list(spec, &["accessModes"]);
    if modes.is_empty() {
        errors.push(Error::required(
            &path.child("accessModes"),
            "at least 1 access mode is required",
        ));
    }
    errors.extend(label_selector_with(
        &path.child("selector"),
        at(spec, &["selector"]),
        stored.any_values,
    ));
    errors.extend(access_modes(modes, &path.child("accessModes")));
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
    errors.extend(data_sources(spec, stored, path));
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
fn data_sources(spec: &Value, stored: Stored, path: &Path) -> ErrorList {
    let (source, reference) = (at(spec, &["dataSource"]), at(spec, &["dataSourceRef"]));
    let mut errors = ErrorList::new();
    for (value, path) in [
        (source, path.child("dataSource")),
        (reference, path.child("dataSourceRef")),
    ] {
        if value.is_object() {
            errors.extend(data_source(value, stored, &path));
        }
    }
    let shown = || BadValue::Raw("{}".to_owned());
    if source.is_object() && reference.is_object() {
        let field = |name: &str| text(source, &[name]) == text(reference, &[name]);
        // A group that is empty is another than none.
        let group = at(source, &["apiGroup"]) == at(reference, &["apiGroup"]);
        if !text(reference, &["namespace"]).is_empty() {
            errors.push(Error::invalid(
                path,
                shown(),
                "may not be specified when dataSourceRef.namespace is specified",
            ));
        } else if !(field("kind") && field("name") && group) {
            errors.push(Error::invalid(path, shown(), "must match dataSourceRef"));
        }
    }
    errors
}

fn data_source(source: &Value, stored: Stored, path: &Path) -> ErrorList {
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
    if !group.is_empty() && !stored.any_group {
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

/// What changes between two claims, as upstream shows it to a node that may not change it.
pub fn difference(old: &Value, new: &Value) -> String {
    internal::difference(internal::VOLUME_CLAIM, old, new)
}

/// The older way to name a class.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn change(old: &Value, new: &Value, features: Features) -> ErrorList {
    const WHY: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    let path = Path::new("spec");
    let (before, after) = (at(old, &["spec"]), at(new, &["spec"]));
    let mut errors = ErrorList::new();
    let mut expected = before.clone();
    // What is shown is the old value of what may change.
    let mut shown = after.clone();
    // A claim that has no class yet may get one: what the annotation said, or any if there is none.
    let noted = meta::annotation(old, CLASS);
    let mut moved = false;
    if let (Value::Null, Some(class)) = (
        at(before, &["storageClassName"]),
        at(after, &["storageClassName"]).as_str(),
    ) && noted.is_none_or(|noted| noted == class)
    {
        expected["storageClassName"] = Value::from(class);
        shown["storageClassName"] = Value::Null;
        moved = noted.is_some() && meta::annotation(new, CLASS).is_none();
    }
    let wanted = meta::annotation(new, CLASS).unwrap_or("");
    if !moved && wanted != noted.unwrap_or("") {
        errors.push(Error::invalid(
            &Path::new("metadata.annotations").child(CLASS),
            wanted,
            "field is immutable",
        ));
    }
    // Binding: the volume's name may be set once.
    if text(before, &["volumeName"]).is_empty()
        && let Some(name) = after.get("volumeName")
    {
        expected["volumeName"] = name.clone();
    }
    if text(new, &["status", "phase"]) == "Bound" {
        if at(after, &["resources", "requests"]).is_object() {
            copy(after, &mut expected, &["resources", "requests", "storage"]);
            copy(before, &mut shown, &["resources", "requests", "storage"]);
        }
        if !at(after, &["volumeAttributesClassName"]).is_null() {
            copy(after, &mut expected, &["volumeAttributesClassName"]);
            copy(before, &mut shown, &["volumeAttributesClassName"]);
        }
    }
    if !same(&expected, after) || lost_requests(before, after) {
        let mut before = before.clone();
        if text(&before, &["volumeName"]).is_empty() {
            before["volumeName"] = at(after, &["volumeName"]).clone();
        }
        let difference = internal::difference(internal::VOLUME_CLAIM_SPEC, &before, &shown);
        errors.push(Error::forbidden(&path, format!("{WHY}\n{difference}")));
    }
    errors.extend(smaller(old, new, features, &path));
    errors.extend(immutable(
        &Path::new("volumeMode"),
        at(before, &["volumeMode"]),
        at(after, &["volumeMode"]),
    ));
    errors.extend(class_change(before, after, features, &path));
    errors
}

/// Whether nothing is asked for any more, which is another thing than to ask for no storage.
fn lost_requests(before: &Value, after: &Value) -> bool {
    const REQUESTS: &[&str] = &["resources", "requests"];
    at(after, REQUESTS).is_null() && object(before, REQUESTS).is_some_and(|requests| !requests.is_empty())
}

/// A request may be taken back, but not below what the volume has already.
fn smaller(old: &Value, new: &Value, features: Features, path: &Path) -> Option<Error> {
    const REQUEST: &[&str] = &["spec", "resources", "requests", "storage"];
    let storage = |value: &Value, path: &[&str]| Quantity::from_json(at(value, path)).unwrap_or_default();
    let wanted = storage(new, REQUEST);
    if wanted >= storage(old, REQUEST) {
        return None;
    }
    let why = if !may_recover(Some(old), features) {
        "field can not be less than previous value"
    } else if wanted <= storage(old, &["status", "capacity", "storage"]) {
        "field can not be less than status.capacity"
    } else {
        return None;
    };
    Some(Error::forbidden(&path.child("resources.requests.storage"), why))
}

/// Whether the feature is on, or what it makes was there before.
fn may_recover(old: Option<&Value>, features: Features) -> bool {
    features.has(Feature::RecoverVolumeExpansionFailure)
        || ["allocatedResources", "allocatedResourceStatuses"]
            .iter()
            .any(|field| old.is_some_and(|old| !at(old, &["status", field]).is_null()))
}

fn class_change(before: &Value, after: &Value, features: Features, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    const FIELD: &str = "volumeAttributesClassName";
    let (before, after, path) = (at(before, &[FIELD]), at(after, &[FIELD]), path.child(FIELD));
    if before == after {
        return errors;
    }
    if !features.has(Feature::VolumeAttributesClass) {
        errors.push(Error::forbidden(&path, NO_CLASSES));
    }
    let lost = match after.as_str() {
        _ if before.is_null() => None,
        None => Some("nil"),
        Some("") => Some("an empty string"),
        Some(_) => None,
    };
    errors.extend(
        lost.map(|what| Error::forbidden(&path, format!("update from non-nil value to {what} is forbidden"))),
    );
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
pub(in crate::validate) fn claim_status(old: &Value, claim: &Value, features: Features) -> ErrorList {
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
    if !may_recover(Some(old), features) {
        return errors;
    }
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
    for (name, quantity) in object(claim, &["status", "allocatedResources"])
        .into_iter()
        .flatten()
    {
        let wrong = resource_key(name, &path);
        if !wrong.is_empty() {
            errors.extend(wrong);
            continue;
        }
        let path = path.key(name);
        match Quantity::from_json(quantity) {
            Ok(amount) if amount.value() < 0 => errors.push(Error::invalid(
                &path,
                amount.value(),
                "must be a valid resource quantity",
            )),
            _ => errors.extend(shared::amount(&path, quantity)),
        }
    }
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
