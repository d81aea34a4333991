use super::expressions::PolicyExpressions;
use super::rules::constraints;
use super::webhooks::match_conditions;
use crate::validate::shared::{maybe_one_of, one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::Value;
use std::collections::HashSet;

const MAX_ANNOTATIONS: usize = 20;
const MAX_VALUE_EXPRESSION: usize = 5 * 1024;

fn required_text(value: &Value, field: &str, noun: &str, path: &Path) -> Option<Error> {
    text(value, &[field])
        .trim()
        .is_empty()
        .then(|| Error::required(&path.child(field), format!("{noun} is not specified")))
}

/// What both kinds of policy begin with, and the expressions that their other fields may use.
fn beginning(spec: &Value, mutates: bool, path: &Path) -> (ErrorList, PolicyExpressions) {
    let mut errors: ErrorList = maybe_one_of(
        &path.child("failurePolicy"),
        at(spec, &["failurePolicy"]),
        &["Fail", "Ignore"],
    )
    .into_iter()
    .collect();
    errors.extend(param_kind(at(spec, &["paramKind"]), &path.child("paramKind")));
    if at(spec, &["matchConstraints"]).is_object() {
        errors.extend(constraints(
            at(spec, &["matchConstraints"]),
            true,
            &path.child("matchConstraints"),
        ));
        if mutates {
            errors.extend(mutable_operations(
                at(spec, &["matchConstraints"]),
                &path.child("matchConstraints"),
            ));
        }
    } else {
        errors.push(Error::required(&path.child("matchConstraints"), ""));
    }
    let params = at(spec, &["paramKind"]).is_object();
    let mut expressions = PolicyExpressions::new(spec, mutates);
    errors.extend(match_conditions(spec, params, &path.child("matchConditions")));
    errors.extend(variables(spec, &mut expressions, path));
    (errors, expressions)
}

/// The spec of a ValidatingAdmissionPolicy.
pub(super) fn validating(new: &Value, spec: &Value, path: &Path) -> ErrorList {
    let (mut errors, expressions) = beginning(spec, false, path);
    let (validations, annotations) = (list(spec, &["validations"]), list(spec, &["auditAnnotations"]));
    if validations.is_empty() && annotations.is_empty() {
        errors.push(Error::required(
            &path.child("validations"),
            "validations or auditAnnotations must contain at least one item",
        ));
        errors.push(Error::required(
            &path.child("auditAnnotations"),
            "validations or auditAnnotations must contain at least one item",
        ));
    }
    for (index, validation) in validations.iter().enumerate() {
        let path = path.child("validations").index(index);
        errors.extend(required_text(validation, "expression", "expression", &path));
        errors.extend(expressions.condition(validation, &path));
        errors.extend(messages(validation, &expressions, &path));
        errors.extend(maybe_one_of(
            &path.child("reason"),
            at(validation, &["reason"]),
            &["Forbidden", "Invalid", "RequestEntityTooLarge"],
        ));
    }
    if annotations.len() > MAX_ANNOTATIONS {
        errors.push(Error::invalid(
            &path.child("auditAnnotations"),
            Value::from(annotations),
            format!("must not have more than {MAX_ANNOTATIONS} auditAnnotations"),
        ));
    }
    let mut seen = HashSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let path = path.child("auditAnnotations").index(index);
        let key = text(annotation, &["key"]);
        let name = meta::name(new);
        if name.is_empty() {
            errors.push(Error::invalid(
                &path.child("key"),
                key,
                "requires metadata.name be non-empty",
            ));
        } else {
            let qualified = format!("{name}/{key}");
            errors.extend(texts(
                &path.child("key"),
                &qualified,
                names::qualified_name(&qualified),
            ));
        }
        let expression = text(annotation, &["valueExpression"]);
        if expression.trim().is_empty() {
            errors.push(Error::required(
                &path.child("valueExpression"),
                "valueExpression is not specified",
            ));
        } else if expression.len() > MAX_VALUE_EXPRESSION {
            errors.push(Error::required(
                &path.child("valueExpression"),
                format!("must not exceed {MAX_VALUE_EXPRESSION} bytes in length"),
            ));
        } else {
            errors.extend(expressions.audit_annotation(annotation, &path));
        }
        if !seen.insert(key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
    }
    errors
}

/// What a client is told when a validation fails.
fn messages(validation: &Value, expressions: &PolicyExpressions, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (message, expression) = (
        text(validation, &["message"]),
        text(validation, &["messageExpression"]),
    );
    if !expression.is_empty() && expression.trim().is_empty() {
        errors.push(Error::invalid(
            &path.child("messageExpression"),
            expression,
            "must be non-empty if specified",
        ));
    } else if !expression.is_empty() {
        errors.extend(expressions.message(validation, path));
    }
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(Error::invalid(
            &path.child("message"),
            message,
            "message must be non-empty if specified",
        ));
    } else if message.trim().contains('\n') {
        errors.push(Error::invalid(
            &path.child("message"),
            message,
            "message must not contain line breaks",
        ));
    }
    errors
}

fn variables(spec: &Value, expressions: &mut PolicyExpressions, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, variable) in list(spec, &["variables"]).iter().enumerate() {
        let path = path.child("variables").index(index);
        let name = text(variable, &["name"]);
        errors.extend(required_text(variable, "name", "name", &path));
        if !name.trim().is_empty() && !is_identifier(name) {
            errors.push(Error::invalid(
                &path.child("name"),
                name,
                "must be a valid CEL identifier",
            ));
        }
        errors.extend(required_text(variable, "expression", "expression", &path));
        errors.extend(expressions.variable(variable, &path));
    }
    errors
}

/// Whether an expression can refer to something by this name.
fn is_identifier(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ];
    let first = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    first
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !RESERVED.contains(&name)
}

fn param_kind(kind: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if kind.is_object() {
        for field in ["apiVersion", "kind"] {
            if text(kind, &[field]).is_empty() {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
    }
    errors
}

/// Nothing can be changed in an object that goes away.
fn mutable_operations(constraints: &Value, path: &Path) -> ErrorList {
    let operations = list(constraints, &["resourceRules"])
        .iter()
        .flat_map(|rule| list(rule, &["operations"]));
    operations
        .filter_map(|operation| {
            one_of(
                &path.child("resourceRules.operations"),
                operation,
                &["*", "CONNECT", "CREATE", "UPDATE"],
            )
        })
        .collect()
}

/// The spec of a MutatingAdmissionPolicy.
pub(super) fn mutating(spec: &Value, path: &Path) -> ErrorList {
    let (mut errors, expressions) = beginning(spec, true, path);
    let mutations = list(spec, &["mutations"]);
    if mutations.is_empty() {
        errors.push(Error::required(
            &path.child("mutations"),
            "mutations must contain at least one item",
        ));
    }
    for (index, mutation) in mutations.iter().enumerate() {
        let path = path.child("mutations").index(index);
        let kind = text(mutation, &["patchType"]);
        let field = match kind {
            "" => {
                errors.push(Error::required(&path.child("patchType"), ""));
                continue;
            }
            "ApplyConfiguration" => "applyConfiguration",
            "JSONPatch" => "jsonPatch",
            other => {
                errors.push(Error::not_supported(
                    &path.child("patchType"),
                    other,
                    &["ApplyConfiguration", "JSONPatch"],
                ));
                continue;
            }
        };
        if !at(mutation, &[field]).is_object() {
            errors.push(Error::required(
                &path.child(field),
                format!("must be specified when patchType is {kind}"),
            ));
        } else if text(mutation, &[field, "expression"]).trim().is_empty() {
            errors.push(Error::required(&path.child(field).child("expression"), ""));
        } else {
            errors.extend(expressions.mutation(at(mutation, &[field]), kind, &path.child(field)));
        }
    }
    match text(spec, &["reinvocationPolicy"]) {
        "" => errors.push(Error::required(&path.child("reinvocationPolicy"), "")),
        _ => errors.extend(one_of(
            &path.child("reinvocationPolicy"),
            at(spec, &["reinvocationPolicy"]),
            &["IfNeeded", "Never"],
        )),
    }
    errors
}

/// The spec of a policy binding.
pub(super) fn binding(validating: bool, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = text(spec, &["policyName"]);
    if policy.is_empty() {
        errors.push(Error::required(&path.child("policyName"), ""));
    } else {
        errors.extend(texts(
            &path.child("policyName"),
            policy,
            names::dns1123_subdomain(policy),
        ));
    }
    if at(spec, &["matchResources"]).is_object() {
        errors.extend(constraints(
            at(spec, &["matchResources"]),
            false,
            &path.child("matchResources"),
        ));
    }
    if !validating {
        return errors;
    }
    let actions = list(spec, &["validationActions"]);
    if actions.is_empty() {
        errors.push(Error::required(
            &path.child("validationActions"),
            "at least one validation action is required",
        ));
    }
    let mut seen = HashSet::new();
    for (index, action) in actions.iter().enumerate() {
        let path = path.child("validationActions").index(index);
        errors.extend(one_of(&path, action, &["Audit", "Deny", "Warn"]));
        if !seen.insert(action.as_str()) {
            errors.push(Error::duplicate(&path, action));
        }
    }
    if seen.contains(&Some("Deny")) && seen.contains(&Some("Warn")) {
        errors.push(Error::invalid(&path.child("validationActions"), Value::from(actions), "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"));
    }
    errors
}
