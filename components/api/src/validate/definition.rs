//! CustomResourceDefinitions.
mod conversion;
mod dump;
mod names;
mod openapi;
mod rules;
mod selectable;
mod structural;
mod version;

use super::shared::immutable;
use crate::value::{at, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{meta, names as formats};
use serde_json::Value;

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
    let required = format!("{}.{}", text(spec, &["names", "plural"]), text(spec, &["group"]));
    if old.is_none() && !meta::name(new).is_empty() && meta::name(new) != required {
        errors.push(Error::invalid(
            &Path::new("metadata.name"),
            meta::name(new),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
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
    let mut errors = names::accepted(
        &new["status"]["acceptedNames"],
        &Path::new("status.acceptedNames"),
    );
    errors.extend(stored_versions(new));
    errors
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
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            errors.push(Error::required(
                &versions_path.index(index).child("schema.openAPIV3Schema"),
                "",
            ));
        }
    }
    let structural = spec["preserveUnknownFields"] != true;
    for (index, version) in versions.iter().enumerate() {
        let before = old.and_then(|old| {
            list(&old["spec"], &["versions"])
                .iter()
                .find(|before| before["name"] == version["name"])
        });
        errors.extend(version::check(
            before,
            version,
            structural,
            &versions_path.index(index),
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        let name = text(version, &["name"]);
        let path = versions_path.index(index).child("name");
        errors.extend(joined(&path, name, "", formats::dns1035_label(name)));
    }
    let mut names: Vec<&str> = versions.iter().map(|version| text(version, &["name"])).collect();
    names.sort_unstable();
    names.dedup();
    let dumped = || match spec.get("versions") {
        Some(Value::Array(_)) => BadValue::Raw(dump::versions(versions)),
        _ => BadValue::Json(Value::Null),
    };
    if names.len() != versions.len() {
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
    // Upstream keeps the first version's name a second time.
    if let Some(first) = versions
        .first()
        .map(|version| text(version, &["name"]))
        .filter(|name| !name.is_empty())
    {
        errors.extend(joined(
            &path.child("version"),
            first,
            "",
            formats::dns1035_label(first),
        ));
    }
    errors.extend(names::wanted(&spec["names"], &path.child("names")));
    errors.extend(conversion::check(&spec["conversion"], &path.child("conversion")));
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
        if !versions.iter().any(|version| version["name"] == *name) {
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
