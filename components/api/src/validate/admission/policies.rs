//! Policies of both kinds.
use super::expressions::PolicyExpressions;
use super::params;
use super::rules::{constraints, mutable_operations, required_one_of};
use super::webhooks::match_conditions;
use crate::validate::internal;
use crate::validate::shared::{maybe_one_of, one_of, same, texts};
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
fn beginning(
    spec: &Value,
    before: Option<&Value>,
    mutates: bool,
    path: &Path,
) -> (ErrorList, PolicyExpressions) {
    let mut errors: ErrorList = required_one_of(
        &path.child("failurePolicy"),
        at(spec, &["failurePolicy"]),
        &["Fail", "Ignore"],
    )
    .into_iter()
    .collect();
    let params = at(spec, &["paramKind"]);
    errors.extend(params::kind(params, &path.child("paramKind")));
    let matched = at(spec, &["matchConstraints"]);
    let path_of_matched = path.child("matchConstraints");
    if matched.is_object() {
        errors.extend(constraints(matched, &path_of_matched));
        if list(matched, &["resourceRules"]).is_empty() {
            errors.push(Error::required(&path_of_matched.child("resourceRules"), ""));
        }
        if mutates {
            errors.extend(mutable_operations(matched, &path_of_matched));
        }
    } else {
        errors.push(Error::required(&path_of_matched, ""));
    }
    // What could make conditions wrong that were right is a change of what they may name, or of themselves.
    let stays = |field: &str| before.is_some_and(|before| same(at(before, &[field]), at(spec, &[field])));
    if !(stays("paramKind") && stays("matchConditions")) {
        let path = path.child("matchConditions");
        errors.extend(match_conditions(spec, params.is_object(), &path));
    }
    let mut expressions = PolicyExpressions::new(spec, mutates);
    errors.extend(variables(spec, &mut expressions, path));
    (errors, expressions)
}

/// The spec of a ValidatingAdmissionPolicy.
pub(super) fn validating(new: &Value, before: Option<&Value>, path: &Path) -> ErrorList {
    let spec = at(new, &["spec"]);
    let (mut errors, expressions) = beginning(spec, before, false, path);
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
            internal::shown_list(internal::AUDIT_ANNOTATION, at(spec, &["auditAnnotations"])),
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
        let expression = text(annotation, &["valueExpression"]).trim();
        if expression.is_empty() {
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
            "must be non-empty if specified",
        ));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(Error::invalid(
            &path.child("message"),
            message,
            "must not contain line breaks",
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

/// The spec of a MutatingAdmissionPolicy.
pub(super) fn mutating(new: &Value, before: Option<&Value>, path: &Path) -> ErrorList {
    let spec = at(new, &["spec"]);
    let (mut errors, expressions) = beginning(spec, before, true, path);
    let mutations = list(spec, &["mutations"]);
    if mutations.is_empty() {
        errors.push(Error::required(
            &path.child("mutations"),
            "mutations must contain at least one item",
        ));
    }
    for (index, mutation) in mutations.iter().enumerate() {
        errors.extend(self::mutation(
            mutation,
            &expressions,
            &path.child("mutations").index(index),
        ));
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

/// A mutation has what its type says, and nothing of the other type.
fn mutation(mutation: &Value, expressions: &PolicyExpressions, path: &Path) -> ErrorList {
    let kind = text(mutation, &["patchType"]);
    let (field, other) = match kind {
        "" => return vec![Error::required(&path.child("patchType"), "")],
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        unknown => {
            return vec![Error::not_supported(
                &path.child("patchType"),
                unknown,
                &["ApplyConfiguration", "JSONPatch"],
            )];
        }
    };
    let mut errors = ErrorList::new();
    let own = path.child(field);
    if !at(mutation, &[field]).is_object() {
        errors.push(Error::required(
            &own,
            format!("must be specified when patchType is {kind}"),
        ));
    } else if text(mutation, &[field, "expression"]).trim().is_empty() {
        errors.push(Error::required(&own.child("expression"), ""));
    } else {
        errors.extend(expressions.mutation(at(mutation, &[field]), kind, &own));
    }
    if at(mutation, &[other]).is_object() {
        errors.push(Error::invalid(
            &path.child(other),
            format!("{{{other}}}"),
            format!("must not be specified when patchType is {kind}"),
        ));
    }
    errors
}
