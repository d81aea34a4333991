//! matchConditions: expressions that must all be true for a webhook or policy to be asked.

use super::inputs::Inputs;
use super::metrics::{ConditionTimes, Noted};
use api::expressions::{Purpose, compile};
use cel::{Environment, Program};
use serde_json::Value;
use std::time::Instant;

/// Budget of all conditions of one webhook or policy.
const BUDGET: u64 = cel::RUNTIME_BUDGET / 4;

/// What the conditions come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evaluated {
    Match,
    NoMatch,
    /// They could not be evaluated, and the failure policy is to fail.
    Failed(String),
}

#[derive(Debug)]
struct Condition {
    name: String,
    text: String,
    program: Result<Program, String>,
}

/// Compiled conditions.
#[derive(Debug)]
pub struct Conditions {
    list: Vec<Condition>,
    environment: Environment,
    fails_open: bool,
    times: ConditionTimes,
}

impl Conditions {
    pub fn compile(conditions: &Value, environment: Environment, fails_open: bool) -> Self {
        let list = conditions
            .as_array()
            .into_iter()
            .flatten()
            .map(|condition| Condition {
                name: condition["name"].as_str().unwrap_or("").to_owned(),
                text: condition["expression"].as_str().unwrap_or("").to_owned(),
                program: compile(
                    condition["expression"].as_str().unwrap_or(""),
                    &environment,
                    Purpose::Condition,
                ),
            })
            .collect();
        Self {
            list,
            environment,
            fails_open,
            times: ConditionTimes::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// False for certain decides, whatever else can't be evaluated. Counts for whom `noted` says.
    pub fn evaluate(&self, inputs: &Inputs<'_>, noted: &Noted<'_>) -> Evaluated {
        if self.list.is_empty() {
            return Evaluated::Match;
        }
        let began = Instant::now();
        let outcome = self.evaluate_all(inputs, noted);
        self.times.observe(noted, began.elapsed());
        if outcome == Evaluated::NoMatch {
            noted.excluded();
        }
        outcome
    }

    fn evaluate_all(&self, inputs: &Inputs<'_>, noted: &Noted<'_>) -> Evaluated {
        let _timed = cel::timing::evaluation();
        let values = inputs.values(&self.environment);
        let mut left = BUDGET;
        let mut errors = Vec::new();
        for condition in &self.list {
            let (outcome, cost) = match &condition.program {
                Ok(program) => {
                    let outcome = program.evaluate(&values, left.min(cel::PER_CALL_LIMIT));
                    let truth = outcome.result.map_err(|error| {
                        format!("expression '{}' resulted in error: {error}", condition.text)
                    });
                    (truth.map(|value| value.as_bool()), outcome.cost)
                }
                Err(why) => (Err(format!("compilation error: {why}")), 0),
            };
            left = left.saturating_sub(cost);
            match outcome {
                Ok(Some(true)) => {}
                Ok(_) => return Evaluated::NoMatch,
                Err(why) => {
                    noted.failed();
                    tracing::debug!(
                        condition = condition.name,
                        why,
                        "a match condition can't be evaluated"
                    );
                    errors.push(why);
                }
            }
        }
        match (errors.as_slice(), self.fails_open) {
            ([], _) => Evaluated::Match,
            (_, true) => Evaluated::NoMatch,
            ([only], false) => Evaluated::Failed(only.clone()),
            (all, false) => Evaluated::Failed(format!("[{}]", all.join(", "))),
        }
    }
}
