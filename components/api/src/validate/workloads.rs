//! Validation of controllers of pods.
use super::pod::Allowed;
use super::shared::{
    count_or_percent, immutable, label_selector, maybe_one_of, non_negative, not_more_than_all, number_of,
    one_of, selector_shown, texts,
};
use super::{internal, metadata, pod};
use crate::features::Features;
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use apimachinery::selector::LabelSelector;
use serde_json::{Value, json};

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
        "StatefulSet" => {
            let mut errors = stateful_set(spec, before.is_none(), allowed, &path);
            errors.extend(before.and_then(|before| stateful_set_change(before, spec, &path)));
            errors
        }
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

fn selector(spec: &Value, path: &Path, noun: &str) -> ErrorList {
    let selector = at(spec, &["selector"]);
    if !selector.is_object() {
        return vec![Error::required(&path.child("selector"), "")];
    }
    let mut errors = label_selector(&path.child("selector"), selector);
    if is_zero(Some(at(selector, &["matchLabels"]))) && is_zero(Some(at(selector, &["matchExpressions"]))) {
        errors.push(Error::invalid(
            &path.child("selector"),
            selector_shown(selector),
            format!("empty selector is invalid for {noun}"),
        ));
    } else if !errors.is_empty() && noun != "daemonset" {
        let detail = if noun == "statefulset" {
            ""
        } else {
            "invalid label selector"
        };
        errors.push(Error::invalid(&path.child("selector"), selector, detail));
    }
    errors
}

/// The template's labels must be selected, its pods must be restarted always.
fn template(spec: &Value, allowed: Allowed, path: &Path, noun: &str) -> ErrorList {
    let template = at(spec, &["template"]);
    let path = path.child("template");
    let mut errors = ErrorList::new();
    let wanted = match at(spec, &["selector"]) {
        selector if noun == "ReplicationController" => selector
            .as_object()
            .map(LabelSelector::from_map)
            .unwrap_or_default(),
        selector if label_selector(&path, selector).is_empty() => {
            LabelSelector::from_object(Some(selector).filter(|selector| selector.is_object()))
                .unwrap_or_default()
        }
        _ => LabelSelector::default(),
    };
    let labels = at(template, &["metadata", "labels"]);
    if !wanted.is_everything() && !wanted.matches(labels.as_object()) {
        errors.push(Error::invalid(
            &path.child("metadata.labels"),
            labels,
            "`selector` does not match template `labels`",
        ));
    }
    if noun == "StatefulSet" {
        // Upstream checks these before the rest of the template too, and its causes repeat accordingly.
        errors.extend(metadata::labels(labels, &path.child("labels")));
        errors.extend(metadata::annotations(template, &path.child("annotations")));
    }
    errors.extend(pod::template(template, allowed, &path));
    if !text(template, &["spec", "restartPolicy"]).is_empty() {
        errors.extend(one_of(
            &path.child("spec.restartPolicy"),
            at(template, &["spec", "restartPolicy"]),
            &["Always"],
        ));
    }
    if !at(template, &["spec", "activeDeadlineSeconds"]).is_null() {
        errors.push(Error::forbidden(
            &path.child("spec.activeDeadlineSeconds"),
            format!("activeDeadlineSeconds in {noun} is not Supported"),
        ));
    }
    errors
}

fn deployment(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors: ErrorList = non_negative(&path.child("replicas"), at(spec, &["replicas"]))
        .into_iter()
        .collect();
    errors.extend(selector(spec, path, "deployment"));
    errors.extend(template(spec, allowed, path, "ReplicaSet"));
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
    errors.extend(selector(spec, path, "deployment"));
    errors.extend(template(spec, allowed, path, "ReplicaSet"));
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
        errors.extend(template(spec, allowed, path, "ReplicationController"));
    } else {
        errors.push(Error::required(&path.child("template"), ""));
    }
    errors
}

fn daemon_set(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = label_selector(&path.child("selector"), at(spec, &["selector"]));
    let wanted =
        LabelSelector::from_object(Some(at(spec, &["selector"])).filter(|selector| selector.is_object()))
            .unwrap_or_default();
    let labels = at(spec, &["template", "metadata", "labels"]);
    if errors.is_empty() && !wanted.is_everything() && !wanted.matches(labels.as_object()) {
        errors.push(Error::invalid(
            &path.child("template.metadata.labels"),
            labels,
            "`selector` does not match template `labels`",
        ));
    }
    if at(spec, &["selector"]).is_object() && wanted.is_everything() {
        errors.push(Error::invalid(
            &path.child("selector"),
            selector_shown(at(spec, &["selector"])),
            "empty selector is invalid for daemonset",
        ));
    }
    let template = at(spec, &["template"]);
    errors.extend(pod::template(template, allowed, &path.child("template")));
    if !text(template, &["spec", "restartPolicy"]).is_empty() {
        errors.extend(one_of(
            &path.child("template.spec.restartPolicy"),
            at(template, &["spec", "restartPolicy"]),
            &["Always"],
        ));
    }
    if !at(template, &["spec", "activeDeadlineSeconds"]).is_null() {
        errors.push(Error::forbidden(
            &path.child("template.spec.activeDeadlineSeconds"),
            "activeDeadlineSeconds in DaemonSet is not Supported",
        ));
    }
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
    errors.extend(not_more_than_all(&path.child("maxUnavailable"), unavailable));
    errors.extend(not_more_than_all(&path.child("maxSurge"), surge));
    errors
}

/// What never changes is checked in a new set only.
fn stateful_set(spec: &Value, is_new: bool, allowed: Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match text(spec, &["podManagementPolicy"]) {
        "" => errors.push(Error::required(&path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(Error::invalid(
            &path.child("podManagementPolicy"),
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let strategy = at(spec, &["updateStrategy"]);
    let rolling = at(strategy, &["rollingUpdate"]);
    match text(strategy, &["type"]) {
        "" => errors.push(Error::required(&path.child("updateStrategy"), "")),
        "OnDelete" if rolling.is_object() => errors.push(Error::invalid(
            &path.child("updateStrategy.rollingUpdate"),
            rolling,
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        "OnDelete" => {}
        "RollingUpdate" => {
            errors.extend(non_negative(
                &path.child("updateStrategy.rollingUpdate.partition"),
                at(rolling, &["partition"]),
            ));
            if !at(rolling, &["maxUnavailable"]).is_null() {
                errors.extend(count_or_percent(
                    &path.child("updateStrategy.rollingUpdate.maxUnavailable"),
                    at(rolling, &["maxUnavailable"]),
                ));
            }
        }
        _ => errors.push(Error::invalid(
            &path.child("updateStrategy"),
            internal::shown(internal::STATEFUL_SET_STRATEGY, strategy),
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    for field in ["whenDeleted", "whenScaled"] {
        let policy = at(spec, &["persistentVolumeClaimRetentionPolicy", field]);
        errors.extend(maybe_one_of(
            &path.child("persistentVolumeClaimRetentionPolicy").child(field),
            policy,
            &["Retain", "Delete"],
        ));
    }
    for field in ["replicas", "minReadySeconds"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    errors.extend(non_negative(
        &path.child("ordinals.start"),
        at(spec, &["ordinals", "start"]),
    ));
    errors.extend(selector(spec, path, "statefulset"));
    let service = text(spec, &["serviceName"]);
    if is_new && !service.is_empty() {
        errors.extend(texts(
            &path.child("serviceName"),
            service,
            names::dns1123_label(service),
        ));
    }
    let claims = if is_new {
        list(spec, &["volumeClaimTemplates"])
    } else {
        &[]
    };
    for (index, claim) in claims.iter().enumerate() {
        errors.extend(super::storage::claim_spec(
            at(claim, &["spec"]),
            &path.child("volumeClaimTemplates").index(index).child("spec"),
        ));
    }
    errors.extend(template_with_claims(spec, allowed, path));
    errors
}

/// The claims are volumes of the pods, by their names.
fn template_with_claims(spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let mut spec = spec.clone();
    let mut claims: Vec<Value> = Vec::new();
    for claim in list(&spec, &["volumeClaimTemplates"]) {
        let name = text(claim, &["metadata", "name"]);
        if !claims.iter().any(|other| text(other, &["name"]) == name) {
            claims.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    if let Some(pod) = spec.pointer_mut("/template/spec").and_then(Value::as_object_mut)
        && let Some(volumes) = pod.entry("volumes").or_insert_with(|| json!([])).as_array_mut()
    {
        volumes.retain(|volume| !claims.iter().any(|claim| claim["name"] == volume["name"]));
        volumes.extend(claims);
    }
    template(&spec, allowed, path, "StatefulSet")
}

const STATEFUL: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

fn stateful_set_change(old: &Value, new: &Value, path: &Path) -> Option<Error> {
    const FREE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let rest = |spec: &Value| -> Vec<(String, Value)> {
        spec.as_object()
            .into_iter()
            .flatten()
            .filter(|(key, value)| !FREE.contains(&key.as_str()) && !is_zero(Some(value)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    (rest(old) != rest(new)).then(|| Error::forbidden(path, STATEFUL))
}
