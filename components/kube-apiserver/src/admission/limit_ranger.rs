//! LimitRanger: defaults and bounds of a namespace's limit ranges.

use super::{Attributes, Operation};
use crate::server::Server;
use api::quota::{Usage, amounts, spec_total};
use apimachinery::{ApiError, Quantity, meta};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

async fn ranges(server: &Server, attributes: &Attributes<'_>) -> Result<Vec<Arc<Value>>, ApiError> {
    let bounds = &server.admission.bounds;
    bounds.of(server, "limitranges", &attributes.namespace).await
}

/// Containers can't be changed but by a resize. What is going away may go as it is.
fn concerns(attributes: &Attributes<'_>, old: Option<&Value>) -> bool {
    let concerned = match (attributes.operation, attributes.subresource.as_str()) {
        (Operation::Create, "") => attributes.is("", "pods") || attributes.is("", "persistentvolumeclaims"),
        (Operation::Update, "") => attributes.is("", "persistentvolumeclaims"),
        (Operation::Update, "resize") => attributes.is("", "pods"),
        _ => false,
    };
    concerned && old.is_none_or(|old| meta::deletion_timestamp(old).is_none())
}

fn of_type<'r>(range: &'r Value, kind: &'static str) -> impl Iterator<Item = &'r Value> {
    items(&range["spec"], "limits")
        .iter()
        .filter(move |limit| limit["type"] == kind)
}

/// Fills in requests and limits that containers leave out.
pub async fn mutate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if !concerns(attributes, old) || !attributes.is("", "pods") {
        return Ok(());
    }
    for range in ranges(server, attributes).await? {
        fill_in(&range, object);
    }
    Ok(())
}

/// Fills in what one range has defaults for. The annotation tells of the last range that did.
fn fill_in(range: &Value, pod: &mut Value) {
    let mut defaults = [BTreeMap::new(), BTreeMap::new()];
    for limit in of_type(range, "Container") {
        for (defaults, field) in defaults.iter_mut().zip(["defaultRequest", "default"]) {
            let values = limit[field].as_object().into_iter().flatten();
            defaults.extend(values.map(|(name, value)| (name.as_str(), value)));
        }
    }
    let mut notes = Vec::new();
    for (list, label) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter(|one| one.is_object()) {
            for set in fill_in_container(&defaults, container) {
                let name = container["name"].as_str().unwrap_or("");
                notes.push(format!("{set} for {label} {name}"));
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        meta::set_annotation(pod, "kubernetes.io/limit-ranger", &note);
    }
}

/// What was set, one text for the requests and one for the limits.
fn fill_in_container(defaults: &[BTreeMap<&str, &Value>; 2], container: &mut Value) -> Vec<String> {
    let mut set = Vec::new();
    for (defaults, field, word) in [
        (&defaults[0], "requests", "request"),
        (&defaults[1], "limits", "limit"),
    ] {
        let missing: Vec<(&str, &Value)> = defaults
            .iter()
            .filter(|(name, _)| container["resources"][field].get(**name).is_none())
            .map(|(name, value)| (*name, *value))
            .collect();
        if missing.is_empty() {
            continue;
        }
        if !container["resources"].is_object() {
            container["resources"] = json!({});
        }
        if !container["resources"][field].is_object() {
            container["resources"][field] = Value::Object(Map::new());
        }
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        set.push(format!("{} {word}", names.join(", ")));
        for (name, value) in missing {
            container["resources"][field][name] = value.clone();
        }
    }
    set
}

/// Checks the bounds of one range after the other; the first that is broken is told of.
pub async fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object.filter(|_| concerns(attributes, old)) else {
        return Ok(());
    };
    let pod_level = server.has_feature("PodLevelResources");
    for range in ranges(server, attributes).await? {
        let problems = if attributes.is("", "pods") {
            broken_by_pod(&range, object, pod_level)
        } else {
            broken_by_claim(&range, object)
        };
        match problems.as_slice() {
            [] => {}
            [one] => return Err(attributes.forbidden(one)),
            many => return Err(attributes.forbidden(&format!("[{}]", many.join(", ")))),
        }
    }
    Ok(())
}

/// Containers often break a bound in the same words, which are told once.
fn once(problems: Vec<String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::with_capacity(problems.len());
    for problem in problems {
        if !told.contains(&problem) {
            told.push(problem);
        }
    }
    told
}

fn broken_by_pod(range: &Value, pod: &Value, pod_level: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for limit in items(&range["spec"], "limits") {
        if limit["type"] == "Container" {
            let containers = items(&pod["spec"], "containers").iter();
            for container in containers.chain(items(&pod["spec"], "initContainers")) {
                let given = Given {
                    requests: amounts(&container["resources"]["requests"]),
                    limits: amounts(&container["resources"]["limits"]),
                };
                given.check(limit, "Container", &mut problems);
            }
        } else if limit["type"] == "Pod" {
            let given = Given {
                requests: spec_total(pod, "requests", pod_level),
                limits: spec_total(pod, "limits", pod_level),
            };
            given.check(limit, "Pod", &mut problems);
        }
    }
    once(problems)
}

/// Claims only have requests, which are all that is bounded.
fn broken_by_claim(range: &Value, claim: &Value) -> Vec<String> {
    const KIND: &str = "PersistentVolumeClaim";
    let given = Given {
        requests: amounts(&claim["spec"]["resources"]["requests"]),
        limits: Usage::new(),
    };
    let mut problems = Vec::new();
    for limit in of_type(range, KIND) {
        given.least(limit, KIND, &mut problems);
        for (name, most) in amounts(&limit["max"]) {
            let usage = format!("maximum {name} usage per {KIND} is {most}");
            match given.requests.get(&name) {
                None => problems.push(format!("{usage}.  No request is specified")),
                Some(request) if exceeds(request, &most) => {
                    problems.push(format!("{usage}, but request is {request}"));
                }
                Some(_) => {}
            }
        }
    }
    once(problems)
}

/// Whether an amount is larger than another, in thousandths, or in whole numbers where those are too many.
fn exceeds(amount: &Quantity, other: &Quantity) -> bool {
    let whole = [amount, other].iter().any(|amount| amount.value() > MOST_MILLIS);
    if whole {
        amount.value() > other.value()
    } else {
        amount.millis() > other.millis()
    }
}

/// The largest number whose thousandths can be told.
const MOST_MILLIS: i64 = i64::MAX / 1000;

/// What is requested, and what is the most.
struct Given {
    requests: Usage,
    limits: Usage,
}

impl Given {
    fn check(&self, limit: &Value, kind: &str, problems: &mut Vec<String>) {
        self.least(limit, kind, problems);
        self.most(limit, kind, problems);
        self.ratio(limit, kind, problems);
    }

    fn least(&self, limit: &Value, kind: &str, problems: &mut Vec<String>) {
        for (name, least) in amounts(&limit["min"]) {
            let usage = format!("minimum {name} usage per {kind} is {least}");
            match (self.requests.get(&name), self.limits.get(&name)) {
                (None, _) => problems.push(format!("{usage}.  No request is specified")),
                (Some(request), _) if exceeds(&least, request) => {
                    problems.push(format!("{usage}, but request is {request}"));
                }
                (_, Some(limit)) if exceeds(&least, limit) => {
                    problems.push(format!("{usage}, but limit is {limit}"));
                }
                _ => {}
            }
        }
    }

    fn most(&self, limit: &Value, kind: &str, problems: &mut Vec<String>) {
        for (name, most) in amounts(&limit["max"]) {
            let usage = format!("maximum {name} usage per {kind} is {most}");
            match (self.limits.get(&name), self.requests.get(&name)) {
                (None, _) => problems.push(format!("{usage}.  No limit is specified")),
                (Some(limit), _) if exceeds(limit, &most) => {
                    problems.push(format!("{usage}, but limit is {limit}"));
                }
                (_, Some(request)) if exceeds(request, &most) => {
                    problems.push(format!("{usage}, but request is {request}"));
                }
                _ => {}
            }
        }
    }

    fn ratio(&self, limit: &Value, kind: &str, problems: &mut Vec<String>) {
        for (name, most) in amounts(&limit["maxLimitRequestRatio"]) {
            let usage = format!("{name} max limit to request ratio per {kind} is {most}");
            let said = |list: &Usage| list.get(&name).copied().filter(|amount| !amount.is_zero());
            match (said(&self.requests), said(&self.limits)) {
                (None, _) => problems.push(format!("{usage}, but no request is specified or request is 0")),
                (_, None) => problems.push(format!("{usage}, but no limit is specified or limit is 0")),
                (Some(request), Some(limit)) => {
                    let found = ratio(&limit, &request);
                    if found * 1000.0 > most.millis() as f64 {
                        problems.push(format!("{usage}, but provided ratio is {found:.6}"));
                    }
                }
            }
        }
    }
}

fn ratio(limit: &Quantity, request: &Quantity) -> f64 {
    if limit.value().max(request.value()) > MOST_MILLIS {
        limit.value() as f64 / request.value() as f64
    } else {
        limit.millis() as f64 / request.millis() as f64
    }
}

#[cfg(test)]
mod tests;
