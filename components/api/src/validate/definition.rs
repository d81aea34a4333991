//! CustomResourceDefinitions.
mod conversion;
mod defaults;
mod dump;
mod lists;
mod names;
mod openapi;
mod ratchet;
mod rules;
mod selectable;
mod shape;
mod structural;
mod version;

use super::shared::immutable;
use crate::value::{at, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{meta, names as formats};
use ratchet::Options;
use serde_json::Value;
use shape::Shape;
use std::collections::HashSet;

/// Messages about one value, joined as upstream joins them here.
fn joined(path: &Path, value: &str, prefix: &str, messages: Vec<String>) -> ErrorList {
    if messages.is_empty() {
        return ErrorList::new();
    }
    let detail = format!("{prefix}{}", messages.join(","));
    vec![Error::invalid(path, value, detail)]
}

/// Why a definition that is stored is not structural, as one text; `None` when it is.
pub(super) fn non_structural(definition: &Value) -> Option<String> {
    let mut errors = ErrorList::new();
    let path = Path::new("spec");
    let preserve = &definition["spec"]["preserveUnknownFields"];
    if *preserve == true {
        let field = path.child("preserveUnknownFields");
        errors.push(Error::invalid(&field, preserve, "must be false"));
    }
    for (index, version) in list(&definition["spec"], &["versions"]).iter().enumerate() {
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_object() {
            let path = path
                .child("versions")
                .index(index)
                .child("schema.openAPIV3Schema");
            errors.extend(structural::check(schema, &path));
        }
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// One of some texts.
fn one_of(path: &Path, value: &str, allowed: &[&str]) -> ErrorList {
    if value.is_empty() {
        vec![Error::required(path, "")]
    } else if allowed.contains(&value) {
        ErrorList::new()
    } else {
        vec![Error::not_supported(path, value, allowed)]
    }
}

/// A definition, new or changed.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let spec = &new["spec"];
    errors.extend(check_spec(old, spec));
    if let Some(old) = old {
        let path = Path::new("spec");
        let keep = |errors: &mut ErrorList, fields: &[&str]| {
            let path = fields.iter().fold(path.clone(), |path, field| path.child(field));
            let (before, after) = (text(&old["spec"], fields), text(spec, fields));
            errors.extend(immutable(&path, &Value::from(before), &Value::from(after)));
        };
        if established(old) {
            keep(&mut errors, &["scope"]);
            keep(&mut errors, &["names", "kind"]);
        }
        keep(&mut errors, &["group"]);
        keep(&mut errors, &["names", "plural"]);
    }
    errors.extend(check_status(new));
    errors.extend(stored_versions(new));
    errors.extend(check_approval(old, new));
    if spec["preserveUnknownFields"] == true
        && old.is_none_or(|old| old["spec"]["preserveUnknownFields"] != true)
    {
        errors.push(Error::invalid(
            &Path::new("spec.preserveUnknownFields"),
            Value::from(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
    errors
}

/// The status of a definition, when that alone is written.
pub(super) fn check_status(new: &Value) -> ErrorList {
    names::accepted(
        &new["status"]["acceptedNames"],
        &Path::new("status.acceptedNames"),
    )
}

fn established(definition: &Value) -> bool {
    list(definition, &["status", "conditions"])
        .iter()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

fn check_spec(old: Option<&Value>, spec: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    let group = text(spec, &["group"]);
    let group_path = path.child("group");
    if group.is_empty() {
        errors.push(Error::required(&group_path, ""));
    } else {
        let wrong = formats::dns1123_subdomain(group);
        if !wrong.is_empty() {
            errors.extend(joined(&group_path, group, "", wrong));
        } else if !group.contains('.') {
            errors.push(Error::invalid(
                &group_path,
                group,
                "should be a domain with at least one dot",
            ));
        }
    }
    errors.extend(one_of(
        &path.child("scope"),
        text(spec, &["scope"]),
        &["Cluster", "Namespaced"],
    ));
    let versions = list(spec, &["versions"]);
    let versions_path = path.child("versions");
    let options = Options::of(old, spec);
    let preserves = spec["preserveUnknownFields"] == true;
    errors.extend(without_schema(versions, &options, preserves, &versions_path));
    let schema_of = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
    let has_default = |version: &Value| ratchet::somewhere(&schema_of(version), &ratchet::has_default);
    if preserves && versions.iter().any(has_default) {
        errors.push(Error::invalid(
            &path.child("preserveUnknownFields"),
            Value::from(true),
            "must be false in order to use defaults in the schema",
        ));
    }
    let shape = Shape::of(versions);
    let any_status = versions
        .iter()
        .any(|version| version["subresources"]["status"].is_object());
    let mut seen = HashSet::new();
    let mut unique = true;
    for (index, version) in versions.iter().enumerate() {
        let name = text(version, &["name"]);
        let path = versions_path.index(index);
        unique &= seen.insert(name);
        errors.extend(joined(
            &path.child("name"),
            name,
            "",
            formats::dns1035_label(name),
        ));
        errors.extend(version::check(version, shape, any_status, &options, &path));
    }
    let dumped = || match spec.get("versions") {
        Some(Value::Array(_)) => BadValue::Raw(dump::versions(versions, shape)),
        _ => BadValue::Json(Value::Null),
    };
    if !unique {
        errors.push(Error::invalid(
            &versions_path,
            dumped(),
            "must contain unique version names",
        ));
    }
    if versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count()
        != 1
    {
        errors.push(Error::invalid(
            &versions_path,
            dumped(),
            "must have exactly one version marked as storage version",
        ));
    }
    let Some(first) = versions.first() else {
        errors.extend(names::wanted(&spec["names"], &path.child("names")));
        errors.extend(conversion(old, spec, &options, &path));
        return errors;
    };
    // Upstream keeps the first version's name a second time.
    let name = text(first, &["name"]);
    if !name.is_empty() {
        let version = path.child("version");
        errors.extend(joined(&version, name, "", formats::dns1035_label(name)));
    }
    errors.extend(names::wanted(&spec["names"], &path.child("names")));
    errors.extend(of_all(first, shape, any_status, &options, &path));
    errors.extend(conversion(old, spec, &options, &path));
    errors
}

/// Versions that miss their schema.
fn without_schema(versions: &[Value], options: &Options<'_>, preserves: bool, path: &Path) -> ErrorList {
    let missing = versions
        .iter()
        .enumerate()
        .filter(|(_, version)| !version["schema"]["openAPIV3Schema"].is_object());
    let place = |index| path.index(index).child("schema.openAPIV3Schema");
    if options.schemas {
        missing
            .map(|(index, _)| Error::required(&place(index), ""))
            .collect()
    } else if preserves {
        ErrorList::new()
    } else {
        missing
            .filter(|(_, version)| version["served"] == true)
            .map(|(index, _)| Error::required(&place(index), "because otherwise all fields are pruned"))
            .collect()
    }
}

/// What stands in the spec itself, for all versions say the same.
fn of_all(first: &Value, shape: Shape, any_status: bool, options: &Options<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if shape.schema {
        let unchanged = options.unchanged.contains(text(first, &["name"]));
        let path = path.child("validation");
        errors.extend(version::schema(first, any_status, unchanged, options, &path));
    }
    if shape.subresources {
        errors.extend(version::subresources(first, path));
    }
    if shape.columns {
        errors.extend(version::columns(first, path));
    }
    if shape.selectable {
        const WHY: &str = "may only be set when validations.schema is included";
        let given = if shape.schema {
            &first["schema"]
        } else {
            &Value::Null
        };
        errors.extend(version::selectable_fields(
            first,
            &given["openAPIV3Schema"],
            WHY,
            path,
        ));
    }
    errors
}

fn conversion(old: Option<&Value>, spec: &Value, options: &Options<'_>, path: &Path) -> ErrorList {
    let (conversion, path) = (&spec["conversion"], path.child("conversion"));
    let mut errors = ErrorList::new();
    let strategy = text(conversion, &["strategy"]);
    if !conversion.is_null() && strategy != "None" && spec["preserveUnknownFields"] == true {
        errors.push(Error::invalid(
            &path.child("strategy"),
            strategy,
            "must be None if spec.preserveUnknownFields is true",
        ));
    }
    let any_bundle = conversion::allows_any_bundle(old);
    errors.extend(conversion::check(
        conversion,
        options.review_version,
        any_bundle,
        &path,
    ));
    errors
}

fn stored_versions(definition: &Value) -> ErrorList {
    let path = Path::new("status.storedVersions");
    let stored: Vec<&str> = list(definition, &["status", "storedVersions"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    if stored.is_empty() {
        return vec![Error::invalid(
            &path,
            Value::Null,
            "must have at least one stored version",
        )];
    }
    let mut errors = ErrorList::new();
    let versions = list(definition, &["spec", "versions"]);
    for version in versions.iter().filter(|version| version["storage"] == true) {
        let name = text(version, &["name"]);
        if !stored.contains(&name) {
            errors.push(Error::invalid(
                &path,
                at(definition, &["status", "storedVersions"]),
                format!("must have the storage version {name}"),
            ));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        // Of a name that is there several times, upstream knows the last place.
        if !stored[index + 1..].contains(name) && !versions.iter().any(|version| version["name"] == *name) {
            errors.push(Error::invalid(
                &path.index(index),
                *name,
                format!(
                    "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
                ),
            ));
        }
    }
    errors
}

/// Kubernetes' own groups need an approval.
fn check_approval(old: Option<&Value>, new: &Value) -> ErrorList {
    const ANNOTATION: &str = "api-approved.kubernetes.io";
    let group = text(new, &["spec", "group"]);
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|suffix| group == *suffix || group.ends_with(&format!(".{suffix}")));
    let given = meta::annotation(new, ANNOTATION).unwrap_or("");
    let before = old.map(|old| meta::annotation(old, ANNOTATION).unwrap_or(""));
    if !protected || before == Some(given) {
        return ErrorList::new();
    }
    let path = Path::new("metadata.annotations").key(ANNOTATION);
    match given {
        "" => vec![Error::required(
            &path,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        )],
        text if text.starts_with("unapproved") || text.starts_with("https://") => ErrorList::new(),
        text => vec![Error::invalid(
            &path,
            text,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        )],
    }
}

#[cfg(test)]
mod tests;
