//! Containers for debugging, which are added to a pod that runs.
use super::{Allowed, annotations, whole};
use crate::features::Features;
use crate::validate::internal;
use crate::validate::shared::same;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// A change through the endpoint for such containers: they may be added, and stay as they are.
pub(in crate::validate) fn update(old: &Value, new: &Value, features: Features) -> ErrorList {
    if meta::annotation(old, annotations::MIRROR).is_some() {
        return vec![Error::forbidden(
            &Path::nameless(),
            "static pods do not support ephemeral containers",
        )];
    }
    let allowed = Allowed::of(features, "Pod", Some(old));
    let mut errors = whole(new, allowed);
    errors.extend(annotations::change(
        old,
        new,
        allowed,
        &Path::new("metadata.annotations"),
    ));
    let path = Path::new("spec.ephemeralContainers");
    const FIELD: &[&str] = &["spec", "ephemeralContainers"];
    for before in list(old, FIELD) {
        let name = text(before, &["name"]);
        let after = list(new, FIELD)
            .iter()
            .find(|after| text(after, &["name"]) == name);
        match after {
            None => errors.push(Error::forbidden(
                &path,
                format!("existing ephemeral containers {name:?} may not be removed\n"),
            )),
            Some(after) if !same(before, after) => errors.push(Error::forbidden(
                &path,
                format!(
                    "existing ephemeral containers {name:?} may not be changed\n{}",
                    internal::difference(internal::EPHEMERAL_CONTAINER, before, after)
                ),
            )),
            Some(_) => {}
        }
    }
    errors
}
