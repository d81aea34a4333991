use super::words::{age, name};
use crate::value::{at, int, list, text};
use apimachinery::GroupVersionKind;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Cells of a HorizontalPodAutoscaler of either version.
pub(super) fn cells(kind: &GroupVersionKind, value: &Value, now: Timestamp) -> Option<Vec<Value>> {
    if kind.group != "autoscaling" || kind.kind != "HorizontalPodAutoscaler" {
        return None;
    }
    let reference = format!(
        "{}/{}",
        text(value, &["spec", "scaleTargetRef", "kind"]),
        text(value, &["spec", "scaleTargetRef", "name"])
    );
    let targets = if kind.version == "v1" {
        utilization(value)
    } else {
        targets(value)
    };
    let minimum = int(value, &["spec", "minReplicas"])
        .map_or_else(|| "<unset>".to_owned(), |minimum| minimum.to_string());
    Some(vec![
        name(value),
        json!(reference),
        json!(targets),
        json!(minimum),
        json!(int(value, &["spec", "maxReplicas"]).unwrap_or(0)),
        json!(int(value, &["status", "currentReplicas"]).unwrap_or(0)),
        age(value, now),
    ])
}

fn percent(number: Option<i64>) -> String {
    number.map_or_else(|| "<unknown>".to_owned(), |number| format!("{number}%"))
}

fn utilization(value: &Value) -> String {
    match int(value, &["spec", "targetCPUUtilizationPercentage"]) {
        Some(target) => format!(
            "cpu: {}/{target}%",
            percent(int(value, &["status", "currentCPUUtilizationPercentage"]))
        ),
        None => "<none>".into(),
    }
}

fn targets(value: &Value) -> String {
    let metrics = list(value, &["spec", "metrics"]);
    if metrics.is_empty() {
        return "<none>".into();
    }
    let current = list(value, &["status", "currentMetrics"]);
    let shown: Vec<String> = metrics
        .iter()
        .take(2)
        .enumerate()
        .map(|(index, metric)| target(metric, current.get(index)))
        .collect();
    if metrics.len() > 2 {
        format!("{} + {} more...", shown.join(", "), metrics.len() - 2)
    } else {
        shown.join(", ")
    }
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    let source = match text(metric, &["type"]) {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".into(),
    };
    let wanted = at(metric, &[source, "target"]);
    let now = current.map_or(&Value::Null, |current| at(current, &[source, "current"]));
    let quantity = |value: &Value, field: &str| {
        Some(text(value, &[field]))
            .filter(|text| !text.is_empty())
            .unwrap_or("<unknown>")
            .to_owned()
    };
    let prefix = match source {
        "resource" | "containerResource" => format!("{}: ", text(metric, &[source, "name"])),
        _ => String::new(),
    };
    if let Some(target) = int(wanted, &["averageUtilization"]) {
        return format!("{prefix}{}/{target}%", percent(int(now, &["averageUtilization"])));
    }
    if wanted.get("averageValue").is_some() {
        let average = if source == "pods" || !prefix.is_empty() {
            ""
        } else {
            " (avg)"
        };
        return format!(
            "{prefix}{}/{}{average}",
            quantity(now, "averageValue"),
            quantity(wanted, "averageValue")
        );
    }
    format!("{prefix}{}/{}", quantity(now, "value"), quantity(wanted, "value"))
}
