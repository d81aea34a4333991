//! Where a node's kubelet once took its configuration from. Nothing reads it any more; what is there is still checked.
use crate::validate::internal;
use crate::validate::shared::texts;
use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

pub(super) fn check(node: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let wanted = at(node, &["spec", "configSource"]);
    if wanted.is_object() {
        errors.extend(source(wanted, true, &Path::new("spec.configSource")));
    }
    for field in ["assigned", "active", "lastKnownGood"] {
        let used = at(node, &["status", "config", field]);
        if used.is_object() {
            errors.extend(source(used, false, &Path::new("status.config").child(field)));
        }
    }
    errors
}

/// A source that is wanted names no version, and one that is used does.
fn source(source: &Value, wanted: bool, path: &Path) -> ErrorList {
    let map = at(source, &["configMap"]);
    if !map.is_object() {
        return vec![Error::invalid(
            path,
            internal::shown(internal::NODE_CONFIG_SOURCE, source),
            "exactly one reference subfield must be non-nil",
        )];
    }
    let path = path.child("configMap");
    let mut errors = ErrorList::new();
    for field in ["uid", "resourceVersion"] {
        let given = !text(map, &[field]).is_empty();
        if wanted && given {
            let why = format!("{field} must not be set in spec");
            errors.push(Error::forbidden(&path.child(field), why));
        } else if !wanted && !given {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    for (field, check) in [
        ("namespace", names::dns1123_label as fn(&str) -> Vec<String>),
        ("name", names::dns1123_subdomain),
        ("kubeletConfigKey", names::config_map_key),
    ] {
        match text(map, &[field]) {
            "" => errors.push(Error::required(&path.child(field), "")),
            value => errors.extend(texts(&path.child(field), value, check(value))),
        }
    }
    errors
}
