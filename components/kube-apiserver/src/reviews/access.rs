//! SubjectAccessReview and its relatives.

use crate::authorization::Decision;
use crate::authorization::attributes::Attributes;
use crate::authorization::selection;
use crate::identity::User;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::verbs::target::Target;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, GroupVersionKind};
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

/// May somebody do something?
pub async fn subject(server: &Server, target: &Target, review: &Value) -> Result<Value, ApiError> {
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
    let mut errors = check(spec);
    if user.name.is_empty() && user.groups.is_empty() {
        errors.push(Error::invalid(
            &Path::new("spec").child("user"),
            user.name.as_str(),
            "at least one of user or group must be specified",
        ));
    }
    if target.row.gvk.kind == "LocalSubjectAccessReview" {
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
                spec["nonResourceAttributes"].clone(),
                "disallowed on this kind of request",
            ));
        }
    }
    if !errors.is_empty() {
        return Err(invalid(&errors));
    }
    Ok(status(&server.authorizer.decide(&question(&user, spec)).await))
}

/// May I do something?
pub async fn own(server: &Server, request: &ApiRequest, review: &Value) -> Result<Value, ApiError> {
    let spec = &review["spec"];
    let errors = check(spec);
    if !errors.is_empty() {
        return Err(invalid(&errors));
    }
    Ok(status(
        &server.authorizer.decide(&question(&request.user, spec)).await,
    ))
}

/// Upstream's errors about these reviews name the group only.
fn invalid(errors: &[Error]) -> ApiError {
    ApiError::invalid(
        &GroupVersionKind::new("authorization.k8s.io", "v1", ""),
        "",
        errors,
    )
}

fn check(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    match (
        !spec["resourceAttributes"].is_null(),
        !spec["nonResourceAttributes"].is_null(),
    ) {
        (true, true) => vec![Error::invalid(
            &path.child("nonResourceAttributes"),
            spec["nonResourceAttributes"].clone(),
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
    question.fields = selection::of_review(&resource["fieldSelector"], selection::of_fields);
    question.labels = selection::of_review(&resource["labelSelector"], selection::of_labels);
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
