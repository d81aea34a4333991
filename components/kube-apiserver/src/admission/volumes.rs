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
    if !attributes.subresource.is_empty() {
        return Ok(());
    }
    let expands = |class: &str| {
        let class = server
            .stores
            .cached("storage.k8s.io", "storageclasses", "", class);
        class.is_some_and(|class| class["allowVolumeExpansion"] == true)
    };
    growth(old, new, expands).map_err(|why| attributes.forbidden(why))
}

/// Why a claim may not grow. What kind of volume it has doesn't matter any more: only its class says.
fn growth(old: &Value, new: &Value, expands: impl Fn(&str) -> bool) -> Result<(), &'static str> {
    if size(new) <= size(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        return Err("Only bound persistent volume claims can be expanded");
    }
    let name = class(new);
    if name.is_empty() || name != class(old) || !expands(name) {
        return Err(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_grow_where_their_class_lets_them() {
        const UNBOUND: Result<(), &str> = Err("Only bound persistent volume claims can be expanded");
        const FIXED: Result<(), &str> = Err(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
        let claim = |class: Value, size: &str, phase: &str| json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}, "status": {"phase": phase}});
        let noted = |size: &str| json!({"metadata": {"annotations": {CLASS_ANNOTATION: "grows"}}, "spec": {"storageClassName": "fixed", "resources": {"requests": {"storage": size}}}, "status": {"phase": "Bound"}});
        let small = |class: &str| claim(json!(class), "1Gi", "Bound");
        let big = |class: &str| claim(json!(class), "2Gi", "Bound");
        for (old, new, expected) in [
            (small("grows"), big("grows"), Ok(())),
            (small("fixed"), big("fixed"), FIXED),
            (small("gone"), big("gone"), FIXED),
            (small("fixed"), small("fixed"), Ok(())),
            (big("fixed"), small("fixed"), Ok(())),
            (small("grows"), big("fixed"), FIXED),
            (claim(Value::Null, "1Gi", "Bound"), big("grows"), FIXED),
            (
                claim(Value::Null, "1Gi", "Bound"),
                claim(Value::Null, "2Gi", "Bound"),
                FIXED,
            ),
            (noted("1Gi"), noted("2Gi"), Ok(())),
            (claim(json!("grows"), "1Gi", "Pending"), big("grows"), UNBOUND),
            (claim(json!("fixed"), "1024Mi", "Lost"), small("fixed"), Ok(())),
        ] {
            let found = growth(&old, &new, |class| class == "grows");
            assert_eq!(found, expected, "{old} {new}");
        }
    }
}
