//! What a mutation's expression makes of an object.

use super::evaluation::{Budget, LazyVariables, values};
use super::policy::{Expression, PatchType, Policy};
use crate::admission::inputs::Inputs;
use api::Resource;
use apimachinery::patch::{self, PatchError};
use apimachinery::{GroupVersionKind, apply, meta};
use serde_json::{Map, Value, json};

/// The object after a mutation, not yet completed with defaults.
pub fn mutated(
    policy: &Policy,
    kind: PatchType,
    expression: &Expression,
    inputs: &Inputs<'_>,
    object: &Value,
    (row, gvk): (&Resource, &GroupVersionKind),
) -> Result<Value, String> {
    let variables = LazyVariables::new(&policy.variables);
    let values = values(inputs, &policy.variables.environment, &variables);
    variables.bind(&values);
    let made = Budget::default()
        .evaluate(expression, &values)
        .map_err(|failure| failure.why)?;
    match kind {
        PatchType::Json => json_patched(&made, object),
        PatchType::Apply => {
            let made = made
                .to_json()
                .filter(Value::is_object)
                .ok_or_else(|| "unsupported return type from ApplyConfiguration expression".to_owned())?;
            applied(made, object, row, gvk)
        }
    }
}

fn json_patched(made: &cel::Value<'_>, object: &Value) -> Result<Value, String> {
    let list = made
        .as_list()
        .ok_or("type mismatch: JSONPatchType.expression should evaluate to array")?;
    let operations = list
        .iter()
        .map(|item| operation(&item).ok_or_else(|| "JSONPatch has a value that is not JSON".to_owned()))
        .collect::<Result<Vec<Value>, String>>()?;
    let mut patched = object.clone();
    match patch::json::apply(&mut patched, &Value::Array(operations)) {
        Ok(()) => Ok(patched),
        // How a policy says under which conditions it changes something.
        Err(PatchError::TestFailed(_)) => Ok(object.clone()),
        Err(error) => Err(format!("JSON Patch: {error}")),
    }
}

/// `JSONPatch{op, path, from, value}` as an operation; what isn't given isn't there.
fn operation(made: &cel::Value<'_>) -> Option<Value> {
    let fields = made.to_json()?;
    let fields = fields.as_object()?;
    let mut operation: Map<String, Value> = Map::new();
    for field in ["op", "path", "from", "value"] {
        if let Some(value) = fields.get(field) {
            operation.insert(field.to_owned(), value.clone());
        }
    }
    Some(Value::Object(operation))
}

fn applied(mut made: Value, object: &Value, row: &Resource, gvk: &GroupVersionKind) -> Result<Value, String> {
    for (field, own) in [
        ("apiVersion", meta::api_version(object)),
        ("kind", meta::kind(object)),
    ] {
        let given = made[field].as_str().unwrap_or(own);
        if given != own {
            return Err(format!(
                "{field} of the applied object must be {own:?}, got {given:?}"
            ));
        }
        made[field] = json!(own);
    }
    let schema = if *gvk == row.gvk {
        Some(row.schema_id)
    } else {
        row.schemas.id(&api::schema_name(gvk))
    };
    let schema = schema.ok_or_else(|| format!("unable to find the type of {}", gvk.kind))?;
    let ty = apimachinery::Type::Struct(schema);
    let configuration = apply::validate(&row.schemas, &ty, &made).map_err(|errors| {
        format!("error applying patch: failed to convert patch object to typed object: {errors}")
    })?;
    let atomic = atomics(row, &ty, &made);
    if !atomic.is_empty() {
        return Err(format!(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    let mut merged = object.clone();
    apply::merge(&row.schemas, &ty, &mut merged, configuration);
    Ok(merged)
}

/// Paths of lists, maps and structs that a merge would replace as a whole.
fn atomics(row: &Resource, ty: &apimachinery::Type, made: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(row, ty, made, &mut String::new(), &mut found);
    found
}

fn walk(row: &Resource, ty: &apimachinery::Type, made: &Value, path: &mut String, found: &mut Vec<String>) {
    use apimachinery::Type;
    let below = |name: &str, path: &mut String| {
        let length = path.len();
        path.push('.');
        path.push_str(name);
        length
    };
    match (ty, made) {
        (Type::Struct(id), Value::Object(map)) => {
            let schema = row.schemas.get(*id);
            for (key, value) in map {
                let Some(field) = schema.field(key) else { continue };
                let length = below(key, path);
                let atomic = match &field.ty {
                    Type::Struct(inner) => field.atomic.unwrap_or(row.schemas.get(*inner).atomic),
                    _ => false,
                };
                if atomic && value.is_object() && key != "fieldsV1" {
                    found.push(path.clone());
                } else {
                    walk(row, &field.ty, value, path, found);
                }
                path.truncate(length);
            }
        }
        (Type::Map(_, true), Value::Object(_)) => found.push(path.clone()),
        (Type::List(_, apimachinery::schema::ListKind::Atomic), Value::Array(_)) => found.push(path.clone()),
        (Type::Map(inner, false), Value::Object(map)) => {
            for (key, value) in map {
                let length = below(key, path);
                walk(row, inner, value, path, found);
                path.truncate(length);
            }
        }
        (Type::List(inner, _), Value::Array(items)) => {
            for item in items {
                walk(row, inner, item, path, found);
            }
        }
        _ => {}
    }
}
