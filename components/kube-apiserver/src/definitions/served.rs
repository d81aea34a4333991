//! The registry with what the definitions define.

use super::names;
use crate::server::Server;
use api::Resource;
use apimachinery::meta;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// What a definition is served as, and what that was made of.
struct Entry {
    /// What the stored form of objects depends on.
    basis: Value,
    terminating: bool,
    rows: Vec<Resource>,
}

/// What is served now, by the definitions' names.
#[derive(Default)]
pub struct Served {
    entries: BTreeMap<String, Entry>,
}

/// Numbers the cached encodings of rows, so that those of a former definition are never taken for the present one's.
static ENCODING: AtomicU16 = AtomicU16::new(1);

fn basis(definition: &Value) -> Value {
    serde_json::json!([
        meta::uid(definition),
        definition["spec"],
        definition["status"]["acceptedNames"],
    ])
}

impl Served {
    /// Swaps the registry if the definitions ask for another one.
    pub fn update(&mut self, server: &Server, definitions: &[Arc<Value>]) {
        let mut next = BTreeMap::new();
        let mut changed = false;
        let mut former = Vec::new();
        for definition in definitions {
            if !names::is_true(definition, "Established") {
                continue;
            }
            let name = meta::name(definition).to_owned();
            let basis = basis(definition);
            let terminating = names::is_true(definition, "Terminating");
            let known = self.entries.remove(&name);
            let entry = match known {
                Some(known) if known.basis == basis && known.terminating == terminating => known,
                known => {
                    changed = true;
                    // The same objects under the same schema keep their store, and watches go on.
                    former.extend(known.filter(|known| known.basis != basis));
                    let rows =
                        api::custom::rows(definition, &mut || ENCODING.fetch_add(1, Ordering::Relaxed));
                    Entry {
                        basis,
                        terminating,
                        rows,
                    }
                }
            };
            next.insert(name, entry);
        }
        former.extend(std::mem::replace(&mut self.entries, next).into_values());
        if changed || !former.is_empty() {
            self.swap(server);
        }
        // Only now, so that watches that come back find what is served from here on.
        former.iter().for_each(|entry| forget(server, entry));
    }

    fn swap(&self, server: &Server) {
        let mut rows: Vec<&Resource> = self.entries.values().flat_map(|entry| &entry.rows).collect();
        rows.sort_by(|a, b| {
            a.gvk
                .group
                .cmp(&b.gvk.group)
                .then_with(|| api::custom::compare_versions(&a.gvk.version, &b.gvk.version))
                .then_with(|| a.plural.cmp(&b.plural))
        });
        server.registry.rcu(|current| {
            let mut registry = api::Registry::clone(current);
            let former: Vec<_> = registry
                .iter()
                .filter(|row| row.custom.is_some())
                .map(|row| row.gvr())
                .collect();
            former.iter().for_each(|gvr| registry.remove(gvr));
            // Whoever serves a version serves all of it, so nothing is added to what is built in.
            let built_in: HashSet<_> = registry.iter().map(|row| row.gvk.group_version()).collect();
            rows.iter()
                .filter(|row| !built_in.contains(&row.gvk.group_version()))
                .for_each(|row| registry.insert((*row).clone()));
            registry
        });
        server.registry_changed.send_replace(());
        tracing::info!(
            versions = rows.len(),
            "the custom resources that are served have changed"
        );
    }
}

/// Ends the watches of a definition's objects; their store is made anew when it is next asked for.
fn forget(server: &Server, entry: &Entry) {
    if let Some(row) = entry.rows.first() {
        server.stores.forget(row);
    }
}
