//! The schema as server-side apply and managedFields see it.
use super::schema::{Additional, Kind, ListType as CustomList, Schema as Custom};
use crate::schema::{OBJECT_META, built_in};
use apimachinery::schema::{Field, ListKind, Schema, SchemaId, SchemaSet, Type};
use std::collections::HashMap;

/// Schemas of one kind: its own, and those of metadata that it uses. Gives the number of the whole object's.
pub(super) fn set(name: &str, schema: &Custom) -> (SchemaSet, SchemaId) {
    let mut builder = Builder {
        out: Vec::new(),
        copied: HashMap::new(),
    };
    let metadata = built_in().id(OBJECT_META).map(|id| builder.copy(id));
    let root = builder.structure(name, schema, false, metadata.map(Type::Struct).as_ref());
    (SchemaSet::new(builder.out), root)
}

struct Builder {
    out: Vec<Schema>,
    /// Built-in schemas that were taken over, by their numbers there.
    copied: HashMap<SchemaId, SchemaId>,
}

fn field(name: &str, ty: Type) -> Field {
    Field {
        pointer: true,
        ..Field::new(name, ty)
    }
}

impl Builder {
    fn add(&mut self, schema: Schema) -> SchemaId {
        self.out.push(schema);
        (self.out.len() - 1) as SchemaId
    }

    /// Takes over a built-in schema and what it refers to.
    fn copy(&mut self, id: SchemaId) -> SchemaId {
        if let Some(known) = self.copied.get(&id) {
            return *known;
        }
        let mut schema = built_in().get(id).clone();
        let place = self.add(Schema::default());
        self.copied.insert(id, place);
        for field in &mut schema.fields {
            self.renumber(&mut field.ty);
        }
        self.out[place as usize] = schema;
        place
    }

    fn renumber(&mut self, ty: &mut Type) {
        match ty {
            Type::Struct(id) => *id = self.copy(*id),
            Type::List(inner, _) | Type::Map(inner, _) => self.renumber(inner),
            _ => {}
        }
    }

    /// What is kept though it isn't named is kept everywhere below, too: `preserve` says that it is above.
    fn structure(
        &mut self,
        name: &str,
        schema: &Custom,
        preserve: bool,
        metadata: Option<&Type>,
    ) -> SchemaId {
        let preserve = preserve || schema.preserve_unknown;
        let mut fields: Vec<Field> = schema
            .properties
            .iter()
            .map(|(key, below)| {
                let ty = self.ty(&format!("{name}.{key}"), below, preserve);
                // The keys of list items count with their defaults.
                Field {
                    default: below.default.clone(),
                    ..field(key, ty)
                }
            })
            .collect();
        if metadata.is_some() || schema.embedded {
            fields.retain(|field| !matches!(field.name.as_str(), "apiVersion" | "kind" | "metadata"));
            fields.push(field("apiVersion", Type::String));
            fields.push(field("kind", Type::String));
            let embedded = built_in().id(OBJECT_META).map(|id| Type::Struct(self.copy(id)));
            if let Some(ty) = metadata.cloned().or(embedded) {
                fields.push(field("metadata", ty));
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        // Objects of which nothing is said have any fields.
        let open = fields.is_empty() || matches!(schema.additional, Additional::Anything);
        self.add(Schema {
            name: name.to_owned(),
            short: name.rsplit('.').next().unwrap_or(name).to_owned(),
            package: String::new(),
            fields,
            atomic: schema.map_atomic,
            preserve_unknown: preserve || open,
            unions: Vec::new(),
            prefixes: Default::default(),
        })
    }

    fn ty(&mut self, name: &str, schema: &Custom, preserve: bool) -> Type {
        let preserve = preserve || schema.preserve_unknown;
        // The schema's validation says which values fit.
        if schema.int_or_string {
            return Type::Deduced;
        }
        match schema.kind {
            None if schema.properties.is_empty() => Type::Deduced,
            Some(Kind::String) => Type::String,
            Some(Kind::Integer) => Type::Int64,
            Some(Kind::Number) => Type::Double,
            Some(Kind::Boolean) => Type::Bool,
            Some(Kind::Array) => {
                let below = match &schema.items {
                    Some(items) => self.ty(&format!("{name}.items"), items, preserve),
                    None => Type::Any,
                };
                let kind = match &schema.list_type {
                    CustomList::Atomic => ListKind::Atomic,
                    CustomList::Set => ListKind::Set,
                    CustomList::Map(keys) => ListKind::Map(keys.clone()),
                };
                Type::List(Box::new(below), kind)
            }
            None | Some(Kind::Object) => match &schema.additional {
                Additional::Schema(below) if schema.properties.is_empty() => {
                    let below = self.ty(&format!("{name}.additionalProperties"), below, preserve);
                    Type::Map(Box::new(below), schema.map_atomic)
                }
                _ => Type::Struct(self.structure(name, schema, preserve, None)),
            },
        }
    }
}
