//! Kinds that are defined by CustomResourceDefinitions: their schemas and what follows from them.
mod columns;
mod decl;
mod defaulting;
mod formats;
mod json_path;
mod metadata;
mod paths;
mod prune;
mod ratcheting;
mod row;
mod rules;
mod scale;
mod schema;
mod typed;
mod unique;
mod validate;
mod version;

pub use formats::KNOWN as FORMATS;
pub use json_path::JsonPath;
pub use paths::SimplePath;
pub use ratcheting::comparisons;
pub use row::{Conversion, Definition, compare_versions, rows};
pub use rules::{Compiled, Rule, RuleSet};
pub use scale::Scale;
pub use schema::{Additional, Kind, Schema};
pub use version::Version;

pub(crate) use columns::cell;
pub(crate) use decl::{escape as escaped_name, of_root as declare};
pub(crate) use defaulting::{drop_nulls, fill};
pub(crate) use formats::is_known as is_known_format;
pub(crate) use paths::field_path;
pub(crate) use prune::prune;
pub(crate) use rules::environment;
pub(crate) use validate::{Validation, check as check_schema};

use apimachinery::field::{Error, ErrorKind, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// Fits a decoded object to its kind: metadata becomes what it can be, fields that the schema doesn't have are
/// dropped and named, and nulls where none may be are dropped. Fails when metadata has the wrong types, in the words of
/// upstream's decoder.
pub fn fit(definition: &Definition, value: &mut Value) -> Result<Vec<String>, String> {
    let unknown = fit_applied(definition, value)?;
    drop_nulls(&definition.schema, value);
    Ok(unknown)
}

/// What of that can't wait until the object is stored, of one that admission has changed: fields that the schema doesn't have
/// are still seen by those who validate.
pub fn fit_metadata(definition: &Definition, value: &mut Value) -> Result<(), String> {
    metadata::coerce(value)?;
    metadata::coerce_embedded(&definition.schema, value)?;
    Ok(())
}

/// The same for what came of an applied configuration, which upstream doesn't decode: its nulls are looked at as they are.
pub fn fit_applied(definition: &Definition, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = metadata::coerce(value)?;
    unknown.extend(prune(&definition.schema, value, true));
    unknown.extend(metadata::coerce_embedded(&definition.schema, value)?);
    unknown.sort();
    Ok(unknown)
}

/// Fits an object that was read from storage, where nothing is refused: what is wrong with metadata is dropped.
pub fn fit_stored(definition: &Definition, value: &mut Value) {
    fit_to(&definition.schema, value);
    // Very old servers stored none.
    if meta::generation(value) == 0 {
        meta::set(value, "generation", 1);
    }
}

/// The same in another version than the row's.
pub fn fit_to(schema: &Schema, value: &mut Value) {
    metadata::repair(value);
    prune(schema, value, true);
    metadata::repair_embedded(schema, value);
    fill(schema, value);
    drop_nulls(schema, value);
}

/// Fills in what the client left out.
pub fn default(definition: &Definition, value: &mut Value) {
    fill(&definition.schema, value);
}

/// What is wrong with resources that are embedded in a default, and whether they could be read at all.
pub(crate) fn check_embedded(schema: &Schema, default: &Value, path: &Path) -> ErrorList {
    match metadata::unreadable(schema, default, path) {
        Some(error) => vec![error],
        None => metadata::check_embedded(schema, default, path, false),
    }
}

/// What the rules of a schema and of those below it say of a default.
pub(crate) fn check_rules(schema: &Schema, default: &Value, path: &Path) -> ErrorList {
    RuleSet::check_default(schema, default, path)
}

/// What is wrong with a new object, or one that is to replace `old`. `errors` are those of the metadata; `status` is whether
/// that alone is written. What is wrong with what stayed as it was goes to `warnings`, where upstream tells of it.
pub(crate) fn check(
    definition: &Definition,
    old: Option<&Value>,
    new: &Value,
    status: bool,
    errors: ErrorList,
    warnings: &mut Vec<String>,
) -> ErrorList {
    ratcheting::counted(old.is_some(), || {
        check_all(definition, old, new, status, errors, warnings)
    })
}

fn check_all(
    definition: &Definition,
    old: Option<&Value>,
    new: &Value,
    status: bool,
    mut errors: ErrorList,
    warnings: &mut Vec<String>,
) -> ErrorList {
    errors.extend(if status {
        check_status(&definition.schema, old, new)
    } else {
        check_schema(&definition.schema, old, new)
    });
    errors.extend(definition.scale.iter().flat_map(|scale| scale.check(new, status)));
    if !status {
        let root = Path::root();
        errors.extend(metadata::check_embedded(&definition.schema, new, &root, true));
    }
    errors.extend(unique::check(&definition.schema, old, new));
    if definition.rules.is_empty() {
        return errors;
    }
    if errors.iter().any(blocks_rules) {
        errors.push(Error::invalid(
            &Path::root(),
            Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ));
        return errors;
    }
    errors.extend(definition.rules.check(&definition.schema, old, new, warnings));
    errors
}

/// The status endpoint holds nothing against the rest of an object, which its client can't mend there: what is required beside
/// the status, or said of the object as a whole, may have come after the object was stored.
fn check_status(schema: &Schema, old: Option<&Value>, new: &Value) -> ErrorList {
    let (Some(schema), Some(status)) = (schema.properties.get("status"), new.get("status")) else {
        return ErrorList::new();
    };
    let path = Path::new("status");
    let mut validation = Validation::at(&path);
    validation.value(schema, old.and_then(|old| old.get("status")), status);
    validation.errors
}

/// Errors after which rules would be evaluated over something that their types don't fit.
fn blocks_rules(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotSupported
            | ErrorKind::Required
            | ErrorKind::TooLong
            | ErrorKind::TooMany
            | ErrorKind::TypeInvalid
    )
}

#[cfg(test)]
mod tests;
