//! Validation of flow schemas and priority levels.
mod level;
mod mandatory;
mod schema;

use crate::value::at;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// An annotation by which an older version of the API told a share of zero from none. Here it must not be there.
const ZERO_SHARES: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";

/// A new or changed flow schema or priority level.
pub(super) fn check(kind: &str, new: &Value) -> Option<ErrorList> {
    let (spec, path, name) = (at(new, &["spec"]), Path::new("spec"), meta::name(new));
    match kind {
        "FlowSchema" => {
            let mut errors = schema::check(name, spec, &path);
            errors.extend(mandatory::schema(name, spec, &path));
            Some(errors)
        }
        "PriorityLevelConfiguration" => {
            let mut errors = ErrorList::new();
            if meta::annotation(new, ZERO_SHARES).is_some() {
                errors.push(Error::forbidden(
                    &Path::new("metadata.annotations"),
                    format!("annotation '{ZERO_SHARES}' is forbidden"),
                ));
            }
            errors.extend(level::check(name, spec, &path));
            errors.extend(mandatory::level(name, spec, &path));
            Some(errors)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
