//! Nulls that an apply configuration's expression says. Upstream makes a number of an enumeration of each, which no field takes: a
//! policy can't take a field away by setting it to null, but has to leave it out. What is copied from objects as it is there isn't
//! looked into.

use apimachinery::Type;
use apimachinery::apply::Unapplicable;
use apimachinery::schema::{ListKind, SchemaSet};
use cel::{Key, MapValue, Value};
use std::fmt::Write;

/// Refuses a configuration of a type that has nulls in it, in the words in which upstream is surprised by them.
pub fn refuse(schemas: &SchemaSet, ty: &Type, made: &MapValue<'_>) -> Result<(), Unapplicable> {
    let mut walk = Walk {
        schemas,
        path: String::new(),
        found: Vec::new(),
    };
    walk.map(ty, made);
    if walk.found.is_empty() {
        Ok(())
    } else {
        Err(Unapplicable(walk.found))
    }
}

struct Walk<'a> {
    schemas: &'a SchemaSet,
    path: String,
    found: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, ty: &Type, value: &Value<'_>) {
        match value {
            Value::Null => self
                .found
                .push(format!("{}: expected {}", self.path, expected(ty))),
            Value::Map(map) => self.map(ty, map),
            Value::List(items) => {
                let (inner, kind) = match ty {
                    Type::List(inner, kind) => (&**inner, kind),
                    _ => (&Type::Deduced, &ListKind::Atomic),
                };
                for (index, item) in items.iter().enumerate() {
                    let name = named(kind, item).unwrap_or_else(|| index.to_string());
                    self.below(format_args!("[{name}]"), inner, item);
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, ty: &Type, map: &MapValue<'_>) {
        for (key, value) in &map.entries {
            let Key::String(key) = key else { continue };
            let inner = match ty {
                Type::Map(inner, _) => &**inner,
                Type::Struct(id) => {
                    let schema = self.schemas.get(*id);
                    match schema.field(key) {
                        Some(field) => &field.ty,
                        None if schema.preserve_unknown => &Type::Deduced,
                        // That it isn't declared is told elsewhere.
                        None => continue,
                    }
                }
                _ => &Type::Deduced,
            };
            self.below(format_args!(".{key}"), inner, value);
        }
    }

    fn below(&mut self, step: std::fmt::Arguments<'_>, ty: &Type, value: &Value<'_>) {
        let length = self.path.len();
        // Writing to a string can't fail.
        let _ = self.path.write_fmt(step);
        self.value(ty, value);
        self.path.truncate(length);
    }
}

/// How an item of a list that is told apart by keys is named in a path.
fn named(kind: &ListKind, item: &Value<'_>) -> Option<String> {
    let (ListKind::Map(keys), Value::Map(item)) = (kind, item) else {
        return None;
    };
    let part = |key: &String| {
        let value = item.entries.get(&Key::String(key.clone()))?.to_json()?;
        Some(format!("{key}={value}"))
    };
    let parts: Vec<String> = keys.iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn expected(ty: &Type) -> &'static str {
    match ty {
        Type::Struct(_) | Type::Map(..) | Type::Any | Type::Deduced => "map, got &{NULL_VALUE}",
        Type::List(..) => "list, got &{NULL_VALUE}",
        Type::String | Type::Bytes | Type::Duration => "string, got &value.valueUnstructured{Value:0}",
        Type::Bool => "boolean, got &{NULL_VALUE}",
        Type::Int32 | Type::Int64 | Type::Double => "numeric (int or float), got structpb.NullValue",
        Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime => "any scalar, got &{NULL_VALUE}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_takes_null() {
        let schemas = api::schema::built_in();
        let pod = Type::Struct(schemas.id("io.k8s.api.core.v1.Pod").unwrap());
        let environment = cel::Environment::new().with_patch_types();
        for (text, expected) in [
            (r#"Object{spec: Object.spec{nodeName: "n", tolerations: []}}"#, ""),
            ("Object{spec: null}", ".spec: expected map, got &{NULL_VALUE}"),
            (
                r#"Object{metadata: Object.metadata{labels: {"a": null}}}"#,
                ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:0}",
            ),
            (
                r#"Object{spec: Object.spec{containers: [Object.spec.containers{name: "a", stdin: null}], priority: null, volumes: null}}"#,
                "errors:\n  .spec.containers[name=\"a\"].stdin: expected boolean, got &{NULL_VALUE}\n  .spec.priority: expected numeric (int or float), got structpb.NullValue\n  .spec.volumes: expected list, got &{NULL_VALUE}",
            ),
        ] {
            let program = cel::Program::compile(text, &environment).unwrap();
            let made = program.evaluate(&[], 1_000).result.unwrap();
            let Value::Map(made) = &made else {
                panic!("{text} is no object")
            };
            let refused =
                refuse(&schemas, &pod, made).map_or_else(|error| error.to_string(), |()| String::new());
            assert_eq!(refused, expected, "{text}");
        }
    }
}
