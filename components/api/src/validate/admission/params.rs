//! What policies take as parameters, and where bindings find it.
use crate::validate::shared::{label_selector, one_of, texts};
use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// The kind of a policy's parameters, if it has any: group and version as an APIService has them, and a kind like theirs.
pub(super) fn kind(kind: &Value, path: &Path) -> ErrorList {
    if !kind.is_object() {
        return ErrorList::new();
    }
    let mut errors = api_version(text(kind, &["apiVersion"]), &path.child("apiVersion"));
    let (name, path) = (text(kind, &["kind"]), path.child("kind"));
    if name.is_empty() {
        errors.push(Error::required(&path, ""));
        return errors;
    }
    let wrong = names::dns1035_label(&name.to_lowercase());
    if !wrong.is_empty() {
        let why = format!(
            "may have mixed case, but should otherwise match: {}",
            wrong.join(",")
        );
        errors.push(Error::invalid(&path, name, why));
    }
    errors
}

fn api_version(given: &str, path: &Path) -> ErrorList {
    let (group, version) = match given.matches('/').count() {
        _ if given.is_empty() => return vec![Error::required(path, "")],
        _ if given == "/" => ("", ""),
        0 | 1 => given.split_once('/').unwrap_or(("", given)),
        _ => {
            let why = format!("unexpected GroupVersion string: {given}");
            return vec![Error::invalid(path, given, why)];
        }
    };
    let joined = |part: &str, wrong: Vec<String>| {
        (!wrong.is_empty()).then(|| Error::invalid(path, part, wrong.join(",")))
    };
    let mut errors = ErrorList::new();
    if !group.is_empty() {
        errors.extend(joined(group, names::dns1123_subdomain(group)));
    }
    if version.is_empty() {
        errors.push(Error::invalid(path, given, "version must be specified"));
    } else {
        errors.extend(joined(version, names::dns1035_label(version)));
    }
    errors
}

/// Which objects are a binding's parameters, if it has any: one by its name, or all that a selector finds.
pub(super) fn reference(reference: &Value, path: &Path) -> ErrorList {
    if !reference.is_object() {
        return ErrorList::new();
    }
    const BOTH: &str = "name and selector are mutually exclusive";
    let (name, selector) = (text(reference, &["name"]), at(reference, &["selector"]));
    let mut errors = ErrorList::new();
    if !name.is_empty() {
        let path = path.child("name");
        errors.extend(texts(&path, name, names::path_segment_name(name)));
        if selector.is_object() {
            errors.push(Error::forbidden(&path, BOTH));
        }
    }
    if selector.is_object() {
        let path = path.child("selector");
        errors.extend(label_selector(&path, selector));
        if !name.is_empty() {
            errors.push(Error::forbidden(&path, BOTH));
        }
    } else if name.is_empty() {
        errors.push(Error::required(path, "one of name or selector must be specified"));
    }
    let action = path.child("parameterNotFoundAction");
    match at(reference, &["parameterNotFoundAction"]) {
        Value::Null => errors.push(Error::required(&action, "")),
        Value::String(given) if given.is_empty() => errors.push(Error::required(&action, "")),
        given => errors.extend(one_of(&action, given, &["Deny", "Allow"])),
    }
    errors
}
