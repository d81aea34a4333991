//! `x-kubernetes-validations` of a schema: that they compile, and don't cost too much.
use super::dump;
use super::openapi::{Bound, Place, Walk};
use crate::custom::{self, Rule, Schema};
use crate::value::text;
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use cel::{CompileError, Program, Type};
use serde_json::Value;

const REASONS: &[&str] = &[
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];
const MAX_REQUEST: u64 = 3 * 1024 * 1024;

/// As many of the most expensive rules are told when all together cost too much.
const MOST_TOLD: usize = 4;

/// What the rules of a whole schema cost.
#[derive(Default)]
pub(super) struct Costs {
    total: u64,
    /// Those that make up a hundredth of what is allowed, or more.
    expensive: Vec<(Path, u64)>,
}

impl Costs {
    fn add(&mut self, path: &Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= cel::STATIC_CRD_LIMIT / 100 {
            self.expensive.push((path.clone(), cost));
        }
    }

    /// What is told of a schema whose rules cost too much together.
    pub(super) fn check(mut self, path: &Path) -> ErrorList {
        if self.total <= cel::STATIC_CRD_LIMIT {
            return ErrorList::new();
        }
        self.expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        let told = self.expensive.iter().take(MOST_TOLD).map(|(path, _)| {
            const WHY: &str =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            Error::forbidden(path, WHY)
        });
        let mut errors: ErrorList = told.collect();
        let detail = over(
            "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema",
            self.total,
            cel::STATIC_CRD_LIMIT,
        );
        errors.push(Error::forbidden(path, detail));
        errors
    }
}

fn over(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

/// What is wrong with how rules are written.
pub(super) fn texts(schema: &Value, rules: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut parsed = None;
    for (index, rule) in rules.iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(index);
        let given = |field: &str| text(rule, &[field]);
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let blank = |text: &str| !text.is_empty() && text.trim().is_empty();
        let (expression, message) = (given("rule").trim(), given("message"));
        let place = path.child("message");
        if expression.is_empty() {
            errors.push(Error::required(&path.child("rule"), "rule is not specified"));
        } else if blank(message) {
            errors.push(Error::invalid(&place, message, "must be non-empty if specified"));
        } else if breaks(message.trim()) {
            errors.push(Error::invalid(&place, message, "must not contain line breaks"));
        } else if breaks(expression) && message.trim().is_empty() {
            errors.push(Error::required(
                &place,
                "message must be specified if rule contains line breaks",
            ));
        }
        if blank(given("messageExpression")) {
            errors.push(Error::required(
                &path.child("messageExpression"),
                "messageExpression must be non-empty if specified",
            ));
        }
        if let Some(reason) = rule["reason"].as_str().filter(|reason| !REASONS.contains(reason)) {
            errors.push(Error::not_supported(&path.child("reason"), reason, REASONS));
        }
        let (field, place) = (given("fieldPath"), path.child("fieldPath"));
        if field.is_empty() {
            continue;
        }
        if blank(field) {
            errors.push(Error::invalid(&place, field, "must be non-empty if specified"));
        }
        if breaks(field) {
            errors.push(Error::invalid(&place, field, "must not contain line breaks"));
        }
        let schema = parsed.get_or_insert_with(|| Schema::parse(schema));
        if custom::field_path(field, schema, true).is_err() {
            errors.push(Error::invalid(&place, field, "must be a valid path"));
        }
    }
    errors
}

impl Walk<'_> {
    /// The rules of a schema that is sound otherwise.
    pub(super) fn rules(
        &mut self,
        schema: &Value,
        rules: &[Value],
        bound: Bound,
        path: &Path,
        place: &Place,
    ) {
        let path = path.child("x-kubernetes-validations");
        let embedded = schema["x-kubernetes-embedded-resource"] == true;
        let declared = custom::declare(&Schema::parse(schema), place.root || embedded);
        let Some((decl, least)) = declared else {
            self.of_rules.push(Error::internal(
                &path,
                "internal error: failed to construct type information for x-kubernetes-validations rules: unable to convert structural schema to CEL declarations",
            ));
            return;
        };
        // Between two values stands a comma, at least.
        let count = bound.unwrap_or(MAX_REQUEST / (least + 1));
        for (index, written) in rules.iter().enumerate() {
            let rule = Rule::parse(written);
            self.rule(&rule, written, &decl, &path.index(index), place, count);
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        written: &Value,
        decl: &cel::Decl,
        path: &Path,
        place: &Place,
        count: u64,
    ) {
        let dumped = || BadValue::Raw(dump::rule(written));
        let environment = custom::environment(decl, rule.optional_old_self);
        let rule_path = path.child("rule");
        let program = Program::compile(&rule.rule, &environment);
        let mut uses_old = false;
        match &program {
            Err(error) => self
                .of_rules
                .push(Error::invalid(&rule_path, dumped(), error.explained())),
            Ok(program) if !matches!(program.ty(), Type::Bool | Type::Dyn) => {
                self.of_rules.push(Error::invalid(
                    &rule_path,
                    dumped(),
                    "cel expression must evaluate to a bool",
                ));
            }
            Ok(program) => {
                let old_self = environment.index("oldSelf");
                uses_old = old_self.is_some_and(|index| program.uses(index));
                let cost = program.cost().max.saturating_mul(count);
                self.cost(cost, "estimated rule cost", &rule_path);
                if !rule.message_expression.is_empty() {
                    self.message(rule, written, &environment, &path.child("messageExpression"));
                }
            }
        }
        if let (true, Some(above)) = (uses_old, &place.uncorrelated) {
            self.of_rules.push(Error::invalid(
                &rule_path,
                rule.rule.as_str(),
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}"),
            ));
        }
        let optional = &written["optionalOldSelf"];
        if !uses_old && !optional.is_null() {
            self.of_rules.push(Error::invalid(
                &path.child("optionalOldSelf"),
                optional,
                "may not be set if oldSelf is not used in rule",
            ));
        }
    }

    /// The expression that makes the message of a rule; it is evaluated once for each that fails.
    fn message(&mut self, rule: &Rule, written: &Value, environment: &cel::Environment, path: &Path) {
        let dumped = || BadValue::Raw(dump::rule(written));
        match Program::compile(&rule.message_expression, environment) {
            Err(error) => self.of_rules.push(Error::invalid(
                path,
                dumped(),
                match error {
                    CompileError::Compilation(why) => format!("messageExpression compilation failed: {why}"),
                    CompileError::Instantiation(why) => {
                        format!("messageExpression instantiation failed: {why}")
                    }
                },
            )),
            Ok(program) if !matches!(program.ty(), Type::String | Type::Dyn) => {
                self.of_rules.push(Error::invalid(
                    path,
                    dumped(),
                    "messageExpression must evaluate to a string",
                ));
            }
            Ok(program) => self.cost(program.cost().max, "estimated messageExpression cost", path),
        }
    }

    fn cost(&mut self, cost: u64, what: &str, path: &Path) {
        if !self.unchanged && cost > cel::STATIC_LIMIT {
            self.of_rules
                .push(Error::forbidden(path, over(what, cost, cel::STATIC_LIMIT)));
        }
        self.costs.add(path, cost);
    }
}
