//! ValidatingAdmissionWebhook: all webhooks at once; each may refuse.

use super::annotations::Turn;
use super::call::Question;
use super::hook::Hook;
use super::rejection::{Failure, failed_closed};
use super::select;
use crate::admission::attributes::Attributes;
use crate::admission::matching::{Invocation, exempt};
use crate::admission::metrics::Phase;
use crate::admission::scope::Surroundings;
use crate::server::Server;
use apimachinery::ApiError;
use apimachinery::managed_fields::Compact;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Instant;

/// Asks every webhook that wants the request.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<(), ApiError> {
    if exempt(attributes) {
        return Ok(());
    }
    let webhooks = server.admission.webhooks.get(attributes).await?;
    if webhooks.validating.is_empty() {
        return Ok(());
    }
    let hooks = webhooks.validating.all(attributes)?;
    let registry = server.registry.load_full();
    let surroundings = Surroundings::new(server, attributes, &registry);
    let mut relevant: Vec<(&Arc<Hook>, Invocation)> = Vec::new();
    for hook in hooks {
        if let Some(invocation) =
            select::invocation(hook, Phase::Validate, &surroundings, object, old).await?
        {
            relevant.push((hook, invocation));
        }
    }
    if relevant.is_empty() {
        return Ok(());
    }
    let deadline = attributes.request.deadline;
    let asked = relevant.iter().enumerate().map(|(index, (hook, invocation))| {
        one(&surroundings, index, hook, invocation, object, old, deadline)
    });
    // All are asked before any refusal counts, so that warnings and annotations don't depend on who is quick.
    join_all(asked).await.into_iter().collect()
}

async fn one(
    surroundings: &Surroundings<'_>,
    index: usize,
    hook: &Hook,
    invocation: &Invocation,
    object: Option<&Compact>,
    old: Option<&Compact>,
    deadline: Instant,
) -> Result<(), ApiError> {
    let versioned = surroundings.versioned(invocation, object, old).await?;
    let question = Question {
        hook,
        attributes: surroundings.attributes,
        invocation,
        object: versioned.object.as_deref(),
        old: versioned.old.as_deref(),
        phase: Phase::Validate,
        deadline,
    };
    let started = Instant::now();
    let failure = question.ask().await.err();
    question.observe(
        &surroundings.server.metrics.admission,
        failure.as_ref(),
        started.elapsed(),
    );
    match failure {
        None => Ok(()),
        Some(Failure::Calling { why, .. }) if hook.fails_open => {
            tracing::warn!(webhook = hook.name, why, "a webhook can't be asked, failing open");
            let turn = Turn {
                round: 0,
                index,
                configuration: &hook.configuration,
                webhook: &hook.name,
            };
            turn.failed_open(surroundings.attributes.request, "validating");
            Ok(())
        }
        Some(Failure::Calling { why, .. }) => {
            tracing::warn!(
                webhook = hook.name,
                why,
                "a webhook can't be asked, failing closed"
            );
            Err(failed_closed(&hook.name, &why))
        }
        Some(Failure::Rejected(error) | Failure::Internal(error)) => Err(error),
    }
}
