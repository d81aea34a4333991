//! Changes of what the containers of a running pod ask for.
use super::{Allowed, annotations, whole};
use crate::features::{Feature, Features};
use crate::strategy;
use crate::validate::shared::same;
use crate::value::{at, list, object, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// A change through the endpoint for resources. The strategy has taken over nothing else from the client.
pub(in crate::validate) fn update(old: &Value, new: &Value, features: Features) -> ErrorList {
    let refused = if meta::annotation(old, annotations::MIRROR).is_some() {
        Some("static pods cannot be resized")
    } else if text(old, &["spec", "os", "name"]) == "windows" {
        Some("windows pods cannot be resized")
    } else {
        let of_pod =
            at(old, &["spec", "resources"]).is_object() || at(new, &["spec", "resources"]).is_object();
        let fixed = of_pod && !features.has(Feature::InPlacePodLevelResourcesVerticalScaling);
        fixed.then_some("pods with pod-level resources cannot be resized")
    };
    let resizes = features.has(Feature::InPlacePodVerticalScalingInitContainers);
    if let Some(why) = refused {
        return vec![Error::forbidden(&Path::root(), why)];
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
    for kind in ["initContainers", "containers"] {
        let pairs = list(before, &[kind]).iter().zip(list(after, &[kind]));
        for (index, (old, new)) in pairs.enumerate() {
            if !resizes && kind == "initContainers" && text(old, &["restartPolicy"]) != "Always" {
                continue;
            }
            errors.extend(container(
                old,
                new,
                &path.child(kind).index(index).child("resources"),
            ));
        }
    }
    for kind in ["containers", "initContainers"] {
        let pairs = list(before, &[kind]).iter().zip(list(after, &[kind]));
        errors.extend(pairs.filter_map(|(old, new)| {
            let initial = kind == "initContainers";
            let sidecar = initial && text(old, &["restartPolicy"]) == "Always";
            let fixed = initial && !sidecar && !resizes;
            let why = if fixed {
                "resources for non-sidecar init containers are immutable"
            } else if sidecar {
                "only cpu and memory resources for sidecar containers are mutable"
            } else {
                "only cpu and memory resources are mutable"
            };
            let fits = if fixed {
                same(old, new)
            } else {
                same(&without_compute(old), &without_compute(new))
            };
            (!fits).then(|| Error::forbidden(&path, why))
        }));
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

fn without_compute(container: &Value) -> Value {
    let mut container = container.clone();
    let resources = container.get_mut("resources").and_then(Value::as_object_mut);
    for (_, amounts) in resources.into_iter().flatten() {
        if let Some(amounts) = amounts.as_object_mut() {
            amounts.remove("cpu");
            amounts.remove("memory");
        }
    }
    container
}

fn container(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (kind, why) in [
        ("requests", "resource requests cannot be removed"),
        ("limits", "resource limits cannot be removed"),
    ] {
        let kept = at(new, &["resources", kind]);
        let removed = object(old, &["resources", kind])
            .into_iter()
            .flatten()
            .any(|(name, _)| kept.get(name).is_none());
        if removed {
            errors.push(Error::forbidden(&path.child(kind), why));
        }
    }
    errors
}
