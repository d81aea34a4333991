//! Evaluation of rules over an object.
use super::super::ratcheting::Correlation;
use super::super::schema::{Additional, Kind, Schema};
use super::{Compiled, Rule, RuleSet};
use apimachinery::field::{BadValue, Error, ErrorList, Path, quote};
use cel::{Decl, Program, Value as CelValue};
use serde_json::Value;

/// Longest message that an expression may make, in bytes; upstream's.
const MAX_MESSAGE: usize = 5 * 1024;

/// The budget is used up.
struct OutOfBudget;

pub(super) struct Check {
    budget: u64,
    pub errors: ErrorList,
    /// What is said of values that stayed as they were.
    pub warnings: Vec<String>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            budget: cel::RUNTIME_BUDGET,
            errors: ErrorList::new(),
            warnings: Vec::new(),
        }
    }
}

/// Where a rule is evaluated.
#[derive(Clone, Copy)]
struct Place<'p> {
    schema: &'p Schema,
    old: Option<&'p Value>,
    new: &'p Value,
    path: &'p Path,
    correlation: Correlation<'p>,
}

impl Place<'_> {
    /// The type of the value, which upstream shows where there's no telling what a rule makes of the value itself.
    fn kind(self) -> &'static str {
        self.schema.kind.map_or("", Kind::as_str)
    }

    /// The value as errors show it: what may be large is left out.
    fn shown(self) -> BadValue {
        match self.schema.kind {
            Some(Kind::Object | Kind::Array) => BadValue::Omitted,
            _ => self.new.into(),
        }
    }
}

impl Check {
    /// Evaluates the rules of a schema and of those below it over a value that stands at a path.
    pub fn run(
        &mut self,
        set: &RuleSet,
        schema: &Schema,
        old: Option<&Value>,
        new: &Value,
        path: &Path,
        correlation: Correlation<'_>,
    ) {
        if set.is_empty() {
            return;
        }
        let _timed = cel::timing::evaluation();
        let place = Place {
            schema,
            old,
            new,
            path,
            correlation,
        };
        // Out of budget, it says so itself.
        let _ = self.value(set, place);
    }

    fn value(&mut self, set: &RuleSet, place: Place<'_>) -> Result<(), OutOfBudget> {
        let Place { schema, old, new, .. } = place;
        if let (Some(decl), false) = (&set.decl, set.rules.is_empty() || new.is_null()) {
            self.rules(set, decl, place)?;
        }
        match new {
            Value::Object(map) => {
                for (key, value) in map {
                    let old = old.and_then(|old| old.get(key));
                    let (rules, below, path) = match (set.properties.get(key), schema.properties.get(key)) {
                        (Some(rules), Some(below)) => (rules, below, place.path.child(key)),
                        (_, Some(_)) => continue,
                        (_, None) => match (&set.additional, &schema.additional) {
                            (Some(rules), Additional::Schema(below)) => {
                                (&**rules, &**below, place.path.key(key))
                            }
                            _ => continue,
                        },
                    };
                    let pair = place.correlation.pair(below, old, value);
                    let inside = Place {
                        schema: below,
                        old,
                        new: value,
                        path: &path,
                        correlation: place.correlation.field(key, pair.as_ref()),
                    };
                    self.value(rules, inside)?;
                }
            }
            Value::Array(items) => {
                if let (Some(rules), Some(below)) = (&set.items, &schema.items) {
                    let former = schema.former(old);
                    for (index, item) in items.iter().enumerate() {
                        let old = former.of(schema, item);
                        let pair = place.correlation.pair(below, old, item);
                        let inside = Place {
                            schema: below,
                            old,
                            new: item,
                            path: &place.path.index(index),
                            correlation: place.correlation.inside(pair.as_ref()),
                        };
                        self.value(rules, inside)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(&mut self, set: &RuleSet, decl: &Decl, place: Place<'_>) -> Result<(), OutOfBudget> {
        // A rule about a change needs something that changed.
        let old = place.old.filter(|old| !old.is_null());
        for compiled in &set.rules {
            let rule = &compiled.rule;
            let program = match &compiled.program {
                Ok(program) => program,
                Err(error) => {
                    self.broken(place, format!("rule compile error: {error}"));
                    continue;
                }
            };
            if compiled.transition && old.is_none() && !rule.optional_old_self {
                continue;
            }
            let variables = [
                Some(cel::from_json(place.new, decl)),
                match (old, rule.optional_old_self) {
                    (Some(old), true) => Some(CelValue::some(cel::from_json(old, decl))),
                    (None, true) => Some(CelValue::Optional(None)),
                    (Some(old), false) => Some(cel::from_json(old, decl)),
                    (None, false) => None,
                },
            ];
            let limit = cel::PER_CALL_LIMIT.min(self.budget);
            let outcome = program.evaluate(&variables, limit);
            let over_budget = outcome.cost > self.budget || limit < cel::PER_CALL_LIMIT;
            self.budget = self.budget.saturating_sub(outcome.cost);
            match outcome.result {
                Ok(CelValue::Bool(true)) => {}
                Ok(_) => self.failed(compiled, &variables, place)?,
                Err(error) if error.over_budget => {
                    let detail = if over_budget {
                        "validation failed due to running out of cost budget, no further validation rules will be run".to_owned()
                    } else {
                        format!(
                            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                            rule.name()
                        )
                    };
                    self.broken(place, detail);
                    return Err(OutOfBudget);
                }
                Err(error) if error.message.starts_with("no such overload") => {
                    let detail = format!(
                        "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                        rule.name()
                    );
                    self.broken(place, detail);
                }
                Err(error) => self.broken(place, format!("{error} evaluating rule: {}", rule.name())),
            }
        }
        Ok(())
    }

    /// A rule could not be evaluated, which is held against updates of what stays as it was, too.
    fn broken(&mut self, place: Place<'_>, detail: String) {
        self.errors.push(Error::invalid(place.path, place.kind(), detail));
    }

    /// A rule does not hold.
    fn failed<'a>(
        &mut self,
        compiled: &'a Compiled,
        variables: &[Option<CelValue<'a>>],
        place: Place<'_>,
    ) -> Result<(), OutOfBudget> {
        let rule = &compiled.rule;
        let path = match &compiled.field {
            Some(field) => place.path.child(field.as_str()),
            None => place.path.clone(),
        };
        let made = match &compiled.message {
            Some(Ok(program)) => match self.message(rule, program, variables) {
                Ok(made) => made,
                Err(detail) => {
                    self.add(compiled, place, Error::invalid(&path, place.kind(), detail));
                    return Err(OutOfBudget);
                }
            },
            _ => None,
        };
        let detail = made.unwrap_or_else(|| rule.message_or_default());
        let error = match rule.reason.as_str() {
            "FieldValueRequired" => Error::required(&path, detail),
            "FieldValueForbidden" => Error::forbidden(&path, detail),
            "FieldValueDuplicate" => Error::duplicate(&path, place.shown()),
            _ => Error::invalid(&path, place.shown(), detail),
        };
        self.add(compiled, place, error);
        Ok(())
    }

    /// What did not change is not held against an update, unless the rule is about the change.
    fn add(&mut self, compiled: &Compiled, place: Place<'_>, error: Error) {
        if !compiled.transition && place.correlation.lets_through() {
            self.warnings.push(error.to_string());
        } else {
            self.errors.push(error);
        }
    }

    /// The message that an expression makes, if it is one; fails when no further rules may be evaluated, with the reason.
    fn message<'a>(
        &mut self,
        rule: &Rule,
        program: &'a Program,
        variables: &[Option<CelValue<'a>>],
    ) -> Result<Option<String>, String> {
        let limit = cel::PER_CALL_LIMIT.min(self.budget);
        let outcome = program.evaluate(variables, limit);
        let over_budget = outcome.cost > self.budget || limit < cel::PER_CALL_LIMIT;
        self.budget = self.budget.saturating_sub(outcome.cost);
        match outcome.result {
            Ok(value) => Ok(value
                .as_str()
                .map(str::trim)
                .filter(|text| !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n'))
                .map(str::to_owned)),
            Err(error) if error.over_budget && over_budget => Err(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".to_owned(),
            ),
            Err(error) if error.over_budget => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {}",
                quote(&rule.message_expression)
            )),
            Err(_) => Ok(None),
        }
    }
}
