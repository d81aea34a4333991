//! Fields and keys of values.
use super::{Key, Value, from_json};
use crate::evaluate::{EvalError, Scratch};
use crate::types::{Decl, ObjectField, Shape, any};
use serde_json::{Map, Value as Json};
use std::fmt;

/// An object whose fields are worked out when they are asked for, such as `variables`.
pub trait Lazy<'a>: fmt::Debug + Send + Sync {
    /// The field's value; `None` when there is no such field. What it takes is charged to `scratch`.
    fn field(&self, name: &str, scratch: &mut Scratch<'_, 'a>) -> Result<Option<Value<'a>>, EvalError>;

    /// Whether there is such a field.
    fn has(&self, name: &str) -> bool;
}

fn declared<'a>(decl: &'a Decl, name: &str) -> Option<&'a ObjectField> {
    match &decl.shape {
        Shape::Object(object) => object.field(name),
        _ => None,
    }
}

/// What the data has in a field, unless that counts as nothing.
fn present<'a>(map: &'a Map<String, Json>, name: &str, field: Option<&ObjectField>) -> Option<&'a Json> {
    let null_is_absent = field.is_some_and(|field| field.null_is_absent);
    map.get(name).filter(|json| !(null_is_absent && json.is_null()))
}

/// What is declared about the entry of that name.
fn entry_decl<'a>(decl: &'a Decl, name: &str) -> &'a Decl {
    match &decl.shape {
        Shape::Object(object) => object.field(name).map_or(any(), |field| &field.decl),
        Shape::Map(values) => values,
        _ => any(),
    }
}

impl<'a> Value<'a> {
    /// The value of a field; `None` when it is absent.
    pub(crate) fn field(
        &self,
        name: &str,
        scratch: &mut Scratch<'_, 'a>,
    ) -> Result<Option<Value<'a>>, EvalError> {
        match self {
            Self::Json(Json::Object(map), decl) => {
                let field = declared(decl, name);
                let json_name = field.map_or(name, |field| &field.json_name);
                Ok(match (present(map, json_name, field), field) {
                    (Some(json), _) => Some(from_json(json, entry_decl(decl, name))),
                    (None, Some(field)) if field.zero_when_absent => Some(zero(&field.decl)),
                    (None, _) => None,
                })
            }
            Self::Map(map) => Ok(map.entries.get(&Key::String(name.to_owned())).cloned()),
            Self::Lazy(lazy) => lazy.field(name, scratch),
            _ => Err(EvalError::new(format!("no such key: {name}"))),
        }
    }

    /// Whether a field is there; `None` when this has no fields.
    pub(crate) fn has_field(&self, name: &str) -> Option<bool> {
        match self {
            Self::Json(Json::Object(map), decl) => {
                let field = declared(decl, name);
                let json_name = field.map_or(name, |field| &field.json_name);
                Some(present(map, json_name, field).is_some())
            }
            Self::Map(map) => Some(map.entries.contains_key(&Key::String(name.to_owned()))),
            Self::Lazy(lazy) => Some(lazy.has(name)),
            Self::Null => Some(false),
            _ => None,
        }
    }

    /// The value under a key of a map; `None` when it is absent.
    pub(crate) fn entry(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match self {
            Self::Json(Json::Object(map), decl) => {
                let name = key.as_str()?;
                map.get(name).map(|json| from_json(json, entry_decl(decl, name)))
            }
            Self::Map(map) => map.entries.get(&key.key()?).cloned(),
            _ => None,
        }
    }

    /// The keys of a map or object.
    pub(crate) fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Json(Json::Object(map), _) => map.keys().map(|key| Value::borrowed(key)).collect(),
            Self::Map(map) => map.entries.keys().map(Key::to_value).collect(),
            _ => Vec::new(),
        }
    }
}

/// What an absent field of a typed object reads as.
fn zero<'a>(decl: &'a Decl) -> Value<'a> {
    match &decl.shape {
        Shape::Bool => Value::Bool(false),
        Shape::Int => Value::Int(0),
        Shape::Double => Value::Double(0.0),
        Shape::String => Value::borrowed(""),
        Shape::Bytes => Value::Bytes([].as_slice().into()),
        Shape::List(..) => Value::list(Vec::new()),
        Shape::Map(_) => Value::Map(Default::default()),
        Shape::Object(_) => {
            static EMPTY: std::sync::LazyLock<Json> =
                std::sync::LazyLock::new(|| Json::Object(serde_json::Map::new()));
            Value::Json(&EMPTY, decl)
        }
        _ => Value::Null,
    }
}
