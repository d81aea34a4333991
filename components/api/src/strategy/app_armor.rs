//! AppArmor profiles that stand in a new pod's annotations, where they were before v1.30, become its containers' fields
//! (pkg/registry/core/pod/strategy.go, applyAppArmorVersionSkew).
use crate::validate;
use crate::value::{Object, at, list, make, object, text};
use apimachinery::field::Path;
use serde_json::{Value, json};

/// What stands before a container's name.
pub(crate) const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The field for what an annotation says; `None` when it can be none.
pub(crate) fn field_for(annotation: &str) -> Option<Value> {
    let field = match annotation {
        "unconfined" => json!({"type": "Unconfined"}),
        "runtime/default" => json!({"type": "RuntimeDefault"}),
        other => json!({"type": "Localhost", "localhostProfile": other.strip_prefix("localhost/")?}),
    };
    validate::app_armor(&field, &Path::new(""))
        .is_empty()
        .then_some(field)
}

/// A container whose annotation says something that no field does.
struct Annotated {
    kind: &'static str,
    index: usize,
    key: String,
    field: Option<Value>,
}

fn annotated(metadata: &Value, spec: &Value) -> Vec<Annotated> {
    let mut found = Vec::new();
    let Some(annotations) = object(metadata, &["annotations"]) else {
        return found;
    };
    if !annotations.keys().any(|key| key.starts_with(ANNOTATION)) || text(spec, &["os", "name"]) == "windows"
    {
        return found;
    }
    let of_pod = at(spec, &["securityContext", "appArmorProfile"]);
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in list(spec, &[kind]).iter().enumerate() {
            let key = format!("{ANNOTATION}{}", text(container, &["name"]));
            let Some(annotation) = annotations.get(&key).and_then(Value::as_str) else {
                continue;
            };
            let field = field_for(annotation);
            let has_field = !at(container, &["securityContext", "appArmorProfile"]).is_null();
            if !has_field && field.as_ref() != Some(of_pod) {
                found.push(Annotated {
                    kind,
                    index,
                    key,
                    field,
                });
            }
        }
    }
    found
}

/// What a client is told of the annotations of a pod that it makes, before they become fields.
pub(crate) fn warnings(pod: &Value) -> Vec<String> {
    annotated(at(pod, &["metadata"]), at(pod, &["spec"]))
        .iter()
        .map(|found| {
            format!(
                r#"metadata.annotations[{}]: deprecated since v1.30; use the "appArmorProfile" field instead"#,
                found.key
            )
        })
        .collect()
}

/// Sets the fields.
pub(super) fn follow(pod: &mut Object) {
    let metadata = pod.get("metadata").unwrap_or(&Value::Null);
    let found = annotated(metadata, pod.get("spec").unwrap_or(&Value::Null));
    for Annotated {
        kind, index, field, ..
    } in found
    {
        let container = pod
            .get_mut("spec")
            .and_then(|spec| spec.get_mut(kind)?.get_mut(index)?.as_object_mut());
        if let (Some(container), Some(field)) = (container, field) {
            make(container, "securityContext").insert("appArmorProfile".into(), field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_fields_where_there_is_none() {
        let pod = |annotation: &str, of_pod: Value, of_container: Value| {
            let annotations = json!({format!("{ANNOTATION}c"): annotation});
            let mut container = json!({"name": "c"});
            if !of_container.is_null() {
                container["securityContext"] = json!({"appArmorProfile": of_container});
            }
            json!({
                "metadata": {"annotations": annotations},
                "spec": {"securityContext": {"appArmorProfile": of_pod}, "containers": [container]},
            })
        };
        let (default, local) = (
            json!({"type": "RuntimeDefault"}),
            json!({"type": "Localhost", "localhostProfile": "a"}),
        );
        for (annotation, of_pod, of_container, expected, told) in [
            ("runtime/default", Value::Null, Value::Null, default.clone(), 1),
            (
                "unconfined",
                Value::Null,
                Value::Null,
                json!({"type": "Unconfined"}),
                1,
            ),
            ("localhost/a", Value::Null, Value::Null, local.clone(), 1),
            ("localhost/", Value::Null, Value::Null, Value::Null, 1),
            ("localhost/ a", Value::Null, Value::Null, Value::Null, 1),
            ("x", Value::Null, Value::Null, Value::Null, 1),
            ("runtime/default", default.clone(), Value::Null, Value::Null, 0),
            ("localhost/a", default.clone(), Value::Null, local.clone(), 1),
            ("localhost/a", Value::Null, default.clone(), default, 0),
        ] {
            let mut made = pod(annotation, of_pod, of_container);
            assert_eq!(warnings(&made).len(), told, "{annotation}");
            follow(made.as_object_mut().unwrap());
            let found = &made["spec"]["containers"][0]["securityContext"]["appArmorProfile"];
            assert_eq!(*found, expected, "{annotation}");
        }
        let mut elsewhere = pod("unconfined", Value::Null, Value::Null);
        elsewhere["spec"]["os"] = json!({"name": "windows"});
        assert!(warnings(&elsewhere).is_empty());
    }
}
