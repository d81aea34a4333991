//! Validation of `metadata`.
use super::addresses::canonical_ip;
use super::internal;
use crate::Resource;
use crate::features::Feature;
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::Value;
use std::collections::HashSet;

/// Annotations may hold this many bytes in all.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// How names of a kind are checked.
fn name_errors(resource: &Resource, name: &str) -> Vec<String> {
    if resource.custom.is_some() {
        return names::dns1123_subdomain(name);
    }
    match resource.gvk.kind.as_str() {
        "Namespace" => names::dns1123_label(name),
        "Service" if !resource.features.has(Feature::RelaxedServiceNameValidation) => {
            names::dns1035_label(name)
        }
        "Service" => names::dns1123_label(name),
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => names::path_segment_name(name),
        // It doesn't have to make sense with something behind it: no name of this kind can be made up.
        "IPAddress" => canonical_ip(&Path::new("metadata.name"), name)
            .map(|error| error.detail)
            .into_iter()
            .collect(),
        "APIService" => Vec::new(),
        "CertificateSigningRequest" | "Event" | "PodDisruptionBudget" => Vec::new(),
        "StatefulSet" => names::dns1123_label(name),
        // Checked by generated code, which counts bytes where other checks count characters.
        "ReplicationController" => names::dns1123_subdomain(name)
            .into_iter()
            .map(|message| message.replace("no more than 253 characters", "no more than 253 bytes"))
            .collect(),
        _ => names::dns1123_subdomain(name),
    }
}

/// What is told of the name of a definition that is not that of its resource.
fn definition_name(resource: &Resource, object: &Value, name: &str) -> Option<String> {
    if resource.gvk.kind != "CustomResourceDefinition" || resource.custom.is_some() {
        return None;
    }
    let spec = at(object, &["spec"]);
    let plural = text(spec, &["names", "plural"]);
    let wanted = name.strip_prefix(plural).and_then(|rest| rest.strip_prefix('.'));
    (wanted != Some(text(spec, &["group"]))).then(|| "must be spec.names.plural+\".\"+spec.group".to_owned())
}

/// Metadata of a new object.
pub(super) fn create(resource: &Resource, object: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    let generate = meta::generate_name(object);
    if !generate.is_empty() {
        let masked = names::mask_trailing_dash(generate);
        errors.extend(
            name_errors(resource, &masked)
                .into_iter()
                .chain(definition_name(resource, object, generate))
                .map(|message| Error::invalid(&path.child("generateName"), generate, message)),
        );
    }
    let name = meta::name(object);
    if name.is_empty() {
        errors.push(Error::required(
            &path.child("name"),
            "name or generateName is required",
        ));
    } else {
        errors.extend(
            name_errors(resource, name)
                .into_iter()
                .chain(definition_name(resource, object, name))
                .map(|message| Error::invalid(&path.child("name"), name, message)),
        );
    }
    if resource.namespaced && meta::namespace(object).is_empty() {
        errors.push(Error::required(&path.child("namespace"), ""));
    }
    errors.extend(shared(object, &path));
    errors.extend(unknown_finalizers(resource, object, &path));
    errors
}

/// What is wrong with the scale of an object of a built-in kind, all of which are in namespaces (upstream, ValidateScale).
pub fn scale(scale: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    for (field, name) in [
        (
            "generateName",
            names::mask_trailing_dash(meta::generate_name(scale)),
        ),
        ("name", meta::name(scale).to_owned()),
    ] {
        if !name.is_empty() {
            let wrong = names::dns1123_subdomain(&name).into_iter();
            errors.extend(wrong.map(|why| Error::invalid(&path.child(field), name.as_str(), why)));
        }
    }
    errors.extend(shared(scale, &path));
    let replicas = at(scale, &["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        errors.push(Error::invalid(
            &path,
            replicas,
            "must be greater than or equal to 0",
        ));
    }
    errors
}

/// Metadata of a resource that is embedded in another object.
pub(crate) fn embedded(object: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (field, name) in [
        ("generateName", meta::generate_name(object)),
        ("name", meta::name(object)),
    ] {
        let wrong = names::path_segment_name(name).into_iter();
        // A beginning may be a dot or two, for something follows.
        let wrong = wrong.filter(|why| field == "name" || !why.starts_with("may not be"));
        errors.extend(wrong.map(|why| Error::invalid(&path.child(field), name, why)));
    }
    let namespace = meta::namespace(object);
    if !namespace.is_empty() {
        let wrong = names::dns1123_label(namespace).into_iter();
        errors.extend(wrong.map(|why| Error::invalid(&path.child("namespace"), namespace, why)));
    }
    errors.extend(shared(object, path));
    errors
}

/// Metadata of an object that is yet to be made: labels and annotations for it, and nothing else.
pub(super) fn template(template: &Value, path: &Path) -> ErrorList {
    let mut errors = annotations(template, &path.child("annotations"));
    errors.extend(labels(
        at(template, &["metadata", "labels"]),
        &path.child("labels"),
    ));
    const OTHERS: &[(&str, &str)] = &[
        ("name", "name"),
        ("generateName", "generateName"),
        ("namespace", "namespace"),
        ("selfLink", "selfLink"),
        // Upstream makes the first letter of its own name for the field small.
        ("uid", "uID"),
        ("resourceVersion", "resourceVersion"),
        ("generation", "generation"),
        ("creationTimestamp", "creationTimestamp"),
        ("deletionTimestamp", "deletionTimestamp"),
        ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
        ("ownerReferences", "ownerReferences"),
        ("finalizers", "finalizers"),
        ("managedFields", "managedFields"),
    ];
    for (field, shown) in OTHERS {
        let value = at(template, &["metadata", field]);
        let set = match value {
            Value::Array(_) => true,
            // A pointer to zero is there.
            Value::Number(_) => *field == "deletionGracePeriodSeconds" || !is_zero(Some(value)),
            value => !is_zero(Some(value)),
        };
        if set {
            errors.push(Error::forbidden(&path.child(shown), "cannot be set"));
        }
    }
    errors
}

/// What holds for new and changed objects.
fn shared(object: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if meta::generation(object) < 0 {
        errors.push(Error::invalid(
            &path.child("generation"),
            meta::generation(object),
            "must be greater than or equal to 0",
        ));
    }
    errors.extend(labels(at(object, &["metadata", "labels"]), &path.child("labels")));
    errors.extend(annotations(object, &path.child("annotations")));
    errors.extend(owners(object, &path.child("ownerReferences")));
    let finalizers = path.child("finalizers");
    errors.extend(meta::finalizers(object).flat_map(|name| finalizer_name(name, &finalizers)));
    let has = |wanted: &str| meta::finalizers(object).any(|name| name == wanted);
    if has("orphan") && has("foregroundDeletion") {
        let given: Vec<&str> = meta::finalizers(object).collect();
        errors.push(Error::invalid(
            &finalizers,
            serde_json::json!(given),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors.extend(managed_fields(object, &path.child("managedFields")));
    errors
}

/// The name of a finalizer, as any object may have it.
fn finalizer_name(name: &str, path: &Path) -> ErrorList {
    names::qualified_name(name)
        .into_iter()
        .map(|message| Error::invalid(path, name, message))
        .collect()
}

/// Built-in objects have finalizers of Kubernetes itself, or such with a domain.
fn unknown_finalizer(name: &str, path: &Path) -> Option<Error> {
    let known = name.contains('/') || matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    (!known).then(|| {
        Error::invalid(
            path,
            name,
            "name is neither a standard finalizer name nor is it fully qualified",
        )
    })
}

/// The name of a finalizer in a built-in object's spec.
pub(super) fn finalizer(name: &str, path: &Path) -> ErrorList {
    let mut errors = finalizer_name(name, path);
    errors.extend(unknown_finalizer(name, path));
    errors
}

/// Kinds whose finalizers are looked at as those of custom objects are.
fn is_generic(resource: &Resource) -> bool {
    resource.custom.is_some()
        || matches!(
            resource.gvk.group.as_str(),
            "apiextensions.k8s.io" | "apiregistration.k8s.io" | "admissionregistration.k8s.io"
        )
}

fn unknown_finalizers(resource: &Resource, object: &Value, path: &Path) -> ErrorList {
    if is_generic(resource) {
        return ErrorList::new();
    }
    let path = path.child("finalizers");
    meta::finalizers(object)
        .enumerate()
        .filter_map(|(index, name)| unknown_finalizer(name, &path.index(index)))
        .collect()
}

/// Labels: qualified names with label values.
pub fn labels(map: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in map.as_object().into_iter().flatten() {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|message| Error::invalid(path, key.as_str(), message)),
        );
        let value = value.as_str().unwrap_or("");
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|message| Error::invalid(path, value, message)),
        );
    }
    errors
}

/// The annotations of an object, told of at a path.
pub fn annotations(object: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut total = 0;
    for (key, value) in meta::annotations(object).into_iter().flatten() {
        errors.extend(
            names::qualified_name(&key.to_lowercase())
                .into_iter()
                .map(|message| Error::invalid(path, key.as_str(), message)),
        );
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > MAX_ANNOTATIONS {
        errors.push(Error::too_long(path, MAX_ANNOTATIONS));
    }
    errors
}

fn owners(object: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut controller: Option<String> = None;
    for owner in meta::owner_references(object) {
        let given = text(owner, &["apiVersion"]);
        // What is no version of a group has none.
        let (group, version) = match given.split_once('/') {
            None => ("", given),
            Some((_, rest)) if rest.contains('/') => ("", ""),
            Some(both) => both,
        };
        if version.is_empty() {
            errors.push(Error::invalid(
                &path.child("apiVersion"),
                given,
                "version must not be empty",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, &[field]).is_empty() {
                errors.push(Error::invalid(&path.child(field), "", "must not be empty"));
            }
        }
        if (group, version) == ("", "v1") && text(owner, &["kind"]) == "Event" {
            errors.push(Error::invalid(
                path,
                owner,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let shown = format!("{}/{}", text(owner, &["kind"]), text(owner, &["name"]));
            match &controller {
                None => controller = Some(shown),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {shown}"
                    );
                    errors.push(Error::invalid(
                        path,
                        BadValue::Raw(internal::owners(meta::owner_references(object))),
                        detail,
                    ));
                }
            }
        }
    }
    errors
}

fn managed_fields(object: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, entry) in list(object, &["metadata", "managedFields"]).iter().enumerate() {
        let path = path.index(index);
        let operation = text(entry, &["operation"]);
        if !matches!(operation, "Apply" | "Update") {
            errors.push(Error::invalid(
                &path.child("operation"),
                operation,
                "must be `Apply` or `Update`",
            ));
        }
        if !matches!(text(entry, &["fieldsType"]), "" | "FieldsV1") {
            errors.push(Error::invalid(
                &path.child("fieldsType"),
                text(entry, &["fieldsType"]),
                "must be `FieldsV1`",
            ));
        }
        errors.extend(field_manager(text(entry, &["manager"]), &path.child("manager")));
    }
    errors
}

/// The name of a field manager.
pub fn field_manager(manager: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if manager.len() > 128 {
        errors.push(Error::too_long(path, 128));
    }
    for (index, character) in manager.chars().enumerate() {
        if character.is_control() {
            errors.push(Error::invalid(
                path,
                manager,
                format!(
                    "invalid character U+{:04X} (at position {index})",
                    character as u32
                ),
            ));
        }
    }
    errors
}

/// Metadata of a changed object.
pub(super) fn update(resource: &Resource, old: &Value, new: &Value) -> ErrorList {
    let path = Path::new("metadata");
    let mut errors = ErrorList::new();
    // Admission may have changed what a client can't.
    if meta::name(new).is_empty() {
        errors.push(Error::required(
            &path.child("name"),
            "name or generateName is required",
        ));
    }
    let kept = kept(old, new, &path);
    // Upstream checks metadata in several places, and its causes repeat accordingly.
    let times = if matches!(
        resource.gvk.kind.as_str(),
        "ConfigMap" | "Namespace" | "Node" | "Pod" | "Job" | "PersistentVolume"
    ) {
        4
    } else {
        3
    };
    errors.extend(std::iter::repeat_n(kept, 2).flatten());
    errors.extend(std::iter::repeat_n(shared(new, &path), times).flatten());
    errors.extend(unknown_finalizers(resource, new, &path));
    errors
}

/// What of a changed object's metadata may not change, or only in one direction.
fn kept(old: &Value, new: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (before, after) = (meta::name(old), meta::name(new));
    if before != after {
        errors.push(Error::invalid(&path.child("name"), after, "field is immutable"));
    }
    for field in [
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let (before, after) = (at(old, &["metadata", field]), at(new, &["metadata", field]));
        if before != after {
            errors.push(Error::invalid(&path.child(field), after, "field is immutable"));
        }
    }
    if meta::deletion_timestamp(old).is_some() {
        let before: HashSet<&str> = meta::finalizers(old).collect();
        let added: Vec<&str> = meta::finalizers(new)
            .filter(|finalizer| !before.contains(finalizer))
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added
                    .iter()
                    .map(|name| format!("{name:?}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
            errors.push(Error::forbidden(&path.child("finalizers"), detail));
        }
    }
    if meta::generation(new) < meta::generation(old) {
        errors.push(Error::invalid(
            &path.child("generation"),
            meta::generation(new),
            "must not be decremented",
        ));
    }
    errors
}
