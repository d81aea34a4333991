//! Objects as cases write them: what nearly all have in common is left out.
//!
//! apiVersion, a pod's name (`p`), a container's name (`c`, in lists `c0`…), image and pull policy, and a pod's
//! restart policy (Never) and grace period (1 s). `script` is a shell script in place of a command, `serve` are
//! arguments of the pod-server.

use serde_json::{Value, json};

use crate::IMAGE;

/// Kind, group and version, plural, and whether it belongs to a namespace.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("ConfigMap", "v1", "configmaps", true),
    ("Secret", "v1", "secrets", true),
    ("Pod", "v1", "pods", true),
    ("Service", "v1", "services", true),
    ("ServiceAccount", "v1", "serviceaccounts", true),
    ("Endpoints", "v1", "endpoints", true),
    ("PersistentVolume", "v1", "persistentvolumes", false),
    ("PersistentVolumeClaim", "v1", "persistentvolumeclaims", true),
    ("LimitRange", "v1", "limitranges", true),
    ("ReplicationController", "v1", "replicationcontrollers", true),
    ("ResourceQuota", "v1", "resourcequotas", true),
    ("Deployment", "apps/v1", "deployments", true),
    ("ReplicaSet", "apps/v1", "replicasets", true),
    ("DaemonSet", "apps/v1", "daemonsets", true),
    ("StatefulSet", "apps/v1", "statefulsets", true),
    ("Job", "batch/v1", "jobs", true),
    ("PriorityClass", "scheduling.k8s.io/v1", "priorityclasses", false),
    ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", true),
    ("RuntimeClass", "node.k8s.io/v1", "runtimeclasses", false),
    ("StorageClass", "storage.k8s.io/v1", "storageclasses", false),
];

/// The path of the object's collection, and the whole object.
pub(crate) fn complete(mut object: Value, namespace: &str) -> Result<(String, Value), String> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let (_, version, plural, namespaced) = KINDS
        .iter()
        .find(|(name, ..)| *name == kind)
        .ok_or_else(|| format!("the kind {kind:?} is not in the table"))?;
    object["apiVersion"] = (*version).into();
    if kind == "Pod" && object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = "p".into();
    }
    if kind == "Pod" {
        complete_pod(&mut object["spec"], "Never");
    } else if let Some(spec) = object.pointer_mut("/spec/template/spec") {
        complete_pod(spec, "Always");
    }
    let root = match version.contains('/') {
        true => format!("/apis/{version}"),
        false => format!("/api/{version}"),
    };
    let path = match namespaced {
        true => format!("{root}/namespaces/{namespace}/{plural}"),
        false => format!("{root}/{plural}"),
    };
    Ok((path, object))
}

fn complete_pod(spec: &mut Value, restart: &str) {
    let mut or = |key: &str, value: Value| {
        if spec[key].is_null() {
            spec[key] = value;
        }
    };
    or("restartPolicy", restart.into());
    or("terminationGracePeriodSeconds", 1.into());
    if spec["containers"].is_null() {
        let mut container = json!({"name": "c"});
        for key in KEYS_OF_THE_ONE_CONTAINER {
            if let Some(value) = spec.as_object_mut().and_then(|spec| spec.remove(*key)) {
                container[*key] = value;
            }
        }
        spec["containers"] = json!([container]);
    }
    for list in ["containers", "initContainers"] {
        let prefix = if list == "containers" { "c" } else { "i" };
        for (index, container) in spec[list].as_array_mut().into_iter().flatten().enumerate() {
            complete_container(container, &format!("{prefix}{index}"));
        }
        if spec[list].is_null() {
            spec.as_object_mut().map(|spec| spec.remove(list));
        }
    }
}

/// What a pod with one container may say without naming the container.
const KEYS_OF_THE_ONE_CONTAINER: &[&str] = &[
    "script",
    "serve",
    "command",
    "args",
    "env",
    "envFrom",
    "volumeMounts",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "ports",
    "container",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "image",
    "stdin",
    "workingDir",
];

pub(crate) fn complete_container(container: &mut Value, name: &str) {
    if let Some(Value::Object(more)) = container.as_object_mut().and_then(|it| it.remove("container")) {
        for (key, value) in more {
            container[key] = value;
        }
    }
    if container["name"].is_null() {
        container["name"] = name.into();
    }
    if container["image"].is_null() {
        container["image"] = IMAGE.into();
        container["imagePullPolicy"] = "Never".into();
    }
    if let Some(script) = container.as_object_mut().and_then(|it| it.remove("script")) {
        container["command"] = json!(["/bin/busybox", "sh", "-c", script]);
    }
    if let Some(serve) = container.as_object_mut().and_then(|it| it.remove("serve")) {
        let arguments = serve.as_str().unwrap_or_default();
        let mut command = vec!["/pod-server", "serve"];
        command.extend(arguments.split_whitespace());
        container["command"] = json!(command);
    }
}
