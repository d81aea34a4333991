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
        // Mutations may name `variables` also where there are none.
        let any = mutating || !list(spec, &["variables"]).is_empty();
        Self {
            variables: Variables::new(names(params, true, mutating), any),
            params,
        }
    }

    fn check(&self, expression: &str, purpose: Purpose, path: &Path) -> Option<Error> {
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
        outcome.err().map(|why| Error::invalid(path, expression, why))
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
        let field = "expression";
        self.check(text(validation, &[field]), Purpose::Condition, &path.child(field))
    }

    pub(super) fn message(&self, validation: &Value, path: &Path) -> Option<Error> {
        let field = "messageExpression";
        self.check(text(validation, &[field]), Purpose::Message, &path.child(field))
    }

    /// Compiled without what is blank around it, and told with it.
    pub(super) fn audit_annotation(&self, annotation: &Value, path: &Path) -> Option<Error> {
        let field = "valueExpression";
        let (expression, path) = (text(annotation, &[field]), path.child(field));
        let found = self.check(expression.trim(), Purpose::AuditAnnotation, &path)?;
        Some(Error::invalid(&path, expression, found.detail))
    }

    pub(super) fn mutation(&self, mutation: &Value, patch_type: &str, path: &Path) -> Option<Error> {
        let purpose = match patch_type {
            "JSONPatch" => Purpose::JsonPatch,
            _ => Purpose::ApplyConfiguration,
        };
        let field = "expression";
        self.check(text(mutation, &[field]).trim(), purpose, &path.child(field))
    }
}
