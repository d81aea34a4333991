use crate::custom::{Kind, Schema, SimplePath};
use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

/// Most selectable fields of a version.
const MOST: usize = 8;

/// Fields that selectors may name: scalars that are there in the schema.
pub(super) fn check(fields: &[Value], schema: &Schema, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, field) in fields.iter().enumerate() {
        let given = text(field, &["jsonPath"]);
        let path = path.index(index).child("jsonPath");
        if given.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        if let Err(why) = check_one(given, schema) {
            errors.push(Error::invalid(&path, given, why));
        }
        if !seen.insert(given) {
            errors.push(Error::duplicate(&path, given));
        }
    }
    if fields.len() > MOST {
        errors.push(Error::too_many(path, fields.len(), MOST));
    }
    errors
}

fn check_one(given: &str, schema: &Schema) -> Result<(), String> {
    if !given.starts_with(['.', '[']) {
        return Err(format!("is an invalid path: expected [ or . but got: {given}"));
    }
    let missing = || "is an invalid path: does not refer to a valid field".to_owned();
    let parsed = SimplePath::parse(given).ok_or_else(missing)?;
    if parsed.names().first().is_some_and(|name| name == "metadata") {
        return Err("must not point to fields in metadata".into());
    }
    let mut at = schema;
    for name in parsed.names() {
        at = at.properties.get(name).ok_or_else(missing)?;
    }
    match at.kind {
        Some(Kind::String | Kind::Boolean | Kind::Integer) => Ok(()),
        _ => Err("must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.".into()),
    }
}
