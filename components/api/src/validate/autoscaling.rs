//! Validation of HorizontalPodAutoscalers.
use super::shared::{maybe_one_of, one_of, texts};
use crate::features::{Feature, Features};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, meta, names};
use serde_json::Value;

/// Where the first version has metrics of other kinds.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

const SOURCES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

/// A new or changed autoscaler of either version.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
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
    ));
    if let Some(percent) = int(spec, &["targetCPUUtilizationPercentage"]).filter(|percent| *percent < 1) {
        // The old version's target is the first metric of the new one.
        let path = path
            .child("metrics")
            .index(0)
            .child("resource.target.averageUtilization");
        errors.push(Error::invalid(&path, percent, "must be greater than 0"));
    }
    for (index, metric) in list(spec, &["metrics"]).iter().enumerate() {
        errors.extend(self::metric(metric, &path.child("metrics").index(index)));
    }
    let wakes = |metric: &Value| matches!(text(metric, &["type"]), "Object" | "External");
    let annotated = || {
        let text = meta::annotation(new, METRICS)?;
        serde_json::from_str::<Vec<Value>>(text).ok()
    };
    let metrics = list(spec, &["metrics"]);
    if minimum == Some(0) && !metrics.iter().chain(&annotated().unwrap_or_default()).any(wakes) {
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

fn reference(reference: &Value, path: &Path) -> ErrorList {
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
    match apimachinery::GroupVersion::parse(version) {
        Err(error) => errors.push(Error::invalid(
            &path.child("apiVersion"),
            version,
            error.to_string(),
        )),
        Ok(parsed)
            if parsed.group.is_empty()
                && !(parsed.version == "v1" && text(reference, &["kind"]) == "ReplicationController") =>
        {
            errors.push(Error::invalid(
                &path.child("apiVersion"),
                version,
                "apiVersion must specify API group",
            ));
        }
        Ok(_) => {}
    }
    errors
}

fn metric(metric: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let kind = text(metric, &["type"]);
    if kind.is_empty() {
        errors.push(Error::required(
            &path.child("type"),
            "must specify a metric source type",
        ));
    }
    errors.extend(one_of(&path.child("type"), at(metric, &["type"]), SOURCES));
    let field = match kind {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => {
            // Upstream says it again where it looks for the source.
            errors.extend(one_of(&path.child("type"), at(metric, &["type"]), SOURCES));
            return errors;
        }
    };
    let source = at(metric, &[field]);
    let (whole, path) = (path, path.child(field));
    if !source.is_object() {
        errors.push(Error::required(
            &path,
            "must populate information for the given metric source",
        ));
        return errors;
    }
    match field {
        "resource" | "containerResource" => {
            if text(source, &["name"]).is_empty() {
                errors.push(Error::required(
                    &path.child("name"),
                    "must specify a resource name",
                ));
            }
        }
        _ => {
            let name = text(source, &["metric", "name"]);
            if name.is_empty() {
                errors.push(Error::required(
                    &path.child("metric").child("name"),
                    "must specify a metric name",
                ));
            } else {
                errors.extend(texts(
                    &path.child("metric").child("name"),
                    name,
                    names::path_segment_name(name),
                ));
            }
            errors.extend(super::shared::label_selector(
                &path.child("metric.selector"),
                at(source, &["metric", "selector"]),
            ));
        }
    }
    if field == "object" {
        errors.extend(reference(
            at(source, &["describedObject"]),
            &path.child("describedObject"),
        ));
    }
    if field == "containerResource" && text(source, &["container"]).is_empty() {
        errors.push(Error::required(
            &path.child("container"),
            "must specify a container",
        ));
    }
    errors.extend(target(at(source, &["target"]), field, &path.child("target")));
    for other in FIELDS.iter().filter(|other| **other != field) {
        if at(metric, &[other]).is_object() {
            errors.push(Error::forbidden(
                &whole.child(other),
                "must populate the given metric source only",
            ));
        }
    }
    errors
}

/// Where each source is.
const FIELDS: [&str; 5] = ["object", "external", "pods", "resource", "containerResource"];

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
}
