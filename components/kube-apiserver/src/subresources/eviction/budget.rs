//! What a disruption budget says of the eviction of a pod.

use crate::server::Server;
use crate::stores::{self, Failure};
use crate::verbs::target::Target;
use apimachinery::managed_fields::Writer;
use apimachinery::selector::LabelSelector;
use apimachinery::status::{Cause, Details};
use apimachinery::{ApiError, GroupResource, Reason, meta};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions};

const GROUP: &str = "policy";
const PLURAL: &str = "poddisruptionbudgets";
/// Disruptions that may be granted and not yet be seen by the controller of budgets, upstream's.
const MOST_DISRUPTED: usize = 2000;

/// What allows an eviction.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No budget is about the pod.
    Unguarded,
    /// The budget of this name doesn't count the pod, which isn't ready.
    Unhealthy(String),
    /// One disruption was taken from a budget.
    Counted,
}

/// Takes a disruption from the budget that guards the pod, if one does.
pub async fn ask(server: &Server, target: &Target, pod: &Value, dry_run: bool) -> Result<Verdict, ApiError> {
    let budgets: Vec<Arc<Value>> = server
        .stores
        .newest_list(GROUP, PLURAL, &target.namespace)
        .await
        .map_err(ApiError::internal)?
        .into_iter()
        .filter(|budget| {
            let selector = LabelSelector::from_object(budget["spec"].get("selector"));
            selector.is_ok_and(|selector| selector.matches(meta::labels(pod)))
        })
        .collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(Verdict::Unguarded),
        [budget] => budget,
        _ => {
            const SEVERAL: &str = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::new(500, Reason::Unknown, SEVERAL, None));
        }
    };
    if !is_ready(pod) && lets_unhealthy_go(budget) {
        return Ok(Verdict::Unhealthy(meta::name(budget).to_owned()));
    }
    decrement(server, target, meta::name(budget), dry_run).await?;
    Ok(Verdict::Counted)
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn number(budget: &Value, field: &str) -> i64 {
    budget["status"][field].as_i64().unwrap_or(0)
}

/// Pods that aren't ready go where the budget always lets them, or where as many others are ready as should be.
fn lets_unhealthy_go(budget: &Value) -> bool {
    let desired = number(budget, "desiredHealthy");
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (number(budget, "currentHealthy") >= desired && desired > 0)
}

async fn decrement(server: &Server, target: &Target, budget: &str, dry_run: bool) -> Result<(), ApiError> {
    let resource = GroupResource::new(GROUP, PLURAL);
    let missing = || ApiError::internal("disruption budgets are not registered");
    let store = server.stores.named(GROUP, PLURAL).ok_or_else(missing)?;
    let registry = server.registry.load_full();
    let row = registry.resource(GROUP, "v1", PLURAL).ok_or_else(missing)?;
    let resource_of = &resource;
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Err(Failure::Api(ApiError::not_found(resource_of, budget)));
        };
        let old = stores::parse(&current)?;
        let mut new = old.clone();
        let now = apimachinery::time::format_time(jiff::Timestamp::now());
        one_less(&mut new, &target.name, &now).map_err(Failure::Api)?;
        if dry_run {
            return Ok(Change::Nothing);
        }
        // As upstream's server writes it, by a request to itself.
        let writer = Writer {
            manager: "kube-apiserver",
            subresource: "status",
            now: &now,
        };
        api::managed::track_whole(row, Some(&old), &mut new, writer);
        meta::remove(&mut new, "resourceVersion");
        Ok(Change::Write {
            json: new.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    store
        .update::<_, _, Failure>(&target.namespace, budget, &Preconditions::default(), decide)
        .await
        .map(|_| ())
        .map_err(|failure| failure.into_api_error(&resource, budget))
}

fn refused(message: String, retry_after_seconds: i32) -> ApiError {
    let details = Details {
        causes: vec![Cause {
            reason: "DisruptionBudget".to_owned(),
            message,
            field: String::new(),
        }],
        retry_after_seconds,
        ..Details::default()
    };
    ApiError::new(
        429,
        Reason::TooManyRequests,
        "Cannot evict pod as it would violate the pod's disruption budget.",
        Some(details),
    )
}

/// The budget's numbers are older than what is asked of it.
pub fn not_yet_known(budget: &str) -> ApiError {
    refused(
        format!("The disruption budget {budget} is still being processed by the server."),
        10,
    )
}

/// Takes one disruption from the budget for a pod.
fn one_less(budget: &mut Value, pod: &str, now: &str) -> Result<(), ApiError> {
    let name = meta::name(budget).to_owned();
    let forbidden =
        |why: &str| ApiError::forbidden(&GroupResource::new(GROUP, "poddisruptionbudget"), &name, why);
    if number(budget, "observedGeneration") < meta::generation(budget) {
        return Err(not_yet_known(&name));
    }
    let allowed = number(budget, "disruptionsAllowed");
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    let disrupted = budget["status"]["disruptedPods"].as_object();
    if disrupted.is_some_and(|disrupted| disrupted.len() > MOST_DISRUPTED) {
        return Err(forbidden(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        ));
    }
    if allowed == 0 {
        return Err(refused(why_not(budget, &name), 0));
    }
    budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
    if allowed == 1 {
        used_up(&mut budget["status"], now);
    }
    budget["status"]["disruptedPods"][pod] = json!(now);
    Ok(())
}

/// Why a budget allows nothing: its controller failed, too few pods are healthy, or what its controller says.
fn why_not(budget: &Value, name: &str) -> String {
    let conditions = budget["status"]["conditions"].as_array();
    let said = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "DisruptionAllowed" && condition["status"] == "False");
    let text = |field: &str| said.and_then(|said| said[field].as_str()).unwrap_or("");
    let (reason, message) = (text("reason"), text("message"));
    let (needs, has) = (number(budget, "desiredHealthy"), number(budget, "currentHealthy"));
    let refuses = format!("The disruption budget {name} does not allow evicting pods currently");
    match message {
        "" if has > needs => refuses,
        message if !message.is_empty() && reason == "SyncFailed" => {
            format!("{refuses} because it failed sync: {message}")
        }
        _ if has <= needs => {
            format!("The disruption budget {name} needs {needs} healthy pods and has {has} currently")
        }
        message => format!("{refuses} ({reason}): {message}"),
    }
}

/// The condition of a budget that allows no more.
fn used_up(status: &mut Value, now: &str) {
    let generation = status["observedGeneration"].as_i64().unwrap_or(0);
    let mut condition = json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "reason": "InsufficientPods",
        "message": "",
        "lastTransitionTime": now,
    });
    if generation != 0 {
        condition["observedGeneration"] = json!(generation);
    }
    let conditions = &mut status["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Value::Array(list) = conditions else {
        return;
    };
    match list.iter_mut().find(|known| known["type"] == "DisruptionAllowed") {
        Some(known) => {
            if known["status"] == "False" {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => list.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn a_budget_is_used_up() {
        let mut budget = json!({"metadata": {"name": "b", "generation": 1}, "status": {
            "observedGeneration": 1, "disruptionsAllowed": 2, "desiredHealthy": 1, "currentHealthy": 3,
            "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}]}});
        one_less(&mut budget, "p", NOW).unwrap();
        assert_eq!(budget["status"]["disruptedPods"], json!({"p": NOW}));
        assert_eq!(budget["status"]["conditions"][0]["status"], "True");
        one_less(&mut budget, "q", NOW).unwrap();
        assert_eq!(
            budget["status"]["conditions"],
            json!([{"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "",
                "observedGeneration": 1, "lastTransitionTime": NOW}])
        );
        assert_eq!(one_less(&mut budget, "r", NOW).unwrap_err().code(), 429);
    }

    #[test]
    fn budgets_refuse_in_upstreams_words() {
        let many: serde_json::Map<String, Value> = (0..=MOST_DISRUPTED)
            .map(|pod| (format!("p{pod}"), json!(NOW)))
            .collect();
        let violated = "Cannot evict pod as it would violate the pod's disruption budget.";
        for (status, code, message, cause, retry) in [
            (
                json!({"observedGeneration": 1, "disruptionsAllowed": 1}),
                429,
                violated,
                "The disruption budget b is still being processed by the server.",
                10,
            ),
            (
                json!({"observedGeneration": 2, "desiredHealthy": 3, "currentHealthy": 2}),
                429,
                violated,
                "The disruption budget b needs 3 healthy pods and has 2 currently",
                0,
            ),
            (
                json!({"observedGeneration": 2, "desiredHealthy": 3, "currentHealthy": 4}),
                429,
                violated,
                "The disruption budget b does not allow evicting pods currently",
                0,
            ),
            (
                json!({"observedGeneration": 2, "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}]}),
                429,
                violated,
                "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
                0,
            ),
            (
                json!({"observedGeneration": 2, "desiredHealthy": 3, "currentHealthy": 4, "conditions": [
                    {"type": "DisruptionAllowed", "status": "False", "reason": "R", "message": "m"}]}),
                429,
                violated,
                "The disruption budget b does not allow evicting pods currently (R): m",
                0,
            ),
            (
                json!({"observedGeneration": 2, "disruptionsAllowed": -1}),
                403,
                "poddisruptionbudget.policy \"b\" is forbidden: pdb disruptions allowed is negative",
                "",
                0,
            ),
            (
                json!({"observedGeneration": 2, "disruptedPods": many}),
                403,
                "poddisruptionbudget.policy \"b\" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB controller",
                "",
                0,
            ),
        ] {
            let mut budget = json!({"metadata": {"name": "b", "generation": 2}, "status": status});
            let error = one_less(&mut budget, "p", NOW).unwrap_err();
            assert_eq!((error.code(), error.message()), (code, message));
            let details = error.details().unwrap();
            let found = details.causes.first().map_or("", |cause| cause.message.as_str());
            assert_eq!((found, details.retry_after_seconds), (cause, retry));
        }
    }

    #[test]
    fn pods_that_are_not_ready_go_by_policy() {
        for (policy, current, desired, expected) in [
            (Value::Null, 2, 2, true),
            (Value::Null, 1, 2, false),
            (Value::Null, 0, 0, false),
            (json!("IfHealthyBudget"), 3, 2, true),
            (json!("IfHealthyBudget"), 1, 2, false),
            (json!("AlwaysAllow"), 0, 2, true),
        ] {
            let budget = json!({"spec": {"unhealthyPodEvictionPolicy": policy}, "status": {"currentHealthy": current, "desiredHealthy": desired}});
            assert_eq!(lets_unhealthy_go(&budget), expected, "{budget}");
        }
    }
}
