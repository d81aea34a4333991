//! MutatingAdmissionWebhook: webhooks one after the other, each seeing what those before it changed.

use super::annotations::Turn;
use super::call::Question;
use super::hook::Hook;
use super::reinvocation::Reinvocation;
use super::rejection::{Failure, failed_closed};
use super::select;
use crate::admission::attributes::Attributes;
use crate::admission::matching::{Invocation, exempt};
use crate::admission::metrics::Phase;
use crate::admission::scope::Surroundings;
use crate::definitions::conversion;
use crate::kinds::{self, said::Misread};
use crate::server::Server;
use api::Registry;
use apimachinery::managed_fields::{Compact, Managers};
use apimachinery::{ApiError, Reason, meta, patch};
use serde_json::Value;
use std::time::Instant;

/// Lets every webhook that wants the request change its object. False when there is none.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    mut object: Option<&mut Compact>,
    old: Option<&Compact>,
    state: &mut Reinvocation,
) -> Result<bool, ApiError> {
    if exempt(attributes) {
        return Ok(false);
    }
    let webhooks = server.admission.webhooks.get(attributes).await?;
    if webhooks.mutating.is_empty() {
        return Ok(false);
    }
    let hooks = webhooks.mutating.all(attributes)?;
    let registry = server.registry.load_full();
    let mut surroundings = Surroundings::new(server, attributes, &registry);
    let deadline = attributes.request.deadline;
    state.enter(object.as_deref());
    for (index, hook) in hooks.iter().enumerate() {
        let found = select::invocation(hook, Phase::Admit, &surroundings, object.as_deref(), old).await?;
        let Some(invocation) = found.filter(|_| state.wants(&hook.id)) else {
            continue;
        };
        let turn = Turn {
            round: state.round(),
            index,
            configuration: &hook.configuration,
            webhook: &hook.name,
        };
        let outcome = one(&surroundings, hook, &invocation, object.as_deref(), old, deadline).await;
        let changed = matches!(&outcome, Ok(Some(patched)) if patched.changed);
        turn.called(attributes.request, changed);
        if changed {
            state.changed();
        }
        if hook.reinvocable {
            state.asked(&hook.id);
        }
        match outcome {
            Ok(Some(patched)) => {
                turn.patched(attributes.request, &patched.patch);
                if let Some(object) = object.as_deref_mut() {
                    let before = std::mem::replace(object, patched.object);
                    keep_managers(attributes, &before, object);
                    surroundings.object_changed();
                }
            }
            Ok(None) => {}
            Err(Failure::Calling { why, .. }) if hook.fails_open => {
                tracing::warn!(webhook = hook.name, why, "a webhook can't be asked, failing open");
                turn.failed_open(attributes.request, "mutating");
                if Instant::now() >= deadline {
                    return Err(ApiError::timeout(
                        "request did not complete within requested timeout",
                        0,
                    ));
                }
            }
            Err(Failure::Calling { why, .. }) => {
                tracing::warn!(
                    webhook = hook.name,
                    why,
                    "a webhook can't be asked, failing closed"
                );
                return Err(failed_closed(&hook.name, &why));
            }
            Err(Failure::Rejected(error) | Failure::Internal(error)) => return Err(error),
        }
    }
    state.leave(object.as_deref());
    Ok(true)
}

/// A webhook may change the managers of an object, as long as they can be read.
pub fn keep_managers(attributes: &Attributes<'_>, before: &Compact, object: &mut Compact) {
    let managers = meta::managed_fields(before);
    let now = meta::managed_fields(object);
    if managers == now {
        return;
    }
    let Some(fault) = Managers::fault(now) else {
        return;
    };
    attributes.request.warn(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating admission controller; please fix your requests: {fault}"
    ));
    meta::set(object, "managedFields", managers.to_vec());
}

/// An object that a webhook's patch was applied to.
struct Patched {
    /// In the request's version.
    object: Compact,
    changed: bool,
    patch: Vec<Value>,
}

async fn one(
    surroundings: &Surroundings<'_>,
    hook: &Hook,
    invocation: &Invocation,
    object: Option<&Compact>,
    old: Option<&Compact>,
    deadline: Instant,
) -> Result<Option<Patched>, Failure> {
    let versioned = surroundings
        .versioned(invocation, object, old)
        .await
        .map_err(Failure::Internal)?;
    let question = Question {
        hook,
        attributes: surroundings.attributes,
        invocation,
        object: versioned.object.as_deref(),
        old: versioned.old.as_deref(),
        phase: Phase::Admit,
        deadline,
    };
    let started = Instant::now();
    let outcome = match question.ask().await {
        Ok(verdict) if verdict.patch.is_empty() => Ok(None),
        Ok(verdict) => apply(hook, surroundings, invocation, question.object, verdict.patch)
            .await
            .map(Some),
        Err(failure) => Err(failure),
    };
    question.observe(
        &surroundings.server.metrics.admission,
        outcome.as_ref().err(),
        started.elapsed(),
    );
    outcome
}

async fn apply(
    hook: &Hook,
    surroundings: &Surroundings<'_>,
    invocation: &Invocation,
    object: Option<&Value>,
    patch: Vec<Value>,
) -> Result<Patched, Failure> {
    let internal = |why: String| Failure::Internal(ApiError::internal(why));
    let before = object.ok_or_else(|| {
        internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        ))
    })?;
    let mut object = before.clone();
    let operations = Value::Array(patch);
    patch::json::apply(&mut object, &operations).map_err(|error| internal(error.to_string()))?;
    complete(surroundings.registry, invocation, &mut object).map_err(Failure::Internal)?;
    let changed = object != *before;
    if changed && invocation.converted {
        object = conversion::between(
            surroundings.server,
            &invocation.row,
            &surroundings.attributes.row,
            object,
        )
        .await
        .map_err(Failure::Internal)?;
    }
    let Value::Array(patch) = operations else {
        return Err(internal("a patch is a list".to_owned()));
    };
    Ok(Patched {
        object: Compact::of(object),
        changed,
        patch,
    })
}

/// What a patch leaves is made an object of its kind: typed, with defaults, and without unknown fields if it is a built-in one.
fn complete(registry: &Registry, invocation: &Invocation, object: &mut Value) -> Result<(), ApiError> {
    let (row, kind) = (&invocation.row, &invocation.kind);
    if !kinds::is_own_custom(row, kind) {
        kinds::said::read(registry, row, kind, object).map_err(|error| match error {
            Misread::Unregistered { .. } => ApiError::internal(error),
            // Upstream converts only when all webhooks have been asked, and then says it without a reason.
            Misread::Unconvertible(why) => ApiError::new(500, Reason::Unknown, why, None),
        })?;
    }
    kinds::fit_admitted(row, kind, object).map_err(ApiError::internal)?;
    if *kind == row.gvk {
        kinds::default(row, object);
    }
    Ok(())
}
