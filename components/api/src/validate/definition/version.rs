//! One version of a definition, and the parts that upstream looks at apart from versions.
use super::openapi::{Place, Walk};
use super::ratchet::Options;
use super::rules::Costs;
use super::shape::Shape;
use super::{defaults, dump, selectable, structural};
use crate::custom::Schema;
use crate::value::{is_zero, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &[
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

/// A version, without the parts that stand in the spec itself.
pub(super) fn check(
    version: &Value,
    shape: Shape,
    any_status: bool,
    options: &Options<'_>,
    path: &Path,
) -> ErrorList {
    let mut errors = deprecation(version, &path.child("deprecationWarning"));
    let own = &version["subresources"]["status"];
    // Versions that say the same of their subresources all have the status or none has.
    let has_status = own.is_object() || (shape.subresources && any_status);
    if !shape.schema {
        let unchanged = options.unchanged.contains(text(version, &["name"]));
        errors.extend(schema(
            version,
            has_status,
            unchanged,
            options,
            &path.child("schema"),
        ));
    }
    if !shape.subresources {
        errors.extend(subresources(version, path));
    }
    if !shape.columns {
        errors.extend(columns(version, path));
    }
    if !shape.selectable {
        const WHY: &str = "may only be set when `version.schema.openAPIV3Schema` is not included";
        let given = if shape.schema {
            &Value::Null
        } else {
            &version["schema"]
        };
        errors.extend(selectable_fields(version, &given["openAPIV3Schema"], WHY, path));
    }
    errors
}

/// Characters that Go prints: what people can see, and the space.
static PRINTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").ok());

fn deprecation(version: &Value, path: &Path) -> ErrorList {
    let Some(warning) = version["deprecationWarning"].as_str() else {
        return ErrorList::new();
    };
    let invalid = |why: String| Error::invalid(path, warning, why);
    if version["deprecated"] != true {
        return vec![invalid("can only be set for deprecated versions".to_owned())];
    }
    let mut errors = ErrorList::new();
    if warning.len() > 256 {
        errors.push(invalid("must be <= 256 characters long".to_owned()));
    }
    if warning.is_empty() {
        errors.push(invalid("must not be an empty string".to_owned()));
    }
    let mut buffer = [0; 4];
    let mut is_printed = |c: char| {
        let printed = PRINTED.as_ref();
        printed.is_none_or(|printed| printed.is_match(c.encode_utf8(&mut buffer)))
    };
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| !is_printed(*c)) {
        errors.push(invalid(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        )));
    }
    errors
}

/// Fields that the root of a schema may have beside a status subresource, in upstream's order and words.
const AT_ROOT: &str = "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields XValidations";

/// Fields that it may not have, before and after the type.
const NOT_AT_ROOT: [&[&str]; 2] = [
    &["id", "$schema", "$ref"],
    &[
        "nullable",
        "default",
        "enum",
        "maxProperties",
        "minProperties",
        "allOf",
        "oneOf",
        "anyOf",
        "not",
        "additionalProperties",
        "patternProperties",
        "dependencies",
        "additionalItems",
        "definitions",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
    ],
];

/// Of a schema beside a status subresource, the first thing that may not stand at its root.
fn beside_status(schema: &Value, path: &Path) -> Option<Error> {
    let is_set = |field: &&str| match &schema[*field] {
        value @ (Value::Bool(_) | Value::String(_)) => *field == "default" || !is_zero(Some(value)),
        value => !value.is_null(),
    };
    let [before, after] = NOT_AT_ROOT;
    let ty = text(schema, &["type"]);
    let forbidden = || {
        let why = format!(
            "only [{AT_ROOT}] fields are allowed at the root of the schema if the status subresource is enabled"
        );
        Error::invalid(path, BadValue::Raw(dump::schema(schema)), why)
    };
    if before.iter().any(is_set) {
        return Some(forbidden());
    }
    if !ty.is_empty() && ty != "object" {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(Error::invalid(&path.child("type"), ty, why));
    }
    after.iter().any(is_set).then(forbidden)
}

/// The schema of a version or of all; `holder` has it.
pub(super) fn schema(
    holder: &Value,
    has_status: bool,
    unchanged: bool,
    options: &Options<'_>,
    path: &Path,
) -> ErrorList {
    let schema = &holder["schema"]["openAPIV3Schema"];
    if !schema.is_object() {
        return ErrorList::new();
    }
    let path = &path.child("openAPIV3Schema");
    let mut errors = ErrorList::new();
    if has_status {
        errors.extend(beside_status(schema, path));
    }
    if schema["nullable"] == true {
        errors.push(Error::forbidden(
            &path.child("nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let unsupported = structural::unsupported(schema).filter(|_| options.structural);
    let mut sound = false;
    if options.structural && unsupported.is_none() {
        let mut wrong = structural::check(schema, path);
        if wrong.is_empty() {
            wrong = defaults::check(schema, options.pruned_defaults, path);
        }
        sound = wrong.is_empty();
        errors.extend(wrong);
    }
    let mut walk = Walk {
        options,
        unchanged,
        errors: ErrorList::new(),
        of_rules: ErrorList::new(),
        costs: Costs::default(),
    };
    walk.schema(schema, path, &Place::root(sound));
    errors.extend(walk.errors);
    errors.extend(walk.of_rules);
    if let (true, Some(why)) = (errors.is_empty(), unsupported) {
        errors.push(Error::invalid(path, "", why));
    }
    errors.extend(walk.costs.check(path));
    errors
}

/// Subresources of a version or of all.
pub(super) fn subresources(holder: &Value, path: &Path) -> ErrorList {
    let scale = &holder["subresources"]["scale"];
    let path = path.child("subresources.scale");
    let mut errors = ErrorList::new();
    if scale.is_null() {
        return errors;
    }
    for (field, below) in [("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")] {
        let given = text(scale, &[field]);
        let path = path.child(field);
        if given.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if let Some(wrong) = simple_path(&path, given) {
            errors.push(wrong);
        } else if !is_below(given, below) {
            let why = format!("should be a json path under {below}");
            errors.push(Error::invalid(&path, given, why));
        }
    }
    let given = text(scale, &["labelSelectorPath"]);
    if !given.is_empty() {
        let path = path.child("labelSelectorPath");
        if let Some(wrong) = simple_path(&path, given) {
            errors.push(wrong);
        } else if !is_below(given, ".spec") && !is_below(given, ".status") {
            errors.push(Error::invalid(
                &path,
                given,
                "should be a json path under either .spec or .status",
            ));
        }
    }
    errors
}

fn is_below(given: &str, above: &str) -> bool {
    given
        .strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// All that upstream asks of such a path is a dot in front.
fn simple_path(path: &Path, given: &str) -> Option<Error> {
    (!given.starts_with('.'))
        .then(|| Error::invalid(path, given, "must be a simple json path starting with ."))
}

/// Columns of a version or of all.
pub(super) fn columns(holder: &Value, path: &Path) -> ErrorList {
    let columns = list(holder, &["additionalPrinterColumns"]).iter();
    let path = path.child("additionalPrinterColumns");
    columns
        .enumerate()
        .flat_map(|(index, column)| check_column(column, &path.index(index)))
        .collect()
}

/// Selectable fields of a version or of all; `without` is told when there is no schema that could have them.
pub(super) fn selectable_fields(holder: &Value, schema: &Value, without: &str, path: &Path) -> ErrorList {
    let fields = list(holder, &["selectableFields"]);
    let own = path.child("selectableFields");
    if fields.is_empty() {
        ErrorList::new()
    } else if !schema.is_object() {
        vec![Error::invalid(&own, "", without)]
    } else if let Some(why) = structural::unsupported(schema) {
        vec![Error::invalid(&path.child("schema.openAPIV3Schema"), "", why)]
    } else {
        selectable::check(fields, &Schema::parse(schema), &own)
    }
}

fn check_column(column: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if text(column, &["name"]).is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    let ty = text(column, &["type"]);
    let allowed = format!("must be one of {}", COLUMN_TYPES.join(","));
    if ty.is_empty() {
        errors.push(Error::required(&path.child("type"), allowed));
    } else if !COLUMN_TYPES.contains(&ty) {
        errors.push(Error::invalid(&path.child("type"), ty, allowed));
    }
    let format = text(column, &["format"]);
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        errors.push(Error::invalid(
            &path.child("format"),
            format,
            format!("must be one of {}", COLUMN_FORMATS.join(",")),
        ));
    }
    let given = text(column, &["jsonPath"]);
    let path = path.child("JSONPath");
    if given.is_empty() {
        errors.push(Error::required(&path, ""));
    } else {
        errors.extend(simple_path(&path, given));
    }
    errors
}
