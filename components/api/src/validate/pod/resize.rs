//! Changes of what the containers of a running pod ask for.
use super::allowed::restarts_to_resize;
use super::{Allowed, annotations, whole};
use crate::features::{Feature, Features};
use crate::strategy;
use crate::validate::shared::same;
use crate::value::{at, list, make, map_mut, object, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::{Value, json};

/// A change through the endpoint for resources. The strategy has taken over nothing else from the client.
pub(in crate::validate) fn update(old: &Value, new: &Value, features: Features) -> ErrorList {
    let refused = if meta::annotation(old, annotations::MIRROR).is_some() {
        Some("static pods cannot be resized")
    } else {
        (text(old, &["spec", "os", "name"]) == "windows").then_some("windows pods cannot be resized")
    };
    if let Some(why) = refused {
        return vec![Error::forbidden(&Path::nameless(), why)];
    }
    let path = Path::new("spec");
    let (before, after) = (at(old, &["spec"]), at(new, &["spec"]));
    let mut errors = whole(new, Allowed::of(features, "Pod", Some(old)));
    if strategy::qos_class(after) != text(old, &["status", "qosClass"]) {
        errors.push(Error::invalid(
            &path,
            at(new, &["status", "qosClass"]),
            "Pod QOS Class may not change as a result of resizing",
        ));
    }
    if !node_can(old) {
        errors.push(Error::forbidden(
            &path,
            "Pod running on node without support for resize",
        ));
    }
    if has_resources(before) || has_resources(after) {
        if !features.has(Feature::InPlacePodLevelResourcesVerticalScaling) {
            errors.push(Error::forbidden(
                &Path::nameless(),
                "resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled",
            ));
            return errors;
        }
        errors.extend(of_pod(before, after, &path));
    }
    if !list(old, &["status", "nodeAllocatableResourceClaimStatuses"]).is_empty() {
        errors.push(Error::forbidden(
            &path,
            "pods with node allocatable resource claims cannot be resized",
        ));
    }
    let others = other_containers(before, after, &path);
    if !others.is_empty() {
        errors.extend(others);
        return errors;
    }
    let initial_too = features.has(Feature::InPlacePodVerticalScalingInitContainers);
    let pairs = |kind| list(before, &[kind]).iter().zip(list(after, &[kind])).enumerate();
    for kind in ["initContainers", "containers"] {
        for (index, (old, new)) in pairs(kind) {
            if kind == "containers" || initial_too || is_sidecar(old) {
                let path = path.child(kind).index(index).child("resources");
                errors.extend(removed(
                    at(old, &["resources"]),
                    at(new, &["resources"]),
                    "",
                    &path,
                ));
            }
        }
    }
    const COMPUTE: &str = "only cpu and memory resources are mutable";
    for (_, (old, new)) in pairs("containers") {
        if !same(old, &without_change(old, new)) {
            errors.push(Error::forbidden(&path, COMPUTE));
        }
    }
    for (index, (old, new)) in pairs("initContainers") {
        let changes = !same(old, new);
        if !initial_too && !is_sidecar(new) {
            errors.extend(
                changes.then(|| {
                    Error::forbidden(&path, "resources for non-sidecar init containers are immutable")
                }),
            );
            continue;
        }
        let path = path.child("initContainers").index(index);
        if !same(old, &without_change(old, new)) {
            errors.push(Error::forbidden(
                &path,
                "only cpu and memory resources for init or sidecar containers are mutable",
            ));
        }
        if changes && !is_sidecar(new) && restarts_to_resize(new) {
            errors.push(Error::forbidden(
                &path,
                "non-sidecar init containers with a resize policy of RestartContainer cannot be resized",
            ));
        }
    }
    errors
}

fn has_resources(spec: &Value) -> bool {
    ["requests", "limits"]
        .iter()
        .any(|kind| object(spec, &["resources", kind]).is_some_and(|amounts| !amounts.is_empty()))
}

fn is_sidecar(container: &Value) -> bool {
    text(container, &["restartPolicy"]) == "Always"
}

/// Resources of the pod as a whole.
fn of_pod(before: &Value, after: &Value, path: &Path) -> ErrorList {
    let (old, new) = (at(before, &["resources"]), at(after, &["resources"]));
    let own = path.child("resources");
    if old.is_object() && !new.is_object() {
        return vec![Error::forbidden(&own, "pod-level resources cannot be removed")];
    }
    let mut errors = removed(old, new, "pod-level ", &own);
    let mut rest = new.clone();
    keep_compute(old, &mut rest);
    let none = !old.is_object() && !has_resources(&json!({"resources": rest}));
    if !none && !same(old, &rest) {
        errors.push(Error::forbidden(
            path,
            "only cpu and memory resources are mutable at pod-level",
        ));
    }
    errors
}

/// The containers are those that there are, in their order.
fn other_containers(before: &Value, after: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for kind in ["containers", "initContainers"] {
        let (old, new) = (list(before, &[kind]), list(after, &[kind]));
        if old.len() != new.len() {
            let why = format!("{kind} may not be added or removed on resize");
            errors.push(Error::forbidden(&path.child(kind), why));
            continue;
        }
        let name = |container| text(container, &["name"]);
        let renamed = old.iter().zip(new).enumerate();
        for (index, _) in renamed.filter(|(_, (old, new))| name(old) != name(new)) {
            errors.push(Error::forbidden(
                &path.child(kind).index(index).child("name"),
                format!("{kind} may not be renamed or reordered on resize"),
            ));
        }
    }
    errors
}

/// The node shows what containers have if it can change that; before any runs, nothing is known.
fn node_can(pod: &Value) -> bool {
    list(pod, &["status", "containerStatuses"])
        .iter()
        .find(|status| at(status, &["state", "running"]).is_object())
        .is_none_or(|status| at(status, &["resources"]).is_object())
}

/// The new container with what the old one had of that which may change. Claims can't be kept in a resize, as upstream.
fn without_change(old: &Value, new: &Value) -> Value {
    let mut container = new.clone();
    let mut resources = at(new, &["resources"]).clone();
    keep_compute(at(old, &["resources"]), &mut resources);
    if let Some(map) = resources.as_object_mut() {
        map.remove("claims");
    }
    container["resources"] = resources;
    container
}

/// Takes the amounts over that may change.
fn keep_compute(old: &Value, resources: &mut Value) {
    let Some(resources) = resources.as_object_mut() else {
        return;
    };
    for kind in ["requests", "limits"] {
        for name in ["cpu", "memory"] {
            match at(old, &[kind, name]) {
                Value::Null => {
                    if let Some(amounts) = map_mut(resources, kind) {
                        amounts.remove(name);
                    }
                }
                amount => {
                    make(resources, kind).insert(name.to_owned(), amount.clone());
                }
            }
        }
    }
}

/// Amounts that were there and are not any more.
fn removed(old: &Value, new: &Value, noun: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for kind in ["requests", "limits"] {
        let kept = at(new, &[kind]);
        let gone = object(old, &[kind])
            .into_iter()
            .flatten()
            .any(|(name, _)| kept.get(name).is_none());
        if gone {
            let why = format!("{noun}resource {kind} cannot be removed");
            errors.push(Error::forbidden(&path.child(kind), why));
        }
    }
    errors
}
