//! Validation of the kinds of dynamic resource allocation.
mod claim;
mod selector;
mod slice;

pub(super) use claim::status as claim_status;

use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// A list of any of these kinds has at most this many items.
const MAX_ITEMS: usize = 32;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    Some(match kind {
        "DeviceClass" => device_class(new),
        "ResourceClaim" => claim::claim(old, new),
        "ResourceClaimTemplate" => claim::template(old, new),
        "ResourceSlice" => slice::check(old, new),
        _ => return None,
    })
}

fn device_class(new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let mut errors = selector::selectors(spec, &path.child("selectors"));
    errors.extend(claim::configurations(spec, &[], &path.child("config")));
    errors
}

/// Checks each item of a list whose items are told apart by a name.
fn set<'a>(
    items: &'a [Value],
    most: usize,
    path: &Path,
    key: fn(&'a Value) -> &'a str,
    check: impl Fn(&Value, &Path) -> ErrorList,
) -> ErrorList {
    let mut errors = ErrorList::new();
    if items.len() > most {
        errors.push(Error::too_many(path, items.len(), most));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let path = path.index(index);
        errors.extend(check(item, &path));
        if !seen.insert(key(item)) {
            errors.push(Error::duplicate(&path, key(item)));
        }
    }
    errors
}

fn name_of(item: &Value) -> &str {
    text(item, &["name"])
}

/// The name of a driver: a domain of at most 63 bytes.
fn driver(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if name.len() > 63 {
        errors.push(Error::too_long(path, 63));
    }
    errors.extend(super::shared::texts(
        path,
        name,
        apimachinery::names::dns1123_subdomain(name),
    ));
    errors
}

#[cfg(test)]
mod tests;
