//! MutatingAdmissionPolicy: every policy that is bound to the request, one after the other.

use super::apply::{Unmutated, mutated};
use super::failure::{Denial, failed};
use super::params;
use super::policy::{Binding, MutatingPolicy};
use crate::admission::attributes::Attributes;
use crate::admission::conditions::Evaluated;
use crate::admission::inputs::{self, Inputs, Rights};
use crate::admission::matching::{Invocation, policy_exempt};
use crate::admission::metrics::{Noted, Phase, PolicyOutcome};
use crate::admission::scope::Surroundings;
use crate::admission::webhooks::mutating::keep_managers;
use crate::admission::webhooks::reinvocation::Reinvocation;
use crate::definitions::conversion;
use crate::server::Server;
use apimachinery::ApiError;
use apimachinery::managed_fields::Compact;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Instant;

/// A policy to apply, with one binding and one parameter.
struct Application<'a> {
    policy: &'a MutatingPolicy,
    binding: &'a Binding,
    invocation: Invocation,
    params: Option<Value>,
    /// For [`Reinvocation`].
    id: String,
}

/// Lets every policy that is about the request change its object. What matches is decided before anything is
/// changed. False when there is none.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&mut Compact>,
    old: Option<&Compact>,
    state: &mut Reinvocation,
) -> Result<bool, ApiError> {
    if policy_exempt(attributes) {
        return Ok(false);
    }
    let policies = server.admission.policies.get(attributes).await?;
    if policies.mutating.is_empty() {
        return Ok(false);
    }
    let Some(object) = object else {
        return Ok(false);
    };
    let bound = policies.mutating.all(attributes)?;
    let registry = server.registry.load_full();
    let mut surroundings = Surroundings::new(server, attributes, &registry);
    let mut denials = Vec::new();
    let mut applications = Vec::new();
    for policy in bound {
        applicable(
            policy,
            &surroundings,
            object,
            old,
            &mut applications,
            &mut denials,
        )
        .await?;
    }
    state.enter(Some(object));
    for application in &applications {
        if !state.wants(&application.id) {
            continue;
        }
        let started = Instant::now();
        let applied = apply_one(application, &surroundings, object, old, &mut denials).await?;
        if applied == Applied::Changed {
            surroundings.object_changed();
            state.changed();
        }
        // What isn't about the request isn't asked again when others have changed the object.
        if applied != Applied::NotAbout && application.policy.reinvocable {
            state.asked(&application.id);
        }
        let outcome = PolicyOutcome {
            error_type: "no_error",
            action: "allow",
        };
        server.metrics.admission.policy(
            Phase::Admit,
            &application.policy.policy.name,
            &application.binding.name,
            outcome,
            started.elapsed(),
        );
    }
    state.leave(Some(object));
    if denials.is_empty() {
        Ok(true)
    } else {
        Err(failed(attributes, &denials))
    }
}

/// Where a policy can't be applied.
#[derive(Clone, Copy)]
enum Fault<'a> {
    /// The policy can't be used, or not with this binding.
    Configuration(Option<&'a Binding>),
    /// One of its expressions, or what it makes.
    Expression(&'a Binding),
}

fn deny(policy: &MutatingPolicy, fault: Fault<'_>, why: &str, denials: &mut Vec<Denial>) {
    if policy.policy.fails_open {
        tracing::debug!(
            policy = policy.policy.name,
            why,
            "a policy can't be applied, failing open"
        );
        return;
    }
    let (binding, message, reason) = match fault {
        Fault::Configuration(None) => (None, format!("failed to configure policy: {why}"), ""),
        Fault::Configuration(binding) => (binding, format!("failed to configure binding: {why}"), ""),
        Fault::Expression(binding) => (Some(binding), why.to_owned(), "Invalid"),
    };
    denials.push(Denial {
        policy: policy.policy.name.clone(),
        binding: binding.map(|binding| binding.name.clone()),
        message,
        reason: reason.to_owned(),
    });
}

async fn applicable<'a>(
    policy: &'a MutatingPolicy,
    surroundings: &Surroundings<'_>,
    object: &Compact,
    old: Option<&Compact>,
    applications: &mut Vec<Application<'a>>,
    denials: &mut Vec<Denial>,
) -> Result<(), ApiError> {
    let common = &policy.policy;
    let matched = surroundings.matched(&common.criteria, Some(object), old).await;
    let invocation = match matched {
        Ok(Some(invocation)) => invocation,
        Ok(None) => return Ok(()),
        Err(error) => {
            deny(policy, Fault::Configuration(None), error.message(), denials);
            return Ok(());
        }
    };
    let row = match params::kind(common, surroundings.registry) {
        Ok(row) => row,
        Err(why) => {
            deny(policy, Fault::Configuration(None), &why, denials);
            return Ok(());
        }
    };
    for binding in &common.bindings {
        match surroundings.matched(&binding.criteria, Some(object), old).await {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(error) => {
                deny(
                    policy,
                    Fault::Configuration(Some(binding)),
                    error.message(),
                    denials,
                );
                continue;
            }
        }
        let namespace = surroundings.attributes.seen_namespace();
        let found = match params::collect(surroundings.server, row, binding, namespace).await {
            Ok(found) => found,
            Err(why) => {
                deny(policy, Fault::Configuration(Some(binding)), &why, denials);
                continue;
            }
        };
        for (index, params) in found.into_iter().enumerate() {
            applications.push(Application {
                policy,
                binding,
                invocation: invocation.clone(),
                params,
                id: format!("{}/{}/{index}", common.name, binding.name),
            });
        }
    }
    Ok(())
}

/// What a policy has done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applied {
    /// Its conditions say that it isn't about this request, or can't be evaluated.
    NotAbout,
    Unchanged,
    Changed,
}

/// Applies the mutations of one policy.
async fn apply_one(
    application: &Application<'_>,
    surroundings: &Surroundings<'_>,
    object: &mut Compact,
    old: Option<&Compact>,
    denials: &mut Vec<Denial>,
) -> Result<Applied, ApiError> {
    let (policy, invocation) = (application.policy, &application.invocation);
    let attributes = surroundings.attributes;
    let namespace = surroundings.namespace_object().await?;
    let request = inputs::request(attributes, invocation);
    let rights = Rights::of(&surroundings.server.authorizer, attributes);
    let versioned = surroundings.versioned(invocation, Some(&*object), old).await?;
    let Some(mut current) = versioned.object.map(Cow::into_owned) else {
        return Ok(Applied::NotAbout);
    };
    let before = current.clone();
    let metrics = &surroundings.server.metrics.admission;
    let refuse = |why: String, denials: &mut Vec<Denial>| {
        deny(policy, Fault::Expression(application.binding), &why, denials);
    };
    let matched = {
        let inputs = Inputs {
            object: Some(&current),
            old: versioned.old.as_deref(),
            request: &request,
            namespace: namespace.as_ref(),
            params: application.params.as_ref(),
            rights: Some(&rights),
        };
        let noted = Noted {
            metrics,
            name: &policy.policy.name,
            kind: "policy",
            phase: Phase::Admit,
            operation: attributes.operation,
        };
        policy.policy.conditions.evaluate(&inputs, &noted)
    };
    match matched {
        Evaluated::Match => {}
        Evaluated::NoMatch => return Ok(Applied::NotAbout),
        Evaluated::Failed(why) => {
            refuse(why, denials);
            return Ok(Applied::NotAbout);
        }
    }
    for (kind, expression) in &policy.mutations {
        let inputs = Inputs {
            object: Some(&current),
            old: versioned.old.as_deref(),
            request: &request,
            namespace: namespace.as_ref(),
            params: application.params.as_ref(),
            rights: Some(&rights),
        };
        let registry = surroundings.registry;
        let made = mutated(
            &policy.policy,
            *kind,
            expression,
            &inputs,
            &current,
            registry,
            invocation,
        );
        match made {
            Ok(made) => current = made,
            Err(Unmutated::Policy(why)) => refuse(why, denials),
            Err(Unmutated::Refused(error)) => return Err(error),
        }
    }
    if current == before {
        return Ok(Applied::Unchanged);
    }
    let changed = Compact::of(if invocation.converted {
        conversion::between(surroundings.server, &invocation.row, &attributes.row, current).await?
    } else {
        current
    });
    let before = std::mem::replace(object, changed);
    keep_managers(attributes, &before, object);
    Ok(Applied::Changed)
}
