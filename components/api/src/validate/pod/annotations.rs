//! Annotations of pods and templates that mean something to the server.
use super::{Allowed, told_tolerations, tolerations, volumes};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::{Map, Value};

pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const LOCALHOST: &str = "localhost/";

/// The annotations of an object that holds this spec.
pub(super) fn check(object: &Value, spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(all) = meta::annotations(object).filter(|all| !all.is_empty()) else {
        return errors;
    };
    let value = |key: &str| all.get(key).and_then(Value::as_str);
    if let Some(mirror) = value(MIRROR).filter(|_| text(spec, &["nodeName"]).is_empty()) {
        errors.push(Error::invalid(
            &path.key(MIRROR),
            mirror,
            "must set spec.nodeName if mirror pod annotation is set",
        ));
    }
    if let Some(given) = value(TOLERATIONS).filter(|given| !given.is_empty()) {
        match told_tolerations::of_pod(given) {
            Ok(given) => errors.extend(tolerations(&given, allowed, &path.child(TOLERATIONS))),
            Err(why) => errors.push(Error::invalid(path, TOLERATIONS, why)),
        }
    }
    if let Some(cost) = bad_deletion_cost(object).filter(|_| !allowed.any_deletion_cost) {
        errors.push(Error::invalid(
            &path.key(DELETION_COST),
            cost,
            "must be a 32bit integer",
        ));
    }
    for (key, value) in all.iter().filter_map(|(key, value)| Some((key, value.as_str()?))) {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            errors.extend(seccomp(value, &path.child(key)));
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            if !containers(spec).any(|(_, _, other)| text(other, &["name"]) == container) {
                errors.push(Error::invalid(&path.key(key), container, "container not found"));
            }
            let known =
                matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with(LOCALHOST);
            if !known {
                errors.push(Error::invalid(
                    &path.key(key),
                    value,
                    format!("invalid AppArmor profile name: {value:?}"),
                ));
            }
        }
    }
    errors
}

/// What an object says of the cost of its deletion, if it is none.
pub(super) fn bad_deletion_cost(object: &Value) -> Option<&str> {
    meta::annotation(object, DELETION_COST).filter(|cost| !is_cost(cost))
}

/// A cost is a number without a plus sign or leading zeros; zeros after a minus sign are let through.
fn is_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok() && (text == "0" || !text.starts_with(['+', '0']))
}

fn seccomp(profile: &str, path: &Path) -> ErrorList {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => ErrorList::new(),
        _ => match profile.strip_prefix(LOCALHOST) {
            Some(file) => volumes::descending_path(file, path),
            None => vec![Error::invalid(path, profile, "must be a valid seccomp profile")],
        },
    }
}

/// All containers of a spec, with their list and place.
pub(super) fn containers(spec: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|kind| {
            list(spec, &[kind])
                .iter()
                .enumerate()
                .map(move |(index, container)| (kind, index, container))
        })
}

/// Where a profile is given as annotation and as field, both say the same.
pub(super) fn match_fields(object: &Value, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(all) = meta::annotations(object).filter(|all| !all.is_empty()) else {
        return errors;
    };
    let given = |key: &str| all.get(key).and_then(Value::as_str);
    const SECCOMP: Noun = Noun("seccomp", &["runtime/default", "docker/default"]);
    const ARMOR: Noun = Noun("apparmor", &["runtime/default"]);
    const SECCOMP_FIELD: &[&str] = &["securityContext", "seccompProfile"];
    const ARMOR_FIELD: &[&str] = &["securityContext", "appArmorProfile"];
    if let Some(annotation) = given(SECCOMP_POD) {
        let path = path.child("securityContext.seccompProfile");
        errors.extend(differs(SECCOMP, annotation, at(spec, SECCOMP_FIELD), &path));
    }
    let windows = text(spec, &["os", "name"]) == "windows";
    for (kind, index, container) in containers(spec) {
        let name = text(container, &["name"]);
        let own = |field: &str| {
            path.child(kind)
                .index(index)
                .child("securityContext")
                .child(field)
        };
        if let Some(annotation) = given(&format!("{SECCOMP_CONTAINER}{name}")) {
            let profile = at(container, SECCOMP_FIELD);
            errors.extend(differs(SECCOMP, annotation, profile, &own("seccompProfile")));
        }
        if let Some(annotation) = given(&format!("{APP_ARMOR}{name}")).filter(|_| !windows) {
            let profile = Some(at(container, ARMOR_FIELD))
                .filter(|profile| profile.is_object())
                .unwrap_or(at(spec, ARMOR_FIELD));
            errors.extend(differs(ARMOR, annotation, profile, &own("appArmorProfile")));
        }
    }
    errors
}

/// What a message calls the profile, and how an annotation names the runtime's own.
#[derive(Clone, Copy)]
struct Noun(&'static str, &'static [&'static str]);

fn differs(Noun(noun, defaults): Noun, annotation: &str, profile: &Value, path: &Path) -> Option<Error> {
    let kind = || {
        let detail = format!("{noun} type in annotation and field must match");
        Some(Error::forbidden(&path.child("type"), detail))
    };
    match text(profile, &["type"]) {
        "Unconfined" if annotation != "unconfined" => kind(),
        "RuntimeDefault" if !defaults.contains(&annotation) => kind(),
        "Localhost" => match annotation.strip_prefix(LOCALHOST) {
            None => kind(),
            Some(file) if at(profile, &["localhostProfile"]).as_str() != Some(file) => {
                Some(Error::forbidden(
                    &path.child("localhostProfile"),
                    format!("{noun} profile in annotation and field must match"),
                ))
            }
            Some(_) => None,
        },
        _ => None,
    }
}

/// What says where a pod's containers came from, and how they are confined, stays as it is.
pub(super) fn change(old: &Value, new: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let none = Map::new();
    let (before, after) = (
        meta::annotations(old).unwrap_or(&none),
        meta::annotations(new).unwrap_or(&none),
    );
    let noun = |key: &str| {
        if key.starts_with(APP_ARMOR) {
            Some("AppArmor annotations")
        } else {
            (key == MIRROR).then_some("mirror pod annotation")
        }
    };
    let mut errors = ErrorList::new();
    for (key, value) in before {
        if let Some(noun) = noun(key).filter(|_| after.get(key) != Some(value)) {
            errors.push(Error::forbidden(
                &path.key(key),
                format!("may not remove or update {noun}"),
            ));
        }
    }
    for key in after.keys().filter(|key| !before.contains_key(*key)) {
        if let Some(noun) = noun(key) {
            errors.push(Error::forbidden(&path.key(key), format!("may not add {noun}")));
        }
    }
    errors.extend(check(new, at(new, &["spec"]), allowed, path));
    errors
}
