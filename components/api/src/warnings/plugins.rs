//! Kinds of volumes that are deprecated or gone, in pods and as volumes of their own.
use serde_json::Value;

/// The field of the kind, how upstream's path calls it, and since when it is so.
const GONE: [(&str, &str, &str); 9] = [
    (
        "photonPersistentDisk",
        "photonPersistentDisk",
        "deprecated in v1.11, non-functional in v1.16+",
    ),
    (
        "gitRepo",
        "gitRepo",
        "deprecated in v1.11, and disabled by default in v1.33+",
    ),
    (
        "scaleIO",
        "scaleIO",
        "deprecated in v1.16, non-functional in v1.22+",
    ),
    (
        "flocker",
        "flocker",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "storageos",
        "storageOS",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "quobyte",
        "quobyte",
        "deprecated in v1.22, non-functional in v1.25+",
    ),
    (
        "glusterfs",
        "glusterfs",
        "deprecated in v1.25, non-functional in v1.26+",
    ),
    (
        "cephfs",
        "cephfs",
        "deprecated in v1.28, non-functional in v1.31+",
    ),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Nobody is warned of these when they are a PersistentVolume.
const ONLY_IN_PODS: [&str; 2] = ["flocker", "quobyte"];

/// What is said of the volume of a pod at `path`.
pub(super) fn of_pod<'a>(
    volume: &'a Value,
    path: impl Fn() -> String + 'a,
) -> impl Iterator<Item = String> + 'a {
    GONE.iter()
        .filter(|(field, ..)| volume.get(field).is_some_and(Value::is_object))
        .map(move |(_, shown, message)| format!("{}.{shown}: {message}", path()))
}

/// What is said of the spec of a PersistentVolume.
pub(super) fn of_volume(spec: &Value) -> impl Iterator<Item = String> + '_ {
    GONE.iter()
        .filter(|(field, ..)| !ONLY_IN_PODS.contains(field) && spec.get(field).is_some_and(Value::is_object))
        .map(|(_, shown, message)| format!("spec.{shown}: {message}"))
}
