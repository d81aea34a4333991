//! What may change in a pod after its creation.
use super::{Allowed, annotations, container::trimmed_image, scheduling::tolerations};
use crate::validate::internal;
use crate::validate::shared::same;
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(in crate::validate) fn changed_annotations(old: &Value, new: &Value, allowed: Allowed) -> ErrorList {
    annotations::change(old, new, allowed, &Path::new("metadata.annotations"))
}

/// The rules of a change through the pod's own endpoint, of pods with different specs.
pub(in crate::validate) fn changed_spec(old: &Value, new: &Value, allowed: Allowed) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::default();
    let (old, new) = (at(old, &["spec"]), at(new, &["spec"]));
    for kind in ["containers", "initContainers"] {
        let (before, after) = (list(old, &[kind]), list(new, &[kind]));
        if before.len() != after.len() {
            errors.push(Error::forbidden(
                &path.child(kind),
                "pod updates may not add or remove containers",
            ));
            return errors;
        }
        for (index, container) in after.iter().enumerate() {
            if text(container, &["image"]).is_empty() {
                errors.push(Error::required(&path.child(kind).index(index).child("image"), ""));
            }
            errors.extend(trimmed_image(container, || path.child(kind).index(index)));
        }
    }
    if let Some(error) = deadline(
        at(old, &["activeDeadlineSeconds"]),
        at(new, &["activeDeadlineSeconds"]),
        &path.child("activeDeadlineSeconds"),
    ) {
        errors.push(error);
        if !at(new, &["activeDeadlineSeconds"]).is_null() {
            return errors;
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
    } else {
        errors.extend(tolerations(after, allowed, &path.child("tolerations")));
    }
    let gated = !list(old, &["schedulingGates"]).is_empty();
    let gates = list(new, &["schedulingGates"]).iter().enumerate();
    for (index, added) in gates.filter(|(_, gate)| !list(old, &["schedulingGates"]).contains(gate)) {
        let why = format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            text(added, &["name"])
        );
        errors.push(Error::forbidden(
            &path.child("schedulingGates").index(index).child("name"),
            why,
        ));
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
        errors.extend(placement(old, new, &mut munged, &path));
        take.push("nodeSelector");
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
    if !same(&munged, old) {
        errors.push(Error::forbidden(
            &path,
            format!("{ALLOWED}\n{}", difference(old, &munged)),
        ));
    }
    errors
}

/// A deadline may come closer, and never go away.
fn deadline(before: &Value, after: &Value, path: &Path) -> Option<Error> {
    match (before.as_i64(), after.as_i64()) {
        (_, Some(after)) if !(0..=i64::from(i32::MAX)).contains(&after) => Some(Error::invalid(
            path,
            after,
            format!("must be between 0 and {}, inclusive", i32::MAX),
        )),
        (Some(before), Some(after)) if after > before => Some(Error::invalid(
            path,
            after,
            "must be less than or equal to previous value",
        )),
        (Some(_), None) => Some(Error::invalid(
            path,
            Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => None,
    }
}

const ONLY_ADDITIONS: &str = "only additions are allowed (no mutations or deletions)";

/// A pod that waits for its gates may be narrowed down to fewer nodes. What may change is taken from the old pod.
fn placement(old: &Value, new: &Value, munged: &mut Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (before, after) = (at(old, &["nodeSelector"]), at(new, &["nodeSelector"]));
    if before
        .as_object()
        .is_some_and(|before| before.iter().any(|(key, value)| after.get(key) != Some(value)))
    {
        errors.push(Error::invalid(
            &path.child("nodeSelector"),
            after,
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ));
    }
    let (before, after) = (
        at(old, &["affinity", "nodeAffinity"]),
        at(new, &["affinity", "nodeAffinity"]),
    );
    if same(before, after) {
        return errors;
    }
    errors.extend(narrowed(before, after, &path.child("affinity.nodeAffinity")));
    match munged.get_mut("affinity").and_then(Value::as_object_mut) {
        Some(affinity) if before.is_null() => {
            affinity.remove("nodeAffinity");
            if affinity.is_empty() && at(old, &["affinity"]).is_null() {
                munged.as_object_mut().map(|spec| spec.remove("affinity"));
            }
        }
        Some(affinity) => {
            affinity.insert("nodeAffinity".into(), before.clone());
        }
        None => munged["affinity"] = serde_json::json!({"nodeAffinity": before}),
    }
    errors
}

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// The required terms may get more expressions each, and there may be neither more nor fewer of them.
fn narrowed(before: &Value, after: &Value, path: &Path) -> ErrorList {
    const TERMS: &[&str] = &[REQUIRED, "nodeSelectorTerms"];
    let (old_terms, new_terms) = (list(before, TERMS), list(after, TERMS));
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if old_terms.is_empty() {
        return ErrorList::new();
    }
    if old_terms.len() != new_terms.len() {
        let shown = internal::shown_list(internal::NODE_TERM, at(after, TERMS));
        return vec![Error::invalid(
            &path,
            shown,
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        )];
    }
    const FIELDS: [&str; 2] = ["matchExpressions", "matchFields"];
    let empty = |term: &Value| FIELDS.iter().all(|field| list(term, &[field]).is_empty());
    let only_grew = |old: &Value, new: &Value| {
        FIELDS
            .iter()
            .all(|field| starts_with(list(new, &[field]), list(old, &[field])))
    };
    let mut errors = ErrorList::new();
    for (index, (old, new)) in old_terms.iter().zip(new_terms).enumerate() {
        // An empty term matches no node; with expressions it could match some.
        if (empty(old) && !empty(new)) || !only_grew(old, new) {
            errors.push(Error::invalid(
                &path.index(index),
                internal::shown(internal::NODE_TERM, new),
                ONLY_ADDITIONS,
            ));
        }
    }
    errors
}

fn starts_with(items: &[Value], first: &[Value]) -> bool {
    items.len() >= first.len() && items.iter().zip(first).all(|(item, first)| same(item, first))
}

/// What changes between two specs, as upstream shows it.
fn difference(old: &Value, new: &Value) -> String {
    let form = internal::pod_spec;
    internal::difference(internal::POD_SPEC, &form(old), &form(new))
}

fn same_toleration(old: &Value, new: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|field| at(old, &[field]) == at(new, &[field]))
}
