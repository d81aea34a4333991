//! One row per kind: names, scope, verbs, subresources, schema, where it is stored.
mod lifecycle;
mod resource;
mod storage;

pub use resource::{Column, Resource, Subresource};
pub use storage::schema_name;

use crate::features::Features;
use apimachinery::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
use std::collections::HashMap;
use std::sync::Arc;

/// All kinds that are served. Cheap to clone and to extend: a changed registry replaces the old one whole.
#[derive(Clone, Debug)]
pub struct Registry {
    /// In discovery's order.
    rows: Vec<Arc<Resource>>,
    by_resource: HashMap<GroupVersionResource, Arc<Resource>>,
    by_kind: HashMap<GroupVersionKind, Arc<Resource>>,
    /// The features that are on, for all rows.
    features: Features,
    /// The minor of version 1 that has to be able to read what is stored, for all rows.
    least: u32,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            by_resource: HashMap::new(),
            by_kind: HashMap::new(),
            features: Features::default(),
            least: u32::MAX,
        }
    }
}

impl Registry {
    /// A registry of the built-in kinds as v1.36 has them without --feature-gates.
    pub fn built_in() -> Self {
        Self::with_features(Features::default())
    }

    /// A registry of the built-in kinds with these features.
    pub fn with_features(features: Features) -> Self {
        let mut registry = Self {
            features,
            ..Self::default()
        };
        for row in resource::built_in(features) {
            registry.insert(row);
        }
        registry
    }

    /// The same kinds, stored so that servers of this minor of version 1 can read them.
    #[must_use]
    pub fn readable_by(&self, least: u32) -> Self {
        let mut registry = Self {
            features: self.features,
            least,
            ..Self::default()
        };
        for row in &self.rows {
            registry.insert(Resource::clone(row));
        }
        registry
    }

    /// Adds a kind, or replaces the one of the same group, version and resource.
    pub fn insert(&mut self, mut row: Resource) {
        row.features = self.features;
        row.least = self.least;
        let row = Arc::new(row);
        let gvr = row.gvr();
        if self.by_resource.contains_key(&gvr) {
            self.rows.retain(|other| other.gvr() != gvr);
        }
        self.by_kind.insert(row.gvk.clone(), Arc::clone(&row));
        self.by_resource.insert(gvr, Arc::clone(&row));
        self.rows.push(row);
    }

    /// Removes a kind.
    pub fn remove(&mut self, gvr: &GroupVersionResource) {
        if let Some(row) = self.by_resource.remove(gvr) {
            self.by_kind.remove(&row.gvk);
            self.rows.retain(|other| other.gvr() != *gvr);
        }
    }

    /// The row of a resource.
    pub fn get(&self, gvr: &GroupVersionResource) -> Option<&Arc<Resource>> {
        self.by_resource.get(gvr)
    }

    /// The row of a resource by its three names.
    pub fn resource(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Resource>> {
        self.get(&GroupVersionResource::new(group, version, resource))
    }

    /// The row of a kind.
    pub fn kind(&self, gvk: &GroupVersionKind) -> Option<&Arc<Resource>> {
        self.by_kind.get(gvk)
    }

    /// All rows, in discovery's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter()
    }

    /// All versions of a resource, the preferred one first.
    pub fn versions(&self, resource: &GroupResource) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows
            .iter()
            .filter(|row| row.gvk.group == resource.group && row.plural == resource.resource)
    }

    /// Groups in discovery's order, each with its versions, the preferred one first.
    pub fn groups(&self) -> Vec<(String, Vec<GroupVersion>)> {
        let mut groups: Vec<(String, Vec<GroupVersion>)> = Vec::new();
        for row in &self.rows {
            let version = row.gvk.group_version();
            match groups.iter_mut().find(|(group, _)| *group == row.gvk.group) {
                Some((_, versions)) if !versions.contains(&version) => versions.push(version),
                Some(_) => {}
                None => groups.push((row.gvk.group.clone(), vec![version])),
            }
        }
        groups
    }

    /// Rows that own storage: one per stored resource, in its storage version.
    pub fn stored(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows
            .iter()
            .filter(|row| row.is_stored() && row.storage_version == row.gvk.group_version())
    }
}
