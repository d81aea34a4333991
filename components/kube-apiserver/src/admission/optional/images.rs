//! AlwaysPullImages: who can't pull an image doesn't get it from a node that has it already.
use super::{CONTAINERS, containers};
use crate::admission::Attributes;
use apimachinery::ApiError;
use apimachinery::field::{Error, Path};
use serde_json::{Value, json};
use std::collections::HashSet;

const ALWAYS: &str = "Always";

/// Images of containers, and of volumes.
fn images(pod: &Value) -> HashSet<&str> {
    let of_containers = CONTAINERS
        .into_iter()
        .flat_map(|kind| containers(pod, kind))
        .map(|container| &container["image"]);
    let of_volumes = containers(pod, "volumes").map(|volume| &volume["image"]["reference"]);
    of_containers
        .chain(of_volumes)
        .filter_map(Value::as_str)
        .collect()
}

/// A change that brings no image leaves the pod as it was made.
fn concerns(pod: &Value, old: Option<&Value>) -> bool {
    old.is_none_or(|old| !images(pod).is_subset(&images(old)))
}

/// Says whether the pod was changed.
pub fn pull(pod: &mut Value, old: Option<&Value>) -> bool {
    if !concerns(pod, old) {
        return false;
    }
    for kind in CONTAINERS {
        let containers = pod["spec"].get_mut(kind).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            container["imagePullPolicy"] = json!(ALWAYS);
        }
    }
    let volumes = pod["spec"].get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten() {
        if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
            image["pullPolicy"] = json!(ALWAYS);
        }
    }
    true
}

/// Webhooks may have changed it back.
pub fn check(attributes: &Attributes<'_>, pod: Option<&Value>, old: Option<&Value>) -> Result<(), ApiError> {
    let Some(pod) = pod.filter(|pod| concerns(pod, old)) else {
        return Ok(());
    };
    let refused: Vec<String> = others(pod)
        .iter()
        .map(|error| attributes.forbidden(&error.to_string()).message().to_owned())
        .collect();
    match refused.as_slice() {
        [] => Ok(()),
        // Upstream's list of errors is no Status.
        [one] => Err(super::plain(one.as_str())),
        many => Err(super::plain(format!("[{}]", many.join(", ")))),
    }
}

/// What is not always pulled.
fn others(pod: &Value) -> Vec<Error> {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    let mut look = |path: Path, holder: &Value, field: &str| {
        let policy = holder[field].as_str().unwrap_or("");
        if policy != ALWAYS {
            errors.push(Error::not_supported(&path.child(field), policy, &[ALWAYS]));
        }
    };
    for kind in CONTAINERS {
        for (index, container) in containers(pod, kind).enumerate() {
            look(spec.child(kind).index(index), container, "imagePullPolicy");
        }
    }
    for (index, volume) in containers(pod, "volumes").enumerate() {
        if volume["image"].is_object() {
            look(
                spec.child("volumes").index(index).child("image"),
                &volume["image"],
                "pullPolicy",
            );
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(policy: &str) -> Value {
        json!({"spec": {
            "initContainers": [{"name": "i", "image": "a", "imagePullPolicy": policy}],
            "containers": [{"name": "c", "image": "b", "imagePullPolicy": policy}],
            "volumes": [{"name": "v", "image": {"reference": "d", "pullPolicy": policy}}, {"name": "w", "emptyDir": {}}],
        }})
    }

    #[test]
    fn new_images_are_pulled() {
        let old = pod("Never");
        let mut new = pod("Never");
        assert!(!pull(&mut new, Some(&old)) && new == old, "nothing new");
        new["spec"]["containers"][0]["image"] = json!("other");
        assert!(pull(&mut new, Some(&old)));
        let mut want = pod("Always");
        want["spec"]["containers"][0]["image"] = json!("other");
        assert_eq!(new, want);
        let mut made = pod("IfNotPresent");
        assert!(pull(&mut made, None));
        assert_eq!(made, pod("Always"));
    }

    #[test]
    fn what_is_not_pulled_is_told() {
        assert!(others(&pod("Always")).is_empty());
        let found: Vec<String> = others(&pod("Never")).iter().map(ToString::to_string).collect();
        let want =
            |path: &str| format!(r#"spec.{path}: Unsupported value: "Never": supported values: "Always""#);
        assert_eq!(
            found,
            [
                want("initContainers[0].imagePullPolicy"),
                want("containers[0].imagePullPolicy"),
                want("volumes[0].image.pullPolicy"),
            ]
        );
    }
}
