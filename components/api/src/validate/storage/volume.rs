use super::MODES;
use crate::features::{Feature, Features};
use crate::validate::shared::{immutable, maybe_one_of, one_of, resource_name, same, texts};
use crate::validate::{internal, pod};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;

/// Fields of a volume's spec that say nothing about where its data is.
const PLAIN: &[&str] = &[
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// A PersistentVolume.
pub(super) fn check(old: Option<&Value>, new: &Value, features: Features) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = self::spec(spec, false, &path);
    if let Some(old) = old {
        errors.extend(change(at(old, &["spec"]), spec, features, &path));
    }
    errors
}

fn source(spec: &Value) -> Value {
    spec.as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !PLAIN.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The spec of a volume; one inside an attachment has no policy, class and affinity of its own.
pub(super) fn spec(spec: &Value, inline: bool, path: &Path) -> ErrorList {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    let mut errors = ErrorList::new();
    if inline {
        for field in ["claimRef", "capacity"] {
            if !is_zero(Some(at(spec, &[field]))) {
                errors.push(Error::forbidden(&path.child(field), INLINE));
            }
        }
        if !at(spec, &["csi"]).is_object() {
            errors.push(Error::required(
                &path.child("csi"),
                "has to be specified in the context of inline volumes",
            ));
        }
    }
    let modes = list(spec, &["accessModes"]);
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), ""));
    }
    errors.extend(
        modes
            .iter()
            .filter_map(|mode| one_of(&path.child("accessModes"), mode, MODES)),
    );
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(Error::forbidden(
            &path.child("accessModes"),
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    if inline {
        let policy = at(spec, &["persistentVolumeReclaimPolicy"]);
        if !is_zero(Some(policy)) && policy != "Retain" {
            errors.push(Error::forbidden(
                &path.child("persistentVolumeReclaimPolicy"),
                "may only be Retain in the context of inline volumes",
            ));
        }
        if at(spec, &["nodeAffinity"]).is_object() {
            errors.push(Error::forbidden(&path.child("nodeAffinity"), INLINE));
        }
    } else {
        errors.extend(capacity(at(spec, &["capacity"]), &path.child("capacity")));
        if !text(spec, &["persistentVolumeReclaimPolicy"]).is_empty() {
            errors.extend(maybe_one_of(
                &path.child("persistentVolumeReclaimPolicy"),
                at(spec, &["persistentVolumeReclaimPolicy"]),
                &["Delete", "Recycle", "Retain"],
            ));
        }
    }
    if !inline {
        errors.extend(affinity(at(spec, &["nodeAffinity"]), &path.child("nodeAffinity")));
    }
    errors.extend(data(spec, path));
    let class = text(spec, &["storageClassName"]);
    if !class.is_empty() && inline {
        errors.push(Error::forbidden(&path.child("storageClassName"), INLINE));
    } else if !class.is_empty() {
        errors.extend(texts(
            &path.child("storageClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    let mode = at(spec, &["volumeMode"]);
    if !inline {
        errors.extend(maybe_one_of(
            &path.child("volumeMode"),
            mode,
            &["Block", "Filesystem"],
        ));
    } else if !mode.is_null() && mode != "Filesystem" {
        errors.push(Error::forbidden(
            &path.child("volumeMode"),
            "may not specify volumeMode other than Filesystem in the context of inline volumes",
        ));
    }
    if let Some(class) = at(spec, &["volumeAttributesClassName"]).as_str() {
        let own = path.child("volumeAttributesClassName");
        if class.is_empty() {
            errors.push(Error::required(&own, "an empty string is disallowed"));
        } else {
            errors.extend(texts(&own, class, names::dns1123_subdomain(class)));
        }
        if !at(spec, &["csi"]).is_object() {
            errors.push(Error::required(
                &path.child("csi"),
                "has to be specified when using volumeAttributesClassName",
            ));
        }
    }
    errors
}

fn capacity(capacity: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if is_zero(Some(capacity)) {
        errors.push(Error::required(path, ""));
    }
    if capacity.get("storage").is_none() || capacity.as_object().is_some_and(|map| map.len() > 1) {
        errors.push(Error::not_supported(path, capacity, &["storage"]));
    }
    for (name, quantity) in capacity.as_object().into_iter().flatten() {
        errors.extend(resource_name(path, name));
        let Ok(amount) = Quantity::from_json(quantity) else {
            continue;
        };
        if amount.sign() < 0 {
            errors.push(Error::invalid(
                &path.key(name),
                BadValue::Raw(amount.value().to_string()),
                "must be a valid resource quantity",
            ));
        }
        if amount.sign() <= 0 {
            errors.push(Error::invalid(
                &path.key(name),
                amount.to_string(),
                "must be greater than zero",
            ));
        }
    }
    errors
}

fn affinity(affinity: &Value, path: &Path) -> ErrorList {
    match (affinity.is_object(), at(affinity, &["required"])) {
        (false, _) => ErrorList::new(),
        (true, Value::Null) => vec![Error::required(
            &path.child("required"),
            "must specify required node constraints",
        )],
        (true, required) => pod::node_selector(required, &path.child("required")),
    }
}

/// Where the data is: exactly one kind of source.
fn data(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let sources = source(spec);
    let mut kinds = sources.as_object().into_iter().flatten();
    let Some((kind, value)) = kinds.next() else {
        return vec![Error::required(path, "must specify a volume type")];
    };
    if kind == "local" && !at(spec, &["nodeAffinity"]).is_object() {
        errors.push(Error::required(
            &path.child("nodeAffinity"),
            "Local volume requires node affinity",
        ));
    }
    errors.extend(pod::volume_source(kind, value, &path.child(kind)));
    errors.extend(of_volumes(kind, value, &path.child(kind)));
    if kind == "hostPath"
        && is_root(text(value, &["path"]))
        && text(spec, &["persistentVolumeReclaimPolicy"]) == "Recycle"
    {
        errors.push(Error::forbidden(
            &path.child("persistentVolumeReclaimPolicy"),
            "may not be 'recycle' for a hostPath mount of '/'",
        ));
    }
    errors.extend(
        kinds.map(|(extra, _)| {
            Error::forbidden(&path.child(extra), "may not specify more than 1 volume type")
        }),
    );
    errors
}

/// Whether a path is `/`, however it is written.
fn is_root(place: &str) -> bool {
    place.starts_with('/') && place.split('/').all(|part| matches!(part, "" | "."))
}

/// What a source has in a volume that it doesn't have in a pod.
fn of_volumes(kind: &str, value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let required = |field: &str| {
        let parts: Vec<&str> = field.split('.').collect();
        text(value, &parts)
            .is_empty()
            .then(|| Error::required(&path.child(field), ""))
    };
    match kind {
        "csi" => {
            errors.extend(required("volumeHandle"));
            for field in [
                "controllerPublishSecretRef",
                "controllerExpandSecretRef",
                "nodePublishSecretRef",
                "nodeExpandSecretRef",
            ] {
                let reference = at(value, &[field]);
                if !reference.is_object() {
                    continue;
                }
                for (part, check) in [
                    ("name", names::dns1123_subdomain as fn(&str) -> Vec<String>),
                    ("namespace", names::dns1123_label),
                ] {
                    let path = path.child(field).child(part);
                    match text(reference, &[part]) {
                        "" => errors.push(Error::required(&path, "")),
                        name => errors.extend(texts(&path, name, check(name))),
                    }
                }
            }
        }
        "iscsi" if at(value, &["secretRef"]).is_object() => errors.extend(required("secretRef.name")),
        "cinder" | "storageos" if at(value, &["secretRef"]).is_object() => {
            errors.extend(required("secretRef.namespace"));
        }
        "azureFile" if at(value, &["secretNamespace"]) == "" => errors.extend(required("secretNamespace")),
        "glusterfs" => match at(value, &["endpointsNamespace"]).as_str() {
            Some("") => errors.push(Error::invalid(
                &path.child("endpointsNamespace"),
                "",
                "if the endpointnamespace is set, it must be a valid namespace name",
            )),
            Some(name) => errors.extend(texts(
                &path.child("endpointsNamespace"),
                name,
                names::dns1123_label(name),
            )),
            None => {}
        },
        _ => {}
    }
    errors
}

fn change(old: &Value, new: &Value, features: Features, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    // The secret for growing may be added later.
    let added = text(new, &["csi", "controllerExpandSecretRef", "name"]);
    let mut kept = new.clone();
    if at(old, &["csi"]).is_object()
        && at(old, &["csi", "controllerExpandSecretRef"]).is_null()
        && !added.is_empty()
    {
        kept.pointer_mut("/csi")
            .and_then(Value::as_object_mut)
            .map(|csi| csi.remove("controllerExpandSecretRef"));
    }
    let new = &kept;
    if !same(&source(old), &source(new)) {
        let why = format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            pod::difference(&source(new), &source(old))
        );
        errors.push(Error::forbidden(&path.child("persistentvolumesource"), why));
    }
    errors.extend(immutable(
        &Path::new("volumeMode"),
        at(old, &["volumeMode"]),
        at(new, &["volumeMode"]),
    ));
    if !at(old, &["volumeAttributesClassName"]).is_null() && at(new, &["volumeAttributesClassName"]).is_null()
    {
        errors.push(Error::forbidden(
            &path.child("volumeAttributesClassName"),
            "update from non-nil value to nil is forbidden",
        ));
    }
    let (before, after) = (at(old, &["nodeAffinity"]), at(new, &["nodeAffinity"]));
    // Deprecated labels may be replaced by those that took their place.
    let fixed = before.is_object() && !features.has(Feature::MutablePVNodeAffinity);
    if fixed && !same(&renewed(before, after), after) {
        let shown = internal::shown_pointer(internal::VOLUME_NODE_AFFINITY, after);
        errors.push(Error::invalid(
            &Path::new("nodeAffinity"),
            shown,
            "field is immutable, except for updating from beta label to GA",
        ));
    }
    errors
}

const RENAMED: &[(&str, &str)] = &[
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ),
];

/// The affinity with those labels renamed that were renamed in the new one. For upstream, the new name of any other
/// label is empty.
fn renewed(affinity: &Value, new: &Value) -> Value {
    let mut renewed = affinity.clone();
    let terms = renewed
        .pointer_mut("/required/nodeSelectorTerms")
        .and_then(Value::as_array_mut);
    for (index, term) in terms.into_iter().flatten().enumerate() {
        let expressions = term.get_mut("matchExpressions").and_then(Value::as_array_mut);
        for (place, expression) in expressions.into_iter().flatten().enumerate() {
            let name = RENAMED
                .iter()
                .find(|(old, _)| expression["key"] == *old)
                .map_or("", |(_, name)| name);
            let wanted = new.pointer(&format!(
                "/required/nodeSelectorTerms/{index}/matchExpressions/{place}"
            ));
            if wanted.is_some_and(|wanted| text(wanted, &["key"]) == name) {
                expression["key"] = wanted
                    .and_then(|wanted| wanted.get("key"))
                    .cloned()
                    .unwrap_or_default();
            }
        }
    }
    renewed
}
