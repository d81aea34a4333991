//! autoscaling/v1 autoscalers, which are stored as v2. What v1 has no field for travels in annotations.

use apimachinery::meta;
use serde_json::{Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// The stored form as v1.
pub(super) fn from_v2(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let metrics = spec
        .remove("metrics")
        .and_then(|metrics| metrics.as_array().cloned())
        .unwrap_or_default();
    let behavior = spec.remove("behavior");
    let utilization = |metric: &Value| {
        metric["resource"]["target"]["averageUtilization"]
            .as_i64()
            .filter(|_| is_cpu(metric))
    };
    let mut others = Vec::new();
    for metric in metrics {
        match utilization(&metric).filter(|_| !spec.contains_key("targetCPUUtilizationPercentage")) {
            Some(percentage) => {
                spec.insert("targetCPUUtilizationPercentage".to_owned(), json!(percentage));
            }
            None => others.push(metric),
        }
    }
    if !others.is_empty() {
        meta::set_annotation(object, METRICS, &Value::Array(others).to_string());
    }
    if let Some(behavior) = behavior {
        meta::set_annotation(object, BEHAVIOR, &behavior.to_string());
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let current = status.remove("currentMetrics");
    status.remove("conditions");
    let cpu = current
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|metric| is_cpu(metric));
    if let Some(percentage) =
        cpu.and_then(|metric| metric["resource"]["current"]["averageUtilization"].as_i64())
    {
        status.insert("currentCPUUtilizationPercentage".to_owned(), json!(percentage));
    }
    for field in ["currentReplicas", "desiredReplicas"] {
        status.entry(field).or_insert_with(|| json!(0));
    }
}

fn take_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let annotations = object
        .get_mut("metadata")?
        .get_mut("annotations")?
        .as_object_mut()?;
    let text = annotations.remove(key)?;
    let empty = annotations.is_empty();
    if empty {
        meta::remove(object, "annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

/// v1 as the stored form.
pub(super) fn to_v2(object: &mut Value) {
    let others = take_annotation(object, METRICS);
    let behavior = take_annotation(object, BEHAVIOR);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let mut metrics = Vec::new();
    if let Some(percentage) = spec.remove("targetCPUUtilizationPercentage") {
        metrics.push(json!({
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percentage } },
        }));
    }
    metrics.extend(
        others
            .and_then(|others| others.as_array().cloned())
            .unwrap_or_default(),
    );
    if !metrics.is_empty() {
        spec.insert("metrics".to_owned(), Value::Array(metrics));
    }
    if let Some(behavior) = behavior.filter(Value::is_object) {
        spec.insert("behavior".to_owned(), behavior);
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let current = status.remove("currentCPUUtilizationPercentage");
    let list = current.map(|percentage| {
        json!([{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": percentage, "averageValue": "0" } } }])
    });
    status.insert("currentMetrics".to_owned(), list.unwrap_or(Value::Null));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_lead_back() {
        let mut value =
            json!({"metadata": {}, "spec": {"maxReplicas": 4, "targetCPUUtilizationPercentage": 80}});
        to_v2(&mut value);
        assert_eq!(
            value["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
            80
        );
        value["spec"]["metrics"]
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "Pods"}));
        from_v2(&mut value);
        assert_eq!(value["spec"]["targetCPUUtilizationPercentage"], 80);
        to_v2(&mut value);
        assert_eq!(value["spec"]["metrics"].as_array().map(Vec::len), Some(2));
        assert!(meta::annotations(&value).is_none());
    }
}
