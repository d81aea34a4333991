use super::volumes;
use crate::value::{Object, absent, is_zero, items_mut, make, map_mut, zero};
use serde_json::{Value, json};

/// Defaults of a pod that its templates don't get.
pub(super) fn pod(object: &mut Object) {
    let spec = make(object, "spec");
    template_spec(spec);
    absent(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for kind in ["containers", "initContainers"] {
        for container in items_mut(spec, kind) {
            requests_from_limits(container);
            for port in items_mut(container, "ports").filter(|_| host_network) {
                let own = port.get("containerPort").cloned().unwrap_or_default();
                zero(port, "hostPort", own);
            }
        }
    }
    if let Some(resources) = map_mut(spec, "resources") {
        requests_from(resources);
    }
}

fn requests_from_limits(container: &mut Object) {
    if let Some(resources) = map_mut(container, "resources") {
        requests_from(resources);
    }
}

fn requests_from(resources: &mut Object) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    let requests = make(resources, "requests");
    for (name, amount) in limits {
        absent(requests, &name, amount);
    }
}

/// Defaults of `template` inside a workload's spec.
pub(super) fn template(spec: &mut Object) {
    if let Some(template) = map_mut(spec, "template") {
        template_spec(make(template, "spec"));
    }
}

/// Defaults of a pod's spec, in a pod or a template.
pub(super) fn template_spec(spec: &mut Object) {
    zero(spec, "dnsPolicy", "ClusterFirst");
    zero(spec, "restartPolicy", "Always");
    absent(spec, "securityContext", json!({}));
    absent(spec, "terminationGracePeriodSeconds", 30);
    zero(spec, "schedulerName", "default-scheduler");
    // The old name of the field follows the new one.
    if is_zero(spec.get("serviceAccountName"))
        && let Some(old) = spec
            .get("serviceAccount")
            .filter(|old| !is_zero(Some(old)))
            .cloned()
    {
        spec.insert("serviceAccountName".into(), old);
    }
    if let Some(name) = spec
        .get("serviceAccountName")
        .filter(|name| !is_zero(Some(name)))
        .cloned()
    {
        spec.insert("serviceAccount".into(), name);
    }
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        items_mut(spec, kind).for_each(container);
    }
    items_mut(spec, "volumes").for_each(volumes::volume);
}

fn container(container: &mut Object) {
    zero(container, "terminationMessagePath", "/dev/termination-log");
    zero(container, "terminationMessagePolicy", "File");
    let image = container.get("image").and_then(Value::as_str).unwrap_or("");
    let policy = pull_policy(image);
    zero(container, "imagePullPolicy", policy);
    for port in items_mut(container, "ports") {
        zero(port, "protocol", "TCP");
    }
    for env in items_mut(container, "env") {
        if let Some(field) = map_mut(env, "valueFrom").and_then(|from| map_mut(from, "fieldRef")) {
            zero(field, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map_mut(container, name) {
            zero(probe, "timeoutSeconds", 1);
            zero(probe, "periodSeconds", 10);
            zero(probe, "successThreshold", 1);
            zero(probe, "failureThreshold", 3);
            handler(probe);
            if let Some(grpc) = map_mut(probe, "grpc") {
                absent(grpc, "service", "");
            }
        }
    }
    if let Some(lifecycle) = map_mut(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(hook) = map_mut(lifecycle, name) {
                handler(hook);
            }
        }
    }
}

fn handler(handler: &mut Object) {
    if let Some(get) = map_mut(handler, "httpGet") {
        zero(get, "path", "/");
        zero(get, "scheme", "HTTP");
    }
}

/// Images without tag or with the tag `latest` are pulled always.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') || !is_reference(image) {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// Whether the text can be the name of an image: an optional registry, lower-case path parts, an optional tag.
fn is_reference(image: &str) -> bool {
    let (name, tag) = match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    };
    let tag_fits = tag.is_none_or(|tag| {
        (1..=128).contains(&tag.len())
            && tag
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
            && !tag.starts_with(['.', '-'])
    });
    let parts: Vec<&str> = name.split('/').collect();
    let has_registry = parts.len() > 1 && (parts[0].contains(['.', ':']) || parts[0] == "localhost");
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part_fits = |part: &&str| {
        let bytes = part.as_bytes();
        let ends =
            bytes.first().is_some_and(|byte| lower(*byte)) && bytes.last().is_some_and(|byte| lower(*byte));
        ends && bytes
            .iter()
            .all(|byte| lower(*byte) || matches!(byte, b'.' | b'_' | b'-'))
            && !part.contains("..")
            && !part.contains("___")
    };
    tag_fits && name.len() <= 255 && parts[usize::from(has_registry)..].iter().all(part_fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        for (image, policy) in [
            ("nginx", "Always"),
            ("nginx:latest", "Always"),
            ("nginx:1", "IfNotPresent"),
            ("host:5000/nginx", "Always"),
            ("nginx@sha256:0", "IfNotPresent"),
            ("Bad_Value!", "IfNotPresent"),
            ("", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }
}
