//! The scale subresource of what is scaled.

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, Request};
use kube::{Client, Resource as _};

use crate::discovery::Discovery;
use crate::error::{Error, Result};

/// The resource that a reference means: its group and kind, in the group's preferred version.
pub fn resource_of(reference: &CrossVersionObjectReference, discovery: &Discovery) -> Result<ApiResource> {
    let group = reference
        .api_version
        .as_deref()
        .and_then(|version| version.rsplit_once('/'))
        .map_or("", |(group, _)| group);
    let found = discovery
        .resources
        .iter()
        .find(|known| known.resource.kind == reference.kind && known.resource.group == group);
    found.map(|found| found.resource.clone()).ok_or_else(|| {
        let version = reference.api_version.as_deref().unwrap_or_default();
        Error::Other(format!(
            "no matches for kind {:?} in version {version:?}",
            reference.kind
        ))
    })
}

pub async fn scale(client: &Client, resource: &ApiResource, namespace: &str, name: &str) -> Result<Scale> {
    let path = DynamicObject::url_path(resource, Some(namespace));
    let request = Request::new(path)
        .get_subresource("scale", name)
        .map_err(invalid)?;
    Ok(client.request(request).await?)
}

/// Sets the number of replicas; fails when the scale was changed since it was read.
pub async fn set_replicas(
    client: &Client,
    resource: &ApiResource,
    scale: &Scale,
    replicas: i32,
) -> Result<()> {
    let mut wanted = scale.clone();
    wanted.spec.get_or_insert_default().replicas = Some(replicas);
    let namespace = scale.metadata.namespace.as_deref().unwrap_or_default();
    let name = scale.metadata.name.as_deref().unwrap_or_default();
    let data = serde_json::to_vec(&wanted).map_err(kube::Error::SerdeError)?;
    let path = DynamicObject::url_path(resource, Some(namespace));
    let request = Request::new(path)
        .replace_subresource("scale", name, &PostParams::default(), data)
        .map_err(invalid)?;
    let _: Scale = client.request(request).await?;
    Ok(())
}

fn invalid(error: impl std::error::Error) -> Error {
    Error::Other(error.to_string())
}
