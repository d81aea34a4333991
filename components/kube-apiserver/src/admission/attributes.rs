//! What admission knows of a request.

use crate::identity::User;
use crate::request::ApiRequest;
use crate::verbs::options::{DeleteOptions, WriteOptions};
use crate::verbs::target::Target;
use api::Resource;
use apimachinery::decode::Unchanged;
use apimachinery::{ApiError, GroupResource, GroupVersionKind, names};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// The name that rules and reviews use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// The options of the request.
#[derive(Clone, Copy, Debug, Default)]
pub enum Options<'a> {
    /// CONNECT has none.
    #[default]
    None,
    Write(&'a WriteOptions),
    Delete(&'a DeleteOptions),
}

/// What plugins know of a request.
#[derive(Clone)]
pub struct Attributes<'a> {
    pub request: &'a ApiRequest,
    pub user: Arc<User>,
    pub row: Arc<Resource>,
    pub operation: Operation,
    pub namespace: String,
    pub name: String,
    /// What the name begins with that the object gets once the plugins that may change it are done.
    pub generate_name: String,
    pub subresource: String,
    pub dry_run: bool,
    pub options: Options<'a>,
    /// What is known to be as before, when a changed object is validated.
    pub unchanged: Unchanged,
}

impl<'a> Attributes<'a> {
    /// Adds an annotation of somebody else's to the audit event: one whose key isn't qualified is left out.
    pub fn annotate(&self, key: String, value: String) {
        if key.contains('/') && names::qualified_name(&key).is_empty() {
            self.request.annotate(key, value);
        } else {
            tracing::warn!(key, "an audit annotation has no qualified name; it is left out");
        }
    }

    pub fn of(request: &'a ApiRequest, target: &Target, operation: Operation, dry_run: bool) -> Self {
        Self {
            request,
            user: Arc::clone(&request.user),
            row: Arc::clone(&target.row),
            operation,
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            generate_name: String::new(),
            subresource: target.subresource.clone(),
            dry_run,
            options: Options::None,
            unchanged: Unchanged::default(),
        }
    }

    /// A create or update with its options.
    pub fn of_write(
        request: &'a ApiRequest,
        target: &Target,
        operation: Operation,
        options: &'a WriteOptions,
    ) -> Self {
        Self {
            options: Options::Write(options),
            ..Self::of(request, target, operation, options.dry_run)
        }
    }

    /// A delete with its options.
    pub fn of_delete(request: &'a ApiRequest, target: &Target, options: &'a DeleteOptions) -> Self {
        Self {
            options: Options::Delete(options),
            ..Self::of(request, target, Operation::Delete, options.dry_run)
        }
    }

    /// `group/plural`, for matching.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.row.gvk.group == group && self.row.plural == plural
    }

    pub fn forbidden(&self, why: &str) -> ApiError {
        ApiError::forbidden(&self.resource(), self.shown_name(), why)
    }

    /// The name that a refusal has: of an object that has none yet, what it will begin with.
    pub fn shown_name(&self) -> &str {
        [self.name.as_str(), self.generate_name.as_str()]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("Unknown")
    }

    pub fn resource(&self) -> GroupResource {
        self.row.group_resource()
    }

    /// The kind of the object that is sent: that of the subresource, where it has its own.
    pub fn kind(&self) -> &GroupVersionKind {
        self.row
            .subresource(&self.subresource)
            .map_or(&self.row.gvk, |subresource| &subresource.gvk)
    }

    /// The namespace as webhooks and policies see it: a namespace is in itself.
    pub fn seen_namespace(&self) -> &str {
        if self.is("", "namespaces") {
            &self.name
        } else {
            &self.namespace
        }
    }

    /// The options as an object; null for CONNECT.
    pub fn options_object(&self) -> Value {
        match self.options {
            Options::None => Value::Null,
            Options::Write(options) => {
                let kind = match self.operation {
                    Operation::Create => "CreateOptions",
                    _ => "UpdateOptions",
                };
                let mut object = json!({ "kind": kind, "apiVersion": "meta.k8s.io/v1" });
                if options.dry_run {
                    object["dryRun"] = json!(["All"]);
                }
                if !options.field_manager.is_empty() {
                    object["fieldManager"] = json!(options.field_manager);
                }
                if let Some(given) = self
                    .request
                    .query
                    .get("fieldValidation")
                    .filter(|text| !text.is_empty())
                {
                    object["fieldValidation"] = json!(given);
                }
                object
            }
            Options::Delete(options) => delete_options(options),
        }
    }
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut object = json!({ "kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1" });
    if options.dry_run {
        object["dryRun"] = json!(["All"]);
    }
    if let Some(seconds) = options.grace_period_seconds {
        object["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(orphan) = options.orphan_dependents {
        object["orphanDependents"] = json!(orphan);
    }
    if let Some(policy) = &options.propagation_policy {
        object["propagationPolicy"] = json!(policy);
    }
    for (field, value) in [
        ("uid", &options.uid),
        ("resourceVersion", &options.resource_version),
    ] {
        if let Some(value) = value {
            object["preconditions"][field] = json!(value);
        }
    }
    object
}
