//! A version of a definition, served or not.
use super::paths::SimplePath;
use super::schema::Schema;
use super::typed;
use apimachinery::schema::{SchemaId, SchemaSet};
use std::sync::{Arc, OnceLock};

/// What objects are in one version.
#[derive(Debug)]
pub struct Version {
    pub name: String,
    pub schema: Schema,
    pub has_status: bool,
    /// What scales write.
    pub replicas: Option<SimplePath>,
    type_name: String,
    /// Made when somebody's fields in this version are first compared.
    typed: OnceLock<(Arc<SchemaSet>, SchemaId)>,
}

impl Version {
    pub(super) fn new(name: &str, type_name: String, schema: Schema, has_status: bool) -> Self {
        Self {
            name: name.to_owned(),
            schema,
            has_status,
            replicas: None,
            type_name,
            typed: OnceLock::new(),
        }
    }

    /// The schema as field owners see it.
    pub(crate) fn typed(&self) -> &(Arc<SchemaSet>, SchemaId) {
        self.typed.get_or_init(|| {
            let (set, id) = typed::set(&self.type_name, &self.schema);
            (Arc::new(set), id)
        })
    }
}
