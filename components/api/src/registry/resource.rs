use super::storage;
use crate::custom::Definition;
use crate::features::Features;
use crate::schema;
use crate::strategy::Gates;
use apimachinery::schema::SchemaId;
use apimachinery::{
    GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, Schema, SchemaSet, Type,
};
use serde::Deserialize;
use std::sync::Arc;

/// A column of a Table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: String,
    pub format: String,
    pub priority: i32,
    pub description: String,
}

/// A subresource, such as `status` or `scale`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Subresource {
    pub name: String,
    /// The kind that its requests and answers carry.
    #[serde(rename = "kind")]
    pub gvk: GroupVersionKind,
    pub verbs: Vec<String>,
}

/// A kind that is served.
#[derive(Clone, Debug)]
pub struct Resource {
    pub gvk: GroupVersionKind,
    pub list_kind: String,
    /// `pods`.
    pub plural: String,
    /// `pod`.
    pub singular: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub subresources: Vec<Subresource>,
    pub columns: Vec<Column>,
    /// Where objects are stored below `/registry/`, with no slash at either end: `pods`, `services/specs`.
    pub storage_prefix: String,
    /// The version that stored objects have in this server. What etcd has may be another: see [`Resource::written_version`].
    pub storage_version: GroupVersion,
    pub schemas: Arc<SchemaSet>,
    pub schema_id: SchemaId,
    /// What a CustomResourceDefinition says about the kind; `None` for those that are built in.
    pub custom: Option<Arc<Definition>>,
    /// The features that are on.
    pub features: Features,
    /// The minor of version 1 that has to be able to read what is stored.
    pub least: u32,
    /// What is dropped, some features being off.
    pub gates: Gates,
}

#[derive(Deserialize)]
struct Row {
    gvk: GroupVersionKind,
    plural: String,
    singular: String,
    namespaced: bool,
    short_names: Vec<String>,
    categories: Vec<String>,
    verbs: Vec<String>,
    subresources: Vec<Subresource>,
    columns: Vec<Column>,
}

/// Rows of the built-in kinds in discovery's order.
pub(super) fn built_in(features: Features) -> Vec<Resource> {
    let rows: Vec<Row> = schema::embedded(include_bytes!("../gen/registry.json.gz"));
    rows.into_iter()
        .filter_map(|row| resource(row, &schema::built_in(), features))
        .collect()
}

fn resource(row: Row, schemas: &Arc<SchemaSet>, features: Features) -> Option<Resource> {
    let schema_id = schemas.id(&storage::schema_name(&row.gvk))?;
    Some(Resource {
        list_kind: format!("{}List", row.gvk.kind),
        storage_prefix: storage::prefix(&row.gvk.group, &row.plural),
        storage_version: storage::version(&row.gvk),
        schemas: Arc::clone(schemas),
        schema_id,
        custom: None,
        features,
        least: u32::MAX,
        gates: Gates::of(&row.gvk.kind, features),
        gvk: row.gvk,
        plural: row.plural,
        singular: row.singular,
        namespaced: row.namespaced,
        short_names: row.short_names,
        categories: row.categories,
        verbs: row.verbs,
        subresources: row.subresources,
        columns: row.columns,
    })
}

impl Resource {
    /// Group, version and plural name.
    pub fn gvr(&self) -> GroupVersionResource {
        self.gvk.group_version().resource(&*self.plural)
    }

    /// Group and plural name.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&*self.gvk.group, &*self.plural)
    }

    /// The version in which etcd gets the objects.
    pub fn written_version(&self) -> GroupVersion {
        let older = match &self.custom {
            Some(_) => None,
            None => crate::former::written(&self.gvk).or_else(|| {
                let is_unknown = self.introduced() > self.least;
                is_unknown.then(|| crate::former::before(&self.gvk)).flatten()
            }),
        };
        older.unwrap_or_else(|| self.storage_version.clone())
    }

    /// Whether requests may use this verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|other| other == verb)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources
            .iter()
            .find(|subresource| subresource.name == name)
    }

    /// Whether objects of the kind are kept (reviews and bindings are not).
    pub fn is_stored(&self) -> bool {
        self.has_verb("get") && self.plural != "componentstatuses"
    }

    /// The schema of the whole object.
    pub fn schema(&self) -> &Schema {
        self.schemas.get(self.schema_id)
    }

    /// The type of the whole object.
    pub fn ty(&self) -> Type {
        Type::Struct(self.schema_id)
    }
}
