use crate::value::{Object, absent, is_zero, make, map_mut};
use serde_json::{Value, json};

/// Where the old version keeps metrics that it has no fields for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

/// Defaults of a HorizontalPodAutoscaler.
pub(crate) fn apply(version: &str, object: &mut Object) {
    let annotations = object
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations"));
    let metrics_in_annotation = annotations.is_some_and(|annotations| annotations.get(METRICS).is_some());
    let spec = make(object, "spec");
    absent(spec, "minReplicas", 1);
    if version == "v1" {
        if !metrics_in_annotation {
            absent(spec, "targetCPUUtilizationPercentage", 80);
        }
        return;
    }
    if is_zero(spec.get("metrics")) {
        spec.insert("metrics".into(), json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]));
    }
    let Some(behavior) = map_mut(spec, "behavior") else {
        return;
    };
    let up = make(behavior, "scaleUp");
    absent(up, "stabilizationWindowSeconds", 0);
    absent(up, "selectPolicy", "Max");
    if up.get("policies").is_none_or(Value::is_null) {
        up.insert("policies".into(), json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
    let down = make(behavior, "scaleDown");
    absent(down, "selectPolicy", "Max");
    if down.get("policies").is_none_or(Value::is_null) {
        down.insert(
            "policies".into(),
            json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
    }
}
