//! Lists: too many items are not looked at, and keys are told apart after the items.
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;
use std::hash::Hash;

/// A list of most of these kinds has at most this many items.
pub(super) const MAX_ITEMS: usize = 32;

/// Checks each item. Of a list that is too long only that is told, so that it costs nothing.
pub(super) fn each<'a>(
    items: &'a [Value],
    most: usize,
    path: &Path,
    check: impl Fn(&'a Value, &Path) -> ErrorList,
) -> ErrorList {
    if items.len() > most {
        return vec![Error::too_many(path, items.len(), most)];
    }
    items
        .iter()
        .enumerate()
        .flat_map(|(index, item)| check(item, &path.index(index)))
        .collect()
}

/// The same for items that are told apart by a key; what is wrong with them comes before what repeats.
pub(super) fn set<'a, K: Clone + Eq + Hash + Into<BadValue>>(
    items: &'a [Value],
    most: usize,
    path: &Path,
    key: impl Fn(&'a Value) -> K,
    check: impl Fn(&'a Value, &Path) -> ErrorList,
) -> ErrorList {
    let mut errors = each(items, most, path, check);
    if items.len() > most {
        return errors;
    }
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let key = key(item);
        if !seen.insert(key.clone()) {
            errors.push(Error::duplicate(&path.index(index), key));
        }
    }
    errors
}

/// The key of a list of texts.
pub(super) fn itself(item: &Value) -> &str {
    item.as_str().unwrap_or("")
}
