//! LimitRanger: defaults and bounds of a namespace's limit ranges.

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, Quantity, meta};
use serde_json::{Map, Value, json};
use std::sync::Arc;

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

async fn ranges(server: &Server, attributes: &Attributes<'_>) -> Result<Vec<Arc<Value>>, ApiError> {
    let bounds = &server.admission.bounds;
    bounds.of(server, "limitranges", &attributes.namespace).await
}

fn concerns(attributes: &Attributes<'_>) -> bool {
    let pods = attributes.is("", "pods") && attributes.operation == Operation::Create;
    let claims = attributes.is("", "persistentvolumeclaims")
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    attributes.subresource.is_empty() && (pods || claims)
}

/// Fills in requests and limits that containers leave out.
pub async fn mutate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &mut Value,
) -> Result<(), ApiError> {
    if !concerns(attributes) || !attributes.is("", "pods") {
        return Ok(());
    }
    let mut notes = Vec::new();
    for range in ranges(server, attributes).await? {
        for limit in items(&range["spec"], "limits")
            .iter()
            .filter(|limit| limit["type"] == "Container")
        {
            for (list, label) in [("containers", "container"), ("initContainers", "init container")] {
                for container in object["spec"]
                    .get_mut(list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    for set in default_container(limit, container) {
                        let name = container["name"].as_str().unwrap_or("");
                        notes.push(format!("{set} for {label} {name}"));
                    }
                }
            }
        }
    }
    if !notes.is_empty() {
        meta::set_annotation(
            object,
            "kubernetes.io/limit-ranger",
            &format!("LimitRanger plugin set: {}", notes.join("; ")),
        );
    }
    Ok(())
}

/// What was set, one text for the requests and one for the limits.
fn default_container(limit: &Value, container: &mut Value) -> Vec<String> {
    let mut set = Vec::new();
    for (field, defaults, word) in [
        ("requests", "defaultRequest", "request"),
        ("limits", "default", "limit"),
    ] {
        let mut names = Vec::new();
        for (name, value) in limit[defaults].as_object().into_iter().flatten() {
            if !container["resources"].is_object() {
                container["resources"] = json!({});
            }
            if !container["resources"][field].is_object() {
                container["resources"][field] = json!({});
            }
            // A limit that was given is also the request, unless one was given.
            if container["resources"][field].get(name).is_none() {
                let given = (field == "requests")
                    .then(|| container["resources"]["limits"].get(name).cloned())
                    .flatten();
                if given.is_none() {
                    names.push(name.clone());
                }
                container["resources"][field][name] = given.unwrap_or_else(|| value.clone());
            }
        }
        if !names.is_empty() {
            set.push(format!("{} {word}", names.join(", ")));
        }
    }
    if let Some(resources) = container["resources"].as_object_mut() {
        resources.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
    }
    set
}

/// Checks the bounds.
pub async fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object.filter(|_| concerns(attributes)) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for range in ranges(server, attributes).await? {
        for limit in items(&range["spec"], "limits") {
            match limit["type"].as_str().unwrap_or("") {
                "Container" if attributes.is("", "pods") => {
                    for container in items(&object["spec"], "containers")
                        .iter()
                        .chain(items(&object["spec"], "initContainers"))
                    {
                        bounds(
                            limit,
                            "Container",
                            &container["resources"]["requests"],
                            &container["resources"]["limits"],
                            &mut problems,
                        );
                    }
                }
                "Pod" if attributes.is("", "pods") => {
                    let (requests, limits) = (pod_total(object, "requests"), pod_total(object, "limits"));
                    bounds(limit, "Pod", &requests, &limits, &mut problems);
                }
                "PersistentVolumeClaim" if attributes.is("", "persistentvolumeclaims") => {
                    bounds(
                        limit,
                        "PersistentVolumeClaim",
                        &object["spec"]["resources"]["requests"],
                        &Value::Null,
                        &mut problems,
                    );
                }
                _ => {}
            }
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(attributes.forbidden(one)),
        many => Err(attributes.forbidden(&format!("[{}]", many.join(", ")))),
    }
}

fn bounds(limit: &Value, kind: &str, requests: &Value, limits: &Value, problems: &mut Vec<String>) {
    let each = |field: &str| {
        let bounds = limit[field].as_object().into_iter().flatten();
        bounds.filter_map(|(name, bound)| Some((name.as_str(), bound, amount(bound)?)))
    };
    let given = |values: &Value, name: &str| {
        let value = values.get(name)?;
        Some((amount(value)?, text(value)))
    };
    for (name, bound, least) in each("min") {
        let usage = format!("minimum {name} usage per {kind} is {}", text(bound));
        match (given(requests, name), given(limits, name)) {
            (None, _) => problems.push(format!("{usage}.  No request is specified")),
            (Some((request, shown)), _) if request < least => {
                problems.push(format!("{usage}, but request is {shown}"));
            }
            (_, Some((limit, shown))) if limit < least => {
                problems.push(format!("{usage}, but limit is {shown}"));
            }
            _ => {}
        }
    }
    for (name, bound, most) in each("max") {
        let usage = format!("maximum {name} usage per {kind} is {}", text(bound));
        // Claims have requests only.
        let (subject, word) = if kind == "PersistentVolumeClaim" {
            (requests, "request")
        } else {
            (limits, "limit")
        };
        match (given(subject, name), given(requests, name)) {
            (None, _) => problems.push(format!("{usage}.  No {word} is specified")),
            (Some((amount, shown)), _) if amount > most => {
                problems.push(format!("{usage}, but {word} is {shown}"));
            }
            (_, Some((request, shown))) if request > most => {
                problems.push(format!("{usage}, but request is {shown}"));
            }
            _ => {}
        }
    }
    for (name, bound, _) in each("maxLimitRequestRatio") {
        let usage = format!("{name} max limit to request ratio per {kind} is {}", text(bound));
        let number = |values: &Value| {
            given(values, name)
                .map(|(amount, _)| amount.millis() as f64)
                .filter(|n| *n > 0.0)
        };
        match (number(requests), number(limits), amount(bound)) {
            (None, _, _) => problems.push(format!("{usage}, but no request is specified or request is 0")),
            (_, None, _) => problems.push(format!("{usage}, but no limit is specified or limit is 0")),
            (Some(request), Some(limit), Some(most)) if limit / request > most.millis() as f64 / 1000.0 => {
                problems.push(format!("{usage}, but provided ratio is {:.6}", limit / request));
            }
            _ => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Sum over the containers; of init containers the largest counts.
pub fn pod_total(pod: &Value, field: &str) -> Value {
    let mut total: Map<String, Value> = Map::new();
    for container in items(&pod["spec"], "containers") {
        for (name, value) in container["resources"][field].as_object().into_iter().flatten() {
            let sum = match (total.get(name).and_then(amount), amount(value)) {
                (Some(a), Some(b)) => a + b,
                (None, Some(b)) => b,
                _ => continue,
            };
            total.insert(name.clone(), json!(sum.to_string()));
        }
    }
    for container in items(&pod["spec"], "initContainers") {
        for (name, value) in container["resources"][field].as_object().into_iter().flatten() {
            let larger = match (total.get(name).and_then(amount), amount(value)) {
                (Some(a), Some(b)) => b > a,
                (None, Some(_)) => true,
                _ => false,
            };
            if larger {
                total.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_on_both_sides_and_their_ratio() {
        let limit =
            json!({"min": {"cpu": "100m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "4"}});
        for (requests, limits, expected) in [
            (json!({"cpu": "500m"}), json!({"cpu": "2"}), vec![]),
            (
                json!({"cpu": "50m"}),
                json!({"cpu": "100m"}),
                vec!["minimum cpu usage per Container is 100m, but request is 50m"],
            ),
            (
                json!({"cpu": "1"}),
                json!({"cpu": "3"}),
                vec!["maximum cpu usage per Container is 2, but limit is 3"],
            ),
            (
                json!({"cpu": "200m"}),
                json!({"cpu": "2"}),
                vec!["cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000"],
            ),
            (
                json!({}),
                json!({}),
                vec![
                    "minimum cpu usage per Container is 100m.  No request is specified",
                    "maximum cpu usage per Container is 2.  No limit is specified",
                    "cpu max limit to request ratio per Container is 4, but no request is specified or request is 0",
                ],
            ),
        ] {
            let mut problems = Vec::new();
            bounds(&limit, "Container", &requests, &limits, &mut problems);
            assert_eq!(problems, expected);
        }
    }

    #[test]
    fn defaults_and_totals() {
        let limit = json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}});
        let mut container = json!({"name": "c", "resources": {"limits": {"cpu": "2"}}});
        default_container(&limit, &mut container);
        assert_eq!(
            container["resources"],
            json!({"limits": {"cpu": "2"}, "requests": {"cpu": "2"}})
        );
        let mut bare = json!({"name": "c"});
        assert_eq!(default_container(&limit, &mut bare), ["cpu request", "cpu limit"]);
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {"requests": {"cpu": "200m"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        assert_eq!(pod_total(&pod, "requests")["cpu"], "1");
    }
}
