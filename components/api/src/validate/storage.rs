//! Validation of volumes, claims and storage classes.
use super::shared::{amount, immutable, label_selector, maybe_one_of, one_of, resource_name, texts};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;

const MODES: &[&str] = &[
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// Storage kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    Some(match kind {
        "PersistentVolumeClaim" => {
            let mut errors = claim_spec(at(new, &["spec"]), &Path::new("spec"));
            errors.extend(old.and_then(|old| claim_change(at(old, &["spec"]), at(new, &["spec"]))));
            errors
        }
        "PersistentVolume" => volume(old, new),
        "StorageClass" => storage_class(old, new),
        "CSIDriver" => csi_driver(old, new),
        "VolumeAttachment" => {
            let mut errors = ErrorList::new();
            let path = Path::new("spec");
            let attacher = text(new, &["spec", "attacher"]);
            if attacher.is_empty() {
                errors.push(Error::required(&path.child("attacher"), ""));
            }
            if attacher.len() > 63 {
                errors.push(Error::too_long(&path.child("attacher"), 63));
            }
            if !attacher.is_empty() {
                errors.extend(texts(
                    &path.child("attacher"),
                    attacher,
                    names::dns1123_subdomain(&attacher.to_lowercase()),
                ));
            }
            let source = at(new, &["spec", "source"]);
            if at(source, &["inlineVolumeSpec"]).is_null()
                == is_zero(Some(at(source, &["persistentVolumeName"])))
                && at(source, &["inlineVolumeSpec"]).is_null()
            {
                errors.push(Error::required(
                    &path.child("source"),
                    "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
                ));
            }
            let node = text(new, &["spec", "nodeName"]);
            errors.extend(texts(
                &path.child("nodeName"),
                node,
                names::dns1123_subdomain(node),
            ));
            errors
        }
        "VolumeAttributesClass" => {
            let mut errors = ErrorList::new();
            let driver = text(new, &["driverName"]);
            if driver.is_empty() {
                errors.push(Error::required(&Path::new("driverName"), ""));
            }
            if is_zero(Some(at(new, &["parameters"]))) {
                errors.push(Error::required(
                    &Path::new("parameters"),
                    "must contain at least one key/value pair",
                ));
            }
            if let Some(old) = old {
                if text(old, &["driverName"]) != driver {
                    errors.push(Error::forbidden(
                        &Path::new("driverName"),
                        "updates to driverName are forbidden.",
                    ));
                }
                if at(old, &["parameters"]) != at(new, &["parameters"]) {
                    errors.push(Error::forbidden(
                        &Path::new("parameters"),
                        "updates to parameters are forbidden.",
                    ));
                }
            }
            errors
        }
        _ => return None,
    })
}

fn access_modes(modes: &[Value], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if modes.is_empty() {
        errors.push(Error::required(path, "at least 1 access mode is required"));
    }
    errors.extend(modes.iter().filter_map(|mode| one_of(path, mode, MODES)));
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        errors.push(Error::forbidden(
            path,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    errors
}

/// The spec of a claim.
pub(super) fn claim_spec(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = access_modes(list(spec, &["accessModes"]), &path.child("accessModes"));
    errors.extend(label_selector(&path.child("selector"), at(spec, &["selector"])));
    let storage = at(spec, &["resources", "requests", "storage"]);
    let path_of_storage = path.child("resources").key("storage");
    match Quantity::from_json(storage) {
        Err(_) => errors.push(Error::required(&path_of_storage, "")),
        Ok(amount) if amount.sign() <= 0 => errors.push(Error::invalid(
            &path_of_storage,
            amount.to_string(),
            "must be greater than zero",
        )),
        Ok(_) => {}
    }
    let class = text(spec, &["storageClassName"]);
    if !class.is_empty() {
        errors.extend(texts(
            &path.child("storageClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    errors.extend(maybe_one_of(
        &path.child("volumeMode"),
        at(spec, &["volumeMode"]),
        &["Block", "Filesystem"],
    ));
    errors
}

fn claim_change(old: &Value, new: &Value) -> Option<Error> {
    // Binding: the volume's name may be set once.
    let mut bound = old.clone();
    if text(old, &["volumeName"]).is_empty()
        && let Some(name) = new.get("volumeName")
    {
        bound["volumeName"] = name.clone();
    }
    let old = &bound;
    let fixed = |spec: &Value| -> Vec<(String, Value)> {
        spec.as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !matches!(key.as_str(), "resources" | "volumeAttributesClassName"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let changed = fixed(old) != fixed(new) || at(old, &["resources"]) != at(new, &["resources"]);
    const WHY: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
    changed.then(|| {
        Error::forbidden(
            &Path::new("spec"),
            format!("{WHY}\n{}", super::pod::difference(new, old)),
        )
    })
}

fn volume(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
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
    let source = |spec: &Value| -> Vec<(String, Value)> {
        spec.as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !PLAIN.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let mut errors = ErrorList::new();
    let modes = list(spec, &["accessModes"]);
    if modes.is_empty() {
        errors.push(Error::required(&path.child("accessModes"), ""));
    }
    errors.extend(
        modes
            .iter()
            .filter_map(|mode| one_of(&path.child("accessModes"), mode, MODES)),
    );
    let capacity = at(spec, &["capacity"]);
    if is_zero(Some(capacity)) {
        errors.push(Error::required(&path.child("capacity"), ""));
    }
    if capacity.get("storage").is_none() || capacity.as_object().is_some_and(|map| map.len() > 1) {
        errors.push(Error::not_supported(
            &path.child("capacity"),
            capacity,
            &["storage"],
        ));
    }
    for (name, quantity) in capacity.as_object().into_iter().flatten() {
        errors.extend(resource_name(&path.child("capacity"), name));
        errors.extend(amount(&path.child("capacity").key(name), quantity));
        if Quantity::from_json(quantity).is_ok_and(|amount| amount.is_zero()) {
            errors.push(Error::invalid(
                &path.child("capacity").key(name),
                "0",
                "must be greater than zero",
            ));
        }
    }
    errors.extend(maybe_one_of(
        &path.child("persistentVolumeReclaimPolicy"),
        at(spec, &["persistentVolumeReclaimPolicy"]),
        &["Delete", "Recycle", "Retain"],
    ));
    if source(spec).is_empty() {
        errors.push(Error::required(&path, "must specify a volume type"));
    }
    let class = text(spec, &["storageClassName"]);
    if !class.is_empty() {
        errors.extend(texts(
            &path.child("storageClassName"),
            class,
            names::dns1123_subdomain(class),
        ));
    }
    if at(spec, &["nodeAffinity", "required"]).is_object() {
        errors.extend(super::pod::node_selector(
            at(spec, &["nodeAffinity", "required"]),
            &path.child("nodeAffinity.required"),
        ));
    }
    errors.extend(maybe_one_of(
        &path.child("volumeMode"),
        at(spec, &["volumeMode"]),
        &["Block", "Filesystem"],
    ));
    if let Some(old) = old {
        if source(at(old, &["spec"])) != source(spec) {
            errors.push(Error::forbidden(
                &path.child("persistentvolumesource"),
                "spec.persistentvolumesource is immutable after creation",
            ));
        }
        errors.extend(immutable(
            &path.child("volumeMode"),
            at(old, &["spec", "volumeMode"]),
            at(spec, &["volumeMode"]),
        ));
    }
    errors
}

fn storage_class(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let provisioner = text(new, &["provisioner"]);
    if provisioner.is_empty() {
        errors.push(Error::required(&Path::new("provisioner"), ""));
    } else {
        errors.extend(texts(
            &Path::new("provisioner"),
            provisioner,
            names::qualified_name(&provisioner.to_lowercase()),
        ));
    }
    errors.extend(maybe_one_of(
        &Path::new("reclaimPolicy"),
        at(new, &["reclaimPolicy"]),
        &["Delete", "Retain"],
    ));
    errors.extend(maybe_one_of(
        &Path::new("volumeBindingMode"),
        at(new, &["volumeBindingMode"]),
        &["Immediate", "WaitForFirstConsumer"],
    ));
    errors.extend(topologies(list(new, &["allowedTopologies"])));
    if let Some(old) = old {
        if text(old, &["provisioner"]) != provisioner {
            errors.push(Error::forbidden(
                &Path::new("provisioner"),
                "updates to provisioner are forbidden.",
            ));
        }
        for field in ["parameters", "reclaimPolicy", "volumeBindingMode"] {
            errors.extend(immutable(&Path::new(field), at(old, &[field]), at(new, &[field])));
        }
    }
    errors
}

fn topologies(terms: &[Value]) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, term) in terms.iter().enumerate() {
        let path = Path::new("allowedTopologies")
            .index(index)
            .child("matchLabelExpressions");
        let expressions = list(term, &["matchLabelExpressions"]);
        let mut seen = std::collections::HashSet::new();
        for (index, expression) in expressions.iter().enumerate() {
            let path = path.index(index);
            let (key, values) = (text(expression, &["key"]), list(expression, &["values"]));
            if values.is_empty() {
                errors.push(Error::required(&path.child("values"), ""));
            }
            for (index, value) in values
                .iter()
                .enumerate()
                .filter(|(index, value)| values[..*index].contains(value))
            {
                errors.push(Error::duplicate(&path.child("values").index(index), value));
            }
            errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
            if !seen.insert(key) {
                errors.push(Error::duplicate(&path.child("key"), key));
            }
        }
        // A term without expressions counts as a repeat, as upstream compares it with what it has not read yet.
        if terms[..index].contains(term) || expressions.is_empty() {
            errors.push(Error::duplicate(&path, ""));
        }
    }
    errors
}

fn csi_driver(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors: ErrorList = maybe_one_of(
        &path.child("fsGroupPolicy"),
        at(new, &["spec", "fsGroupPolicy"]),
        &["File", "None", "ReadWriteOnceWithFSType"],
    )
    .into_iter()
    .collect();
    errors.extend(
        list(new, &["spec", "volumeLifecycleModes"])
            .iter()
            .filter_map(|mode| {
                one_of(
                    &path.child("volumeLifecycleModes"),
                    mode,
                    &["Persistent", "Ephemeral"],
                )
            }),
    );
    let requests = list(new, &["spec", "tokenRequests"]);
    for (index, request) in requests.iter().enumerate() {
        let path = path.child("tokenRequests").index(index);
        if requests[..index]
            .iter()
            .any(|other| text(other, &["audience"]) == text(request, &["audience"]))
        {
            errors.push(Error::duplicate(
                &path.child("audience"),
                text(request, &["audience"]),
            ));
        }
        if let Some(seconds) = at(request, &["expirationSeconds"])
            .as_i64()
            .filter(|seconds| *seconds < 600)
        {
            errors.push(Error::invalid(
                &path.child("expirationSeconds"),
                seconds,
                "may not specify a duration less than 10 minutes",
            ));
        }
    }
    if let Some(old) = old {
        for (field, shown) in [
            ("attachRequired", "attachedRequired"),
            ("volumeLifecycleModes", "volumeLifecycleModes"),
        ] {
            errors.extend(immutable(
                &path.child(shown),
                at(old, &["spec", field]),
                at(new, &["spec", field]),
            ));
        }
    }
    errors
}
