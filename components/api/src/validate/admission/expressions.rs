use crate::expressions::{Names, Purpose, Variables, compile, environment};
use crate::value::{at, list, text};
use apimachinery::field::{Error, Path};
use serde_json::Value;

fn names(params: bool, authorizer: bool, patch_types: bool) -> Names {
    Names {
        params,
        authorizer,
        patch_types,
    }
}

/// A match condition that doesn't compile.
pub(super) fn condition(expression: &str, params: bool, path: &Path) -> Option<Error> {
    compile(
        expression,
        &environment(names(params, true, false)),
        Purpose::Condition,
    )
    .err()
    .map(|why| Error::invalid(path, expression, why))
}

/// The expressions of one policy, compiled as they come.
pub(super) struct PolicyExpressions {
    variables: Variables,
    params: bool,
}

impl PolicyExpressions {
    pub(super) fn new(spec: &Value, mutating: bool) -> Self {
        let params = at(spec, &["paramKind"]).is_object();
        let any = !list(spec, &["variables"]).is_empty();
        Self {
            variables: Variables::new(names(params, true, mutating), any),
            params,
        }
    }

    fn check(&self, owner: &Value, field: &str, purpose: Purpose, path: &Path) -> Option<Error> {
        let expression = text(owner, &[field]);
        if expression.trim().is_empty() {
            return None;
        }
        let outcome = if purpose == Purpose::Message {
            // A message is no place to ask for rights.
            let environment = self.variables.beside(names(self.params, false, false));
            compile(expression, &environment, purpose)
        } else {
            compile(expression, &self.variables.environment, purpose)
        };
        outcome
            .err()
            .map(|why| Error::invalid(&path.child(field), expression, why))
    }

    /// Takes in a variable; those after it may use it.
    pub(super) fn variable(&mut self, variable: &Value, path: &Path) -> Option<Error> {
        let expression = text(variable, &["expression"]);
        if expression.trim().is_empty() {
            return None;
        }
        self.variables
            .add(text(variable, &["name"]), expression)
            .err()
            .map(|why| Error::invalid(&path.child("expression"), expression, why))
    }

    pub(super) fn condition(&self, validation: &Value, path: &Path) -> Option<Error> {
        self.check(validation, "expression", Purpose::Condition, path)
    }

    pub(super) fn message(&self, validation: &Value, path: &Path) -> Option<Error> {
        self.check(validation, "messageExpression", Purpose::Message, path)
    }

    pub(super) fn audit_annotation(&self, annotation: &Value, path: &Path) -> Option<Error> {
        self.check(annotation, "valueExpression", Purpose::AuditAnnotation, path)
    }

    pub(super) fn mutation(&self, mutation: &Value, patch_type: &str, path: &Path) -> Option<Error> {
        let purpose = match patch_type {
            "JSONPatch" => Purpose::JsonPatch,
            _ => Purpose::ApplyConfiguration,
        };
        self.check(mutation, "expression", purpose, path)
    }
}
