//! Built-in admission: what may change or refuse a write after it was authorized.

use crate::identity::User;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::verbs::target::Target;
use api::Resource;
use apimachinery::{ApiError, GroupResource};
use serde_json::Value;
use std::sync::Arc;

pub mod certificates;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod plugins;
pub mod pod_defaults;
pub mod pod_security;
pub mod rbac;
pub mod resource_quota;
pub mod service_account;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// What plugins know of a request.
pub struct Attributes<'a> {
    pub request: &'a ApiRequest,
    pub user: Arc<User>,
    pub row: Arc<Resource>,
    pub operation: Operation,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
    pub dry_run: bool,
}

impl<'a> Attributes<'a> {
    pub fn of(request: &'a ApiRequest, target: &Target, operation: Operation, dry_run: bool) -> Self {
        Self {
            request,
            user: Arc::clone(&request.user),
            row: Arc::clone(&target.row),
            operation,
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            subresource: target.subresource.clone(),
            dry_run,
        }
    }

    /// `group/plural`, for matching.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.row.gvk.group == group && self.row.plural == plural
    }

    pub fn forbidden(&self, why: &str) -> ApiError {
        ApiError::forbidden(&self.resource(), &self.name, why)
    }

    pub fn resource(&self) -> GroupResource {
        self.row.group_resource()
    }
}

/// Runs the plugins that may change the object, in upstream's order.
pub async fn mutate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let on = |name: &str| {
        plugins::enabled(
            name,
            &server.flags.enable_admission_plugins,
            &server.flags.disable_admission_plugins,
        )
    };
    if on("NamespaceLifecycle") {
        namespace_lifecycle::admit(server, attributes, Some(object)).await?;
    }
    if on("LimitRanger") {
        limit_ranger::mutate(server, attributes, object);
    }
    if on("ServiceAccount") {
        service_account::mutate(server, attributes, object).await?;
    }
    node_restriction::admit(server, attributes, Some(object), old).await?;
    if on("TaintNodesByCondition") {
        pod_defaults::new_node(attributes, object);
    }
    if on("Priority") {
        pod_defaults::priority(server, attributes, object, old)?;
    }
    if on("DefaultTolerationSeconds") {
        pod_defaults::tolerations(server, attributes, object);
    }
    if on("DefaultStorageClass") || on("DefaultIngressClass") {
        pod_defaults::default_class(server, attributes, object);
    }
    if on("StorageObjectInUseProtection") {
        pod_defaults::storage_protection(attributes, object);
    }
    if on("RuntimeClass") {
        pod_defaults::runtime_class(server, attributes, object)?;
    }
    Ok(())
}

/// Runs the plugins that only look.
pub async fn validate(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.operation == Operation::Delete {
        namespace_lifecycle::admit(server, attributes, object).await?;
        node_restriction::admit(server, attributes, object, old).await?;
    }
    let on = |name: &str| {
        plugins::enabled(
            name,
            &server.flags.enable_admission_plugins,
            &server.flags.disable_admission_plugins,
        )
    };
    rbac::admit(server, attributes, object, old).await?;
    if attributes.row.gvk.group == "admissionregistration.k8s.io" && attributes.operation == Operation::Create
    {
        // Not refused: the object is valid and other servers of the cluster may act on it.
        tracing::warn!(
            kind = attributes.row.gvk.kind,
            name = attributes.name,
            "stored, but not called: this server has built-in admission only"
        );
    }
    if on("LimitRanger") {
        limit_ranger::validate(server, attributes, object)?;
    }
    if on("PodSecurity") {
        pod_security::admit(server, attributes, object).await?;
    }
    certificates::admit(server, attributes, object, old)?;
    // Last, so that nothing is counted that is refused for another reason.
    if on("ResourceQuota") {
        resource_quota::admit(server, attributes, object, old).await?;
    }
    Ok(())
}
