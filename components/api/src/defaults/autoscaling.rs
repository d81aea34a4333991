use crate::value::{Object, absent, is_zero, make, map_mut};
use serde_json::json;

/// Defaults of a HorizontalPodAutoscaler.
pub(super) fn apply(version: &str, object: &mut Object) {
    let spec = make(object, "spec");
    absent(spec, "minReplicas", 1);
    if version == "v1" {
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
    if is_zero(up.get("policies")) {
        up.insert("policies".into(), json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
    let down = make(behavior, "scaleDown");
    absent(down, "selectPolicy", "Max");
    if is_zero(down.get("policies")) {
        down.insert(
            "policies".into(),
            json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
    }
}
