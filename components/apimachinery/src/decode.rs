//! Fits a JSON value to a schema the way upstream's typed decoding does: wrong types are errors worded as Go's,
//! unknown fields are dropped and named, texts such as quantities become canonical, and what is zero is left out
//! or written as the type's definition says.
mod quantities;
mod scalar;
mod stored;
mod unchanged;
mod zero;

pub use quantities::restore_quantities;
pub use scalar::noun;
pub(crate) use stored::{is_empty_collection, settle_value};
pub use stored::{settle, settle_except};
pub use unchanged::Unchanged;
use zero::fill;
pub use zero::{complete, zero};

use crate::quantity::Precision;
use crate::schema::{Field, Schema, SchemaId, SchemaSet, Type};
use serde_json::{Map, Value};

/// The value doesn't fit the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// Fits `value` to the struct `id`. Returns the paths of unknown fields, which are dropped.
pub fn fit(set: &SchemaSet, id: SchemaId, value: &mut Value) -> Result<Vec<String>, DecodeError> {
    fit_as(set, id, value, false)
}

/// The same for a changed object of which is known what stays: that fits, and is not looked at again.
pub fn fit_except(
    set: &SchemaSet,
    id: SchemaId,
    value: &mut Value,
    unchanged: &Unchanged,
) -> Result<Vec<String>, DecodeError> {
    unchanged.apart(value, |value| fit(set, id, value))
}

/// The same for a changed object that was already decoded without types, as strategic merge patches are; errors are
/// worded as upstream's converter words them.
pub fn fit_unstructured(
    set: &SchemaSet,
    id: SchemaId,
    value: &mut Value,
    unchanged: &Unchanged,
) -> Result<Vec<String>, DecodeError> {
    unchanged.apart(value, |value| fit_as(set, id, value, true))
}

fn fit_as(
    set: &SchemaSet,
    id: SchemaId,
    value: &mut Value,
    unstructured: bool,
) -> Result<Vec<String>, DecodeError> {
    let mut decoder = Decoder {
        set,
        fields: Vec::new(),
        owner: "",
        unknown: Vec::new(),
        first: None,
        unstructured,
        precision: Precision::Nano,
    };
    if !value.is_object() {
        return Err(DecodeError(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            scalar::noun(value),
            short_type(set, &Type::Struct(id))
        )));
    }
    if let Value::Object(map) = value {
        decoder.structure(set.get(id), map)?;
    }
    match decoder.first {
        Some(error) => Err(error),
        None => Ok(decoder
            .unknown
            .into_iter()
            .map(|path| path.strip_prefix('.').unwrap_or(&path).to_owned())
            .collect()),
    }
}

/// Upstream's name of a type, as its errors print it.
pub fn short_type(set: &SchemaSet, ty: &Type) -> String {
    match ty {
        Type::String => "string".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Double => "float64".into(),
        Type::Bytes => "[]uint8".into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Duration => "v1.Duration".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Any | Type::Deduced => "runtime.RawExtension".into(),
        Type::Struct(id) => {
            let schema = set.get(*id);
            format!("{}.{}", schema.package, schema.short)
        }
        Type::List(inner, _) => format!("[]{}", short_type(set, inner)),
        Type::Map(inner, _) => format!("map[string]{}", short_type(set, inner)),
    }
}

struct Decoder<'a> {
    set: &'a SchemaSet,
    /// Names of the fields around, without indices and map keys, as Go's errors have them.
    fields: Vec<&'a str>,
    /// Name of the innermost struct.
    owner: &'a str,
    /// Paths from the value at hand, with indices and map keys: `.spec.items[0].x`. Whoever descended puts the step
    /// that led there in front, so that a step costs nothing where nothing is unknown.
    unknown: Vec<String>,
    /// Go goes on after a wrong type and reports the first at the end.
    first: Option<DecodeError>,
    unstructured: bool,
    /// That of quantities here.
    precision: Precision,
}

impl<'a> Decoder<'a> {
    fn mismatch(&mut self, what: &str, ty: &str) {
        if self.first.is_none() {
            self.first = Some(self.mismatched(what, ty));
        }
    }

    /// Notes that a struct, list or map was expected.
    fn misshapen(&mut self, noun: &str, value: &Value, ty: &str) -> Result<(), DecodeError> {
        if self.unstructured {
            return Err(DecodeError(format!(
                "cannot restore {noun} {}",
                scalar::go_kind(value)
            )));
        }
        self.mismatch(scalar::noun(value), ty);
        Ok(())
    }

    fn mismatched(&self, what: &str, ty: &str) -> DecodeError {
        DecodeError(format!(
            "json: cannot unmarshal {what} into Go struct field {}.{} of type {ty}",
            self.owner,
            self.fields.join(".")
        ))
    }

    /// `name` is upstream's name of the type, where it isn't made from `ty`.
    fn value(&mut self, ty: &'a Type, name: Option<&'a str>, value: &mut Value) -> Result<(), DecodeError> {
        match ty {
            Type::Struct(id) => match value {
                Value::Object(map) => self.structure(self.set.get(*id), map),
                Value::Null => Ok(()),
                _ => self.misshapen("struct from:", value, &short_type(self.set, ty)),
            },
            Type::List(inner, _) => self.list(ty, inner, name, value),
            Type::Map(inner, _) => self.map(ty, inner, name, value),
            Type::Any | Type::Deduced => Ok(()),
            _ => self.scalar(ty, name, value),
        }
    }

    fn type_text(&self, ty: &Type, name: Option<&str>) -> String {
        name.map_or_else(|| short_type(self.set, ty), str::to_owned)
    }

    fn list(
        &mut self,
        ty: &'a Type,
        inner: &'a Type,
        name: Option<&'a str>,
        value: &mut Value,
    ) -> Result<(), DecodeError> {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return Ok(()),
            other => return self.misshapen("slice from", other, &self.type_text(ty, name)),
        };
        let of_item = name.and_then(|name| name.strip_prefix("[]"));
        for (index, item) in items.iter_mut().enumerate() {
            let known = self.unknown.len();
            self.value(inner, of_item, item)?;
            self.came_by(known, || format!("[{index}]"));
            if item.is_null() {
                *item = self.zero_element(inner);
            }
        }
        Ok(())
    }

    fn map(
        &mut self,
        ty: &'a Type,
        inner: &'a Type,
        name: Option<&'a str>,
        value: &mut Value,
    ) -> Result<(), DecodeError> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => return Ok(()),
            other => return self.misshapen("map from", other, &self.type_text(ty, name)),
        };
        let of_item = name
            .and_then(|name| name.strip_prefix("map["))
            .and_then(|name| name.split_once(']'))
            .map(|(_, of_item)| of_item);
        let outer = std::mem::replace(&mut self.precision, precision(name, self.owner));
        for (key, item) in map.iter_mut() {
            let known = self.unknown.len();
            self.value(inner, of_item, item)?;
            self.came_by(known, || format!(".{key}"));
            if item.is_null() {
                *item = self.zero_element(inner);
            }
        }
        self.precision = outer;
        Ok(())
    }

    fn zero_element(&self, ty: &Type) -> Value {
        let field = Field {
            always: true,
            required: true,
            ..Field::new("", ty.clone())
        };
        zero(self.set, &field)
    }

    /// Puts the step to a value in front of the unknown fields found in it, those after the first `known`.
    fn came_by(&mut self, known: usize, step: impl Fn() -> String) {
        for path in &mut self.unknown[known..] {
            path.insert_str(0, &step());
        }
    }

    fn structure(&mut self, schema: &'a Schema, map: &mut Map<String, Value>) -> Result<(), DecodeError> {
        let owner = std::mem::replace(&mut self.owner, &schema.short);
        let mut drop = Vec::new();
        let mut fields = schema.ascending();
        for (key, value) in map.iter_mut() {
            let Some(field) = fields.field(key) else {
                if !schema.preserve_unknown {
                    self.unknown.push(format!(".{key}"));
                    drop.push(key.clone());
                }
                continue;
            };
            let known = self.unknown.len();
            let depth = self.fields.len();
            self.fields.extend(field.embedded.as_deref());
            self.fields.push(&field.name);
            self.owner = &schema.short;
            let fitted = match (&field.ty, &*value) {
                (Type::Any, Value::Object(_) | Value::Array(_)) if holds_schemas(schema, field) => {
                    self.schemas_inside(schema, value)
                }
                _ => self.value(&field.ty, field.type_name.as_deref(), value),
            };
            self.fields.truncate(depth);
            self.came_by(known, || format!(".{key}"));
            fitted?;
            if value.is_null() || (!field.pointer && !field.always && is_zero(value, &field.ty)) {
                drop.push(key.clone());
            }
        }
        self.owner = owner;
        for key in drop {
            map.remove(&key);
        }
        fill(self.set, schema, map);
        Ok(())
    }

    /// Upstream decodes what may be a schema or something else apart: without naming what is unknown.
    fn schemas_inside(&mut self, schema: &'a Schema, value: &mut Value) -> Result<(), DecodeError> {
        let items = match value {
            Value::Array(items) => items.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        let known = self.unknown.len();
        let outer = std::mem::take(&mut self.fields);
        for map in items.iter_mut().filter_map(Value::as_object_mut) {
            self.structure(schema, map)?;
        }
        self.fields = outer;
        self.unknown.truncate(known);
        Ok(())
    }

    fn scalar(&mut self, ty: &Type, name: Option<&str>, value: &mut Value) -> Result<(), DecodeError> {
        match scalar::fit(ty, value, self.precision) {
            Err(_)
                if self.unstructured
                    && matches!(
                        ty,
                        Type::String | Type::Bool | Type::Int32 | Type::Int64 | Type::Double | Type::Bytes
                    ) =>
            {
                let name = name
                    .filter(|_| matches!(ty, Type::String))
                    .map_or_else(|| short_type(self.set, ty), str::to_owned);
                Err(DecodeError(scalar::conversion_error(ty, &name, value)))
            }
            Ok(()) => Ok(()),
            Err(scalar::Wrong::Type(what, plain)) => {
                let name = name.filter(|_| matches!(ty, Type::String)).unwrap_or(plain);
                self.mismatch(&what, name);
                Ok(())
            }
            Err(scalar::Wrong::Inner(what, name)) if self.unstructured => Err(DecodeError(format!(
                "json: cannot unmarshal {what} into Go value of type {name}"
            ))),
            Err(scalar::Wrong::Inner(what, name)) => Err(self.mismatched(&what, name)),
            Err(scalar::Wrong::Text(message)) => Err(DecodeError(message)),
        }
    }
}

/// How fine the quantities of a map of this type in this struct are. A default of every kind with resource lists is that
/// they are rounded; a RuntimeClass, whose overhead is one, has no defaults.
fn precision(type_name: Option<&str>, owner: &str) -> Precision {
    if type_name == Some("v1.ResourceList") && owner != "Overhead" {
        Precision::Milli
    } else {
        Precision::Nano
    }
}

/// Whether a field of a JSON schema holds schemas, though it may hold something else too.
fn holds_schemas(schema: &Schema, field: &Field) -> bool {
    schema.short == "JSONSchemaProps"
        && matches!(
            field.name.as_str(),
            "items" | "additionalItems" | "additionalProperties"
        )
}

/// Whether a plain scalar is at its zero value. Empty lists and maps that were given are told apart from missing
/// ones until [`settle`].
fn is_zero(value: &Value, ty: &Type) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0) && !matches!(ty, Type::IntOrString),
        Value::Array(_) | Value::Object(_) => false,
        Value::Null => true,
    }
}

#[cfg(test)]
mod tests;
