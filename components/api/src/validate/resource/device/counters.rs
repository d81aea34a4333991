//! Counters that devices share, and what a device uses of them.
use super::names;
use crate::value::{object, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Counters of a set.
const MAX_COUNTERS: usize = 32;

/// A set of counters: one that a slice has, or one that a device uses, which is named by `field`.
pub(in crate::validate::resource) fn check(set: &Value, field: &str, path: &Path) -> ErrorList {
    let name = text(set, &[field]);
    let mut errors = if name.is_empty() {
        vec![Error::required(&path.child(field), "")]
    } else {
        names::label(name, &path.child(field))
    };
    let path = path.child("counters");
    let counters = object(set, &["counters"]);
    match counters.map_or(0, serde_json::Map::len) {
        0 => errors.push(Error::required(&path, "")),
        many if many > MAX_COUNTERS => errors.push(Error::too_many(&path, many, MAX_COUNTERS)),
        _ => errors.extend(
            counters
                .into_iter()
                .flat_map(serde_json::Map::keys)
                .flat_map(|name| names::label(name, &path)),
        ),
    }
    errors
}
