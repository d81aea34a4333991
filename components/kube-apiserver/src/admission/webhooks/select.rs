//! Whether a webhook is to be asked about a request.

use super::hook::Hook;
use crate::admission::conditions::Evaluated;
use crate::admission::inputs::{self, Inputs, Rights};
use crate::admission::matching::Invocation;
use crate::admission::metrics::{Noted, Phase};
use crate::admission::scope::Surroundings;
use apimachinery::ApiError;
use apimachinery::managed_fields::Compact;

/// The version in which the webhook gets the request; `None` when it isn't asked.
pub async fn invocation(
    hook: &Hook,
    phase: Phase,
    surroundings: &Surroundings<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<Option<Invocation>, ApiError> {
    let attributes = surroundings.attributes;
    let Some(found) = surroundings.matched(&hook.criteria, object, old).await? else {
        return Ok(None);
    };
    if hook.conditions.is_empty() {
        return Ok(Some(found));
    }
    let versioned = surroundings.versioned(&found, object, old).await?;
    let request = inputs::request(attributes, &found);
    let inputs = Inputs {
        object: versioned.object.as_deref(),
        old: versioned.old.as_deref(),
        request: &request,
        namespace: None,
        params: None,
        rights: Some(&Rights::of(&surroundings.server.authorizer, attributes)),
    };
    let noted = Noted {
        metrics: &surroundings.server.metrics.admission,
        name: &hook.name,
        kind: "webhook",
        phase,
        operation: attributes.operation,
    };
    match hook.conditions.evaluate(&inputs, &noted) {
        Evaluated::Match => Ok(Some(found)),
        Evaluated::NoMatch => Ok(None),
        Evaluated::Failed(why) => {
            tracing::warn!(
                webhook = hook.name,
                why,
                "match conditions can't be evaluated, failing closed"
            );
            Err(attributes.forbidden(&why))
        }
    }
}
