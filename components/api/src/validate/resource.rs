//! Validation of the kinds of dynamic resource allocation (pkg/apis/resource/validation). Upstream also has rules of these
//! kinds that are generated from tags of their types; in v1.36 these are all alpha, so that it only compares them with the
//! rules here and tells what these say.
mod binding;
mod claim;
mod config;
mod device;
mod lists;
mod names;
mod nodes;
mod request;
mod selector;
mod slice;
mod status;
mod taint;

pub(super) use status::check as claim_status;

use super::shared::{is_extended, same};
use crate::features::Features;
use crate::value::at;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value, features: Features) -> Option<ErrorList> {
    Some(match kind {
        "DeviceClass" => device_class(old, new, features),
        "ResourceClaim" => claim::claim(old, new, features),
        "ResourceClaimTemplate" => claim::template(old, new, features),
        "ResourceSlice" => slice::check(old, new),
        _ => return None,
    })
}

fn device_class(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = selector::selectors(spec, features, &path.child("selectors"));
    // What was taken once is not measured anew.
    let stored = old.is_some_and(|old| same(at(old, &["spec", "config"]), at(spec, &["config"])));
    errors.extend(config::of_class(spec, stored, &path.child("config")));
    if let Some(name) = at(spec, &["extendedResourceName"])
        .as_str()
        .filter(|name| !is_extended(name))
    {
        errors.push(Error::invalid(
            &path.child("extendedResourceName"),
            name,
            "must be a valid extended resource name",
        ));
    }
    errors
}

#[cfg(test)]
mod tests;
