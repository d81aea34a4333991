use super::joined;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names::dns1035_label;
use serde_json::Value;

/// The names that a definition asks for.
pub(super) fn wanted(names: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["plural", "singular", "kind", "listKind"] {
        if text(names, &[field]).is_empty() {
            errors.push(Error::required(&path.child(field), ""));
        }
    }
    errors.extend(accepted(names, path));
    errors
}

/// Names as they are: those that are absent are not looked at.
pub(super) fn accepted(names: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in ["plural", "singular"] {
        let name = text(names, &[field]);
        if !name.is_empty() {
            errors.extend(joined(&path.child(field), name, "", dns1035_label(name)));
        }
    }
    for field in ["kind", "listKind"] {
        let name = text(names, &[field]);
        if !name.is_empty() {
            errors.extend(joined(
                &path.child(field),
                name,
                "may have mixed case, but should otherwise match: ",
                dns1035_label(&name.to_lowercase()),
            ));
        }
    }
    let each = |field: &str| {
        let path = path.child(field);
        list(names, &[field])
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
            .flat_map(|(index, name)| joined(&path.index(index), name, "", dns1035_label(name)))
            .collect::<ErrorList>()
    };
    errors.extend(each("shortNames"));
    let (kind, list_kind) = (text(names, &["kind"]), text(names, &["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        errors.push(Error::invalid(
            &path.child("listKind"),
            list_kind,
            "kind and listKind may not be the same",
        ));
    }
    errors.extend(each("categories"));
    errors
}
