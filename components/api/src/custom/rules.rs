//! `x-kubernetes-validations`: compiled with their schema, evaluated with a budget.
mod check;

use super::decl;
use super::paths::field_path;
use super::ratcheting::{Correlation, Pair};
use super::schema::{Additional, Schema};
use apimachinery::field::{ErrorList, Path};
use cel::{Decl, Environment, Program, Shape};
use check::Check;
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
    fn name(&self) -> &str {
        if self.message.is_empty() {
            self.rule.trim()
        } else {
            self.message.trim()
        }
    }

    fn message_or_default(&self) -> String {
        if self.message.is_empty() {
            format!("failed rule: {}", self.name())
        } else {
            self.name().to_owned()
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
        let mut check = Check::default();
        check.run(&set, schema, Some(default), default, path, Correlation::default());
        check.errors
    }

    /// Evaluates all rules over an object, or over one that replaces `old`. What they say of what stayed as it was goes to
    /// `warnings`.
    pub(super) fn check(
        &self,
        schema: &Schema,
        old: Option<&Value>,
        new: &Value,
        warnings: &mut Vec<String>,
    ) -> ErrorList {
        let pair = old.map(|old| Pair::new(schema, old, new));
        let mut check = Check::default();
        let correlation = Correlation::of(pair.as_ref());
        check.run(self, schema, old, new, &Path::root(), correlation);
        warnings.append(&mut check.warnings);
        check.errors
    }
}

impl Compiled {
    fn of(rule: Rule, decl: &Decl, schema: &Schema) -> Self {
        let environment = environment(decl, rule.optional_old_self);
        let program = Program::compile(&rule.rule, &environment).map_err(|error| error.explained());
        let message = (!rule.message_expression.is_empty()).then(|| {
            Program::compile(&rule.message_expression, &environment).map_err(|error| error.explained())
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
