//! Validation of HorizontalPodAutoscalers.
use super::shared::{container_resource_name, maybe_one_of, one_of, texts};
use crate::autoscalers;
use crate::features::{Feature, Features};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::{Value, json};

const SOURCES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

/// A new or changed autoscaler of either version. One of the old version is looked at as it is stored.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let is_old = at(new, &["spec", "metrics"]).is_null()
        && (autoscalers::has_annotations(new)
            || !at(new, &["spec", "targetCPUUtilizationPercentage"]).is_null());
    if !is_old {
        return stored(old, new, features);
    }
    let mut converted = json!({ "metadata": at(new, &["metadata"]), "spec": at(new, &["spec"]) });
    autoscalers::to_v2(&mut converted);
    stored(old, &converted, features)
}

fn stored(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let mut errors = ErrorList::new();
    let minimum = int(spec, &["minReplicas"]);
    // What sleeps already may be changed whatever is on.
    let slept = old.is_some_and(|old| int(old, &["spec", "minReplicas"]) == Some(0));
    let least = i64::from(!(features.has(Feature::HPAScaleToZero) || slept));
    if let Some(minimum) = minimum.filter(|minimum| *minimum < least) {
        errors.push(Error::invalid(
            &path.child("minReplicas"),
            minimum,
            format!("must be greater than or equal to {least}"),
        ));
    }
    let maximum = int(spec, &["maxReplicas"]).unwrap_or(0);
    if maximum == 0 {
        errors.push(Error::required(
            &path.child("maxReplicas"),
            "must be set and greater than 0",
        ));
    } else if maximum < 1 {
        errors.push(Error::invalid(
            &path.child("maxReplicas"),
            maximum,
            "must be greater than or equal to 1",
        ));
    }
    if minimum.is_some_and(|minimum| maximum < minimum) {
        errors.push(Error::invalid(
            &path.child("maxReplicas"),
            maximum,
            "must be greater than or equal to `minReplicas`",
        ));
    }
    errors.extend(reference(
        at(spec, &["scaleTargetRef"]),
        &path.child("scaleTargetRef"),
        of_target(old, new),
    ));
    let versions = of_metrics(old);
    for (index, metric) in list(spec, &["metrics"]).iter().enumerate() {
        errors.extend(self::metric(
            metric,
            &path.child("metrics").index(index),
            versions,
        ));
    }
    let wakes = |metric: &Value| matches!(text(metric, &["type"]), "Object" | "External");
    let metrics = list(spec, &["metrics"]);
    if minimum == Some(0) && !metrics.iter().any(wakes) {
        errors.push(Error::forbidden(
            &path.child("metrics"),
            "must specify at least one Object or External metric to support scaling to zero replicas",
        ));
    }
    for direction in ["scaleUp", "scaleDown"] {
        if at(spec, &["behavior", direction]).is_object() {
            errors.extend(rules(
                at(spec, &["behavior", direction]),
                &path.child("behavior").child(direction),
            ));
        }
    }
    errors
}

/// What the version of a referenced object may be.
#[derive(Clone, Copy)]
enum Versions {
    /// Of a group.
    Grouped,
    /// Of a group or of the core.
    All,
    /// Whatever is there: it was so before.
    Unchecked,
}

/// Those of what is scaled: replication controllers are the only ones of the core.
fn of_target(old: Option<&Value>, new: &Value) -> Versions {
    let own = |of: &Value, field| text(of, &["spec", "scaleTargetRef", field]).to_owned();
    let same = |old: &Value| {
        ["apiVersion", "kind"]
            .iter()
            .all(|field| own(old, field) == own(new, field))
    };
    if old.is_some_and(same) {
        Versions::Unchecked
    } else if own(new, "kind") == "ReplicationController" {
        Versions::All
    } else {
        Versions::Grouped
    }
}

/// Those of objects that metrics are about.
fn of_metrics(old: Option<&Value>) -> Versions {
    let unreadable = |metric: &Value| {
        let version = text(metric, &["object", "describedObject", "apiVersion"]);
        apimachinery::GroupVersion::parse(version).is_err()
    };
    if old.is_some_and(|old| list(old, &["spec", "metrics"]).iter().any(unreadable)) {
        Versions::Unchecked
    } else {
        Versions::All
    }
}

fn reference(reference: &Value, path: &Path, versions: Versions) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["kind", "name"] {
        let value = text(reference, &[field]);
        if value.is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        } else {
            errors.extend(texts(&path.child(field), value, names::path_segment_name(value)));
        }
    }
    let version = text(reference, &["apiVersion"]);
    let why = match (versions, apimachinery::GroupVersion::parse(version)) {
        (Versions::Unchecked, _) => None,
        (_, Err(error)) => Some(error.to_string()),
        (Versions::Grouped, Ok(parsed)) if parsed.group.is_empty() => {
            Some("apiVersion must specify API group".to_owned())
        }
        (_, Ok(_)) => None,
    };
    errors.extend(why.map(|why| Error::invalid(&path.child("apiVersion"), version, why)));
    errors
}

fn metric(metric: &Value, path: &Path, versions: Versions) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(metric, &["type"]);
    let unknown = || one_of(&path.child("type"), at(metric, &["type"]), SOURCES);
    if kind.is_empty() {
        errors.push(Error::required(
            &path.child("type"),
            "must specify a metric source type",
        ));
    }
    errors.extend(unknown());
    // The first source that there is counts, whatever the type is.
    let given = FIELDS.map(|(_, field)| field).into_iter();
    let mut given: Vec<&str> = given.filter(|field| at(metric, &[field]).is_object()).collect();
    if let Some(field) = given.first() {
        errors.extend(source(at(metric, &[field]), field, &path.child(field), versions));
    }
    let wanted = FIELDS.iter().find(|(source, _)| *source == kind);
    match wanted {
        Some((_, field)) if !given.contains(field) => errors.push(Error::required(
            &path.child(field),
            "must populate information for the given metric source",
        )),
        Some(_) => {}
        // Upstream says it again where it looks for the source.
        None => errors.extend(unknown()),
    }
    if given.len() > 1 {
        given.retain(|field| wanted.is_none_or(|(_, wanted)| field != wanted));
        errors.extend(
            given.into_iter().map(|other| {
                Error::forbidden(&path.child(other), "must populate the given metric source only")
            }),
        );
    }
    errors
}

/// Each type of source, and where it is.
const FIELDS: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn source(source: &Value, field: &str, path: &Path, versions: Versions) -> ErrorList {
    let mut errors = ErrorList::new();
    if field == "object" {
        errors.extend(reference(
            at(source, &["describedObject"]),
            &path.child("describedObject"),
            versions,
        ));
    }
    match field {
        "resource" | "containerResource" => {
            let (name, path) = (text(source, &["name"]), path.child("name"));
            if name.is_empty() {
                errors.push(Error::required(&path, "must specify a resource name"));
            } else if field == "containerResource" {
                errors.extend(container_resource_name(&path, name));
            }
        }
        _ => errors.extend(identifier(at(source, &["metric"]), &path.child("metric"))),
    }
    if field == "containerResource" {
        let (name, path) = (text(source, &["container"]), path.child("container"));
        if name.is_empty() {
            errors.push(Error::required(&path, "must specify a container"));
        } else {
            errors.extend(texts(&path, name, names::dns1123_label(name)));
        }
    }
    errors.extend(target(at(source, &["target"]), field, &path.child("target")));
    errors
}

fn identifier(metric: &Value, path: &Path) -> ErrorList {
    let (name, name_path) = (text(metric, &["name"]), path.child("name"));
    let mut errors = if name.is_empty() {
        vec![Error::required(&name_path, "must specify a metric name")]
    } else {
        texts(&name_path, name, names::path_segment_name(name))
    };
    errors.extend(super::shared::label_selector(
        &path.child("selector"),
        at(metric, &["selector"]),
    ));
    errors
}

fn target(target: &Value, source: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(target, &["type"]);
    if kind.is_empty() {
        errors.push(Error::required(
            &path.child("type"),
            "must specify a metric target type",
        ));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        errors.push(Error::invalid(
            &path.child("type"),
            kind,
            "must be either Utilization, Value, or AverageValue",
        ));
    }
    for field in ["value", "averageValue"] {
        if let Ok(amount) = Quantity::from_json(at(target, &[field]))
            && amount.sign() != 1
        {
            errors.push(Error::invalid(
                &path.child(field),
                amount.to_string(),
                "must be positive",
            ));
        }
    }
    let utilization = int(target, &["averageUtilization"]);
    if let Some(utilization) = utilization.filter(|utilization| *utilization < 1) {
        errors.push(Error::invalid(
            &path.child("averageUtilization"),
            utilization,
            "must be greater than 0",
        ));
    }
    let set = |field: &str| !at(target, &[field]).is_null();
    match source {
        "resource" | "containerResource" if utilization.is_none() && !set("averageValue") => {
            errors.push(Error::required(
                &path.child("averageUtilization"),
                "must set either a target raw value or a target utilization",
            ))
        }
        "resource" | "containerResource" if utilization.is_some() && set("averageValue") => {
            errors.push(Error::forbidden(
                &path.child("averageValue"),
                "may not set both a target raw value and a target utilization",
            ))
        }
        "pods" if !set("averageValue") => errors.push(Error::required(
            &path.child("averageValue"),
            "must specify a positive target averageValue",
        )),
        "external" if set("value") && set("averageValue") => errors.push(Error::forbidden(
            &path.child("value"),
            "may not set both a target value for metric and a per-pod target",
        )),
        "external" if !set("value") && !set("averageValue") => errors.push(Error::required(
            &path.child("averageValue"),
            "must set either a target value for metric or a per-pod target",
        )),
        "object" if !set("value") && !set("averageValue") => errors.push(Error::required(
            &path.child("averageValue"),
            "must set either a target value or averageValue",
        )),
        _ => {}
    }
    errors
}

fn rules(rules: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(seconds) = int(rules, &["stabilizationWindowSeconds"]) {
        if seconds < 0 {
            errors.push(Error::invalid(
                &path.child("stabilizationWindowSeconds"),
                seconds,
                "must be greater than or equal to zero",
            ));
        }
        if seconds > 3600 {
            errors.push(Error::invalid(
                &path.child("stabilizationWindowSeconds"),
                seconds,
                "must be less than or equal to 3600",
            ));
        }
    }
    errors.extend(maybe_one_of(
        &path.child("selectPolicy"),
        at(rules, &["selectPolicy"]),
        &["Disabled", "Max", "Min"],
    ));
    if let Ok(tolerance) = Quantity::from_json(at(rules, &["tolerance"]))
        && tolerance.sign() < 0
    {
        errors.push(Error::invalid(
            &path.child("tolerance"),
            tolerance.to_string(),
            "must be greater than or equal to 0",
        ));
    }
    let policies = list(rules, &["policies"]);
    if policies.is_empty() {
        errors.push(Error::required(
            &path.child("policies"),
            "must specify at least one Policy",
        ));
    }
    for (index, policy) in policies.iter().enumerate() {
        let path = path.child("policies").index(index);
        errors.extend(one_of(
            &path.child("type"),
            at(policy, &["type"]),
            &["Percent", "Pods"],
        ));
        for field in ["value", "periodSeconds"] {
            let number = int(policy, &[field]).unwrap_or(0);
            if number <= 0 {
                errors.push(Error::invalid(
                    &path.child(field),
                    number,
                    "must be greater than zero",
                ));
            } else if field == "periodSeconds" && number > 1800 {
                errors.push(Error::invalid(
                    &path.child(field),
                    number,
                    "must be less than or equal to 1800",
                ));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_autoscaler_sleeps_with_the_feature_or_when_it_did() {
        let sleeping = json!({"spec": {
            "minReplicas": 0, "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "metrics": [{"type": "External", "external": {
                "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}
            }}],
        }});
        let with = |on| Features::default().with(Feature::HPAScaleToZero, on);
        let shown = |old: Option<&Value>, new: &Value, on| {
            let errors = check(old, new, with(on));
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(None, &sleeping, true), Vec::<String>::new());
        assert_eq!(shown(Some(&sleeping), &sleeping, false), Vec::<String>::new());
        let refused = "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1";
        assert_eq!(shown(None, &sleeping, false), [refused]);
        let mut blind = sleeping.clone();
        blind["spec"]["metrics"] = json!([]);
        let woken = "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas";
        assert_eq!(shown(None, &blind, true), [woken]);
        assert_eq!(shown(None, &blind, false), [refused, woken]);
    }

    #[test]
    fn the_first_source_counts() {
        let value = json!({"type": "Value", "averageValue": "1"});
        for (given, wanted) in [
            (
                json!({"type": "Pods", "resource": {"target": value}}),
                vec![
                    "metrics[0].resource.name: Required value: must specify a resource name",
                    "metrics[0].pods: Required value: must populate information for the given metric source",
                ],
            ),
            (
                json!({
                    "type": "Resource", "resource": {"target": value},
                    "pods": {"metric": {"name": "m"}, "target": value},
                }),
                vec!["metrics[0].pods: Forbidden: must populate the given metric source only"],
            ),
            (
                json!({
                    "type": "X", "resource": {"name": "cpu", "target": value},
                    "pods": {"metric": {"name": "m"}, "target": value},
                }),
                vec![
                    "metrics[0].type: Unsupported value: \"X\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
                    "metrics[0].type: Unsupported value: \"X\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
                    "metrics[0].pods: Forbidden: must populate the given metric source only",
                    "metrics[0].resource: Forbidden: must populate the given metric source only",
                ],
            ),
            (
                json!({"type": "ContainerResource", "containerResource": {
                    "name": "gpu", "container": "A", "target": value,
                }}),
                vec![
                    "metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource type or fully qualified",
                    "metrics[0].containerResource.name: Invalid value: \"gpu\": must be a standard resource for containers",
                    "metrics[0].containerResource.container: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                ],
            ),
        ] {
            let errors = metric(&given, &Path::new("metrics").index(0), Versions::All);
            let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(shown, wanted, "{given}");
        }
    }

    fn autoscaler(target: (&str, &str), described: &str) -> Value {
        let (kind, version) = target;
        let metric = json!({"type": "Object", "object": {"metric": {"name": "a"}, "target": {"type": "Value", "value": "1"},
            "describedObject": {"kind": "Service", "name": "y", "apiVersion": described}}});
        json!({"spec": {"maxReplicas": 5, "metrics": [metric],
            "scaleTargetRef": {"kind": kind, "name": "d", "apiVersion": version}}})
    }

    #[test]
    fn versions_of_referenced_objects() {
        let deployment = ("Deployment", "apps/v1");
        let (core, wrong) = (("Deployment", "v1"), ("Deployment", "a/b/c"));
        for (old, new, count) in [
            (None, autoscaler(deployment, "v1"), 0),
            (None, autoscaler(deployment, ""), 0),
            (None, autoscaler(deployment, "a/b/c"), 1),
            (None, autoscaler(core, "v1"), 1),
            (None, autoscaler(wrong, "v1"), 1),
            (None, autoscaler(("ReplicationController", ""), "v1"), 0),
            (None, autoscaler(("ReplicationController", "v1"), "v1"), 0),
            // What was there already is let through, as it is.
            (Some(autoscaler(wrong, "v1")), autoscaler(wrong, "v1"), 0),
            (Some(autoscaler(core, "v1")), autoscaler(wrong, "v1"), 1),
            (
                Some(autoscaler(deployment, "a/b/c")),
                autoscaler(deployment, "d/e/f"),
                0,
            ),
            (
                Some(autoscaler(deployment, "v1")),
                autoscaler(deployment, "d/e/f"),
                1,
            ),
        ] {
            let errors = stored(old.as_ref(), &new, Features::default());
            assert_eq!(errors.len(), count, "{new}: {errors:?}");
        }
    }
}
