//! One validating policy over one request with one parameter.

use super::evaluation::{Budget, LazyVariables, OUT_OF_BUDGET, Unevaluated, values};
use super::policy::{ValidatingPolicy, Validation};
use crate::admission::conditions::Evaluated;
use crate::admission::inputs::Inputs;
use crate::admission::metrics::Noted;
use cel::Value;

const MAX_MESSAGE: usize = 5 * 1024;
const MAX_ANNOTATION: usize = 10 * 1024;

/// What one validation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Admit,
    Deny {
        /// Position of the validation.
        index: usize,
        message: String,
        reason: String,
        /// It could not be evaluated.
        failed: bool,
    },
    /// It could not be evaluated, which is ignored.
    Ignored,
}

/// What a policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub decisions: Vec<Decision>,
    pub annotations: Vec<(String, String)>,
    /// Annotations that could not be made, which refuses the request whatever the binding's actions.
    pub annotation_errors: Vec<String>,
}

/// Evaluates everything.
pub fn evaluate(policy: &ValidatingPolicy, inputs: &Inputs<'_>, noted: &Noted<'_>) -> Option<Findings> {
    let fails_open = policy.policy.fails_open;
    let refuse = |why: String, index: usize| {
        if fails_open {
            Decision::Ignored
        } else {
            Decision::Deny {
                index,
                message: why,
                reason: String::new(),
                failed: true,
            }
        }
    };
    match policy.policy.conditions.evaluate(inputs, noted) {
        Evaluated::Match => {}
        Evaluated::NoMatch => return None,
        Evaluated::Failed(why) => {
            return Some(Findings {
                decisions: vec![refuse(why, 0)],
                ..Findings::default()
            });
        }
    }
    let variables = LazyVariables::new(&policy.policy.variables);
    let environment = &policy.policy.variables.environment;
    let full = values(inputs, environment, &variables);
    variables.bind(&full);
    // Messages and annotations can't ask for rights, not even by variables.
    let unprivileged = LazyVariables::new(&policy.policy.variables);
    let without_rights = Inputs {
        rights: None,
        ..*inputs
    };
    let told = if policy.tells() {
        values(&without_rights, environment, &unprivileged)
    } else {
        Vec::new()
    };
    unprivileged.bind(&told);
    let plain = if policy.tells() {
        values(&without_rights, &policy.plain, &unprivileged)
    } else {
        Vec::new()
    };
    let mut budget = Budget::default();
    let mut findings = Findings::default();
    for (index, validation) in policy.validations.iter().enumerate() {
        let outcome = budget.evaluate(&validation.expression, &full);
        let decision = match outcome {
            Ok(Value::Bool(true)) => Decision::Admit,
            Ok(_) => match message(validation, &plain, &mut budget) {
                Ok(message) => Decision::Deny {
                    index,
                    message,
                    reason: validation.reason.clone(),
                    failed: false,
                },
                Err(why) => refuse(why, index),
            },
            Err(Unevaluated {
                over_budget: true, ..
            }) => {
                findings.decisions = vec![refuse(OUT_OF_BUDGET.to_owned(), 0)];
                return Some(findings);
            }
            Err(failure) => refuse(failure.why, index),
        };
        findings.decisions.push(decision);
    }
    annotate(policy, &told, &mut findings);
    Some(findings)
}

/// The text for the client: that of the expression, the fixed one, or the failed expression itself.
fn message<'a>(
    validation: &'a Validation,
    values: &[Option<Value<'a>>],
    budget: &mut Budget,
) -> Result<String, String> {
    if let Some(expression) = &validation.message_expression {
        match budget.evaluate(expression, values) {
            Ok(value) => {
                let text = value.as_str().unwrap_or("").trim();
                if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                    return Ok(text.to_owned());
                }
            }
            Err(failure) if failure.over_budget => {
                return Err(format!("failed messageExpression: {}", failure.why));
            }
            Err(failure) => tracing::debug!(why = failure.why, "a messageExpression can't be evaluated"),
        }
    }
    if validation.message.is_empty() {
        Ok(format!(
            "failed expression: {}",
            validation.expression.text.trim()
        ))
    } else {
        Ok(validation.message.trim().to_owned())
    }
}

fn annotate<'a>(policy: &'a ValidatingPolicy, values: &[Option<Value<'a>>], findings: &mut Findings) {
    let mut budget = Budget::default();
    for (key, expression) in &policy.annotations {
        match budget.evaluate(expression, values) {
            Ok(Value::Null) => {}
            Ok(value) => {
                let text = value.as_str().unwrap_or("").trim();
                if !text.is_empty() {
                    findings.annotations.push((key.clone(), shortened(text)));
                }
            }
            Err(_) if policy.policy.fails_open => {}
            Err(failure) => findings.annotation_errors.push(failure.why),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_ANNOTATION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
