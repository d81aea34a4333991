//! The schema model that decoding, patching and server-side apply are driven by.
mod lookup;

pub use lookup::{Ascending, Prefixes};

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
    /// Any JSON, which server-side apply deduces the type of: maps are looked into, lists are not.
    Deduced,
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
    /// The default in the schema is the zero value, though what is zero isn't written: it counts where the field is the key of a list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_default: bool,
    /// Struct taken as a whole by server-side apply, said at the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atomic: Option<bool>,
    /// Upstream's name of the type, as errors print it, where it isn't made from `ty`: `v1.Protocol`, `v1.ResourceList`.
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
            zero_default: false,
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

/// Schemas that refer to each other by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaSet {
    schemas: Vec<Schema>,
    by_name: HashMap<String, SchemaId>,
    /// Which of them have, themselves or below, what is looked for in whole objects.
    traits: Vec<Traits>,
}

/// What a walk over an object needn't go into a value for, when there is none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traits {
    /// A field with a default.
    defaults: bool,
    /// A field that is always written.
    always: bool,
    /// A list whose items are told apart by keys.
    keyed: bool,
}

impl Traits {
    fn and(self, other: Self) -> Self {
        Self {
            defaults: self.defaults || other.defaults,
            always: self.always || other.always,
            keyed: self.keyed || other.keyed,
        }
    }
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
        let mut set = Self {
            traits: vec![Traits::default(); schemas.len()],
            schemas,
            by_name,
        };
        while set.spread_traits() {}
        set
    }

    /// Gives each schema what its fields and those below have; says whether that was news.
    fn spread_traits(&mut self) -> bool {
        let mut news = false;
        // Mostly, schemas refer to those before them.
        for at in 0..self.schemas.len() {
            let of = |field: &Field| {
                let own = Traits {
                    defaults: field.default.is_some(),
                    always: field.always,
                    keyed: false,
                };
                own.and(self.traits(&field.ty))
            };
            let fields = self.schemas[at].fields.iter().map(of);
            let now = fields.fold(Traits::default(), Traits::and);
            news |= now != self.traits[at];
            self.traits[at] = now;
        }
        news
    }

    fn traits(&self, ty: &Type) -> Traits {
        match ty {
            Type::Struct(id) => self.traits.get(*id as usize).copied().unwrap_or_default(),
            Type::List(inner, kind) => Traits {
                keyed: matches!(kind, ListKind::Map(_)),
                ..Traits::default()
            }
            .and(self.traits(inner)),
            Type::Map(inner, _) => self.traits(inner),
            _ => Traits::default(),
        }
    }

    /// Whether a value of this type may have fields with defaults.
    pub fn has_defaults(&self, ty: &Type) -> bool {
        self.traits(ty).defaults
    }

    /// Whether a value of this type may have fields that are always written.
    pub(crate) fn has_always(&self, ty: &Type) -> bool {
        self.traits(ty).always
    }

    /// Whether a value of this type may have lists whose items are told apart by keys.
    pub(crate) fn has_keyed(&self, ty: &Type) -> bool {
        self.traits(ty).keyed
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
    fn what_is_below_a_schema_is_known() {
        let field = |ty: Type| Field::new("f", ty);
        let schema = |fields: Vec<Field>| Schema {
            fields,
            ..Schema::default()
        };
        let list = |id: SchemaId, kind: ListKind| Type::List(Box::new(Type::Struct(id)), kind);
        let set = SchemaSet::new(vec![
            schema(vec![field(Type::Map(Box::new(Type::Struct(1)), false))]),
            // Refers to one before it, to one after it and to itself.
            schema(vec![
                field(list(1, ListKind::Atomic)),
                field(Type::Struct(0)),
                field(Type::Struct(2)),
            ]),
            schema(vec![Field {
                default: Some(1.into()),
                always: true,
                ..field(Type::Int32)
            }]),
            schema(vec![field(list(4, ListKind::Map(vec!["f".into()])))]),
            schema(vec![field(Type::String)]),
        ]);
        let has = |id: SchemaId| {
            let ty = Type::Struct(id);
            (set.has_defaults(&ty), set.has_always(&ty), set.has_keyed(&ty))
        };
        assert_eq!(
            [has(0), has(1), has(2), has(3), has(4)],
            [
                (true, true, false),
                (true, true, false),
                (true, true, false),
                (false, false, true),
                (false, false, false)
            ]
        );
    }
}
