//! The schema model that decoding, patching and server-side apply are driven by.
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;

/// Number of a schema inside its [`SchemaSet`].
pub type SchemaId = u32;

/// How a list is merged by server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListKind {
    #[default]
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map(Vec<String>),
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Type {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 text.
    Bytes,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON.
    Any,
    Struct(SchemaId),
    List(Box<Type>, ListKind),
    /// Values by text; `true` when server-side apply takes it as a whole.
    Map(Box<Type>, bool),
}

/// How strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRule {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retain_keys: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_key: Option<String>,
}

/// One field of a struct.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    /// The zero value is told apart from an absent one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pointer: bool,
    /// Written even when it is zero.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Default in the schema, other than the type's zero value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Struct taken as a whole by server-side apply, said at the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atomic: Option<bool>,
    /// Upstream's name of a text type (`v1.Protocol`), as errors print it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchRule>,
    /// Upstream's struct that the field is embedded from, which its errors name: `VolumeSource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<String>,
}

/// A discriminated union of fields, which server-side apply keeps consistent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Union {
    pub discriminator: Option<String>,
    /// Field name and the discriminator value that selects it.
    pub members: Vec<(String, String)>,
}

/// A struct type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// `Pod`, as errors print it.
    pub short: String,
    /// `v1`, as errors print it before the short name.
    pub package: String,
    /// Sorted by name.
    pub fields: Vec<Field>,
    /// Taken as a whole by server-side apply.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub atomic: bool,
    /// Fields that aren't named are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preserve_unknown: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unions: Vec<Union>,
}

impl Schema {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .binary_search_by(|field| field.name.as_str().cmp(name))
            .ok()
            .map(|index| &self.fields[index])
    }
}

/// Schemas that refer to each other by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaSet {
    schemas: Vec<Schema>,
    by_name: HashMap<String, SchemaId>,
}

impl SchemaSet {
    /// A set of schemas; the position is the number that [`Type::Struct`] refers to.
    pub fn new(schemas: Vec<Schema>) -> Self {
        let by_name = (0..)
            .zip(&schemas)
            .map(|(id, schema)| (schema.name.clone(), id))
            .collect();
        Self { schemas, by_name }
    }

    /// The schema of that number. Numbers come from this set only.
    pub fn get(&self, id: SchemaId) -> &Schema {
        &self.schemas[id as usize]
    }

    /// The number of the schema of that full name.
    pub fn id(&self, name: &str) -> Option<SchemaId> {
        self.by_name.get(name).copied()
    }

    /// The schema of that full name.
    pub fn by_name(&self, name: &str) -> Option<&Schema> {
        self.id(name).map(|id| self.get(id))
    }

    /// All schemas in order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.iter()
    }
}
