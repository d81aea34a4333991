//! pods/eviction: deletion that disruption budgets may refuse.

use crate::admission::{self, Attributes, Operation};
use crate::answer;
use crate::media;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::stores::{self, Failure};
use crate::verbs::body;
use crate::verbs::delete::delete_one;
use crate::verbs::options::{self, DeleteOptions};
use crate::verbs::target::Target;
use apimachinery::selector::LabelSelector;
use apimachinery::status::{self, Cause, Details};
use apimachinery::{ApiError, GroupResource, GroupVersionKind, Reason, meta};
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions, StorageError, Updated};

const EVICTED: &str = "EvictionByEvictionAPI";

pub async fn evict(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let options = options::write(request, "CreateOptions", false)?;
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let mut eviction = body::object(&target.row, &kind, request, &options)?;
    if !meta::name(&eviction).is_empty() && meta::name(&eviction) != target.name {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let attributes = Attributes::of_write(request, target, Operation::Create, &options);
    admission::pass(server, &attributes, &mut eviction).await?;
    let body = eviction
        .get("deleteOptions")
        .filter(|options| options.is_object());
    let mut delete = DeleteOptions::read(request, Some(body.unwrap_or(&json!({}))))?;
    delete.dry_run |= options.dry_run;
    let pod = target
        .store
        .get(&target.namespace, &target.name, storage::RequestedRevision::Unset)
        .await
        .map_err(|error| target.error(error))?;
    let pod = stores::parse(&pod).map_err(ApiError::internal)?;
    if !evicts_freely(&pod) {
        take_disruption(server, target, &pod, delete.dry_run).await?;
        // Only the pod that was counted may go.
        delete
            .resource_version
            .get_or_insert_with(|| meta::resource_version(&pod).to_owned());
    }
    if !delete.dry_run {
        let marked = mark(target, &delete).await?;
        // The mark made a new version of the same pod.
        if delete.resource_version.is_some() {
            delete.resource_version = Some(marked);
        }
    }
    delete_one(server, target, &delete, None).await?;
    Ok(answer::value(
        StatusCode::CREATED,
        &status::success(None),
        &accepted,
    ))
}

/// Says in the pod's status that it is evicted, which jobs look at; returns the version that says so.
async fn mark(target: &Target, delete: &DeleteOptions) -> Result<String, ApiError> {
    let preconditions = Preconditions {
        uid: delete.uid.clone(),
        resource_version: delete.resource_version.clone(),
    };
    let decide = |current: Option<ObjectRef>| async move {
        let Some(mut pod) = current.as_ref().map(stores::parse).transpose()? else {
            return Ok(Change::Nothing);
        };
        let conditions = &mut pod["status"]["conditions"];
        if !set_evicted(conditions) {
            return Ok(Change::Nothing);
        }
        meta::remove(&mut pod, "resourceVersion");
        Ok::<Change, StorageError>(Change::Write {
            json: pod.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    let updated = target
        .store
        .update::<_, _, StorageError>(&target.namespace, &target.name, &preconditions, decide)
        .await
        .map_err(|error| target.error(error))?;
    match updated {
        Updated::Written(pod) | Updated::Unchanged(Some(pod)) => Ok(pod.revision().to_string()),
        _ => Err(ApiError::not_found(&target.row.group_resource(), &target.name)),
    }
}

/// False when they say so already.
fn set_evicted(conditions: &mut Value) -> bool {
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Value::Array(list) = conditions else {
        return false;
    };
    let known = list
        .iter()
        .position(|condition| condition["type"] == "DisruptionTarget");
    if known.is_some_and(|known| list[known]["status"] == "True" && list[known]["reason"] == EVICTED) {
        return false;
    }
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "reason": EVICTED,
        "message": "Eviction API: evicting",
        "lastProbeTime": null,
        "lastTransitionTime": apimachinery::time::format_time(jiff::Timestamp::now()),
    });
    match known {
        Some(known) => list[known] = condition,
        None => list.push(condition),
    }
    true
}

/// Finished, pending and terminating pods don't count for budgets.
fn evicts_freely(pod: &Value) -> bool {
    matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed" | "Pending")
    ) || meta::deletion_timestamp(pod).is_some()
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

async fn take_disruption(
    server: &Server,
    target: &Target,
    pod: &Value,
    dry_run: bool,
) -> Result<(), ApiError> {
    let budgets: Vec<Arc<Value>> = server
        .stores
        .newest_list("policy", "poddisruptionbudgets", &target.namespace)
        .await
        .map_err(ApiError::internal)?
        .into_iter()
        .filter(|budget| {
            let selector = LabelSelector::from_object(budget["spec"].get("selector"));
            selector.is_ok_and(|selector| selector.matches(meta::labels(pod)))
        })
        .collect();
    let [budget] = budgets.as_slice() else {
        if budgets.is_empty() {
            return Ok(());
        }
        return Err(ApiError::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    };
    let spec = &budget["spec"];
    if !is_ready(pod) {
        let status = &budget["status"];
        let healthy = status["currentHealthy"].as_i64().unwrap_or(0)
            >= status["desiredHealthy"].as_i64().unwrap_or(0)
            && status["desiredHealthy"].as_i64().unwrap_or(0) > 0;
        if spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow" || healthy {
            return Ok(());
        }
    }
    decrement(server, target, meta::name(budget), dry_run).await
}

async fn decrement(server: &Server, target: &Target, budget: &str, dry_run: bool) -> Result<(), ApiError> {
    let resource = GroupResource::new("policy", "poddisruptionbudgets");
    let store = server
        .stores
        .named("policy", "poddisruptionbudgets")
        .ok_or_else(|| ApiError::internal("disruption budgets are not registered"))?;
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok(Change::Nothing);
        };
        let mut object = stores::parse(&current)?;
        one_less(&mut object, &target.name).map_err(Failure::Api)?;
        meta::remove(&mut object, "resourceVersion");
        Ok(if dry_run {
            Change::Nothing
        } else {
            Change::Write {
                json: object.to_string().into_bytes().into(),
                ttl: None,
            }
        })
    };
    match store
        .update::<_, _, Failure>(&target.namespace, budget, &Preconditions::default(), decide)
        .await
    {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.into_api_error(&resource, budget)),
    }
}

/// Takes one disruption from the budget for a pod.
fn one_less(budget: &mut Value, pod: &str) -> Result<(), ApiError> {
    let name = meta::name(budget).to_owned();
    let status = budget["status"].clone();
    let refuse = |message: String| {
        let details = Details {
            causes: vec![Cause {
                reason: "DisruptionBudget".to_owned(),
                message,
                field: String::new(),
            }],
            ..Details::default()
        };
        Err(ApiError::new(
            429,
            Reason::TooManyRequests,
            "Cannot evict pod as it would violate the pod's disruption budget.",
            Some(details),
        ))
    };
    if status["observedGeneration"].as_i64().unwrap_or(0) < meta::generation(budget) {
        return refuse(format!(
            "The disruption budget {name} is still being processed by the server."
        ));
    }
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed <= 0 {
        let (needs, has) = (
            status["desiredHealthy"].as_i64().unwrap_or(0),
            status["currentHealthy"].as_i64().unwrap_or(0),
        );
        return refuse(format!(
            "The disruption budget {name} needs {needs} healthy pods and has {has} currently"
        ));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    budget["status"]["disruptedPods"][pod] = json!(apimachinery::time::format_time(jiff::Timestamp::now()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up() {
        let mut budget = json!({"metadata": {"name": "b", "generation": 1}, "status": {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 1, "currentHealthy": 2}});
        one_less(&mut budget, "p").unwrap();
        assert!(budget["status"]["disruptedPods"]["p"].is_string());
        assert_eq!(one_less(&mut budget, "q").unwrap_err().code(), 429);
    }
}
