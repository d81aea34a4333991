//! What a mutation's expression makes of an object.

use super::evaluation::{Budget, LazyVariables, values};
use super::policy::{Expression, PatchType, Policy};
use super::{atomics, nulls, type_names};
use crate::admission::inputs::Inputs;
use crate::admission::matching::Invocation;
use crate::kinds::{self, said::Misread};
use api::Registry;
use apimachinery::patch::{self, PatchError};
use apimachinery::{ApiError, apply, json, meta};
use serde_json::{Map, Value};

/// Why a mutation changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Unmutated {
    /// The policy's failure policy decides what comes of it.
    Policy(String),
    /// The request is answered with this, whatever the failure policy.
    Refused(ApiError),
}

impl From<String> for Unmutated {
    fn from(why: String) -> Self {
        Self::Policy(why)
    }
}

/// The object after a mutation.
pub fn mutated(
    policy: &Policy,
    kind: PatchType,
    expression: &Expression,
    inputs: &Inputs<'_>,
    object: &Value,
    registry: &Registry,
    invocation: &Invocation,
) -> Result<Value, Unmutated> {
    let variables = LazyVariables::new(&policy.variables);
    let values = values(inputs, &policy.variables.environment, &variables);
    variables.bind(&values);
    let made = Budget::default()
        .evaluate(expression, &values)
        .map_err(|failure| failure.why)?;
    let mut mutated = match kind {
        PatchType::Json => json_patched(&made, object, registry, invocation)?,
        PatchType::Apply => applied(&made, object, invocation)?,
    };
    if invocation.kind == invocation.row.gvk {
        kinds::default(&invocation.row, &mut mutated);
    }
    Ok(mutated)
}

fn json_patched(
    made: &cel::Value<'_>,
    object: &Value,
    registry: &Registry,
    invocation: &Invocation,
) -> Result<Value, Unmutated> {
    let list = made
        .as_list()
        .ok_or_else(|| "type mismatch: JSONPatchType.expression should evaluate to array".to_owned())?;
    let operations = list
        .iter()
        .map(|item| operation(&item))
        .collect::<Result<Vec<Value>, String>>()?;
    let mut patched = object.clone();
    match patch::json::apply(&mut patched, &Value::Array(operations)) {
        Ok(()) => {}
        // How a policy says under which conditions it changes something.
        Err(PatchError::TestFailed(_)) => return Ok(object.clone()),
        Err(error) => return Err(Unmutated::Policy(format!("JSON Patch: {error}"))),
    }
    decoded(&mut patched, registry, invocation).map_err(Unmutated::Refused)?;
    Ok(patched)
}

/// A patched object has to be one of its kind, and may have no fields that the kind doesn't know.
fn decoded(object: &mut Value, registry: &Registry, invocation: &Invocation) -> Result<(), ApiError> {
    let (row, kind) = (&invocation.row, &invocation.kind);
    if kinds::is_own_custom(row, kind) {
        // What its schema doesn't know is dropped later.
        return kinds::fit_admitted(row, kind, object)
            .map(drop)
            .map_err(ApiError::internal);
    }
    kinds::said::read(registry, row, kind, object).map_err(|error| match error {
        Misread::Unregistered { .. } => ApiError::internal(error),
        Misread::Unconvertible(why) => ApiError::internal(format!("failed to convert object: {why}")),
    })?;
    let unknown = kinds::fit(row, kind, object).map_err(ApiError::internal)?;
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown = json::listed(&[], &unknown).join(", ");
    Err(ApiError::internal(format!("strict decoding error: {unknown}")))
}

/// `JSONPatch{op, path, from, value}` as an operation; what isn't given isn't there.
fn operation(made: &cel::Value<'_>) -> Result<Value, String> {
    let cel::Value::Map(fields) = made else {
        return Err(
            "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned(),
        );
    };
    let mut operation: Map<String, Value> = Map::new();
    for (field, value) in &fields.entries {
        let cel::Key::String(field) = field else { continue };
        let value = if field == "value" {
            patch_value(value)?
        } else {
            value.to_json().unwrap_or_default()
        };
        operation.insert(field.clone(), value);
    }
    for field in ["op", "path"] {
        operation
            .entry(field)
            .or_insert_with(|| Value::String(String::new()));
    }
    if operation.get("from").is_some_and(|from| from == "") {
        operation.remove("from");
    }
    Ok(Value::Object(operation))
}

fn patch_value(value: &cel::Value<'_>) -> Result<Value, String> {
    if let cel::Value::Map(object) = value {
        named_rightly(object)?;
    }
    let mut made = value.to_json().ok_or_else(|| {
        format!(
            "JSONPath valueExpression evaluated to a type that could not marshal to JSON: {}",
            value.ty()
        )
    })?;
    text_of_large(&mut made);
    Ok(made)
}

/// Integers that not every JSON reader can hold are written as texts, as JSON of protocol buffers has them.
fn text_of_large(value: &mut Value) {
    const SAFE: u64 = (1 << 53) - 1;
    match value {
        Value::Number(number) => {
            let size = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
            if size.is_some_and(|size| size > SAFE) {
                *value = Value::String(number.to_string());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(text_of_large),
        Value::Object(map) => map.values_mut().for_each(text_of_large),
        _ => {}
    }
}

fn named_rightly(object: &cel::MapValue<'_>) -> Result<(), String> {
    let misplaced = type_names::misplaced(object);
    if misplaced.is_empty() {
        return Ok(());
    }
    Err(format!("type mismatch: {}", misplaced.join("\n")))
}

fn applied(made: &cel::Value<'_>, object: &Value, invocation: &Invocation) -> Result<Value, String> {
    let cel::Value::Map(configuration) = made else {
        return Err(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            made.ty()
        ));
    };
    named_rightly(configuration)?;
    let said = configuration;
    let mut made = made
        .to_json()
        .ok_or_else(|| "invalid return type: *types.Err".to_owned())?;
    // Whatever it says of its type, it is applied as what it is applied to.
    made["apiVersion"] = Value::from(meta::api_version(object));
    made["kind"] = Value::from(meta::kind(object));
    let (row, kind) = (&invocation.row, &invocation.kind);
    let schema = if *kind == row.gvk {
        Some(row.schema_id)
    } else {
        row.schemas.id(&api::schema_name(kind))
    };
    let schema = schema.ok_or_else(|| format!("unable to find the type of {}", kind.kind))?;
    let ty = apimachinery::Type::Struct(schema);
    let configuration = nulls::refuse(&row.schemas, &ty, said)
        .and_then(|()| apply::validate(&row.schemas, &ty, &made))
        .map_err(|errors| {
            format!("error applying patch: failed to convert patch object to typed object: {errors}")
        })?;
    let atomic = atomics::of(&row.schemas, &ty, &made);
    if !atomic.is_empty() {
        return Err(format!(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomic.join(", ")
        ));
    }
    let mut merged = object.clone();
    apply::merge(&row.schemas, &ty, &mut merged, configuration);
    kinds::fit_unstructured(row, kind, &mut merged).map_err(|error| {
        format!(
            "unable to convert unstructured object to {}, Kind={}: {error}",
            go_group_version(&kind.api_version()),
            kind.kind
        )
    })?;
    Ok(merged)
}

/// A group and version as Go prints those of kinds.
fn go_group_version(version: &str) -> String {
    if version.contains('/') {
        version.to_owned()
    } else {
        format!("/{version}")
    }
}
