//! What can't be said by paths alone.
use super::path::CONTAINERS;
use crate::autoscalers::BEHAVIOR;
use crate::value::{Object, at, items_mut, list, map_mut, text};
use apimachinery::meta;
use serde_json::Value;
use std::collections::HashSet;

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    CONTAINERS.iter().flat_map(|kind| list(spec, &[kind]))
}

fn containers_mut<'a>(spec: &'a mut Value, kind: &str) -> impl Iterator<Item = &'a mut Object> {
    spec.as_object_mut()
        .into_iter()
        .flat_map(move |spec| items_mut(spec, kind))
}

/// Takes from each lifecycle what `take` takes; a lifecycle in which nothing is left goes.
fn take_from_lifecycles(spec: &mut Value, take: impl Fn(&mut Object) -> bool) -> bool {
    let mut gone = false;
    for kind in CONTAINERS {
        for container in containers_mut(spec, kind) {
            let Some(lifecycle) = map_mut(container, "lifecycle") else {
                continue;
            };
            if take(lifecycle) {
                gone = true;
                if lifecycle.is_empty() {
                    container.remove("lifecycle");
                }
            }
        }
    }
    gone
}

/// Signals that containers are stopped with.
pub(super) fn drop_stop_signals(spec: &mut Value) -> bool {
    take_from_lifecycles(spec, |lifecycle| lifecycle.remove("stopSignal").is_some())
}

/// Hooks that sleep.
pub(super) fn drop_sleeps(spec: &mut Value) -> bool {
    take_from_lifecycles(spec, |lifecycle| {
        ["preStop", "postStart"].into_iter().fold(false, |gone, name| {
            let Some(hook) = map_mut(lifecycle, name) else {
                return gone;
            };
            let taken = hook.remove("sleep").is_some();
            if taken && hook.is_empty() {
                lifecycle.remove(name);
            }
            taken || gone
        })
    })
}

const PROC_MOUNT: &[&str] = &["securityContext", "procMount"];

/// A mount of /proc that isn't the default one.
pub(super) fn has_own_proc_mount(spec: &Value) -> bool {
    containers(spec).any(|container| !matches!(at(container, PROC_MOUNT).as_str(), None | Some("Default")))
}

/// The field itself stays: v1.12 wrote it into every pod.
pub(super) fn default_proc_mount(spec: &mut Value) -> bool {
    let mut changed = false;
    for kind in CONTAINERS {
        for container in containers_mut(spec, kind) {
            let context = container.get_mut("securityContext");
            if let Some(mount) = context.and_then(|context| context.get_mut("procMount"))
                && !mount.is_null()
                && mount != "Default"
            {
                *mount = Value::from("Default");
                changed = true;
            }
        }
    }
    changed
}

/// Rules of containers of their own for when they are restarted. `Always` makes an init container a sidecar, which is older.
pub(super) fn has_restart_rules(spec: &Value) -> bool {
    let policy = |container: &Value| !at(container, &["restartPolicy"]).is_null();
    list(spec, &["initContainers"]).iter().any(|container| {
        (policy(container) && text(container, &["restartPolicy"]) != "Always")
            || !list(container, &["restartPolicyRules"]).is_empty()
    }) || list(spec, &["containers"]).iter().any(policy)
}

pub(super) fn drop_restart_rules(spec: &mut Value) -> bool {
    let mut gone = false;
    for kind in CONTAINERS {
        for container in containers_mut(spec, kind) {
            let sidecar = *kind == "initContainers"
                && container.get("restartPolicy").and_then(Value::as_str) == Some("Always");
            gone |= !sidecar && container.remove("restartPolicy").is_some();
            gone |= container.remove("restartPolicyRules").is_some();
        }
    }
    gone
}

/// Volumes from images, and where they are mounted.
pub(super) fn drop_image_volumes(spec: &mut Value) -> bool {
    let names: HashSet<String> = list(spec, &["volumes"])
        .iter()
        .filter(|volume| !at(volume, &["image"]).is_null())
        .map(|volume| text(volume, &["name"]).to_owned())
        .collect();
    if names.is_empty() {
        return false;
    }
    let retain = |map: &mut Object, field: &str, goes: &dyn Fn(&Value) -> bool| {
        if let Some(items) = map.get_mut(field).and_then(Value::as_array_mut) {
            items.retain(|item| !goes(item));
            if items.is_empty() {
                map.remove(field);
            }
        }
    };
    for kind in CONTAINERS {
        for container in containers_mut(spec, kind) {
            retain(container, "volumeMounts", &|mount| {
                names.contains(text(mount, &["name"]))
            });
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        retain(spec, "volumes", &|volume| !at(volume, &["image"]).is_null());
    }
    true
}

/// A claim's data from another namespace.
pub(super) fn drop_foreign_data_source(claim: &mut Value) -> bool {
    if text(claim, &["spec", "dataSourceRef", "namespace"]).is_empty() {
        return false;
    }
    let spec = claim.get_mut("spec").and_then(Value::as_object_mut);
    spec.is_some_and(|spec| spec.remove("dataSourceRef").is_some())
}

fn behavior(autoscaler: &Value) -> Option<Value> {
    serde_json::from_str(meta::annotation(autoscaler, BEHAVIOR)?).ok()
}

/// The rules of a behavior for both directions. In an annotation their names are written as in Go, and upstream reads
/// any case.
fn directions(behavior: &mut Value) -> impl Iterator<Item = &mut serde_json::Map<String, Value>> {
    behavior
        .as_object_mut()
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            ["scaleDown", "scaleUp"]
                .iter()
                .any(|way| name.eq_ignore_ascii_case(way))
        })
        .filter_map(|(_, rules)| rules.as_object_mut())
}

fn is_tolerance(name: &str) -> bool {
    name.eq_ignore_ascii_case("tolerance")
}

/// A tolerance of an autoscaler, in the form of either version.
pub(super) fn has_tolerance(autoscaler: &Value) -> bool {
    let has = |mut behavior: Value| {
        directions(&mut behavior).any(|rules| {
            rules
                .iter()
                .any(|(name, value)| is_tolerance(name) && !value.is_null())
        })
    };
    has(at(autoscaler, &["spec", "behavior"]).clone()) || behavior(autoscaler).is_some_and(has)
}

pub(super) fn drop_tolerances(autoscaler: &mut Value) -> bool {
    let drop = |behavior: &mut Value| {
        directions(behavior).fold(false, |gone, rules| {
            let before = rules.len();
            rules.retain(|name, _| !is_tolerance(name));
            rules.len() < before || gone
        })
    };
    let mut gone = autoscaler.pointer_mut("/spec/behavior").is_some_and(drop);
    if let Some(mut annotated) = behavior(autoscaler)
        && drop(&mut annotated)
    {
        meta::set_annotation(autoscaler, BEHAVIOR, &annotated.to_string());
        gone = true;
    }
    gone
}
