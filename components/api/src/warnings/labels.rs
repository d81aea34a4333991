//! Labels of nodes that are no longer to be used (pkg/api/node/util.go).
use crate::value::{list, object, text};
use apimachinery::names;
use serde_json::Value;

/// What to use instead of a label that is deprecated.
pub(super) fn deprecated(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => r#"use "node-role.kubernetes.io/control-plane" instead"#,
        _ => return None,
    })
}

/// Deprecated keys of a map of labels.
pub(super) fn keys<'a>(holder: &'a Value, field: &[&str]) -> impl Iterator<Item = (&'a str, &'static str)> {
    object(holder, field)
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .filter_map(|key| Some((key.as_str(), deprecated(key)?)))
}

/// A term that selects nodes. Values that can be no labels are told where validation lets them through.
pub(super) fn term(term: &Value, with_values: bool, path: &str, warnings: &mut Vec<String>) {
    for (index, expression) in list(term, &["matchExpressions"]).iter().enumerate() {
        let key = text(expression, &["key"]);
        if let Some(message) = deprecated(key) {
            warnings.push(format!(
                "{path}.matchExpressions[{index}].key: {key} is {message}"
            ));
        }
        let values = list(expression, &["values"]).iter().filter_map(Value::as_str);
        for (value_index, value) in values.enumerate().filter(|_| with_values) {
            for message in names::label_value(value) {
                warnings.push(format!(
                    "{path}.matchExpressions[{index}].values[{value_index}]: {value} is invalid, {message}"
                ));
            }
        }
    }
}

/// A LabelSelector that selects nodes.
pub(super) fn selector(selector: &Value, path: &str, warnings: &mut Vec<String>) {
    term(selector, false, path, warnings);
    for (key, message) in keys(selector, &["matchLabels"]) {
        warnings.push(format!("{path}.matchLabels.{key}: {message}"));
    }
}
