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

impl Field {
    /// A field of which nothing else is said.
    pub fn new(name: &str, ty: Type) -> Self {
        Self {
            name: name.to_owned(),
            ty,
            pointer: false,
            always: false,
            required: false,
            default: None,
            atomic: None,
            type_name: None,
            patch: None,
            embedded: None,
        }
    }
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
    /// The first bytes of the fields' names, once the schema is in a set.
    #[serde(skip)]
    pub prefixes: Prefixes,
}

/// The first eight bytes of each name, as numbers in the order of the names: most names are told apart by a comparison
/// of numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prefixes(Vec<u64>);

impl Prefixes {
    fn of(fields: &[Field]) -> Self {
        Self(fields.iter().map(|field| prefix(&field.name)).collect())
    }
}

fn prefix(name: &str) -> u64 {
    let mut first = [0; 8];
    let length = name.len().min(first.len());
    first[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(first)
}

impl Schema {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let prefixes = &self.prefixes.0;
        if prefixes.len() != self.fields.len() {
            let found = self
                .fields
                .binary_search_by(|field| field.name.as_str().cmp(name));
            return found.ok().map(|index| &self.fields[index]);
        }
        let wanted = prefix(name);
        let first = prefixes.partition_point(|prefix| *prefix < wanted);
        let alike = prefixes[first..]
            .iter()
            .take_while(|prefix| **prefix == wanted)
            .count();
        self.fields[first..first + alike]
            .iter()
            .find(|field| field.name == name)
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
    pub fn new(mut schemas: Vec<Schema>) -> Self {
        for schema in &mut schemas {
            schema.prefixes = Prefixes::of(&schema.fields);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_in_a_set_and_outside_of_one() {
        let names = [
            "a",
            "lastProbeTime",
            "lastTransition",
            "lastTransitionTime",
            "name",
            "names",
        ];
        let field = |name: &&str| Field::new(name, Type::String);
        let alone = Schema {
            fields: names.iter().map(field).collect(),
            ..Schema::default()
        };
        let set = SchemaSet::new(vec![alone.clone()]);
        for schema in [&alone, set.get(0)] {
            for name in names {
                assert_eq!(schema.field(name).map(|field| field.name.as_str()), Some(name));
            }
            for name in ["", "b", "lastTran", "lastTransitionTimes", "namess", "z"] {
                assert!(schema.field(name).is_none(), "{name}");
            }
        }
    }
}
