//! ValidatingAdmissionPolicy: every policy that is bound to the request.

use super::failure::{Denial, refused};
use super::params;
use super::policy::{Binding, ValidatingPolicy};
use super::validation::{Decision, Findings, evaluate};
use crate::admission::attributes::Attributes;
use crate::admission::inputs::{self, Inputs, Rights};
use crate::admission::matching::{Invocation, policy_exempt};
use crate::admission::metrics::{Noted, Phase, PolicyOutcome};
use crate::admission::scope::Surroundings;
use crate::server::Server;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, go};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Evaluates every policy that is about the request; the first refusal is the answer.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
) -> Result<(), ApiError> {
    if policy_exempt(attributes) {
        return Ok(());
    }
    let policies = server.admission.policies.get(attributes).await?;
    if policies.validating.is_empty() {
        return Ok(());
    }
    let bound = policies.validating.all(attributes)?;
    let registry = server.registry.load_full();
    let surroundings = Surroundings::new(server, attributes, &registry);
    let mut denials = Vec::new();
    for policy in bound {
        one(policy, &surroundings, object, old, &mut denials).await?;
    }
    match denials.first() {
        Some(denial) => Err(refused(attributes, denial)),
        None => Ok(()),
    }
}

async fn one(
    policy: &ValidatingPolicy,
    surroundings: &Surroundings<'_>,
    object: Option<&Compact>,
    old: Option<&Compact>,
    denials: &mut Vec<Denial>,
) -> Result<(), ApiError> {
    let common = &policy.policy;
    let unusable = |binding: Option<&Binding>, why: &str| Denial {
        policy: common.name.clone(),
        binding: binding.map(|binding| binding.name.clone()),
        message: match binding {
            None => format!("failed to configure policy: {why}"),
            Some(_) => format!("failed to configure binding: {why}"),
        },
        reason: String::new(),
    };
    let configure = |denial: Denial, denials: &mut Vec<Denial>| {
        if !common.fails_open {
            denials.push(denial);
        }
    };
    let invocation = match surroundings.matched(&common.criteria, object, old).await {
        Ok(Some(invocation)) => invocation,
        Ok(None) => return Ok(()),
        Err(error) => {
            configure(unusable(None, error.message()), denials);
            return Ok(());
        }
    };
    let param_row = match params::kind(common, surroundings.registry) {
        Ok(row) => row,
        Err(why) => {
            configure(unusable(None, &why), denials);
            return Ok(());
        }
    };
    let mut annotations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for binding in &common.bindings {
        match surroundings.matched(&binding.criteria, object, old).await {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(error) => {
                configure(unusable(Some(binding), error.message()), denials);
                continue;
            }
        }
        let namespace = surroundings.attributes.seen_namespace();
        match params::collect(surroundings.server, param_row, binding, namespace).await {
            Ok(found) => {
                for param in &found {
                    let started = Instant::now();
                    let findings =
                        evaluated(policy, surroundings, &invocation, object, old, param.as_ref()).await?;
                    if let Some(findings) = findings {
                        let act = Acting {
                            policy,
                            binding,
                            surroundings,
                            elapsed: started.elapsed(),
                        };
                        act.on(findings, denials, &mut annotations);
                    }
                }
            }
            Err(why) => configure(unusable(Some(binding), &why), denials),
        }
    }
    for (key, values) in annotations {
        let key = format!("{}/{key}", common.name);
        surroundings.attributes.request.annotate(key, values.join(", "));
    }
    Ok(())
}

async fn evaluated(
    policy: &ValidatingPolicy,
    surroundings: &Surroundings<'_>,
    invocation: &Invocation,
    object: Option<&Compact>,
    old: Option<&Compact>,
    params: Option<&Value>,
) -> Result<Option<Findings>, ApiError> {
    let versioned = surroundings.versioned(invocation, object, old).await?;
    let namespace = surroundings.namespace_object().await?;
    let attributes = surroundings.attributes;
    let request = inputs::request(attributes, invocation);
    let inputs = Inputs {
        object: versioned.object.as_deref(),
        old: versioned.old.as_deref(),
        request: &request,
        namespace: namespace.as_ref(),
        params,
        rights: Some(&Rights::of(&surroundings.server.authorizer, attributes)),
    };
    let noted = Noted {
        metrics: &surroundings.server.metrics.admission,
        name: &policy.policy.name,
        kind: "policy",
        phase: Phase::Validate,
        operation: attributes.operation,
    };
    Ok(evaluate(policy, &inputs, &noted))
}

/// A failed validation as the audit log has it, in upstream's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureNote<'a> {
    message: &'a str,
    policy: &'a str,
    binding: &'a str,
    expression_index: usize,
    validation_actions: &'a [String],
}

/// Doing what a binding wants done about a policy's findings.
struct Acting<'a> {
    policy: &'a ValidatingPolicy,
    binding: &'a Binding,
    surroundings: &'a Surroundings<'a>,
    elapsed: Duration,
}

impl Acting<'_> {
    fn on(
        &self,
        findings: Findings,
        denials: &mut Vec<Denial>,
        annotations: &mut BTreeMap<String, Vec<String>>,
    ) {
        for decision in findings.decisions {
            match decision {
                Decision::Admit => self.count("no_error", "allow"),
                Decision::Ignored => self.count("invalid_error", "allow"),
                Decision::Deny {
                    index,
                    message,
                    reason,
                    failed,
                } => self.refuse(index, message, reason, failed, denials),
            }
        }
        for message in findings.annotation_errors {
            denials.push(self.denial(message, String::new()));
        }
        for (key, value) in findings.annotations {
            let values = annotations.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }

    fn denial(&self, message: String, reason: String) -> Denial {
        Denial {
            policy: self.policy.policy.name.clone(),
            binding: Some(self.binding.name.clone()),
            message,
            reason,
        }
    }

    fn refuse(&self, index: usize, message: String, reason: String, failed: bool, denials: &mut Vec<Denial>) {
        let (policy, binding) = (&self.policy.policy.name, &self.binding.name);
        let request = self.surroundings.attributes.request;
        let error = if failed { "invalid_error" } else { "no_error" };
        for action in &self.binding.actions {
            match action.as_str() {
                "Deny" => {
                    denials.push(self.denial(message.clone(), reason.clone()));
                    self.count(error, "deny");
                }
                "Warn" => {
                    request.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
                    ));
                    self.count(error, "warn");
                }
                "Audit" => {
                    let failure = FailureNote {
                        message: &message,
                        policy,
                        binding,
                        expression_index: index,
                        validation_actions: &self.binding.actions,
                    };
                    request.annotate(
                        "validation.policy.admission.k8s.io/validation_failure".to_owned(),
                        go::json(&[failure]),
                    );
                    self.count(error, "audit");
                }
                _ => {}
            }
        }
    }

    fn count(&self, error_type: &'static str, action: &'static str) {
        self.surroundings.server.metrics.admission.policy(
            Phase::Validate,
            &self.policy.policy.name,
            &self.binding.name,
            PolicyOutcome { error_type, action },
            self.elapsed,
        );
    }
}
