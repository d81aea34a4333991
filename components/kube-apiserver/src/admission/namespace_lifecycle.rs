//! NamespaceLifecycle: objects need a namespace that is there and isn't going away.

use super::{Attributes, Operation};
use crate::server::Server;
use apimachinery::status::{Cause, Details};
use apimachinery::{ApiError, GroupResource, Reason, meta};
use serde_json::Value;

/// Namespaces without which a cluster doesn't work.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    _object: Option<&Value>,
) -> Result<(), ApiError> {
    if attributes.operation == Operation::Delete
        && attributes.is("", "namespaces")
        && IMMORTAL.contains(&attributes.name.as_str())
    {
        return Err(attributes.forbidden("this namespace may not be deleted"));
    }
    if !attributes.row.namespaced || attributes.namespace.is_empty() {
        return Ok(());
    }
    // Anything may go; reviews are about namespaces and not in them.
    if attributes.operation != Operation::Create
        || attributes.is("authorization.k8s.io", "localsubjectaccessreviews")
    {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let namespace = server
        .stores
        .read("", "namespaces", "", &attributes.namespace)
        .await
        .map_err(ApiError::internal)?;
    let Some(namespace) = namespace else {
        return Err(ApiError::not_found(&namespaces, &attributes.namespace));
    };
    if namespace["status"]["phase"] == "Terminating" || meta::deletion_timestamp(&namespace).is_some() {
        let why = format!(
            "unable to create new content in namespace {} because it is being terminated",
            attributes.namespace
        );
        let resource = attributes.resource();
        let refused = attributes.forbidden(&why);
        let details = Details {
            name: attributes.name.clone(),
            group: resource.group.clone(),
            kind: resource.resource.clone(),
            causes: vec![Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {} is being terminated", attributes.namespace),
                field: "metadata.namespace".to_owned(),
            }],
            ..Details::default()
        };
        return Err(ApiError::new(
            403,
            Reason::Forbidden,
            refused.message(),
            Some(details),
        ));
    }
    Ok(())
}
