//! What a client left out: defaults of the schemas, and upstream's defaulting functions.
mod admission;
pub(crate) mod apps;
pub(crate) mod autoscaling;
mod batch;
mod core;
mod others;
mod pod;
mod volumes;

pub use apps::TEMPLATE_GENERATION;

use crate::Resource;
use crate::value::{Object, is_zero};
use apimachinery::decode::{self, Unchanged};
use apimachinery::{SchemaSet, Type};
use serde_json::Value;

/// Fills in what the client left out of an object that fits the schema.
pub fn apply(resource: &Resource, value: &mut Value) {
    if let Some(definition) = &resource.custom {
        return crate::custom::default(definition, value);
    }
    from_schema(&resource.schemas, &resource.ty(), value);
    let Some(object) = value.as_object_mut() else {
        return;
    };
    if let Some(function) = function(resource) {
        function(object, resource);
    }
    // Structs that the function made get what is always written.
    decode::complete(&resource.schemas, &resource.ty(), value);
}

/// Whether objects of the kind may lack defaults. Those of many kinds that change often can't: events, leases.
pub fn has_any(resource: &Resource) -> bool {
    resource.custom.is_some() || function(resource).is_some() || resource.schemas.has_defaults(&resource.ty())
}

/// Upstream's defaulting function of a kind. The row tells the version and what features are on.
type Defaulting = fn(&mut Object, &Resource);

fn function(resource: &Resource) -> Option<Defaulting> {
    match (resource.gvk.group.as_str(), resource.gvk.kind.as_str()) {
        ("", kind) => core::of(kind),
        ("apps", kind) => apps::of(kind),
        ("batch", kind) => batch::of(kind),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            Some(|object, row| autoscaling::apply(&row.gvk.version, object))
        }
        ("admissionregistration.k8s.io", kind) => admission::of(kind),
        (_, kind) => others::of(kind),
    }
}

/// The same for a changed object; what stays has its defaults. Where it may get others, nothing is known to stay.
pub fn apply_change(resource: &Resource, value: &mut Value, unchanged: &mut Unchanged) {
    let is_pod = resource.gvk.group.is_empty() && resource.gvk.kind == "Pod";
    // A pod's defaults are all in its spec; other kinds take some from one member to another.
    if !is_pod || !unchanged.has("spec") {
        *unchanged = Unchanged::default();
        return apply(resource, value);
    }
    unchanged.apart(value, |value| {
        from_schema(&resource.schemas, &resource.ty(), value);
        decode::complete(&resource.schemas, &resource.ty(), value);
    });
}

/// Sets the defaults that the schema itself declares.
fn from_schema(set: &SchemaSet, ty: &Type, value: &mut Value) {
    if !set.has_defaults(ty) {
        return;
    }
    match (ty, value) {
        (Type::Struct(id), Value::Object(map)) => {
            let schema = set.get(*id);
            for field in &schema.fields {
                let Some(default) = &field.default else { continue };
                let given = map.get(&field.name);
                let missing = if field.pointer {
                    given.is_none_or(Value::is_null)
                } else {
                    is_zero(given)
                };
                if missing {
                    map.insert(field.name.clone(), default.clone());
                }
            }
            for (name, value) in map
                .iter_mut()
                .filter(|(_, value)| value.is_object() || value.is_array())
            {
                if let Some(field) = schema.field(name) {
                    from_schema(set, &field.ty, value);
                }
            }
        }
        (Type::List(inner, _), Value::Array(items)) => {
            items.iter_mut().for_each(|item| from_schema(set, inner, item))
        }
        (Type::Map(inner, _), Value::Object(map)) => {
            map.values_mut().for_each(|item| from_schema(set, inner, item))
        }
        _ => {}
    }
}

/// Copies the labels of the pod template to an object that has none.
pub(crate) fn labels_from_template(object: &mut Object) {
    let labels = object
        .get("spec")
        .map(|spec| crate::value::at(spec, &["template", "metadata", "labels"]).clone())
        .unwrap_or_default();
    let metadata = crate::value::make(object, "metadata");
    if is_zero(metadata.get("labels")) && !is_zero(Some(&labels)) {
        metadata.insert("labels".into(), labels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_whose_spec_stays_has_the_defaults_of_a_whole_one() {
        let registry = crate::Registry::built_in();
        let row = registry.resource("", "v1", "pods").unwrap();
        let mut old = json!({
            "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]},
        });
        decode::fit(&row.schemas, row.schema_id, &mut old).unwrap();
        apply(row, &mut old);
        for (pointer, value) in [
            ("/metadata/labels", Value::Null),
            ("/metadata/labels/a", json!("c")),
            ("/status", json!({})),
            ("/status", json!({"conditions": [{"type": "t"}]})),
            ("/spec/containers/0/ports", json!([{"containerPort": 2}])),
            ("/spec/restartPolicy", Value::Null),
            ("/spec", Value::Null),
        ] {
            let mut new = old.clone();
            *new.pointer_mut(pointer).unwrap() = value;
            let mut whole = new.clone();
            apply(row, &mut whole);
            let mut unchanged = Unchanged::between(&old, &new);
            apply_change(row, &mut new, &mut unchanged);
            assert_eq!(new, whole, "{pointer}");
            assert!(
                ["metadata", "spec", "status"]
                    .iter()
                    .all(|name| !unchanged.has(name) || old.get(name) == new.get(name))
            );
        }
    }
}
