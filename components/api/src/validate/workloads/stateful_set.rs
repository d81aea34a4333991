//! Validation of stateful sets.
use super::{internal, lasting, pod, selected, selector_and_template};
use crate::validate::pod::Allowed;
use crate::validate::shared::{
    count_or_percent, maybe_one_of, non_negative, not_more_than_all, number_of, texts,
};
use crate::validate::{metadata, storage};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use apimachinery::selector::LabelSelector;
use serde_json::{Value, json};

/// What a set is checked by.
#[derive(Clone, Copy)]
struct Rules {
    allowed: Allowed,
    /// What never changes is checked in a new set only.
    is_new: bool,
    /// The pods of a set that was wrong already are not checked.
    skips_pods: bool,
}

/// A set, new or changed.
pub(super) fn check(before: Option<&Value>, spec: &Value, allowed: Allowed, path: &Path) -> ErrorList {
    let rules = |skips_pods| Rules {
        allowed,
        is_new: before.is_none(),
        skips_pods,
    };
    let mut errors = of_spec(spec, rules(false), path);
    let Some(before) = before else {
        return errors;
    };
    if !errors.is_empty() && !of_spec(before, rules(false), path).is_empty() {
        errors = of_spec(spec, rules(true), path);
    }
    errors.extend(change(before, spec, path));
    errors
}

fn of_spec(spec: &Value, rules: Rules, path: &Path) -> ErrorList {
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
    errors.extend(update_strategy(
        at(spec, &["updateStrategy"]),
        &path.child("updateStrategy"),
    ));
    for field in ["whenDeleted", "whenScaled"] {
        errors.extend(maybe_one_of(
            &path.child("persistentVolumeClaimRetentionPolicy").child(field),
            at(spec, &["persistentVolumeClaimRetentionPolicy", field]),
            &["Retain", "Delete"],
        ));
    }
    let claims = list(spec, &["volumeClaimTemplates"]).iter().enumerate();
    for (index, claim) in claims.filter(|_| rules.is_new) {
        errors.extend(storage::claim_spec(
            at(claim, &["spec"]),
            &path.child("volumeClaimTemplates").index(index).child("spec"),
        ));
    }
    for field in ["replicas", "minReadySeconds"] {
        errors.extend(non_negative(&path.child(field), at(spec, &[field])));
    }
    errors.extend(non_negative(
        &path.child("ordinals.start"),
        at(spec, &["ordinals", "start"]),
    ));
    let service = text(spec, &["serviceName"]);
    if rules.is_new && !service.is_empty() {
        errors.extend(texts(
            &path.child("serviceName"),
            service,
            names::dns1123_label(service),
        ));
    }
    let template_path = path.child("template");
    errors.extend(selector_and_template(spec, path, ("statefulset", ""), |wanted| {
        template(wanted, &template_as_run(spec), rules, &template_path)
    }));
    errors.extend(lasting(at(spec, &["template"]), &template_path, "StatefulSet"));
    errors
}

fn update_strategy(strategy: &Value, path: &Path) -> ErrorList {
    let rolling = at(strategy, &["rollingUpdate"]);
    let rolling_path = path.child("rollingUpdate");
    match text(strategy, &["type"]) {
        "" => vec![Error::required(path, "")],
        "OnDelete" if rolling.is_object() => vec![Error::invalid(
            &rolling_path,
            internal::shown(internal::ROLLING_STATEFUL_SET, rolling),
            "only allowed for updateStrategy 'RollingUpdate'",
        )],
        "OnDelete" => ErrorList::new(),
        "RollingUpdate" => {
            let mut errors: ErrorList =
                non_negative(&rolling_path.child("partition"), at(rolling, &["partition"]))
                    .into_iter()
                    .collect();
            let most = at(rolling, &["maxUnavailable"]);
            if !most.is_null() {
                let path = rolling_path.child("maxUnavailable");
                errors.extend(count_or_percent(&path, most));
                if number_of(most) == 0 {
                    errors.push(Error::invalid(&path, most, "cannot be 0"));
                }
                errors.extend(not_more_than_all(&path, most));
            }
            errors
        }
        _ => vec![Error::invalid(
            path,
            internal::shown(internal::STATEFUL_SET_STRATEGY, strategy),
            "must be 'RollingUpdate' or 'OnDelete'",
        )],
    }
}

/// Labels and annotations are told of at the end again, as upstream tells of them.
fn template(wanted: &LabelSelector, template: &Value, rules: Rules, path: &Path) -> ErrorList {
    let mut errors: ErrorList = selected(wanted, template, path).into_iter().collect();
    if !rules.skips_pods {
        errors.extend(pod::template(template, rules.allowed, path));
    }
    errors.extend(metadata::labels(
        at(template, &["metadata", "labels"]),
        &path.child("labels"),
    ));
    errors.extend(pod::annotations_of_template(template, rules.allowed, path));
    errors
}

/// The template as the controller uses it: with names of its own, and the claims as volumes, by their names.
fn template_as_run(spec: &Value) -> Value {
    let mut template = at(spec, &["template"]).clone();
    let mut claims: Vec<Value> = Vec::new();
    for claim in list(spec, &["volumeClaimTemplates"]) {
        let name = text(claim, &["metadata", "name"]);
        if !claims.iter().any(|other| text(other, &["name"]) == name) {
            claims.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
    }
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else {
        return template;
    };
    pod.remove("subdomain");
    pod.remove("hostname");
    if claims.is_empty() {
        return template;
    }
    if let Some(volumes) = pod.entry("volumes").or_insert_with(|| json!([])).as_array_mut() {
        volumes.retain(|volume| !claims.iter().any(|claim| claim["name"] == volume["name"]));
        claims.append(volumes);
        *volumes = claims;
    }
    template
}

const FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

fn change(old: &Value, new: &Value, path: &Path) -> Option<Error> {
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
    (rest(old) != rest(new)).then(|| Error::forbidden(path, FIXED))
}
