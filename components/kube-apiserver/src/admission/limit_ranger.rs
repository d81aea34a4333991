//! LimitRanger: defaults and bounds of a namespace's limit ranges.

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::{ApiError, Quantity, meta};
use serde_json::{Map, Value, json};

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn ranges(server: &Server, attributes: &Attributes<'_>) -> Vec<Value> {
    server
        .stores
        .cached_list("", "limitranges", Some(&attributes.namespace))
}

fn concerns(attributes: &Attributes<'_>) -> bool {
    let pods = attributes.is("", "pods") && attributes.operation == Operation::Create;
    let claims = attributes.is("", "persistentvolumeclaims")
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    attributes.subresource.is_empty() && (pods || claims)
}

/// Fills in requests and limits that containers leave out.
pub fn mutate(server: &Server, attributes: &Attributes<'_>, object: &mut Value) {
    if !concerns(attributes) || !attributes.is("", "pods") {
        return;
    }
    let mut notes = Vec::new();
    for range in ranges(server, attributes) {
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
                    let set = default_container(limit, container);
                    if !set.is_empty() {
                        notes.push(format!(
                            "{} for {label} {}",
                            set.join(", "),
                            container["name"].as_str().unwrap_or("")
                        ));
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
}

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
pub fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object.filter(|_| concerns(attributes)) else {
        return Ok(());
    };
    let mut problems = Vec::new();
    for range in ranges(server, attributes) {
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
    for (name, bound) in limit["min"].as_object().into_iter().flatten() {
        let Some(least) = amount(bound) else { continue };
        match requests.get(name) {
            None => problems.push(format!(
                "minimum {name} usage per {kind} is {}.  No request is specified",
                text(bound)
            )),
            Some(given) => {
                if amount(given).is_some_and(|given| given < least) {
                    problems.push(format!(
                        "minimum {name} usage per {kind} is {}, but request is {}",
                        text(bound),
                        text(given)
                    ));
                }
            }
        }
    }
    for (name, bound) in limit["max"].as_object().into_iter().flatten() {
        let Some(most) = amount(bound) else { continue };
        let subject = if kind == "PersistentVolumeClaim" {
            requests
        } else {
            limits
        };
        let word = if kind == "PersistentVolumeClaim" {
            "request"
        } else {
            "limit"
        };
        match subject.get(name) {
            None => problems.push(format!(
                "maximum {name} usage per {kind} is {}.  No {word} is specified",
                text(bound)
            )),
            Some(given) => {
                if amount(given).is_some_and(|given| given > most) {
                    problems.push(format!(
                        "maximum {name} usage per {kind} is {}, but {word} is {}",
                        text(bound),
                        text(given)
                    ));
                }
            }
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
