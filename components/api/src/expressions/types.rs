//! Checking a policy's expressions against the types that it is about.

use super::{Names, Purpose, compile, environment, with_variables};
use crate::Resource;
use crate::custom::escaped_name;
use apimachinery::schema::{ListKind as Kind, SchemaId, SchemaSet, Type as Schema};
use cel::{Decl, Environment, ListKind, Object, ObjectField, Shape, Type};
use serde_json::Value;
use std::sync::Arc;

/// A policy is checked against at most this many types.
pub const MAX_TYPES: usize = 10;

/// An expression that doesn't fit the types that its policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// `spec.validations[0].expression`
    pub field: String,
    pub warning: String,
}

/// What is declared about objects of a kind.
fn declaration(resource: &Resource) -> Decl {
    let mut open = Vec::new();
    of_type(&resource.schemas, &resource.ty(), &mut open)
}

/// `open` are the structs that this is inside of: one within itself is anything.
fn of_type(set: &SchemaSet, ty: &Schema, open: &mut Vec<SchemaId>) -> Decl {
    Decl::new(match ty {
        Schema::String | Schema::Duration => Shape::String,
        Schema::Bool => Shape::Bool,
        Schema::Int32 | Schema::Int64 => Shape::Int,
        Schema::Double => Shape::Double,
        Schema::Bytes => Shape::Bytes,
        Schema::Time | Schema::MicroTime => Shape::Timestamp,
        Schema::Quantity | Schema::IntOrString | Schema::Any | Schema::Deduced => Shape::Dyn,
        Schema::List(item, kind) => {
            let kind = match kind {
                Kind::Set => ListKind::Set,
                Kind::Map(keys) => ListKind::Map(keys.clone()),
                Kind::Atomic => ListKind::Atomic,
            };
            Shape::List(Arc::new(of_type(set, item, open)), kind)
        }
        Schema::Map(value, _) => Shape::Map(Arc::new(of_type(set, value, open))),
        Schema::Struct(id) if open.contains(id) => Shape::Dyn,
        Schema::Struct(id) => {
            let schema = set.get(*id);
            if schema.preserve_unknown {
                return Decl::dynamic();
            }
            open.push(*id);
            let fields = schema.fields.iter().filter_map(|field| {
                let known = ObjectField {
                    json_name: field.name.clone(),
                    decl: Arc::new(of_type(set, &field.ty, open)),
                    zero_when_absent: false,
                    null_is_absent: false,
                };
                Some((escaped_name(&field.name)?, known))
            });
            let object = Object {
                name: schema.name.clone(),
                fields: fields.collect(),
            };
            open.pop();
            Shape::Object(Arc::new(object))
        }
    })
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// What a policy's expressions see when it is about one kind.
fn environment_for(spec: &Value, object: &Decl, params: Option<&Decl>) -> Environment {
    let names = Names {
        params: params.is_some(),
        authorizer: true,
        patch_types: false,
    };
    let mut typed = environment(names)
        .with("object", object.clone())
        .with("oldObject", object.clone());
    if let Some(params) = params {
        typed = typed.with("params", params.clone());
    }
    let variables = items(spec, "variables");
    if variables.is_empty() {
        return typed;
    }
    let mut known: Vec<(String, Type)> = Vec::new();
    for variable in variables {
        let text = |field: &str| variable[field].as_str().unwrap_or("");
        let within = with_variables(typed.clone(), &known);
        // One that doesn't fit is known all the same, so that it is not told again where it is used.
        let ty = compile(text("expression"), &within, Purpose::Variable)
            .map_or(Type::Dyn, |program| program.ty().clone());
        known.push((text("name").to_owned(), ty));
    }
    with_variables(typed, &known)
}

/// What a ValidatingAdmissionPolicy's validations say that doesn't fit the kinds it is about, `types`.
pub fn warnings(policy: &Value, types: &[Arc<Resource>], params: Option<&Resource>) -> Vec<Warning> {
    let spec = &policy["spec"];
    let mut types: Vec<&Arc<Resource>> = types.iter().collect();
    let key = |row: &Arc<Resource>| {
        (
            row.gvk.group.clone(),
            row.gvk.version.clone(),
            row.gvk.kind.clone(),
        )
    };
    types.sort_by_key(|row| key(row));
    types.dedup_by_key(|row| key(row));
    types.truncate(MAX_TYPES);
    let params = params.map(declaration);
    let environments: Vec<(String, Environment)> = types
        .into_iter()
        .map(|row| {
            let kind = format!("{}/{}, Kind={}", row.gvk.group, row.gvk.version, row.gvk.kind);
            (kind, environment_for(spec, &declaration(row), params.as_ref()))
        })
        .collect();
    let mut found = Vec::new();
    for (index, validation) in items(spec, "validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let text = validation[field].as_str().unwrap_or("");
            if text.trim().is_empty() {
                continue;
            }
            let misfits: Vec<String> = environments
                .iter()
                .filter_map(|(kind, environment)| {
                    let why = compile(text, environment, Purpose::Variable).err()?;
                    let why = why.strip_prefix("compilation failed: ").unwrap_or(&why);
                    Some(format!("{kind}: {why}\n"))
                })
                .collect();
            if !misfits.is_empty() {
                found.push(Warning {
                    field: format!("spec.validations[{index}].{field}"),
                    warning: misfits.join("\n"),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;
    use serde_json::json;

    fn told(spec: Value, resources: &[(&str, &str, &str)]) -> Vec<Warning> {
        let registry = Registry::built_in();
        let types: Vec<Arc<Resource>> = resources
            .iter()
            .map(|(group, version, plural)| Arc::clone(registry.resource(group, version, plural).unwrap()))
            .collect();
        warnings(&json!({ "spec": spec }), &types, None)
    }

    #[test]
    fn expressions_are_checked_against_every_kind() {
        let deployments = &[("apps", "v1", "deployments")][..];
        let both = &[("apps", "v1", "deployments"), ("", "v1", "pods")][..];
        for (expression, types, wrong) in [
            ("object.spec.replicas > 1", deployments, &[][..]),
            (
                "object.spec.nothing > 1",
                deployments,
                &["undefined field 'nothing'"],
            ),
            (
                "object.spec.replicas > '1'",
                deployments,
                &["apps/v1, Kind=Deployment: ERROR: <input>:1:"],
            ),
            (
                "object.spec.replicas > 1",
                both,
                &["/v1, Kind=Pod: ", "undefined field 'replicas'"],
            ),
            (
                "object.spec.template.spec.containers.all(c, c.image.startsWith('x'))",
                deployments,
                &[],
            ),
            ("object.metadata.labels['a'] == 'b'", both, &[]),
            ("variables.most > 1", deployments, &[]),
            (
                "variables.most > 'x'",
                deployments,
                &["apps/v1, Kind=Deployment: "],
            ),
        ] {
            let spec = json!({
                "variables": [{"name": "most", "expression": "object.spec.replicas"}],
                "validations": [{"expression": expression}],
            });
            let found = told(spec, types);
            assert_eq!(found.is_empty(), wrong.is_empty(), "{expression}: {found:?}");
            for part in wrong {
                assert!(found[0].warning.contains(part), "{expression}: {found:?}");
            }
        }
    }

    #[test]
    fn messages_are_checked_and_told_where_they_are() {
        let spec = json!({"validations": [
            {"expression": "true"},
            {"expression": "true", "messageExpression": "object.spec.odd"},
        ]});
        let found = told(spec, &[("", "v1", "pods")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].field, "spec.validations[1].messageExpression");
    }
}
