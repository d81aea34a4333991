use crate::custom::{self, Kind, Schema};
use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

/// Most selectable fields of a version.
const MOST: usize = 8;

/// Fields that selectors may name: scalars that are there in the schema.
pub(super) fn check(fields: &[Value], schema: &Schema, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: HashSet<Path> = HashSet::new();
    for (index, field) in fields.iter().enumerate() {
        let given = text(field, &["jsonPath"]);
        let path = path.index(index).child("jsonPath");
        if given.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let (found, below) = match custom::field_path(given, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(&path, given, format!("is an invalid path: {why}")));
                continue;
            }
        };
        let root = found.as_str().split(['.', '[']).next();
        if root == Some("metadata") {
            errors.push(Error::invalid(
                &path,
                given,
                "must not point to fields in metadata",
            ));
        }
        if !matches!(below.kind, Some(Kind::String | Kind::Boolean | Kind::Integer)) {
            errors.push(Error::invalid(
                &path,
                given,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ));
        }
        if !seen.insert(found) {
            errors.push(Error::duplicate(&path, given));
        }
    }
    if seen.len() > MOST {
        errors.push(Error::too_many(path, seen.len(), MOST));
    }
    errors
}
