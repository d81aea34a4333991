//! Values of expressions. Declared JSON is read where it lies, without a copy.
mod fields;
mod json;
mod list;

pub use fields::Lazy;
pub use json::from_json;
pub use list::ListRef;

use crate::functions::{AuthorizerState, Cidr, Ip, NamedFormat, Version};
use crate::instant::Instant;
use crate::types::{Decl, Shape, Type};
use apimachinery::Quantity;
use apimachinery::go_url::Url;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A text that is borrowed from the data or the program, or made by the expression.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A key of a map that an expression made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    /// Whole numbers of all kinds that fit.
    Int(i64),
    Uint(u64),
    String(String),
}

/// A map that an expression made, or an object of a named type.
#[derive(Clone, Debug, Default)]
pub struct MapValue<'a> {
    pub entries: BTreeMap<Key, Value<'a>>,
    /// `Object.spec`, for values of named types.
    pub type_name: Option<Arc<str>>,
}

/// Values of the libraries' own types.
#[derive(Clone, Debug)]
pub enum Opaque<'a> {
    Url(Arc<Url>),
    Quantity(Quantity),
    Ip(Ip),
    Cidr(Cidr),
    Format(&'static NamedFormat),
    Version(Arc<Version>),
    Authorizer(Arc<AuthorizerState<'a>>),
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Instant),
    Duration(jiff::SignedDuration),
    List(Arc<Vec<Value<'a>>>),
    Map(Arc<MapValue<'a>>),
    /// A JSON array or object, and what is declared about it.
    Json(&'a serde_json::Value, &'a Decl),
    Type(Type),
    Optional(Option<Arc<Value<'a>>>),
    Opaque(Opaque<'a>),
    Lazy(&'a dyn Lazy<'a>),
}

impl<'a> Value<'a> {
    /// A text made by an expression.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A borrowed text.
    pub fn borrowed(text: &'a str) -> Self {
        Self::String(Text::Borrowed(text))
    }

    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(Arc::new(items))
    }

    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The value as a list, whichever way it is kept.
    pub fn as_list(&self) -> Option<ListRef<'_, 'a>> {
        ListRef::of(self)
    }

    /// Whether the value is a map or an object.
    pub fn is_map(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Json(serde_json::Value::Object(_), _))
    }

    /// Number of entries, elements, characters or bytes.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::String(text) => Some(text.as_str().chars().count()),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::List(items) => Some(items.len()),
            Self::Map(map) => Some(map.entries.len()),
            Self::Json(serde_json::Value::Array(items), _) => Some(items.len()),
            Self::Json(serde_json::Value::Object(map), _) => Some(map.len()),
            _ => None,
        }
    }

    /// The size that costs are counted by; 1 for what has none.
    pub fn cost_size(&self) -> u64 {
        match self {
            Self::Opaque(Opaque::Ip(ip)) => ip.cost_size(),
            Self::Opaque(Opaque::Cidr(cidr)) => cidr.cost_size(),
            _ => self.size().map_or(1, |size| size as u64),
        }
    }

    pub(crate) fn opaque_name(&self) -> Option<&'static str> {
        match self {
            Self::Opaque(Opaque::Url(..)) => Some("kubernetes.URL"),
            Self::Opaque(Opaque::Quantity(_)) => Some("kubernetes.Quantity"),
            Self::Opaque(Opaque::Ip(_)) => Some("net.IP"),
            Self::Opaque(Opaque::Cidr(_)) => Some("net.CIDR"),
            Self::Opaque(Opaque::Format(_)) => Some("kubernetes.NamedFormat"),
            Self::Opaque(Opaque::Version(_)) => Some("kubernetes.Semver"),
            Self::Opaque(Opaque::Authorizer(state)) => Some(state.type_name()),
            _ => None,
        }
    }

    /// The type of the value, as far as the value itself tells.
    pub fn ty(&self) -> Type {
        let dynamic = || Arc::new(Type::Dyn);
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) | Self::Json(serde_json::Value::Array(_), _) => Type::List(dynamic()),
            Self::Json(_, decl) if matches!(decl.shape, Shape::Object(_)) => decl.ty(),
            Self::Map(_) | Self::Json(..) => Type::Map(dynamic(), dynamic()),
            Self::Type(_) => Type::Type,
            Self::Optional(_) => Type::Optional(dynamic()),
            Self::Lazy(_) => Type::Dyn,
            Self::Opaque(_) => Type::Opaque(self.opaque_name().unwrap_or_default()),
        }
    }

    /// The value as a key of a map.
    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(truth) => Some(Key::Bool(*truth)),
            Self::Int(number) => Some(Key::Int(*number)),
            Self::Uint(number) => Some(i64::try_from(*number).map_or(Key::Uint(*number), Key::Int)),
            Self::Double(number) if number.fract() == 0.0 && number.abs() < 9e18 => {
                Some(Key::Int(*number as i64))
            }
            Self::String(text) => Some(Key::String(text.as_str().to_owned())),
            _ => None,
        }
    }
}

impl Key {
    pub fn to_value<'a>(&self) -> Value<'a> {
        match self {
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Uint(number) => Value::Uint(*number),
            Self::String(text) => Value::text(text.as_str()),
        }
    }
}
