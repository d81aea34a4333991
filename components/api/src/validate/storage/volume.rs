use super::MODES;
use crate::features::{Feature, Features};
use crate::validate::shared::{immutable, maybe_one_of, one_of, same, texts};
use crate::validate::{internal, pod};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{Quantity, meta, names};
use serde_json::Value;

/// Kinds of sources in the order in which upstream looks for them.
const KINDS: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// A PersistentVolume. `existing` is what is stored, also where a changed one is checked as if it were new.
pub(super) fn check(
    old: Option<&Value>,
    existing: Option<&Value>,
    new: &Value,
    features: Features,
) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let owner = Owner::Volume {
        name: meta::name(new),
        any_values: existing.is_some_and(|old| pod::selects_invalid_values(at(old, REQUIRED_NODES))),
    };
    let mut errors = self::spec(spec, owner, &path);
    if let Some(old) = old {
        errors.extend(change(at(old, &["spec"]), spec, features, &path));
    }
    errors
}

const REQUIRED_NODES: &[&str] = &["spec", "nodeAffinity", "required"];

/// What has the spec of a volume.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    /// A PersistentVolume of this name; its affinity may have any values if such were stored already.
    Volume { name: &'a str, any_values: bool },
    /// An attachment, whose volume has no policy, class and affinity of its own.
    Attachment,
}

fn source(spec: &Value) -> Value {
    KINDS
        .iter()
        .map(|kind| (kind, at(spec, &[kind])))
        .filter(|(_, value)| !value.is_null())
        .map(|(kind, value)| ((*kind).to_owned(), value.clone()))
        .collect()
}

/// Modes of access: at least one, and one of them alone.
pub(super) fn access_modes(modes: &[Value], path: &Path) -> ErrorList {
    const ALONE: &str = "ReadWriteOncePod";
    let mut errors: ErrorList = modes
        .iter()
        .filter_map(|mode| one_of(path, mode, MODES))
        .collect();
    let other = |mode: &Value| mode != ALONE && mode.as_str().is_some_and(|mode| MODES.contains(&mode));
    if modes.iter().any(|mode| mode == ALONE) && modes.iter().any(other) {
        errors.push(Error::forbidden(
            path,
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    errors
}

/// The spec of a volume.
pub(super) fn spec(spec: &Value, owner: Owner<'_>, path: &Path) -> ErrorList {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    let mut errors = ErrorList::new();
    let inline = matches!(owner, Owner::Attachment);
    if inline {
        if at(spec, &["claimRef"]).is_object() {
            errors.push(Error::forbidden(&path.child("claimRef"), INLINE));
        }
        if !is_zero(Some(at(spec, &["capacity"]))) {
            errors.push(Error::forbidden(&path.child("capacity"), INLINE));
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
    errors.extend(access_modes(modes, &path.child("accessModes")));
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
    if let Owner::Volume { any_values, .. } = owner {
        let affinity = at(spec, &["nodeAffinity"]);
        errors.extend(self::affinity(affinity, any_values, &path.child("nodeAffinity")));
    }
    errors.extend(data(spec, owner, path));
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
    if let (Some(class), false) = (at(spec, &["volumeAttributesClassName"]).as_str(), inline) {
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
        let Ok(amount) = Quantity::from_json(quantity) else {
            continue;
        };
        if amount.value() < 0 {
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

fn affinity(affinity: &Value, any_values: bool, path: &Path) -> ErrorList {
    match (affinity.is_object(), at(affinity, &["required"])) {
        (false, _) => ErrorList::new(),
        (true, Value::Null) => vec![Error::required(
            &path.child("required"),
            "must specify required node constraints",
        )],
        (true, required) => pod::node_selector_unless(any_values, required, &path.child("required")),
    }
}

/// Where the data is: exactly one kind of source.
fn data(spec: &Value, owner: Owner<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut any = false;
    for kind in KINDS {
        let value = at(spec, &[kind]);
        if value.is_null() {
            continue;
        }
        // Upstream lets this kind stand beside another.
        if any && kind != "flexVolume" {
            let shown = if kind == "cephfs" { "cephFS" } else { kind };
            errors.push(Error::forbidden(
                &path.child(shown),
                "may not specify more than 1 volume type",
            ));
            continue;
        }
        any = true;
        let own = path.child(kind);
        errors.extend(match kind {
            "csi" => csi(value, &own),
            "iscsi" => {
                let name = match owner {
                    Owner::Volume { name, .. } => name,
                    Owner::Attachment => "",
                };
                pod::iscsi_of_volume(value, name, &own)
            }
            _ => pod::volume_source(kind, value, &own),
        });
        errors.extend(of_volumes(kind, value, &own));
        let bound = !matches!(owner, Owner::Attachment) && at(spec, &["nodeAffinity"]).is_object();
        if kind == "local" && !bound {
            errors.push(Error::required(
                &path.child("nodeAffinity"),
                "Local volume requires node affinity",
            ));
        }
    }
    if !any {
        errors.push(Error::required(path, "must specify a volume type"));
    }
    let on_host = at(spec, &["hostPath"]);
    if on_host.is_object()
        && is_root(text(on_host, &["path"]))
        && text(spec, &["persistentVolumeReclaimPolicy"]) == "Recycle"
    {
        errors.push(Error::forbidden(
            &path.child("persistentVolumeReclaimPolicy"),
            "may not be 'recycle' for a hostPath mount of '/'",
        ));
    }
    errors
}

/// Whether a path is `/`, however it is written.
fn is_root(place: &str) -> bool {
    let depth = place.split('/').fold(0_usize, |depth, part| match part {
        "" | "." => depth,
        ".." => depth.saturating_sub(1),
        _ => depth + 1,
    });
    place.starts_with('/') && depth == 0
}

/// A volume of a driver; its secrets are anywhere.
fn csi(value: &Value, path: &Path) -> ErrorList {
    let mut errors = pod::driver_name(text(value, &["driver"]), &path.child("driver"));
    if text(value, &["volumeHandle"]).is_empty() {
        errors.push(Error::required(&path.child("volumeHandle"), ""));
    }
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
    errors
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
    const SECRET: &str = "controllerExpandSecretRef";
    let mut wanted = source(new);
    if at(old, &["csi"]).is_object()
        && at(old, &["csi", SECRET]).is_null()
        && let Some(csi) = wanted.get_mut("csi").and_then(Value::as_object_mut)
    {
        csi.remove(SECRET);
    }
    let before = source(old);
    if !same(&before, &wanted) {
        let why = format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            internal::difference(internal::VOLUME_SOURCE, &before, &wanted)
        );
        errors.push(Error::forbidden(&path.child("persistentvolumesource"), why));
    }
    errors.extend(immutable(
        &Path::new("volumeMode"),
        at(old, &["volumeMode"]),
        at(new, &["volumeMode"]),
    ));
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
    let own = path.child("volumeAttributesClassName");
    let (before, after) = (
        at(old, &["volumeAttributesClassName"]),
        at(new, &["volumeAttributesClassName"]),
    );
    if before != after {
        if !features.has(Feature::VolumeAttributesClass) {
            errors.push(Error::forbidden(&own, super::NO_CLASSES));
        }
        if !before.is_null() && after.is_null() {
            errors.push(Error::forbidden(
                &own,
                "update from non-nil value to nil is forbidden",
            ));
        }
    }
    errors
}

const RENAMED: &[(&str, &str)] = &[
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
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
