//! Custom resources.
use apimachinery::field::quote;
use apimachinery::{meta, names};
use serde_json::Value;
use std::collections::BTreeSet;

/// The server's own, which need no domain.
const STANDARD: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// Finalizers that were added and that others may happen to use too. Of built-in kinds they are refused.
pub(super) fn finalizers(old: Option<&Value>, new: &Value) -> Vec<String> {
    let mut added: BTreeSet<&str> = meta::finalizers(new).collect();
    if added.is_empty() {
        return Vec::new();
    }
    for known in old.into_iter().flat_map(meta::finalizers) {
        added.remove(known);
    }
    let mut warnings = Vec::new();
    for finalizer in added {
        let mut warn = |what: &str| {
            warnings.push(format!("metadata.finalizers: {}: {what}", quote(finalizer)));
        };
        names::qualified_name(finalizer)
            .iter()
            .for_each(|what| warn(what));
        if !finalizer.contains('/') && !STANDARD.contains(&finalizer) {
            let what = if finalizer.contains('.') {
                "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
            } else {
                "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
            };
            warn(what);
        }
    }
    warnings
}
