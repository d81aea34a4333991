use super::provisioner;
use crate::validate::shared::{immutable, maybe_one_of, texts};
use crate::value::{at, is_zero, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Parameters of a class may hold this many bytes, names included.
const MAX_PARAMETERS: usize = 256 * 1024;

/// A class has at most this many parameters.
const MAX_PARAMETER_COUNT: usize = 512;

/// A StorageClass.
pub(super) fn storage_class(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = provisioner(new, "provisioner");
    errors.extend(parameters(new, true));
    if !text(new, &["reclaimPolicy"]).is_empty() {
        errors.extend(maybe_one_of(
            &Path::new("reclaimPolicy"),
            at(new, &["reclaimPolicy"]),
            &["Delete", "Retain"],
        ));
    }
    errors.extend(match at(new, &["volumeBindingMode"]) {
        Value::Null => Some(Error::required(&Path::new("volumeBindingMode"), "")),
        mode => maybe_one_of(
            &Path::new("volumeBindingMode"),
            mode,
            &["Immediate", "WaitForFirstConsumer"],
        ),
    });
    errors.extend(topologies(list(new, &["allowedTopologies"])));
    if let Some(old) = old {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            errors.extend(immutable(&Path::new(field), at(old, &[field]), at(new, &[field])));
        }
    }
    errors
}

/// A VolumeAttributesClass.
pub(super) fn attributes_class(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        if text(old, &["driverName"]) != text(new, &["driverName"]) {
            errors.push(Error::forbidden(
                &Path::new("driverName"),
                "updates to driverName are forbidden.",
            ));
        }
        if immutable(
            &Path::new("parameters"),
            at(old, &["parameters"]),
            at(new, &["parameters"]),
        )
        .is_some()
        {
            errors.push(Error::forbidden(
                &Path::new("parameters"),
                "updates to parameters are forbidden.",
            ));
        }
    }
    errors.extend(provisioner(new, "driverName"));
    errors.extend(parameters(new, false));
    errors
}

fn parameters(class: &Value, may_be_empty: bool) -> ErrorList {
    let path = Path::new("parameters");
    let parameters = at(class, &["parameters"]);
    if is_zero(Some(parameters)) {
        return if may_be_empty {
            ErrorList::new()
        } else {
            vec![Error::required(&path, "must contain at least one key/value pair")]
        };
    }
    let mut errors = ErrorList::new();
    let map = parameters.as_object();
    let count = map.map_or(0, serde_json::Map::len);
    if count > MAX_PARAMETER_COUNT {
        errors.push(Error::too_long(&path, MAX_PARAMETER_COUNT));
        return errors;
    }
    let mut total = 0;
    for (key, value) in map.into_iter().flatten() {
        if key.is_empty() {
            errors.push(Error::invalid(&path, key.as_str(), "field can not be empty."));
        }
        total += key.len() + value.as_str().map_or(0, str::len);
    }
    if total > MAX_PARAMETERS {
        errors.push(Error::too_long(&path, MAX_PARAMETERS));
    }
    errors
}

/// As many repeats of a term without expressions are told, where upstream tells one for each term there is.
const MAX_REPEATS: usize = 16;

fn topologies(terms: &[Value]) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut before: HashMap<BTreeMap<&str, BTreeSet<&str>>, usize> = HashMap::new();
    for (index, term) in terms.iter().enumerate() {
        let path = Path::new("allowedTopologies")
            .index(index)
            .child("matchLabelExpressions");
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (index, expression) in list(term, &["matchLabelExpressions"]).iter().enumerate() {
            let path = path.index(index);
            let (key, values) = (text(expression, &["key"]), list(expression, &["values"]));
            if values.is_empty() {
                errors.push(Error::required(&path.child("values"), ""));
            }
            let mut distinct = BTreeSet::new();
            for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
                if !distinct.insert(value) {
                    errors.push(Error::duplicate(&path.child("values").index(index), value));
                }
            }
            errors.extend(texts(&path.child("key"), key, names::qualified_name(key)));
            if wanted.insert(key, distinct).is_some() {
                errors.push(Error::duplicate(&path.child("key"), key));
            }
        }
        // Upstream also compares a term with the empty places of as many terms as there are.
        let places = if wanted.is_empty() { terms.len() } else { 0 };
        let earlier = before.entry(wanted).or_default();
        let repeats = (places + *earlier).min(MAX_REPEATS);
        errors.extend((0..repeats).map(|_| Error::duplicate(&path, "")));
        *earlier += 1;
    }
    errors
}
