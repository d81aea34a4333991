//! PersistentVolumeClaimResize: claims grow only where their class lets them.

use super::Attributes;
use crate::server::Server;
use apimachinery::{ApiError, Quantity, meta};
use serde_json::Value;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

fn class(claim: &Value) -> &str {
    meta::annotation(claim, CLASS_ANNOTATION)
        .or(claim["spec"]["storageClassName"].as_str())
        .unwrap_or("")
}

fn size(claim: &Value) -> Option<Quantity> {
    Quantity::from_json(&claim["spec"]["resources"]["requests"]["storage"]).ok()
}

pub fn resize(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let (Some(new), Some(old)) = (object, old) else {
        return Ok(());
    };
    if !attributes.subresource.is_empty() || size(new) <= size(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
    }
    let name = class(new);
    let grows = !name.is_empty()
        && name == class(old)
        && server
            .stores
            .cached("storage.k8s.io", "storageclasses", "", name)
            .is_some_and(|class| class["allowVolumeExpansion"] == true);
    if grows {
        return Ok(());
    }
    Err(attributes.forbidden("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"))
}
