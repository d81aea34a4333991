//! Evaluating the expressions of one policy over one request, within one budget.

use super::policy::Expression;
use crate::admission::inputs::Inputs;
use api::expressions::Variables;
use cel::{Environment, EvalError, Lazy, Scratch, Value};
use std::fmt;
use std::sync::OnceLock;

/// No more expressions are evaluated after this.
pub const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The `variables` of a policy, each evaluated when it is first asked for.
pub struct LazyVariables<'a> {
    variables: &'a Variables,
    values: OnceLock<&'a [Option<Value<'a>>]>,
    known: Vec<OnceLock<Result<Value<'a>, EvalError>>>,
}

impl fmt::Debug for LazyVariables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

impl<'a> LazyVariables<'a> {
    pub fn new(variables: &'a Variables) -> Self {
        Self {
            known: variables.programs.iter().map(|_| OnceLock::new()).collect(),
            values: OnceLock::new(),
            variables,
        }
    }

    /// What the variables' own expressions are evaluated over.
    pub fn bind(&self, values: &'a [Option<Value<'a>>]) {
        // Only the first call counts, and there is only one.
        let _ = self.values.set(values);
    }
}

impl<'a> Lazy<'a> for LazyVariables<'a> {
    fn field(&self, name: &str, scratch: &mut Scratch<'_, 'a>) -> Result<Option<Value<'a>>, EvalError> {
        let Some(index) = self
            .variables
            .programs
            .iter()
            .position(|(known, _)| known == name)
        else {
            return Ok(None);
        };
        let known = &self.known[index];
        if let Some(value) = known.get() {
            return value.clone().map(Some);
        }
        let evaluated = match &self.variables.programs[index].1 {
            Ok(program) => {
                let values = self.values.get().copied().unwrap_or_default();
                program
                    .evaluate_within(values, scratch)
                    .map_err(|error| EvalError {
                        message: format!("composited variable {name:?} fails to evaluate: {error}").into(),
                        over_budget: error.over_budget,
                    })
            }
            Err(why) => Err(EvalError::new(format!(
                "composited variable {name:?} fails to compile: {why}"
            ))),
        };
        known.get_or_init(|| evaluated).clone().map(Some)
    }

    fn has(&self, name: &str) -> bool {
        self.variables.programs.iter().any(|(known, _)| known == name)
    }
}

/// The values of an environment with `variables` in it.
pub fn values<'a>(
    inputs: &Inputs<'a>,
    environment: &'a Environment,
    variables: &'a LazyVariables<'a>,
) -> Vec<Option<Value<'a>>> {
    let mut values = inputs.values(environment);
    if let Some(index) = environment.index("variables") {
        values[index] = Some(Value::Lazy(variables));
    }
    values
}

/// What is left for a policy's expressions.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    _timed: cel::timing::Running,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unevaluated {
    pub why: String,
    /// Nothing further is evaluated.
    pub over_budget: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            left: cel::RUNTIME_BUDGET,
            _timed: cel::timing::evaluation(),
        }
    }
}

impl Budget {
    /// Evaluates, and takes from the budget what it cost.
    pub fn evaluate<'a>(
        &mut self,
        expression: &'a Expression,
        values: &[Option<Value<'a>>],
    ) -> Result<Value<'a>, Unevaluated> {
        let failed = |why: String, over_budget: bool| Unevaluated { why, over_budget };
        let program = expression
            .program
            .as_ref()
            .map_err(|why| failed(format!("compilation error: {why}"), false))?;
        let outcome = program.evaluate(values, self.left.min(cel::PER_CALL_LIMIT));
        self.left = self.left.saturating_sub(outcome.cost);
        if self.left == 0 {
            return Err(failed(OUT_OF_BUDGET.to_owned(), true));
        }
        outcome.result.map_err(|error| {
            let why = format!("expression '{}' resulted in error: {error}", expression.text);
            failed(why, false)
        })
    }
}
