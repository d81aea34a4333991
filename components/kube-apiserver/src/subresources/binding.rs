//! pods/binding and bindings: a pod gets its node.

use crate::admission::{self, Operation};
use crate::media;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::stores::{self, Failure};
use crate::verbs::body;
use crate::verbs::options;
use crate::verbs::target::{Target, check_key, outdated};
use api::Feature;
use apimachinery::field::{self, Error, Path};
use apimachinery::{ApiError, GroupResource, GroupVersionKind, Reason, meta, status};
use http::StatusCode;
use serde_json::{Value, json};
use storage::{Change, ObjectRef, Preconditions, StorageError};

pub async fn bind(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let options = options::write(request, "CreateOptions", false)?;
    let kind = GroupVersionKind::new("", "v1", "Binding");
    let mut binding = body::object(&target.row, &kind, request, &options)?;
    crate::metadata::ensure_namespace(&target.row, &target.namespace, &mut binding)?;
    let name = if target.name.is_empty() {
        meta::name(&binding).to_owned()
    } else {
        target.name.clone()
    };
    if meta::name(&binding) != name {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    let mut attributes = admission::Attributes::of_write(request, target, Operation::Create, &options);
    attributes.name.clone_from(&name);
    admission::mutate(server, &attributes, &mut binding, None).await?;
    check(&binding)?;
    admission::validate(server, &attributes, Some(&binding), None).await?;
    check_key(&name)?;
    let clears = target
        .row
        .features
        .has(Feature::ClearingNominatedNodeNameAfterBinding);
    assign(
        server,
        &target.namespace,
        &name,
        &binding,
        clears,
        options.dry_run,
    )
    .await?;
    let status = status::success(None);
    present::value(request, &kind, &accepted, StatusCode::CREATED, &status)
}

/// Upstream hands these errors on as they are, which makes them a 500.
fn check(binding: &Value) -> Result<(), ApiError> {
    let target_kind = binding["target"]["kind"].as_str().unwrap_or("");
    let path = Path::new("target");
    let mut errors = Vec::new();
    if !matches!(target_kind, "" | "Node") {
        errors.push(Error::not_supported(
            &path.child("kind"),
            target_kind,
            &["Node", "<empty>"],
        ));
    }
    if binding["target"]["name"].as_str().unwrap_or("").is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let message = field::aggregate(&errors);
    Err(ApiError::new(500, Reason::Unknown, message, None))
}

async fn assign(
    server: &Server,
    namespace: &str,
    name: &str,
    binding: &Value,
    clears: bool,
    dry_run: bool,
) -> Result<(), ApiError> {
    let pods = GroupResource::new("", "pods");
    let store = server
        .stores
        .named("", "pods")
        .ok_or_else(|| ApiError::internal("pods are not registered"))?;
    let pods_ref = &pods;
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Err(Failure::Api(ApiError::not_found(pods_ref, name)));
        };
        let mut pod = stores::parse(&current)?;
        place(name, binding, &mut pod)?;
        if clears {
            forget_nomination(&mut pod);
        }
        meta::remove(&mut pod, "resourceVersion");
        Ok(if dry_run {
            Change::Nothing
        } else {
            Change::Write {
                json: pod.to_string().into_bytes().into(),
                ttl: None,
            }
        })
    };
    let given = |field| {
        let text = meta::get(binding, field).and_then(Value::as_str).unwrap_or("");
        (!text.is_empty()).then(|| text.to_owned())
    };
    let preconditions = Preconditions {
        uid: given("uid"),
        resource_version: given("resourceVersion"),
    };
    match store
        .update::<_, _, Failure>(namespace, name, &preconditions, decide)
        .await
    {
        Ok(_) => Ok(()),
        Err(Failure::Storage(StorageError::PreconditionFailed { message, .. })) => {
            let why = outdated(&format!("/pods/{namespace}/{name}"), &message);
            Err(ApiError::conflict(&pods, name, &why))
        }
        Err(failure) => Err(failure.into_api_error(&pods, name)),
    }
}

/// Puts the node and the binding's annotations on the pod.
fn place(name: &str, binding: &Value, pod: &mut Value) -> Result<(), ApiError> {
    let conflict = |why: &str| ApiError::conflict(&GroupResource::new("", "pods/binding"), name, why);
    if meta::deletion_timestamp(pod).is_some() {
        return Err(conflict(&format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        )));
    }
    let assigned = pod["spec"]["nodeName"].as_str().unwrap_or("");
    if !assigned.is_empty() {
        return Err(conflict(&format!(
            "pod {name} is already assigned to node {assigned:?}"
        )));
    }
    if pod["spec"]["schedulingGates"]
        .as_array()
        .is_some_and(|gates| !gates.is_empty())
    {
        return Err(conflict(&format!(
            "pod {name} has non-empty .spec.schedulingGates"
        )));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    for (key, value) in meta::annotations(binding).into_iter().flatten() {
        meta::set_annotation(pod, key, value.as_str().unwrap_or(""));
    }
    for (key, value) in meta::labels(binding).into_iter().flatten() {
        meta::set_label(pod, key, value.as_str().unwrap_or(""));
    }
    set_scheduled(pod);
    Ok(())
}

/// A pod that has a node waits for no other.
fn forget_nomination(pod: &mut Value) {
    if let Some(status) = pod["status"].as_object_mut() {
        status.remove("nominatedNodeName");
    }
}

/// The condition keeps its place, and its time when it held before.
fn set_scheduled(pod: &mut Value) {
    let mut condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": apimachinery::time::format_time(jiff::Timestamp::now()),
    });
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    let Some(conditions) = pod["status"]["conditions"].as_array_mut() else {
        return;
    };
    let known = conditions
        .iter_mut()
        .find(|known| known["type"] == condition["type"]);
    match known {
        Some(known) => {
            if known["status"] == condition["status"] {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_placed_once_and_only_when_it_may_run() {
        let binding = json!({"metadata": {"annotations": {"a": "b"}}, "target": {"name": "n1"}});
        let mut pod =
            json!({"metadata": {"name": "p", "uid": "u"}, "spec": {}, "status": {"phase": "Pending"}});
        place("p", &binding, &mut pod).unwrap();
        assert_eq!(
            (pod["spec"]["nodeName"].as_str(), meta::annotation(&pod, "a")),
            (Some("n1"), Some("b"))
        );
        assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
        pod["status"]["nominatedNodeName"] = json!("n1");
        forget_nomination(&mut pod);
        assert!(pod["status"]["nominatedNodeName"].is_null());
        assert_eq!(place("p", &binding, &mut pod).unwrap_err().code(), 409);
        let mut gated = json!({"metadata": {}, "spec": {"schedulingGates": [{"name": "x"}]}});
        assert_eq!(place("p", &binding, &mut gated).unwrap_err().code(), 409);
        let waited = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        let mut pod =
            json!({"metadata": {}, "spec": {}, "status": {"conditions": [waited, {"type": "Ready"}]}});
        place("p", &binding, &mut pod).unwrap();
        let conditions = &pod["status"]["conditions"];
        assert_eq!(conditions[0]["status"], "True");
        assert_eq!(conditions[0].get("reason"), None);
        assert_eq!(conditions[1], json!({"type": "Ready"}));
    }
}
