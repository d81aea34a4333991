//! What may change in a pod after its creation.
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// The rules of a change through the pod's own endpoint.
pub(in crate::validate) fn update(old: &Value, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let (old, new) = (at(old, &["spec"]), at(new, &["spec"]));
    let mut errors = ErrorList::new();
    for kind in ["containers", "initContainers"] {
        let (before, after) = (list(old, &[kind]), list(new, &[kind]));
        if before.len() != after.len() {
            errors.push(Error::forbidden(
                &path.child(kind),
                "pod updates may not add or remove containers",
            ));
            return errors;
        }
    }
    if let (Some(before), after) = (
        at(old, &["activeDeadlineSeconds"]).as_i64(),
        at(new, &["activeDeadlineSeconds"]).as_i64(),
    ) {
        match after {
            Some(after) if after > before => errors.push(Error::invalid(
                &path.child("activeDeadlineSeconds"),
                after,
                format!("must be less than or equal to previous value: {before}"),
            )),
            Some(_) => {}
            None => errors.push(Error::invalid(
                &path.child("activeDeadlineSeconds"),
                Value::Null,
                "must not update from a positive integer to nil value",
            )),
        }
    }
    let (before, after) = (list(old, &["tolerations"]), list(new, &["tolerations"]));
    if !before
        .iter()
        .all(|toleration| after.iter().any(|other| same_toleration(toleration, other)))
    {
        errors.push(Error::forbidden(
            &path.child("tolerations"),
            "existing toleration can not be modified except its tolerationSeconds",
        ));
    }
    let gated = !list(old, &["schedulingGates"]).is_empty();
    if let Some(added) = list(new, &["schedulingGates"])
        .iter()
        .find(|gate| !list(old, &["schedulingGates"]).contains(gate))
    {
        let names = format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            text(added, &["name"])
        );
        errors.push(Error::forbidden(&path.child("schedulingGates"), names));
    }
    if !errors.is_empty() && errors.iter().all(|error| error.field != "spec.tolerations") {
        return errors;
    }
    // Everything that may change is taken over; what still differs may not.
    let mut munged = new.clone();
    for kind in ["containers", "initContainers"] {
        let images: Vec<Value> = list(old, &[kind])
            .iter()
            .map(|container| at(container, &["image"]).clone())
            .collect();
        if let Some(containers) = munged.get_mut(kind).and_then(Value::as_array_mut) {
            for (container, image) in containers.iter_mut().zip(images) {
                container["image"] = image;
            }
        }
    }
    let mut take = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if gated {
        take.push("nodeSelector");
        if at(new, &["affinity", "nodeAffinity"]) != at(old, &["affinity", "nodeAffinity"]) {
            let node = at(old, &["affinity", "nodeAffinity"]).clone();
            if let Some(affinity) = munged.get_mut("affinity").and_then(Value::as_object_mut) {
                affinity.insert("nodeAffinity".into(), node);
            }
        }
    }
    if at(old, &["terminationGracePeriodSeconds"])
        .as_i64()
        .is_some_and(|seconds| seconds < 0)
        && at(new, &["terminationGracePeriodSeconds"]) == &Value::from(1)
    {
        take.push("terminationGracePeriodSeconds");
    }
    if let Some(map) = munged.as_object_mut() {
        for field in take {
            match old.get(field) {
                Some(value) => map.insert(field.to_owned(), value.clone()),
                None => map.remove(field),
            };
        }
    }
    if munged != *old {
        errors.push(Error::forbidden(
            &path,
            format!("{ALLOWED}\n{}", difference(&munged, old)),
        ));
    }
    errors
}

/// The fields that differ, old and new, one below the other.
pub(in crate::validate) fn difference(new: &Value, old: &Value) -> String {
    let (Some(after), Some(before)) = (new.as_object(), old.as_object()) else {
        return format!("  - {old}\n  + {new}\n");
    };
    let mut lines = String::new();
    let fields: std::collections::BTreeSet<&String> = after.keys().chain(before.keys()).collect();
    for field in fields
        .into_iter()
        .filter(|field| after.get(*field) != before.get(*field))
    {
        for (sign, side) in [('-', before), ('+', after)] {
            if let Some(value) = side.get(field) {
                lines.push_str(&format!("  {sign} {field}: {value}\n"));
            }
        }
    }
    lines
}

fn same_toleration(old: &Value, new: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|field| at(old, &[field]) == at(new, &[field]))
}
