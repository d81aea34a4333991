//! SubjectAccessReview and its relatives.

use crate::authorization::Decision;
use crate::authorization::attributes::Attributes;
use crate::authorization::selection;
use crate::identity::User;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::verbs::target::Target;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, GroupVersionKind, names};
use serde_json::{Value, json};
use std::borrow::Cow;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// What is asked of somebody.
pub fn check_subject(target: &Target, review: &Value) -> Result<(), ApiError> {
    let spec = &review["spec"];
    let mut errors = exclusive(spec);
    let user = text(spec, "user");
    if user.is_empty() && spec["groups"].as_array().is_none_or(Vec::is_empty) {
        errors.push(Error::invalid(
            &Path::new("spec").child("user"),
            user,
            "at least one of user or group must be specified",
        ));
    }
    errors.extend(selectors(spec));
    let local = target.row.gvk.kind == "LocalSubjectAccessReview";
    errors.extend(metadata(review, local));
    if local {
        let path = Path::new("spec").child("resourceAttributes");
        let asked = text(&spec["resourceAttributes"], "namespace");
        if !spec["resourceAttributes"].is_null() && asked != target.namespace {
            errors.push(Error::invalid(
                &path.child("namespace"),
                asked,
                "must match metadata.namespace",
            ));
        }
        if !spec["nonResourceAttributes"].is_null() {
            errors.push(Error::invalid(
                &Path::new("spec").child("nonResourceAttributes"),
                other_attributes(spec),
                "disallowed on this kind of request",
            ));
        }
    }
    refuse(&errors)
}

/// May somebody do something?
pub async fn subject(server: &Server, review: &Value) -> Value {
    let spec = &review["spec"];
    let user = User {
        name: text(spec, "user").to_owned(),
        uid: text(spec, "uid").to_owned(),
        groups: strings(&spec["groups"]),
        extra: spec["extra"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, values)| (key.clone(), strings(values)))
            .collect(),
    };
    answer(server, &user, spec).await
}

/// What one asks of oneself.
pub fn check_own(review: &Value) -> Result<(), ApiError> {
    let spec = &review["spec"];
    let mut errors = exclusive(spec);
    errors.extend(selectors(spec));
    errors.extend(metadata(review, false));
    refuse(&errors)
}

/// May I do something?
pub async fn own(server: &Server, request: &ApiRequest, review: &Value) -> Value {
    answer(server, &request.user, &review["spec"]).await
}

async fn answer(server: &Server, user: &User, spec: &Value) -> Value {
    let verdict = server.authorizer.decide(&question(user, spec)).await;
    let mut status = status(&verdict.decision);
    let errors: Vec<String> = verdict
        .error
        .into_iter()
        .chain(left_out(&spec["resourceAttributes"]))
        .collect();
    if !errors.is_empty() {
        status["evaluationError"] = json!(errors.join("; "));
    }
    status
}

/// What of the selectors nobody was asked about.
fn left_out(resource: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for (field, asked) in [
        (
            "fieldSelector",
            selection::asked_fields as fn(&Value) -> selection::Asked,
        ),
        ("labelSelector", selection::asked_labels),
    ] {
        let selector = &resource[field];
        if !selector.is_object() {
            continue;
        }
        let asked = asked(selector);
        if asked.is_broken {
            let partially = if asked.terms.is_empty() { "" } else { "partially " };
            told.push(format!(
                "spec.resourceAttributes.{field} {partially}ignored due to parse error"
            ));
        }
    }
    told
}

/// As Go's struct is printed.
fn other_attributes(spec: &Value) -> Value {
    let other = &spec["nonResourceAttributes"];
    json!({ "Path": text(other, "path"), "Verb": text(other, "verb") })
}

/// Upstream's errors about these reviews name the group only.
fn refuse(errors: &[Error]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupVersionKind::new("authorization.k8s.io", "v1", "");
    Err(ApiError::invalid(&kind, "", errors))
}

/// Reviews carry no metadata of their own.
fn metadata(review: &Value, local: bool) -> Option<Error> {
    let given = review["metadata"].as_object()?;
    let own = |field: &str| field == "managedFields" || (local && field == "namespace");
    let detail = if local {
        "must be empty except for namespace"
    } else {
        "must be empty"
    };
    given
        .iter()
        .any(|(field, value)| !own(field) && !api::is_zero(Some(value)))
        .then(|| {
            let mut shown = given.clone();
            shown.retain(|field, value| !own(field) && !api::is_zero(Some(value)));
            Error::invalid(&Path::new("metadata"), Value::Object(shown), detail)
        })
}

/// Which objects a question is about: by requirements, or by a selector as text.
fn selectors(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec.resourceAttributes");
    let mut errors = Vec::new();
    for (field, checked) in [
        (
            "fieldSelector",
            field_requirement as fn(&Value, &Path) -> Vec<Error>,
        ),
        ("labelSelector", label_requirement),
    ] {
        let (selector, path) = (&spec["resourceAttributes"][field], path.child(field));
        if !selector.is_object() {
            continue;
        }
        let raw = text(selector, "rawSelector");
        let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
        if !raw.is_empty() && !requirements.is_empty() {
            errors.push(Error::invalid(
                &path.child("rawSelector"),
                raw,
                "may not specified at the same time as requirements",
            ));
        }
        if raw.is_empty() && requirements.is_empty() {
            errors.push(Error::required(
                &path.child("requirements"),
                format!("when {path} is specified, requirements or rawSelector is required"),
            ));
        }
        for (index, requirement) in requirements.iter().enumerate() {
            errors.extend(checked(requirement, &path.child("requirements").index(index)));
        }
    }
    errors
}

/// Operators that newer clients know may be there.
fn values(requirement: &Value, path: &Path) -> Option<Error> {
    let none = requirement["values"].as_array().is_none_or(Vec::is_empty);
    let path = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" if none => Some(Error::required(
            &path,
            "must be specified when `operator` is 'In' or 'NotIn'",
        )),
        "Exists" | "DoesNotExist" if !none => Some(Error::forbidden(
            &path,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        )),
        _ => None,
    }
}

fn field_requirement(requirement: &Value, path: &Path) -> Vec<Error> {
    let key = text(requirement, "key").is_empty();
    let missing = key.then(|| Error::required(&path.child("key"), "must be specified"));
    missing.into_iter().chain(values(requirement, path)).collect()
}

fn label_requirement(requirement: &Value, path: &Path) -> Vec<Error> {
    let mut errors: Vec<Error> = values(requirement, path).into_iter().collect();
    let key = text(requirement, "key");
    let wrong = names::qualified_name(key).into_iter();
    errors.extend(wrong.map(|why| Error::invalid(&path.child("key"), key, why)));
    for (index, value) in requirement["values"].as_array().into_iter().flatten().enumerate() {
        let value = value.as_str().unwrap_or("");
        let wrong = names::label_value(value).into_iter();
        errors.extend(wrong.map(|why| Error::invalid(&path.child("values").index(index), value, why)));
    }
    errors
}

/// A question is about a resource or about something else.
fn exclusive(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    match (
        !spec["resourceAttributes"].is_null(),
        !spec["nonResourceAttributes"].is_null(),
    ) {
        (true, true) => vec![Error::invalid(
            &path.child("nonResourceAttributes"),
            other_attributes(spec),
            "cannot be specified in combination with resourceAttributes",
        )],
        (false, false) => vec![Error::invalid(
            &path.child("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        )],
        _ => Vec::new(),
    }
}

fn question<'a>(user: &'a User, spec: &'a Value) -> Attributes<'a> {
    let resource = &spec["resourceAttributes"];
    if resource.is_null() {
        let other = &spec["nonResourceAttributes"];
        let mut question = Attributes::resource(user, text(other, "verb"), "", "");
        question.is_resource = false;
        question.path = Cow::Borrowed(text(other, "path"));
        return question;
    }
    let mut question = Attributes::resource(
        user,
        text(resource, "verb"),
        text(resource, "group"),
        text(resource, "resource"),
    )
    .in_namespace(text(resource, "namespace"))
    .named(text(resource, "name"))
    .of_subresource(text(resource, "subresource"));
    question.version = Cow::Borrowed(text(resource, "version"));
    question.fields = selection::asked_fields(&resource["fieldSelector"]).terms;
    question.labels = selection::asked_labels(&resource["labelSelector"]).terms;
    question
}

fn status(decision: &Decision) -> Value {
    let mut status = json!({ "allowed": decision.allowed() });
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = json!(true);
    }
    if !decision.reason().is_empty() {
        status["reason"] = json!(decision.reason());
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_questions_are_checked() {
        let fields = |selector: Value| json!({"resourceAttributes": {"fieldSelector": selector}});
        let labels = |selector: Value| json!({"resourceAttributes": {"labelSelector": selector}});
        let requirement = |key: &str, operator: &str, values: &[&str]| json!({"requirements": [{"key": key, "operator": operator, "values": values}]});
        let path = "spec.resourceAttributes";
        for (spec, wrong) in [
            (fields(requirement("spec.nodeName", "In", &["n"])), vec![]),
            (fields(requirement("a", "Like", &[])), vec![]),
            (fields(json!({"rawSelector": "a=b"})), vec![]),
            (
                fields(json!({})),
                vec![format!(
                    "{path}.fieldSelector.requirements: Required value: when {path}.fieldSelector is specified, requirements or rawSelector is required"
                )],
            ),
            (
                fields(json!({"rawSelector": "a=b", "requirements": [{"operator": "In"}]})),
                vec![
                    format!(
                        "{path}.fieldSelector.rawSelector: Invalid value: \"a=b\": may not specified at the same time as requirements"
                    ),
                    format!("{path}.fieldSelector.requirements[0].key: Required value: must be specified"),
                    format!(
                        "{path}.fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
                    ),
                ],
            ),
            (
                labels(requirement("a", "Exists", &["b"])),
                vec![format!(
                    "{path}.labelSelector.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                )],
            ),
            (labels(requirement("a", "In", &["b", "c"])), vec![]),
        ] {
            let found: Vec<String> = selectors(&spec).iter().map(ToString::to_string).collect();
            assert_eq!(found, wrong, "{spec}");
        }
        let odd = selectors(&labels(requirement("a b", "In", &["c d"])));
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert_eq!(odd[0].field, format!("{path}.labelSelector.requirements[0].key"));
        assert_eq!(
            odd[1].field,
            format!("{path}.labelSelector.requirements[0].values[0]")
        );
    }

    #[test]
    fn questions_have_no_metadata() {
        for (metadata, local, refused) in [
            (json!({}), false, false),
            (json!({"managedFields": []}), false, false),
            (json!({"name": "a"}), false, true),
            (
                json!({"name": "", "labels": {}, "ownerReferences": [], "generation": 0}),
                false,
                false,
            ),
            (json!({"namespace": "a"}), false, true),
            (json!({"namespace": "a"}), true, false),
            (json!({"namespace": "a", "labels": {"b": "c"}}), true, true),
        ] {
            let review = json!({ "metadata": metadata });
            assert_eq!(super::metadata(&review, local).is_some(), refused, "{review}");
        }
    }

    #[test]
    fn what_nobody_was_asked_about_is_told() {
        let path = "spec.resourceAttributes";
        for (resource, told) in [
            (json!({}), String::new()),
            (json!({"labelSelector": {"rawSelector": "a=1"}}), String::new()),
            (
                json!({"fieldSelector": {"requirements": [{"key": "a", "operator": "Exists"}]}, "labelSelector": {"rawSelector": "a=b=c"}}),
                format!(
                    "{path}.fieldSelector ignored due to parse error; {path}.labelSelector ignored due to parse error"
                ),
            ),
            (
                json!({"labelSelector": {"requirements": [{"key": "a", "operator": "Like"}, {"key": "b", "operator": "Exists"}]}}),
                format!("{path}.labelSelector partially ignored due to parse error"),
            ),
        ] {
            assert_eq!(left_out(&resource).join("; "), told, "{resource}");
        }
    }
}
