//! Empties a node, as its budgets allow it: no new pods, the present ones evicted. What is evicted is decided purely.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::{Api, Refused, is_status};
use crate::ui::Ui;

const PAUSE: Duration = Duration::from_millis(500);

/// How far a drain goes.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub timeout: Duration,
    /// Also pods that no controller makes again.
    pub force: bool,
}

/// What a drain does with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Evict,
    /// It belongs to the node, or has ended.
    Stay,
    /// It would be lost.
    Refuse(String),
}

/// Decides over one pod.
pub fn fate(pod: &Value, force: bool) -> Fate {
    let metadata = &pod["metadata"];
    if metadata["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return Fate::Stay;
    }
    let controller = metadata["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true);
    if controller.is_some_and(|owner| owner["kind"] == "DaemonSet") {
        return Fate::Stay;
    }
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return Fate::Stay;
    }
    if controller.is_none() && !force {
        return Fate::Refuse(format!(
            "pod {} has no controller that would make it again; delete it, or drain with --force",
            name_of(pod)
        ));
    }
    Fate::Evict
}

fn name_of(pod: &Value) -> String {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

/// What the API server says against an eviction; it names the budget.
fn refusal(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Refused>() {
        Some(refused) if !refused.causes.is_empty() => refused.causes.join(", "),
        _ => format!("{error:#}"),
    }
}

/// Sets or takes away the mark that keeps new pods off a node; true when it changed.
pub fn cordon(api: &Api, node: &str, on: bool) -> anyhow::Result<bool> {
    let path = format!("/api/v1/nodes/{node}");
    let found = api
        .get(&path)
        .map_err(|error| match is_status(&error, StatusCode::NOT_FOUND) {
            true => anyhow::anyhow!("the cluster has no node {node}; hardway status lists them"),
            false => error,
        })?;
    let present = found["spec"]["unschedulable"].as_bool().unwrap_or_default();
    if present == on {
        return Ok(false);
    }
    let value = if on { json!(true) } else { Value::Null };
    api.patch(&path, &json!({ "spec": { "unschedulable": value } }))?;
    Ok(true)
}

/// Cordons a node and evicts its pods. When that fails, a node that was not cordoned before is not afterwards.
pub fn drain(api: &Api, node: &str, options: Options, ui: &Ui) -> anyhow::Result<()> {
    let cordoned = cordon(api, node, true)?;
    let drained = evict_all(api, node, options, ui);
    if drained.is_err() && cordoned {
        cordon(api, node, false).with_context(|| format!("{node} stays cordoned"))?;
    }
    drained
}

fn evict_all(api: &Api, node: &str, options: Options, ui: &Ui) -> anyhow::Result<()> {
    let deadline = Instant::now() + options.timeout;
    let mut held_up: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let pods = pods_on(api, node)?;
        let mut left = 0;
        for pod in &pods {
            match fate(pod, options.force) {
                Fate::Stay => continue,
                Fate::Refuse(reason) => anyhow::bail!(reason),
                Fate::Evict => left += 1,
            }
            let name = name_of(pod);
            if pod["metadata"]["deletionTimestamp"].is_string() {
                held_up.insert(name, "is stopping".to_owned());
                continue;
            }
            match evict(api, pod) {
                Ok(()) => {
                    ui.note(&format!("{node}: evicted {name}"));
                    held_up.insert(name, "is stopping".to_owned());
                }
                Err(error) if is_status(&error, StatusCode::TOO_MANY_REQUESTS) => {
                    let why = format!("may not go yet: {}", refusal(&error));
                    if held_up.get(&name) != Some(&why) {
                        ui.note(&format!("{node}: {name} {why}"));
                    }
                    held_up.insert(name, why);
                }
                Err(error) => return Err(error.context(format!("cannot evict {name}"))),
            }
        }
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let names: Vec<String> = pods.iter().map(name_of).collect();
            held_up.retain(|name, _| names.contains(name));
            let reasons: Vec<String> = held_up
                .iter()
                .map(|(name, why)| format!("{name} {why}"))
                .collect();
            anyhow::bail!(
                "{node} was not empty after {} s: {}",
                options.timeout.as_secs(),
                reasons.join("; ")
            );
        }
        std::thread::sleep(PAUSE);
    }
}

fn pods_on(api: &Api, node: &str) -> anyhow::Result<Vec<Value>> {
    let list = api.get(&format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"))?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn evict(api: &Api, pod: &Value) -> anyhow::Result<()> {
    let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/eviction",
        namespace.as_str().unwrap_or_default(),
        name.as_str().unwrap_or_default()
    );
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": { "name": name, "namespace": namespace },
    });
    match api.post(&path, &eviction) {
        Err(error) if is_status(&error, StatusCode::NOT_FOUND) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(metadata: Value, phase: &str) -> Value {
        let mut metadata = metadata;
        metadata["name"] = json!("p");
        metadata["namespace"] = json!("n");
        json!({ "metadata": metadata, "status": { "phase": phase } })
    }

    #[test]
    fn pods_that_belong_to_the_node_stay() {
        let owned = |kind: &str| json!({ "ownerReferences": [{ "kind": kind, "controller": true }] });
        let mirror = json!({ "annotations": { "kubernetes.io/config.mirror": "x" } });
        for (pod, force, want) in [
            (pod(owned("ReplicaSet"), "Running"), false, "evict"),
            (pod(owned("DaemonSet"), "Running"), true, "stay"),
            (pod(mirror, "Running"), true, "stay"),
            (pod(json!({}), "Succeeded"), false, "stay"),
            (pod(json!({}), "Running"), true, "evict"),
            (pod(json!({}), "Running"), false, "refuse"),
        ] {
            let found = match fate(&pod, force) {
                Fate::Evict => "evict",
                Fate::Stay => "stay",
                Fate::Refuse(_) => "refuse",
            };
            assert_eq!(found, want, "{pod}");
        }
    }
}
