//! From a reference's version and kind to the resource it is read at.

use ahash::AHashMap;
use kube::core::ApiResource;
use parking_lot::RwLock;

use crate::discovery::Discovered;

/// The discovered resources by group and kind.
#[derive(Default)]
pub struct Resources {
    by_kind: RwLock<AHashMap<(String, String), Discovered>>,
}

impl Resources {
    pub fn replace(&self, resources: &[Discovered]) {
        let key = |found: &Discovered| (found.resource.group.clone(), found.resource.kind.clone());
        *self.by_kind.write() = resources
            .iter()
            .map(|found| (key(found), found.clone()))
            .collect();
    }

    /// Any version of the group will do: metadata is the same in all.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<(ApiResource, bool)> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let found = self
            .by_kind
            .read()
            .get(&(group.to_owned(), kind.to_owned()))
            .cloned()?;
        Some((found.resource, found.namespaced))
    }
}
