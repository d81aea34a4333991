//! Schemas of the built-in kinds, shared and built once.
use apimachinery::{Schema, SchemaSet};
use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use std::sync::{Arc, LazyLock};

static BUILT_IN: LazyLock<Arc<SchemaSet>> = LazyLock::new(|| {
    let schemas: Vec<Schema> = embedded(include_bytes!("gen/model.json.gz"));
    Arc::new(SchemaSet::new(schemas))
});

/// Schemas of all built-in kinds and of what they are made of.
pub fn built_in() -> Arc<SchemaSet> {
    Arc::clone(&BUILT_IN)
}

/// Decodes generated data that is compiled in.
pub(crate) fn embedded<T: DeserializeOwned>(compressed: &'static [u8]) -> T {
    serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(compressed)))
        .expect("generated data is checked by a test")
}

/// Full name of ObjectMeta's schema.
pub const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

#[cfg(test)]
mod tests {
    use super::*;
    use apimachinery::Type;

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(set: &SchemaSet, ty: &Type) {
            match ty {
                Type::Struct(id) => assert!((*id as usize) < set.iter().count()),
                Type::List(inner, _) | Type::Map(inner, _) => check(set, inner),
                _ => {}
            }
        }
        let set = built_in();
        for schema in set.iter() {
            assert!(
                schema.fields.is_sorted_by(|a, b| a.name < b.name),
                "{}",
                schema.name
            );
            schema.fields.iter().for_each(|field| check(&set, &field.ty));
        }
        let spec = set.by_name("io.k8s.api.apps.v1.DeploymentSpec").unwrap();
        assert!(spec.field("replicas").unwrap().pointer && !spec.field("minReadySeconds").unwrap().pointer);
    }
}
