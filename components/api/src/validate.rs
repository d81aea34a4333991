//! Validation of new and changed objects, with upstream's paths, types and messages.
mod addresses;
mod admission;
mod amounts;
mod autoscaling;
mod batch;
mod certificates;
mod core;
mod definition;
mod disruption;
mod event;
mod flow_control;
mod internal;
mod metadata;
mod networking;
mod others;
mod pod;
mod priority;
mod rbac;
mod resource;
mod shared;
mod small;
mod status;
mod storage;
mod workloads;

use certificates::signer_name;
pub use core::service_addresses;
pub(crate) use metadata::embedded as embedded_metadata;
pub use metadata::{annotations, field_manager, labels, scale};
pub(crate) use pod::app_armor;
pub use pod::{allow_privileged, configured_tolerations, tolerations_of_namespace};
pub use storage::claim_difference;

use crate::features::Features;
use crate::{Resource, custom, strategy};
use apimachinery::decode::Unchanged;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{ApiError, GroupVersion, meta};
use serde_json::Value;

/// Whether a resource is somebody else's, such as `example.com/gpu`.
pub fn is_extended_resource(name: &str) -> bool {
    amounts::is_extended(name)
}

/// Why a stored CustomResourceDefinition is not structural, which older servers took; `None` when it is.
pub fn non_structural(definition: &Value) -> Option<String> {
    definition::non_structural(definition)
}

/// Checks a new object.
pub fn create(resource: &Resource, object: &Value) -> Result<(), ApiError> {
    create_with(resource, object, ErrorList::new())
}

/// Checks a new object of which some is known to be wrong already, by what is not in the object itself.
pub fn create_with(resource: &Resource, object: &Value, known: ErrorList) -> Result<(), ApiError> {
    if let Some(refusal) = wrong_type(resource, object) {
        return Err(refusal);
    }
    let mut errors = known;
    errors.extend(metadata::create(resource, object));
    if let Some(definition) = &resource.custom {
        // There is nothing to warn of: nothing stayed as it was.
        errors = custom::check(definition, None, object, false, errors, &mut Vec::new());
        return answer(resource, object, errors);
    }
    errors.extend(kind(resource, None, None, object, &Unchanged::default()));
    answer(resource, object, errors)
}

/// Checks a changed object, of which `unchanged` is known to be as before.
pub fn update(
    resource: &Resource,
    subresource: &str,
    old: &Value,
    new: &Value,
    unchanged: &Unchanged,
) -> Result<(), ApiError> {
    let mut warnings = Vec::new();
    let known = ErrorList::new();
    update_with(resource, subresource, old, new, unchanged, known, &mut warnings)
}

/// Checks a changed object of which some is known to be wrong already, by what is not in the object itself. What is wrong with it
/// but was so before is told in `warnings`, whatever comes of the rest.
pub fn update_with(
    resource: &Resource,
    subresource: &str,
    old: &Value,
    new: &Value,
    unchanged: &Unchanged,
    known: ErrorList,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    if let Some(refusal) = wrong_type(resource, new) {
        return Err(refusal);
    }
    let mut errors = known;
    errors.extend(metadata::update(resource, old, new));
    if meta::resource_version(new).is_empty() && !strategy::rules(resource).unconditional_update {
        errors.push(Error::invalid(
            &Path::new("metadata.resourceVersion"),
            0,
            "must be specified for an update",
        ));
    }
    if let Some(definition) = &resource.custom {
        let status = subresource == "status";
        errors = custom::check(definition, Some(old), new, status, errors, warnings);
        return answer(resource, new, errors);
    }
    // A status is written by controllers; its endpoint can't change what is checked below.
    if subresource == "status" && resource.gvk.kind == "CustomResourceDefinition" {
        errors.extend(definition::check_status(new));
    }
    // An endpoint for a part lets that part through; where it has no rules of its own, the whole is checked.
    let part = resource
        .subresource(subresource)
        .and_then(|_| status::check(&resource.gvk.kind, subresource, old, new, resource.features));
    match part {
        Some(found) => errors.extend(found),
        None => {
            // Upstream checks these once as a new object and once as a change, and its causes repeat accordingly.
            if matches!(resource.gvk.kind.as_str(), "Job" | "PersistentVolume") {
                errors.extend(kind(resource, None, Some(old), new, unchanged));
            }
            errors.extend(kind(resource, Some(old), Some(old), new, unchanged));
        }
    }
    answer(resource, new, errors)
}

/// `old` is what an object changed from. `existing` is there also when a changed object is checked as if it were new: what it used
/// already is let through.
fn kind(
    resource: &Resource,
    old: Option<&Value>,
    existing: Option<&Value>,
    new: &Value,
    unchanged: &Unchanged,
) -> ErrorList {
    let (group, name) = (resource.gvk.group.as_str(), resource.gvk.kind.as_str());
    let features = resource.features;
    let found = match group {
        "" | "events.k8s.io" if name == "Event" => Some(event::check(group, old, new)),
        "" if name == "Pod" => Some(whole_pod(old, new, unchanged, features)),
        "" => core::check(name, old, new, features)
            .or_else(|| storage::check(name, old, existing, new, features))
            .or_else(|| workloads::check(name, old, new, features))
            .or_else(|| others::check(name, old, new, features)),
        "apps" => {
            workloads::check(name, old, new, features).or_else(|| small::check(name, old, new, features))
        }
        "batch" => batch::check(name, old, existing, new, features),
        "autoscaling" if name == "HorizontalPodAutoscaler" => Some(autoscaling::check(old, new, features)),
        "networking.k8s.io" => networking::check(name, old, new, features),
        "policy" if name == "PodDisruptionBudget" => Some(disruption::check(old, new)),
        "scheduling.k8s.io" if name == "PriorityClass" => Some(priority::check(old, new)),
        "admissionregistration.k8s.io" => admission::check(name, old, new),
        "apiextensions.k8s.io" => Some(definition::check(old, new)),
        "flowcontrol.apiserver.k8s.io" => flow_control::check(name, new),
        "node.k8s.io" | "apiregistration.k8s.io" => small::check(name, old, new, features),
        "rbac.authorization.k8s.io" => rbac::check(name, old, new),
        "resource.k8s.io" => resource::check(name, old, new, features),
        "storage.k8s.io" => storage::check(name, old, existing, new, features),
        "certificates.k8s.io" => Some(certificates::check("", old, new)),
        "coordination.k8s.io" | "discovery.k8s.io" => others::check(name, old, new, features),
        _ => None,
    };
    found.unwrap_or_default()
}

fn whole_pod(old: Option<&Value>, new: &Value, unchanged: &Unchanged, features: Features) -> ErrorList {
    let allowed = pod::Allowed::of(features, "Pod", old);
    let Some(old) = old else {
        return pod::create(new, allowed);
    };
    // A spec as it was has been checked, which is most of the work; annotations may have changed beside it.
    let stays = unchanged.has("spec") || old.get("spec") == new.get("spec");
    let mut errors = if stays {
        pod::annotations_beside_spec(new, allowed)
    } else {
        pod::whole(new, allowed)
    };
    errors.extend(pod::changed_annotations(old, new, allowed));
    if !stays {
        errors.extend(pod::changed_spec(old, new, allowed));
    }
    errors
}

/// A custom object may say that it is of another kind or version, which decoders can't tell. That is all that is said of it then,
/// and in the name of that kind.
fn wrong_type(resource: &Resource, object: &Value) -> Option<ApiError> {
    resource.custom.as_ref()?;
    let expected = resource.gvk.api_version();
    let mut errors = ErrorList::new();
    for (field, given, expected) in [
        ("kind", meta::kind(object), resource.gvk.kind.as_str()),
        ("apiVersion", meta::api_version(object), expected.as_str()),
    ] {
        if given != expected {
            errors.push(Error::invalid(
                &Path::new(field),
                given,
                format!("must be {expected}"),
            ));
        }
    }
    if errors.is_empty() {
        return None;
    }
    let kind =
        GroupVersion::parse(meta::api_version(object)).unwrap_or_else(|_| resource.gvk.group_version());
    Some(ApiError::invalid(
        &kind.kind(meta::kind(object)),
        meta::name(object),
        &errors,
    ))
}

fn answer(resource: &Resource, object: &Value, errors: ErrorList) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    // Kinds that two groups share are checked as the group that stores them.
    let kind = resource.storage_version.kind(&*resource.gvk.kind);
    Err(ApiError::invalid(&kind, meta::name(object), &errors))
}

#[cfg(test)]
mod tests;
