//! autoscaling/v1 autoscalers, which are stored as v2. What v1 has no field for travels in annotations, in upstream's form
//! (pkg/apis/autoscaling/v1/conversion.go).

mod behavior;
mod metrics;
mod text;

use apimachinery::meta;
use serde_json::{Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
/// Where v1 has how an autoscaler behaves.
pub(crate) const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const STATUSES: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// Takes out the annotations that a conversion makes: those that a client sends to the stored version say nothing.
pub fn drop_annotations(object: &mut Value) {
    for key in [METRICS, BEHAVIOR, STATUSES, CONDITIONS] {
        take_annotation(object, key);
    }
}

/// Whether a v1 autoscaler says something in annotations.
pub(crate) fn has_annotations(object: &Value) -> bool {
    meta::annotations(object).is_some_and(|annotations| {
        [METRICS, BEHAVIOR, STATUSES, CONDITIONS]
            .iter()
            .any(|key| annotations.contains_key(*key))
    })
}

/// The stored form as v1.
pub fn from_v2(object: &mut Value) {
    drop_annotations(object);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let metrics = spec.remove("metrics");
    let metrics = metrics
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let behavior = spec.remove("behavior").filter(Value::is_object);
    let utilization = |metric: &Value| metric["resource"]["target"]["averageUtilization"].as_i64();
    // Only the first metric of processors is looked at.
    if let Some(percentage) = metrics.iter().find(|metric| is_cpu(metric)).and_then(utilization) {
        spec.insert("targetCPUUtilizationPercentage".to_owned(), json!(percentage));
    }
    let others: Vec<String> = metrics
        .iter()
        .filter(|metric| !(is_cpu(metric) && utilization(metric).is_some()))
        .map(metrics::to_v1)
        .collect();
    if !others.is_empty() {
        meta::set_annotation(object, METRICS, &text::list(&others));
    }
    if let Some(behavior) = behavior {
        meta::set_annotation(object, BEHAVIOR, &behavior::to_internal(&behavior));
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let current = status.remove("currentMetrics");
    let current = current
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let conditions = status.remove("conditions");
    let conditions = conditions
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let cpu = current.iter().find(|metric| is_cpu(metric));
    if let Some(percentage) =
        cpu.and_then(|metric| metric["resource"]["current"]["averageUtilization"].as_i64())
    {
        status.insert("currentCPUUtilizationPercentage".to_owned(), json!(percentage));
    }
    for field in ["currentReplicas", "desiredReplicas"] {
        status.entry(field).or_insert_with(|| json!(0));
    }
    if !current.is_empty() {
        let statuses: Vec<String> = current.iter().map(metrics::status_to_v1).collect();
        meta::set_annotation(object, STATUSES, &text::list(&statuses));
    }
    if !conditions.is_empty() {
        let conditions: Vec<String> = conditions.iter().map(text::condition).collect();
        meta::set_annotation(object, CONDITIONS, &text::list(&conditions));
    }
}

fn take_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let annotations = object
        .get_mut("metadata")?
        .get_mut("annotations")?
        .as_object_mut()?;
    let text = annotations.remove(key)?;
    if annotations.is_empty() {
        meta::remove(object, "annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

/// A list in an annotation, each of whose items can be read; one that can't makes it say nothing.
fn read_list(said: Option<Value>, read: fn(&Value) -> Option<Value>) -> Vec<Value> {
    let items = said
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    items.iter().map(read).collect::<Option<_>>().unwrap_or_default()
}

/// v1 as the stored form.
pub fn to_v2(object: &mut Value) {
    let mut metrics = read_list(take_annotation(object, METRICS), metrics::to_v2);
    let behavior = take_annotation(object, BEHAVIOR);
    let statuses = read_list(take_annotation(object, STATUSES), metrics::status_to_v2);
    let conditions = read_list(take_annotation(object, CONDITIONS), text::read_condition);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(percentage) = spec
        .remove("targetCPUUtilizationPercentage")
        .filter(|percentage| !percentage.is_null())
    {
        metrics.push(json!({
            "type": "Resource",
            "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percentage } },
        }));
    }
    if !metrics.is_empty() {
        spec.insert("metrics".to_owned(), Value::Array(metrics));
    }
    if let Some(behavior) = behavior.as_ref().and_then(behavior::from_internal) {
        spec.insert("behavior".to_owned(), behavior);
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else {
        return;
    };
    let current = status.remove("currentCPUUtilizationPercentage");
    let cpu = current.map(|percentage| {
        json!([{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": percentage, "averageValue": "0" } } }])
    });
    let list = if statuses.is_empty() {
        cpu.unwrap_or(Value::Null)
    } else {
        Value::Array(statuses)
    };
    status.insert("currentMetrics".to_owned(), list);
    if !conditions.is_empty() {
        status.insert("conditions".to_owned(), Value::Array(conditions));
    }
}

#[cfg(test)]
mod tests;
