//! `x-kubernetes-validations` of a schema: that they compile, and don't cost too much.
use super::dump;
use crate::custom::{self, Rule, Schema};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use cel::{Cost, Program, Type};
use serde_json::Value;

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 2048;
const REASONS: &[&str] = &[
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];
const MAX_REQUEST: u64 = 3 * 1024 * 1024;

/// The rules of a whole schema.
pub(super) fn check(old: Option<&Value>, schema: &Value, path: &Path) -> ErrorList {
    let mut walk = Walk {
        errors: ErrorList::new(),
        total: 0,
        costs: Vec::new(),
    };
    let place = Place {
        root: true,
        count: Some(1),
        uncorrelated: None,
    };
    walk.schema(old, schema, path, &place);
    if walk.total > cel::STATIC_CRD_LIMIT {
        walk.costs.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, cost) in walk
            .costs
            .iter()
            .take(4)
            .filter(|(_, cost)| *cost > cel::STATIC_LIMIT / 100)
        {
            let detail = over(
                "contributed to estimated rule cost total exceeding cost limit",
                *cost,
                cel::STATIC_CRD_LIMIT,
            );
            walk.errors.push(Error::forbidden(path, detail));
        }
        let detail = over(
            "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema",
            walk.total,
            cel::STATIC_CRD_LIMIT,
        );
        walk.errors.push(Error::forbidden(path, detail));
    }
    walk.errors
}

/// Where a schema stands.
struct Place {
    root: bool,
    /// How many such values an object may hold; `None` without a bound.
    count: Option<u64>,
    /// The schema above whose elements can't be told apart from former ones.
    uncorrelated: Option<Path>,
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

struct Walk {
    errors: ErrorList,
    total: u64,
    costs: Vec<(Path, u64)>,
}

impl Walk {
    fn schema(&mut self, old: Option<&Value>, schema: &Value, path: &Path, place: &Place) {
        let rules = schema["x-kubernetes-validations"].as_array();
        if let Some(rules) = rules.filter(|rules| !rules.is_empty()) {
            let parsed = Schema::parse(schema);
            let unchanged = old.is_some_and(|old| old == schema);
            match custom::declare(&parsed, place.root) {
                Some(decl) => {
                    for (index, rule) in rules.iter().enumerate() {
                        let path = path.child("x-kubernetes-validations").index(index);
                        self.rule(&Rule::parse(rule), rule, &parsed, &decl, &path, place, unchanged);
                    }
                }
                // A type that isn't one is told elsewhere.
                None if parsed.odd_kind.is_some() => {}
                None => self.errors.push(Error::invalid(
                    &path.child("x-kubernetes-validations"),
                    schema["x-kubernetes-validations"].clone(),
                    "type must be specified for x-kubernetes-validations",
                )),
            }
        }
        let below = |count: Option<u64>, uncorrelated: Option<Path>| Place {
            root: false,
            count,
            uncorrelated: place.uncorrelated.clone().or(uncorrelated),
        };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let old = old.and_then(|old| old["properties"].get(name));
            self.schema(
                old,
                property,
                &path.child("properties").key(name),
                &below(place.count, None),
            );
        }
        let times = |max: Option<u64>, least: u64| {
            let most = max.unwrap_or((MAX_REQUEST - 2) / (least + 1));
            place.count.and_then(|count| count.checked_mul(most))
        };
        if schema["items"].is_object() {
            let path = path.child("items");
            let keyed = schema["x-kubernetes-list-type"] == "map";
            let uncorrelated = (!keyed).then(|| path.clone());
            let old = old.map(|old| &old["items"]);
            let count = times(schema["maxItems"].as_u64(), 2);
            self.schema(old, &schema["items"], &path, &below(count, uncorrelated));
        }
        if schema["additionalProperties"].is_object() {
            let count = times(schema["maxProperties"].as_u64(), 7);
            let old = old.map(|old| &old["additionalProperties"]);
            self.schema(
                old,
                &schema["additionalProperties"],
                &path.child("additionalProperties"),
                &below(count, None),
            );
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        written: &Value,
        schema: &Schema,
        decl: &cel::Decl,
        path: &Path,
        place: &Place,
        unchanged: bool,
    ) {
        let dumped = || BadValue::Raw(dump::rule(written));
        if rule.rule.trim().is_empty() {
            self.errors
                .push(Error::required(&path.child("rule"), "rule is not specified"));
        }
        self.texts(rule, path);
        if !rule.field_path.is_empty() && !points_somewhere(schema, &rule.field_path) {
            self.errors.push(Error::invalid(
                &path.child("fieldPath"),
                rule.field_path.as_str(),
                "fieldPath must be a valid path: does not refer to a valid field",
            ));
        }
        if rule.rule.trim().is_empty() {
            return;
        }
        let environment = custom::environment(decl, rule.optional_old_self);
        let old_self = environment.index("oldSelf").unwrap_or(usize::MAX);
        match Program::compile(&rule.rule, &environment) {
            Err(error) => self.errors.push(Error::invalid(
                &path.child("rule"),
                dumped(),
                format!("compilation failed: {error}"),
            )),
            Ok(program) if !matches!(program.ty(), Type::Bool | Type::Dyn) => self.errors.push(
                Error::invalid(&path.child("rule"), dumped(), "must evaluate to a bool"),
            ),
            Ok(program) => {
                let transition = program.uses(old_self);
                if let Some(above) = place.uncorrelated.as_ref().filter(|_| transition) {
                    self.errors.push(Error::invalid(
                        &path.child("rule"),
                        dumped(),
                        format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}"),
                    ));
                }
                if rule.optional_old_self && !transition {
                    self.errors.push(Error::invalid(
                        &path.child("optionalOldSelf"),
                        Value::from(true),
                        "may not be set to true if oldSelf is not used in rule",
                    ));
                }
                if !unchanged {
                    self.cost(program.cost(), "estimated rule cost", &path.child("rule"), place);
                }
            }
        }
        if !rule.message_expression.is_empty() {
            let path = path.child("messageExpression");
            match Program::compile(&rule.message_expression, &environment) {
                Err(error) => self.errors.push(Error::invalid(
                    &path,
                    dumped(),
                    format!("messageExpression compilation failed: {error}"),
                )),
                Ok(program) if !matches!(program.ty(), Type::String | Type::Dyn) => {
                    self.errors.push(Error::invalid(
                        &path,
                        dumped(),
                        "messageExpression must evaluate to a string",
                    ));
                }
                Ok(program) if !unchanged => {
                    self.cost(program.cost(), "estimated messageExpression cost", &path, place);
                }
                Ok(_) => {}
            }
        }
    }

    fn texts(&mut self, rule: &Rule, path: &Path) {
        let message = rule.message.as_str();
        if !message.is_empty() && message.trim().is_empty() {
            self.errors.push(Error::invalid(
                &path.child("message"),
                message,
                "message must be non-empty if specified",
            ));
        } else if message.trim().contains('\n') {
            self.errors.push(Error::invalid(
                &path.child("message"),
                message,
                "message must not contain line breaks",
            ));
        } else if message.len() > MAX_MESSAGE {
            self.errors
                .push(Error::too_long(&path.child("message"), MAX_MESSAGE));
        } else if message.is_empty() && rule.rule.trim().contains('\n') && rule.message_expression.is_empty()
        {
            self.errors.push(Error::required(
                &path.child("message"),
                "message must be specified if rule contains line breaks",
            ));
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            self.errors.push(Error::required(
                &path.child("messageExpression"),
                "must be non-empty if specified",
            ));
        }
        let reason = rule.reason.as_str();
        if !reason.is_empty() && !REASONS.contains(&reason) {
            self.errors
                .push(Error::not_supported(&path.child("reason"), reason, REASONS));
        }
    }

    fn cost(&mut self, cost: Cost, what: &str, path: &Path, place: &Place) {
        let whole = match place.count {
            Some(count) => cost.max.saturating_mul(count),
            None => u64::MAX,
        };
        if whole > cel::STATIC_LIMIT {
            self.errors
                .push(Error::forbidden(path, over(what, whole, cel::STATIC_LIMIT)));
        }
        self.total = self.total.saturating_add(whole);
        self.costs.push((path.clone(), whole));
    }
}

/// Whether a rule's field path leads to a field of the schema.
fn points_somewhere(schema: &Schema, path: &str) -> bool {
    let Some(parsed) = custom::SimplePath::parse(path) else {
        return false;
    };
    let mut at = schema;
    for name in parsed.names() {
        match at.below(name) {
            Some(below) => at = below,
            None => return false,
        }
    }
    true
}
