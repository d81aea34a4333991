//! The values that admission's expressions are evaluated over.

use super::attributes::Attributes;
use super::matching::Invocation;
use crate::authorization::Authorizer;
use crate::authorization::attributes::Attributes as Question;
use crate::identity::{User, service_account_user};
use apimachinery::GroupVersionKind;
use cel::{Access, AccessRequest, Authorize, AuthorizerState, Environment, Opaque, from_json};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// What variables stand for; `None` reads as null.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub object: Option<&'a Value>,
    pub old: Option<&'a Value>,
    pub request: &'a Value,
    pub namespace: Option<&'a Value>,
    pub params: Option<&'a Value>,
    /// `None` where an expression has no `authorizer`, even if it compiles with one.
    pub rights: Option<&'a Rights<'a>>,
}

static NULL: Value = Value::Null;

impl<'a> Inputs<'a> {
    /// The values in the environment's order; `variables` is left open.
    pub fn values(&self, environment: &'a Environment) -> Vec<Option<cel::Value<'a>>> {
        let mut values = vec![None; environment.len()];
        let mut set = |name: &str, value: cel::Value<'a>| {
            if let Some(index) = environment.index(name) {
                values[index] = Some(value);
            }
        };
        for (name, data) in [
            ("object", self.object),
            ("oldObject", self.old),
            ("request", Some(self.request)),
            ("namespaceObject", self.namespace),
            ("params", self.params),
        ] {
            if let Some(decl) = environment.decl(name) {
                set(name, from_json(data.unwrap_or(&NULL), decl));
            }
        }
        if let Some(rights) = self.rights {
            set("authorizer", cel::authorizer(rights));
            let resource = AuthorizerState::resource(rights, rights.resource.clone());
            set(
                "authorizer.requestResource",
                cel::Value::Opaque(Opaque::Authorizer(Arc::new(resource))),
            );
        }
        values
    }
}

/// What the user of a request may do, for `authorizer`.
pub struct Rights<'a> {
    authorizer: &'a Authorizer,
    user: &'a User,
    resource: AccessRequest,
}

impl<'a> Rights<'a> {
    pub fn of(authorizer: &'a Authorizer, attributes: &'a Attributes<'_>) -> Self {
        let row = &attributes.row;
        Self {
            authorizer,
            user: &attributes.user,
            resource: AccessRequest {
                group: row.gvk.group.clone(),
                resource: row.plural.clone(),
                subresource: attributes.subresource.clone(),
                namespace: attributes.seen_namespace().to_owned(),
                name: attributes.name.clone(),
                ..AccessRequest::default()
            },
        }
    }
}

impl Authorize for Rights<'_> {
    fn authorize(&self, request: &AccessRequest) -> Access {
        let user = match &request.service_account {
            Some((namespace, name)) => Cow::Owned(service_account_user(namespace, name, "").authenticated()),
            None => Cow::Borrowed(self.user),
        };
        let mut question = Question::resource(&user, &request.verb, &request.group, &request.resource);
        match &request.path {
            Some(path) => {
                question.is_resource = false;
                question.path = Cow::Borrowed(path);
            }
            None => {
                question = question
                    .in_namespace(&request.namespace)
                    .named(&request.name)
                    .of_subresource(&request.subresource);
            }
        }
        let decision = self.authorizer.authorize(&question);
        Access {
            allowed: decision.allowed(),
            reason: decision.reason().to_owned(),
            error: None,
        }
    }
}

/// The variable `request`.
pub fn request(attributes: &Attributes<'_>, invocation: &Invocation) -> Value {
    let kind =
        |gvk: &GroupVersionKind| json!({ "group": gvk.group, "version": gvk.version, "kind": gvk.kind });
    let resource = |row: &api::Resource| json!({ "group": row.gvk.group, "version": row.gvk.version, "resource": row.plural });
    let mut object = json!({
        "kind": kind(&invocation.kind),
        "resource": resource(&invocation.row),
        "requestKind": kind(attributes.kind()),
        "requestResource": resource(&attributes.row),
        "operation": attributes.operation.name(),
        "userInfo": crate::reviews::token::user_info(&attributes.user),
        "dryRun": attributes.dry_run,
        "options": attributes.options_object(),
    });
    for (field, text) in [
        ("subResource", attributes.subresource.as_str()),
        ("requestSubResource", attributes.subresource.as_str()),
        ("name", attributes.name.as_str()),
        ("namespace", attributes.seen_namespace()),
    ] {
        if !text.is_empty() {
            object[field] = json!(text);
        }
    }
    object
}

/// The variable `namespaceObject`: what expressions may see of a namespace.
pub fn namespace(stored: &Value) -> Value {
    let metadata: Map<String, Value> = api::expressions::NAMESPACE_METADATA
        .iter()
        .filter_map(|field| {
            let name = if *field == "uid" { "UID" } else { field };
            Some((name.to_owned(), stored["metadata"].get(field)?.clone()))
        })
        .collect();
    json!({
        "metadata": metadata,
        "spec": { "finalizers": stored["spec"]["finalizers"] },
        "status": { "phase": stored["status"]["phase"] },
    })
}
