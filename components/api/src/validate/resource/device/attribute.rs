//! What a device is like: numbers, flags, texts and versions, one or several of a kind.
use crate::validate::internal;
use crate::value::{at, list, object};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use serde_json::Value;

/// Bytes of a text or a version.
const MAX_TEXT: usize = 64;

const SINGLE: [&str; 4] = ["bool", "int", "string", "version"];
const SEVERAL: [&str; 4] = ["bools", "ints", "strings", "versions"];

fn all(device: &Value) -> impl Iterator<Item = &Value> {
    object(device, &["attributes"])
        .into_iter()
        .flat_map(serde_json::Map::values)
}

/// Whether an attribute of a device is of a kind that may have several values.
pub(super) fn any_has_several(device: &Value) -> bool {
    all(device).any(|attribute| SEVERAL.iter().any(|field| at(attribute, &[field]).is_array()))
}

/// How many values the attributes of a device have together.
pub(super) fn values(device: &Value) -> usize {
    let of = |attribute| {
        SEVERAL
            .iter()
            .map(|field| list(attribute, &[field]).len())
            .sum::<usize>()
    };
    all(device).map(|attribute| of(attribute).max(1)).sum()
}

/// An attribute has a value of one kind.
pub(super) fn check(attribute: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let given = |field: &str| Some(at(attribute, &[field])).filter(|value| !value.is_null());
    for field in SINGLE {
        if let Some(value) = given(field) {
            errors.extend(text(field, value, &path.child(field)));
        }
    }
    for (field, single) in SEVERAL.iter().zip(SINGLE) {
        let Some(values) = given(field) else { continue };
        let path = path.child(field);
        if list(attribute, &[field]).is_empty() {
            errors.push(Error::invalid(&path, values, "must not be empty if specified"));
        }
        for (index, value) in list(attribute, &[field]).iter().enumerate() {
            errors.extend(text(single, value, &path.index(index)));
        }
    }
    let kinds = SINGLE
        .iter()
        .chain(&SEVERAL)
        .filter(|field| given(field).is_some());
    let shown = match kinds.count() {
        0 => BadValue::from(""),
        1 => return errors,
        _ => internal::shown(internal::DEVICE_ATTRIBUTE, attribute),
    };
    errors.push(Error::invalid(path, shown, "exactly one value must be specified"));
    errors
}

/// A value that is a text or a version; numbers and flags are fine as they are.
fn text(field: &str, value: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let Some(text) = value.as_str() else {
        return errors;
    };
    if field == "version" && !is_version(text) {
        errors.push(Error::invalid(
            path,
            text,
            "must be a string compatible with semver.org spec 2.0.0",
        ));
    }
    if text.len() > MAX_TEXT {
        errors.push(Error::too_long(path, MAX_TEXT));
    }
    errors
}

/// A semantic version 2.0.0: `1.2.3-alpha.1+build.5`.
fn is_version(text: &str) -> bool {
    let numeric = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let released =
        |part: &str| word(part) && (numeric(part) || !part.bytes().all(|byte| byte.is_ascii_digit()));
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (core, release) = match rest.split_once('-') {
        Some((core, release)) => (core, Some(release)),
        None => (rest, None),
    };
    core.split('.').count() == 3
        && core.split('.').all(numeric)
        && release.is_none_or(|release| release.split('.').all(released))
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn versions_are_semantic() {
        for (text, fits) in [
            ("1.2.3", true),
            ("0.0.0", true),
            ("1.2.3-alpha.1+build.005", true),
            ("1.2.3--.x-y+-", true),
            ("1.2.3-0a", true),
            ("1.2", false),
            ("1.2.3.4", false),
            ("01.2.3", false),
            ("1.2.3-01", false),
            ("1.2.3-", false),
            ("1.2.3-a..b", false),
            ("1.2.3+", false),
            ("1.2.3+a+b", false),
            ("1.2.3-ä", false),
            ("v1.2.3", false),
            ("1.2.3\n", false),
            ("", false),
        ] {
            assert_eq!(is_version(text), fits, "{text:?}");
        }
    }
}
