//! Parts of an apply configuration that would replace what is there as a whole, which mutations may not do.

use apimachinery::Type;
use apimachinery::schema::{ListKind, SchemaSet};
use serde_json::Value;
use std::fmt::Write;

/// Paths of the atomic lists, maps and structs in a value of a type.
pub fn of(schemas: &SchemaSet, ty: &Type, value: &Value) -> Vec<String> {
    let mut walk = Walk {
        schemas,
        path: String::new(),
        found: Vec::new(),
    };
    walk.value(ty, None, value);
    walk.found
}

struct Walk<'a> {
    schemas: &'a SchemaSet,
    path: String,
    found: Vec<String>,
}

impl Walk<'_> {
    /// `atomic` is what the field says of the struct in it.
    fn value(&mut self, ty: &Type, atomic: Option<bool>, value: &Value) {
        match (ty, value) {
            (Type::Struct(id), Value::Object(map)) => {
                let schema = self.schemas.get(*id);
                self.note(atomic.unwrap_or(schema.atomic));
                for (key, value) in map {
                    let Some(field) = schema.field(key) else { continue };
                    // Field sets have no schema of their own upstream.
                    if key != "fieldsV1" {
                        self.below(format_args!(".{key}"), &field.ty, field.atomic, value);
                    }
                }
            }
            // Upstream doesn't look into the values of maps.
            (Type::Map(_, atomic), Value::Object(_)) => self.note(*atomic),
            (Type::List(inner, kind), Value::Array(items)) => {
                self.note(*kind == ListKind::Atomic);
                for (index, item) in items.iter().enumerate() {
                    self.below(format_args!("[{index}]"), inner, None, item);
                }
            }
            _ => {}
        }
    }

    fn below(&mut self, step: std::fmt::Arguments<'_>, ty: &Type, atomic: Option<bool>, value: &Value) {
        let length = self.path.len();
        // Writing to a string can't fail.
        let _ = self.path.write_fmt(step);
        self.value(ty, atomic, value);
        self.path.truncate(length);
    }

    fn note(&mut self, atomic: bool) {
        if atomic {
            self.found.push(self.path.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn atomic_parts_are_found_with_their_indices() {
        let schemas = api::schema::built_in();
        let pod = Type::Struct(schemas.id("io.k8s.api.core.v1.Pod").unwrap());
        for (spec, expected) in [
            (json!({"nodeName": "n"}), vec![]),
            (
                json!({"containers": [{"name": "a"}, {"name": "b", "args": ["x"], "command": ["y"]}]}),
                vec![".spec.containers[1].args", ".spec.containers[1].command"],
            ),
            (
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [{"key": "k"}]}]}}}}),
                vec![
                    ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
                    ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
                    ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]",
                    ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields",
                ],
            ),
            (json!({"nodeSelector": {"a": "b"}}), vec![".spec.nodeSelector"]),
            (
                json!({"imagePullSecrets": [{"name": "s"}]}),
                vec![".spec.imagePullSecrets[0]"],
            ),
        ] {
            let made = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec});
            assert_eq!(of(&schemas, &pod, &made), expected, "{made}");
        }
    }
}
