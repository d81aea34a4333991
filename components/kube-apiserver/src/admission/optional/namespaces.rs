//! NamespaceAutoProvision and NamespaceExists: objects whose namespace is not there.
use super::namespace;
use crate::admission::Attributes;
use crate::server::Server;
use apimachinery::ApiError;

/// Whether the request is about something in a namespace.
fn concerns(attributes: &Attributes<'_>) -> bool {
    !attributes.namespace.is_empty() && !attributes.is("", "namespaces")
}

/// Makes the namespace.
pub async fn provide(server: &Server, attributes: &Attributes<'_>) -> Result<(), ApiError> {
    if attributes.dry_run || !concerns(attributes) {
        return Ok(());
    }
    let name = &attributes.namespace;
    let known = server.stores.read("", "namespaces", "", name).await;
    if known.map_err(ApiError::internal)?.is_some() {
        return Ok(());
    }
    crate::bootstrap::objects::make_namespace(server, name)
        .await
        .map_err(|error| attributes.forbidden(&error.to_string()))
}

/// Refuses what has none, which NamespaceLifecycle does for new objects only.
pub async fn check(server: &Server, attributes: &Attributes<'_>) -> Result<(), ApiError> {
    if concerns(attributes) {
        namespace(server, &attributes.namespace).await?;
    }
    Ok(())
}
