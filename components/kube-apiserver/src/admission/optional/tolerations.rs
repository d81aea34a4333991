//! PodTolerationRestriction: which taints the pods of a namespace tolerate, and which they may.
use super::{namespace, plain};
use crate::admission::{Attributes, Operation};
use crate::server::Server;
use anyhow::{Context, bail};
use apimachinery::ApiError;
use apimachinery::field::Path;
use serde::Deserialize;
use serde_json::{Value, json};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// What the plugin is told, for namespaces that say nothing themselves.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerations {
    #[serde(default)]
    pub default: Vec<Value>,
    #[serde(default)]
    pub whitelist: Vec<Value>,
}

/// The fields of a toleration, to tell of one that has another type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only read to be checked")]
struct Toleration {
    key: Option<String>,
    operator: Option<String>,
    value: Option<String>,
    effect: Option<String>,
    toleration_seconds: Option<i64>,
}

impl Tolerations {
    /// What the plugin's configuration says, checked.
    pub fn read(told: Value) -> anyhow::Result<Self> {
        let told: Self = serde_json::from_value(told)?;
        let root = Path::new("podtolerationrestriction");
        let mut errors = Vec::new();
        for (field, list) in [("default", &told.default), ("whitelist", &told.whitelist)] {
            for (index, toleration) in list.iter().enumerate() {
                let path = root.child(field).index(index);
                let checked: Result<Toleration, _> = serde_json::from_value(toleration.clone());
                checked.with_context(|| path.to_string())?;
            }
            errors.extend(api::validate::configured_tolerations(list, &root.child(field)));
        }
        if errors.is_empty() {
            return Ok(told);
        }
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        bail!("invalid config: [{}]", errors.join(" "))
    }
}

/// Gives the pod what its namespace tolerates. Says whether the pod was changed.
pub async fn tolerate(
    server: &Server,
    attributes: &Attributes<'_>,
    pod: &mut Value,
) -> Result<bool, ApiError> {
    let namespace = namespace(server, &attributes.namespace).await?;
    let configuration = &server.admission.configuration.tolerations;
    let mut more = match attributes.operation {
        Operation::Create => {
            annotated(&namespace, DEFAULTS)?.unwrap_or_else(|| configuration.default.clone())
        }
        _ => Vec::new(),
    };
    if api::strategy::qos_class(&pod["spec"]) != "BestEffort" {
        more.push(json!({"key": MEMORY_PRESSURE, "operator": "Exists", "effect": "NoSchedule"}));
    }
    let changes = !more.is_empty();
    if changes {
        pod["spec"]["tolerations"] = Value::Array(merged([own(pod), &more].concat()));
    }
    allowed(configuration, &namespace, pod)?;
    Ok(changes)
}

/// Webhooks may have changed it.
pub async fn check(
    server: &Server,
    attributes: &Attributes<'_>,
    pod: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(pod) = pod else { return Ok(()) };
    let namespace = namespace(server, &attributes.namespace).await?;
    allowed(&server.admission.configuration.tolerations, &namespace, pod)
}

fn own(pod: &Value) -> &[Value] {
    pod["spec"]["tolerations"].as_array().map_or(&[], Vec::as_slice)
}

/// What an annotation of the namespace says; `None` without one.
fn annotated(namespace: &Value, key: &str) -> Result<Option<Vec<Value>>, ApiError> {
    match namespace["metadata"]["annotations"][key].as_str() {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => api::validate::tolerations_of_namespace(text)
            .map(Some)
            .map_err(plain),
    }
}

fn allowed(configuration: &Tolerations, namespace: &Value, pod: &Value) -> Result<(), ApiError> {
    let own = own(pod);
    if own.is_empty() {
        return Ok(());
    }
    let list = annotated(namespace, ALLOWED)?;
    let list = list.as_deref().unwrap_or(&configuration.whitelist);
    let fits = |toleration: &Value| list.iter().any(|allowed| covers(allowed, toleration));
    if list.is_empty() || own.iter().all(fits) {
        return Ok(());
    }
    Err(plain(
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist",
    ))
}

fn text<'a>(toleration: &'a Value, field: &str) -> &'a str {
    toleration[field].as_str().unwrap_or("")
}

/// The same toleration, whether a field is left out or empty.
fn same(a: &Value, b: &Value) -> bool {
    ["key", "operator", "value", "effect"]
        .iter()
        .all(|field| text(a, field) == text(b, field))
        && a["tolerationSeconds"].as_i64() == b["tolerationSeconds"].as_i64()
}

/// Whether whatever one tolerates, the wider one does too.
fn covers(wide: &Value, one: &Value) -> bool {
    if same(wide, one) {
        return true;
    }
    let every_key = text(wide, "key").is_empty() && text(wide, "operator") == "Exists";
    if text(wide, "key") != text(one, "key") && !every_key {
        return false;
    }
    if !matches!(text(wide, "effect"), "") && text(wide, "effect") != text(one, "effect") {
        return false;
    }
    if text(wide, "effect") == "NoExecute"
        && let Some(most) = wide["tolerationSeconds"].as_i64()
        && one["tolerationSeconds"]
            .as_i64()
            .is_none_or(|seconds| seconds > most)
    {
        return false;
    }
    match text(wide, "operator") {
        "Equal" | "" => text(one, "operator") == "Equal" && text(one, "value") == text(wide, "value"),
        operator => operator == "Exists",
    }
}

/// Those that no other covers, of equal ones the first.
fn merged(all: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let later = || {
            let mut others = all[index + 1..].iter().filter(|other| !same(toleration, other));
            others.any(|other| covers(other, toleration))
        };
        if !merged.iter().any(|other| covers(other, toleration)) && !later() {
            merged.push(toleration.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_toleration_covers_another() {
        let key = |effect: &str| json!({"key": "k", "operator": "Exists", "effect": effect});
        let seconds = |seconds: Value| json!({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let equal = |operator: &str, value: &str| json!({"key": "k", "operator": operator, "value": value});
        for (wide, one, want) in [
            (json!({"operator": "Exists"}), key("NoSchedule"), true),
            (key(""), key("NoSchedule"), true),
            (key("NoSchedule"), key(""), false),
            (key("NoExecute"), seconds(json!(5)), true),
            (seconds(json!(5)), key("NoExecute"), false),
            (seconds(json!(5)), seconds(json!(6)), false),
            (seconds(json!(5)), seconds(json!(4)), true),
            (equal("Equal", "a"), equal("Equal", "a"), true),
            (equal("", "a"), equal("Equal", "a"), true),
            (equal("Equal", "a"), equal("Equal", "b"), false),
            (equal("Exists", ""), equal("Equal", "b"), true),
            (json!({"key": "other", "operator": "Exists"}), key(""), false),
        ] {
            assert_eq!(covers(&wide, &one), want, "{wide} over {one}");
        }
    }

    #[test]
    fn configurations() {
        let operator =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        for (told, want) in [
            (json!({}), String::new()),
            (
                json!({"default": [{"key": "a", "value": "b"}], "whitelist": [{"operator": "Exists"}]}),
                String::new(),
            ),
            (
                json!({"default": [{"value": "b"}], "whitelist": [{"key": "a"}, {"key": "a", "operator": "Exists", "effect": "Odd"}]}),
                format!(
                    "invalid config: [podtolerationrestriction.default[0].operator: Invalid value: \"\": {operator} \
                     podtolerationrestriction.whitelist[1].effect: Unsupported value: \"Odd\": supported values: \
                     \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"]"
                ),
            ),
            (
                json!({"whitelist": [{"key": "a", "operator": "Gt", "value": "1"}]}),
                "invalid config: [podtolerationrestriction.whitelist[0].operator: Unsupported value: \"Gt\": supported \
                 values: \"Equal\", \"Exists\", \"Lt\", \"Gt\"]"
                    .to_owned(),
            ),
            (
                json!({"whitelist": [{"key": 5}]}),
                "podtolerationrestriction.whitelist[0]: invalid type: integer `5`, expected a string".to_owned(),
            ),
            (json!({"whitelist": ["a"]}), "podtolerationrestriction.whitelist[0]: ".to_owned()),
        ] {
            let found = Tolerations::read(told.clone()).err();
            let found = found.map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(found.starts_with(&want) && want.is_empty() == found.is_empty(), "{told}: {found}");
        }
    }

    #[test]
    fn what_is_covered_goes() {
        let all = vec![
            json!({"key": "a", "operator": "Exists", "effect": "NoSchedule"}),
            json!({"key": "b", "operator": "Equal", "value": "1"}),
            json!({"key": "a", "operator": "Exists"}),
            json!({"key": "b", "operator": "Equal", "value": "1", "effect": ""}),
        ];
        assert_eq!(merged(all.clone()), [all[1].clone(), all[2].clone()]);
        assert_eq!(merged(Vec::new()), Vec::<Value>::new());
    }
}
