//! Validation of controllers of pods.
use super::pod::Allowed;
use super::shared::{
    count_or_percent, immutable, label_selector, label_selector_with, non_negative, not_more_than_all,
    number_of, one_of, selector_shown,
};
use super::{internal, pod};
use crate::features::Features;
use crate::value::{at, is_zero, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::selector::LabelSelector;
use serde_json::Value;

mod stateful_set;
#[cfg(test)]
mod tests;

/// Controllers, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let before = old.map(|old| at(old, &["spec"]));
    let allowed = Allowed::of(features, kind, old);
    Some(match kind {
        "Deployment" => {
            let mut errors = deployment(spec, allowed, &path);
            errors.extend(fixed_selector(before, spec, &path));
            errors
        }
        "ReplicaSet" => {
            let mut errors = replica_set(spec, allowed, &path);
            errors.extend(fixed_selector(before, spec, &path));
            errors
        }
        "DaemonSet" => {
            let mut errors: ErrorList = fixed_selector(before, spec, &path).into_iter().collect();
            errors.extend(daemon_set(spec, allowed, &path));
            errors
        }
        "StatefulSet" => stateful_set::check(before, spec, allowed, &path),
        "ReplicationController" => replication_controller(spec, allowed, &path),
        _ => return None,
    })
}

fn fixed_selector(before: Option<&Value>, spec: &Value, path: &Path) -> Option<Error> {
    immutable(
        &path.child("selector"),
        at(before?, &["selector"]),
        at(spec, &["selector"]),
    )
}

/// The selector and, if it selects anything at all to compare with, the template whose pods are `of` that kind.
fn selector_and_template(
    spec: &Value,
    path: &Path,
    (noun, detail): (&str, &str),
    of_template: impl FnOnce(&LabelSelector) -> ErrorList,
) -> ErrorList {
    let selector = at(spec, &["selector"]);
    let path = path.child("selector");
    if !selector.is_object() {
        let mut errors = vec![Error::required(&path, "")];
        errors.extend(of_template(&LabelSelector::nothing()));
        return errors;
    }
    let mut errors = label_selector(&path, selector);
    let wanted = LabelSelector::from_object(Some(selector)).ok();
    match wanted.filter(|_| errors.is_empty()) {
        Some(wanted) => {
            if selects_all(selector) {
                errors.push(Error::invalid(
                    &path,
                    selector_shown(selector),
                    format!("empty selector is invalid for {noun}"),
                ));
            }
            errors.extend(of_template(&wanted));
        }
        None => errors.push(Error::invalid(&path, selector, detail)),
    }
    errors
}

fn selects_all(selector: &Value) -> bool {
    is_zero(Some(at(selector, &["matchLabels"]))) && is_zero(Some(at(selector, &["matchExpressions"])))
}

/// The template's labels must be selected.
fn selected(wanted: &LabelSelector, template: &Value, path: &Path) -> Option<Error> {
    let labels = at(template, &["metadata", "labels"]);
    (!wanted.is_everything() && !wanted.matches(labels.as_object())).then(|| {
        Error::invalid(
            &path.child("metadata.labels"),
            labels,
            "`selector` does not match template `labels`",
        )
    })
}

/// Its pods must be restarted always, and have no end.
fn lasting(template: &Value, path: &Path, noun: &str) -> ErrorList {
    let mut errors: ErrorList = one_of(
        &path.child("spec.restartPolicy"),
        at(template, &["spec", "restartPolicy"]),
        &["Always"],
    )
    .into_iter()
    .collect();
    if !at(template, &["spec", "activeDeadlineSeconds"]).is_null() {
        errors.push(Error::forbidden(
            &path.child("spec.activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {noun} is not Supported"),
        ));
    }
    errors
}

fn template(wanted: &LabelSelector, spec: &Value, allowed: Allowed, path: &Path, noun: &str) -> ErrorList {
    let template = at(spec, &["template"]);
    let path = path.child("template");
    let mut errors: ErrorList = selected(wanted, template, &path).into_iter().collect();
    errors.extend(pod::template(template, allowed, &path));
    errors.extend(lasting(template, &path, noun));
    errors
}

fn deployment(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors: ErrorList = non_negative(&path.child("replicas"), at(spec, &["replicas"]))
        .into_iter()
        .collect();
    errors.extend(selector_and_template(
        spec,
        path,
        ("deployment", "invalid label selector"),
        |wanted| template(wanted, spec, allowed, path, "ReplicaSet"),
    ));
    let strategy = at(spec, &["strategy"]);
    let strategy_path = path.child("strategy");
    let rolling = at(strategy, &["rollingUpdate"]);
    match text(strategy, &["type"]) {
        "Recreate" if rolling.is_object() => errors.push(Error::forbidden(
            &strategy_path.child("rollingUpdate"),
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_object() => errors.push(Error::required(
            &strategy_path.child("rollingUpdate"),
            "this should be defaulted and never be nil",
        )),
        "RollingUpdate" => errors.extend(rolling_deployment(rolling, &strategy_path.child("rollingUpdate"))),
        _ => {
            errors.push(Error::not_supported(
                &strategy_path,
                internal::shown(internal::UPDATE_STRATEGY, strategy),
                &["Recreate", "RollingUpdate"],
            ));
        }
    }
    for field in ["minReadySeconds", "revisionHistoryLimit"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    if let Some(deadline) = at(spec, &["progressDeadlineSeconds"]).as_i64() {
        let path = path.child("progressDeadlineSeconds");
        errors.extend(non_negative(&path, at(spec, &["progressDeadlineSeconds"])));
        if deadline <= at(spec, &["minReadySeconds"]).as_i64().unwrap_or(0) {
            errors.push(Error::invalid(
                &path,
                deadline,
                "must be greater than minReadySeconds",
            ));
        }
    }
    errors
}

fn rolling_deployment(rolling: &Value, path: &Path) -> ErrorList {
    let (unavailable, surge) = (at(rolling, &["maxUnavailable"]), at(rolling, &["maxSurge"]));
    let mut errors = count_or_percent(&path.child("maxUnavailable"), unavailable);
    errors.extend(count_or_percent(&path.child("maxSurge"), surge));
    if number_of(unavailable) == 0 && number_of(surge) == 0 {
        errors.push(Error::invalid(
            &path.child("maxUnavailable"),
            unavailable,
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    errors.extend(not_more_than_all(&path.child("maxUnavailable"), unavailable));
    errors
}

fn replica_set(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors: ErrorList = ["replicas", "minReadySeconds"]
        .iter()
        .filter_map(|field| non_negative(&path.child(field), at(spec, &[field])))
        .collect();
    errors.extend(selector_and_template(
        spec,
        path,
        ("deployment", "invalid label selector"),
        |wanted| template(wanted, spec, allowed, path, "ReplicaSet"),
    ));
    errors
}

fn replication_controller(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors: ErrorList = non_negative(&path.child("minReadySeconds"), at(spec, &["minReadySeconds"]))
        .into_iter()
        .collect();
    if is_zero(Some(at(spec, &["selector"]))) {
        errors.push(Error::required(&path.child("selector"), ""));
    }
    errors.extend(non_negative(&path.child("replicas"), at(spec, &["replicas"])));
    if at(spec, &["template"]).is_object() {
        let wanted = at(spec, &["selector"])
            .as_object()
            .map(LabelSelector::from_map)
            .unwrap_or_default();
        errors.extend(template(&wanted, spec, allowed, path, "ReplicationController"));
    } else {
        errors.push(Error::required(&path.child("template"), ""));
    }
    errors
}

fn daemon_set(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let selector = at(spec, &["selector"]);
    let selector_path = path.child("selector");
    let mut errors = label_selector_with(&selector_path, selector, allowed.any_selector_values);
    let (template, template_path) = (at(spec, &["template"]), path.child("template"));
    let wanted = LabelSelector::from_object(Some(selector)).unwrap_or_default();
    if label_selector(&selector_path, selector).is_empty() {
        errors.extend(selected(&wanted, template, &template_path));
    }
    if selector.is_object() && selects_all(selector) {
        errors.push(Error::invalid(
            &selector_path,
            selector_shown(selector),
            "empty selector is invalid for daemonset",
        ));
    }
    errors.extend(pod::template(template, allowed, &template_path));
    errors.extend(lasting(template, &template_path, "DaemonSet"));
    errors.extend(non_negative(
        &path.child("minReadySeconds"),
        at(spec, &["minReadySeconds"]),
    ));
    let strategy = at(spec, &["updateStrategy"]);
    let rolling = at(strategy, &["rollingUpdate"]);
    match text(strategy, &["type"]) {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_object() => {
            errors.push(Error::required(&path.child("updateStrategy.rollingUpdate"), ""))
        }
        "RollingUpdate" => errors.extend(rolling_daemon_set(
            rolling,
            &path.child("updateStrategy.rollingUpdate"),
        )),
        _ => {
            errors.push(Error::not_supported(
                &path.child("updateStrategy"),
                internal::shown(internal::UPDATE_STRATEGY, strategy),
                &["RollingUpdate", "OnDelete"],
            ));
        }
    }
    errors.extend(non_negative(
        &path.child("revisionHistoryLimit"),
        at(spec, &["revisionHistoryLimit"]),
    ));
    errors
}

fn rolling_daemon_set(rolling: &Value, path: &Path) -> ErrorList {
    let (unavailable, surge) = (at(rolling, &["maxUnavailable"]), at(rolling, &["maxSurge"]));
    let mut errors = count_or_percent(&path.child("maxUnavailable"), unavailable);
    errors.extend(count_or_percent(&path.child("maxSurge"), surge));
    errors.extend(not_more_than_all(&path.child("maxUnavailable"), unavailable));
    errors.extend(not_more_than_all(&path.child("maxSurge"), surge));
    let (some_unavailable, some_surge) = (number_of(unavailable) != 0, number_of(surge) != 0);
    match (some_unavailable, some_surge) {
        (true, true) => errors.push(Error::invalid(
            &path.child("maxSurge"),
            surge,
            "may not be set when maxUnavailable is non-zero",
        )),
        (false, false) => errors.push(Error::required(
            &path.child("maxUnavailable"),
            "cannot be 0 when maxSurge is 0",
        )),
        _ => {}
    }
    errors
}
