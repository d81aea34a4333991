//! `x-kubernetes-validations`: compiled with their schema, evaluated with a budget.
use super::decl;
use super::paths::field_path;
use super::ratcheting::is_as_before;
use super::schema::{Additional, Schema};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use cel::{Decl, Environment, Program, Shape, Value as CelValue};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Position of the former value among the variables.
const OLD_SELF: usize = 1;

/// One rule as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_expression: String,
    pub reason: String,
    pub field_path: String,
    pub optional_old_self: bool,
}

impl Rule {
    pub fn parse(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        Self {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason"),
            field_path: text("fieldPath"),
            optional_old_self: value.get("optionalOldSelf") == Some(&Value::Bool(true)),
        }
    }

    /// How errors name the rule.
    fn name(&self) -> String {
        let message = self.message.trim();
        if message.is_empty() {
            format!("Rule: {}", self.rule.trim())
        } else {
            format!("Message: {message}")
        }
    }

    fn message_or_default(&self) -> String {
        let message = self.message.trim();
        if message.is_empty() {
            format!("failed rule: {}", self.rule.trim())
        } else {
            message.to_owned()
        }
    }
}

/// A compiled rule; a part that doesn't compile says why.
#[derive(Debug)]
pub struct Compiled {
    pub rule: Rule,
    pub program: Result<Program, String>,
    pub message: Option<Result<Program, String>>,
    /// Whether it compares with the former value.
    pub transition: bool,
    /// The field below that is told of, if it isn't the value itself.
    field: Option<Path>,
}

/// The rules of a schema and of those below it.
#[derive(Debug, Default)]
pub struct RuleSet {
    decl: Option<Arc<Decl>>,
    pub rules: Vec<Compiled>,
    pub properties: BTreeMap<String, RuleSet>,
    pub additional: Option<Box<RuleSet>>,
    pub items: Option<Box<RuleSet>>,
}

/// The environment of rules over values that are declared so.
pub(crate) fn environment(decl: &Decl, optional_old_self: bool) -> Environment {
    let old = if optional_old_self {
        Decl::bounded(Shape::Optional(Arc::new(decl.clone())), decl.max)
    } else {
        decl.clone()
    };
    Environment::new().with("self", decl.clone()).with("oldSelf", old)
}

impl RuleSet {
    /// Compiles the rules of a whole schema.
    pub fn compile(schema: &Schema) -> Self {
        Self::at(schema, true, "self")
    }

    fn at(schema: &Schema, root: bool, type_name: &str) -> Self {
        let mut set = Self::default();
        if !schema.validations.is_empty() {
            let declared = decl::of(schema, root, type_name).map(|declared| declared.decl);
            if let Some(decl) = &declared {
                set.rules = schema
                    .validations
                    .iter()
                    .map(|rule| Compiled::of(Rule::parse(rule), decl, schema))
                    .collect();
            }
            set.decl = declared;
        }
        for (name, below) in &schema.properties {
            let below = Self::at(below, false, &format!("{type_name}.{name}"));
            if !below.is_empty() {
                set.properties.insert(name.clone(), below);
            }
        }
        let some = |below: Self| (!below.is_empty()).then(|| Box::new(below));
        if let Additional::Schema(below) = &schema.additional {
            set.additional = some(Self::at(below, false, &format!("{type_name}.@prop")));
        }
        if let Some(below) = &schema.items {
            set.items = some(Self::at(below, false, &format!("{type_name}.@idx")));
        }
        set
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.properties.is_empty()
            && self.additional.is_none()
            && self.items.is_none()
    }

    /// Evaluates the rules of a part of a schema over a default at a path, as if it replaced itself.
    pub(super) fn check_default(schema: &Schema, default: &Value, path: &Path) -> ErrorList {
        let set = Self::at(schema, schema.embedded, "self");
        set.check_at(schema, Some(default), default, path, false)
    }

    /// Evaluates all rules over an object, or over one that replaces `old`.
    pub(super) fn check(&self, schema: &Schema, old: Option<&Value>, new: &Value) -> ErrorList {
        self.check_at(schema, old, new, &Path::root(), true)
    }

    /// What stays as it was is let through if it `ratchets`.
    fn check_at(
        &self,
        schema: &Schema,
        old: Option<&Value>,
        new: &Value,
        path: &Path,
        ratchets: bool,
    ) -> ErrorList {
        let _timed = (!self.is_empty()).then(cel::timing::evaluation);
        let mut check = Check {
            budget: cel::RUNTIME_BUDGET,
            ratchets,
            errors: ErrorList::new(),
        };
        // Out of budget, it says so itself.
        let _ = check.value(self, schema, old, new, path);
        check.errors
    }
}

impl Compiled {
    fn of(rule: Rule, decl: &Decl, schema: &Schema) -> Self {
        let environment = environment(decl, rule.optional_old_self);
        let program = Program::compile(&rule.rule, &environment).map_err(|error| error.to_string());
        let message = (!rule.message_expression.is_empty()).then(|| {
            Program::compile(&rule.message_expression, &environment).map_err(|error| error.to_string())
        });
        let transition = program.as_ref().is_ok_and(|program| program.uses(OLD_SELF));
        let field = match rule.field_path.as_str() {
            "" => None,
            path => field_path(path, schema, true).ok().map(|(path, _)| path),
        };
        Self {
            rule,
            program,
            message,
            transition,
            field,
        }
    }
}

/// The budget is used up.
struct OutOfBudget;

struct Check {
    budget: u64,
    ratchets: bool,
    errors: ErrorList,
}

impl Check {
    fn value(
        &mut self,
        set: &RuleSet,
        schema: &Schema,
        old: Option<&Value>,
        new: &Value,
        path: &Path,
    ) -> Result<(), OutOfBudget> {
        if let (Some(decl), false) = (&set.decl, set.rules.is_empty() || new.is_null()) {
            self.rules(set, decl, old, new, path)?;
        }
        match new {
            Value::Object(map) => {
                for (key, value) in map {
                    let old = old.and_then(|old| old.get(key));
                    if let (Some(rules), Some(below)) = (set.properties.get(key), schema.properties.get(key))
                    {
                        self.value(rules, below, old, value, &path.child(key))?;
                    } else if let (Some(rules), Additional::Schema(below)) =
                        (&set.additional, &schema.additional)
                        && !schema.properties.contains_key(key)
                    {
                        self.value(rules, below, old, value, &path.key(key))?;
                    }
                }
            }
            Value::Array(items) => {
                if let (Some(rules), Some(below)) = (&set.items, &schema.items) {
                    let former = schema.former(old);
                    for (index, item) in items.iter().enumerate() {
                        let old = former.of(schema, item);
                        self.value(rules, below, old, item, &path.index(index))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        set: &RuleSet,
        decl: &Decl,
        old: Option<&Value>,
        new: &Value,
        path: &Path,
    ) -> Result<(), OutOfBudget> {
        for compiled in &set.rules {
            let rule = &compiled.rule;
            let program = match &compiled.program {
                Ok(program) => program,
                Err(error) => {
                    self.errors.push(Error::invalid(
                        path,
                        BadValue::Omitted,
                        format!("rule compile error: {error}"),
                    ));
                    continue;
                }
            };
            if compiled.transition && old.is_none() && !rule.optional_old_self {
                continue;
            }
            // What didn't change is not held against an update, unless it is about the change.
            let unchanged = self.ratchets && !compiled.transition && is_as_before(old, new);
            let variables = [
                Some(cel::from_json(new, decl)),
                match (old, rule.optional_old_self) {
                    (Some(old), true) => Some(CelValue::some(cel::from_json(old, decl))),
                    (None, true) => Some(CelValue::Optional(None)),
                    (Some(old), false) => Some(cel::from_json(old, decl)),
                    (None, false) => None,
                },
            ];
            let limit = cel::PER_CALL_LIMIT.min(self.budget);
            let outcome = program.evaluate(&variables, limit);
            let over_budget = outcome.cost > self.budget;
            self.budget = self.budget.saturating_sub(outcome.cost);
            match outcome.result {
                Ok(CelValue::Bool(true)) => {}
                Ok(_) if unchanged => {}
                Ok(_) => self.failed(compiled, &variables, path),
                Err(_) if unchanged => {}
                Err(error) if error.over_budget => {
                    let detail = if over_budget || limit < cel::PER_CALL_LIMIT {
                        "validation failed due to running out of cost budget, no further validation rules will be run".to_owned()
                    } else {
                        format!(
                            "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                            rule.name()
                        )
                    };
                    self.errors.push(Error::invalid(path, BadValue::Omitted, detail));
                    return Err(OutOfBudget);
                }
                Err(error) if error.message.starts_with("no such overload") => {
                    let detail = format!(
                        "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                        rule.name()
                    );
                    self.errors.push(Error::invalid(path, BadValue::Omitted, detail));
                }
                Err(error) => {
                    let detail = format!("{error} evaluating rule: {}", rule.name());
                    self.errors.push(Error::invalid(path, BadValue::Omitted, detail));
                }
            }
        }
        Ok(())
    }

    fn failed<'a>(&mut self, compiled: &'a Compiled, variables: &[Option<CelValue<'a>>], path: &Path) {
        let rule = &compiled.rule;
        let made = match &compiled.message {
            Some(Ok(program)) => {
                let outcome = program.evaluate(variables, cel::PER_CALL_LIMIT.min(self.budget));
                self.budget = self.budget.saturating_sub(outcome.cost);
                outcome
                    .result
                    .ok()
                    .and_then(|value| value.as_str().map(|text| text.trim().to_owned()))
                    .filter(|text| !text.is_empty() && !text.contains('\n'))
            }
            _ => None,
        };
        let detail = made.unwrap_or_else(|| rule.message_or_default());
        let path = match &compiled.field {
            Some(field) => path.child(field.as_str()),
            None => path.clone(),
        };
        self.errors.push(match rule.reason.as_str() {
            "FieldValueRequired" => Error::required(&path, detail),
            "FieldValueForbidden" => Error::forbidden(&path, detail),
            "FieldValueDuplicate" => Error {
                detail,
                ..Error::duplicate(&path, BadValue::Omitted)
            },
            _ => Error::invalid(&path, BadValue::Omitted, detail),
        });
    }
}
