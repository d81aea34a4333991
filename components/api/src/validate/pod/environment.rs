//! Environment variables, and where their values come from.
use super::annotations::containers;
use super::volumes::{backsteps, reserved_path};
use crate::validate::shared::{one_of, texts};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;

/// Fields of a pod that variables can have the value of.
const FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields of a pod that files can hold.
const FILE_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];

/// Fields that have a name for variables and files at all.
const NAMED: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
];

/// Resources of a container by their place.
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

pub(super) fn variables(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, variable) in list(container, &["env"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(variable, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.extend(texts(&path.child("name"), name, names::env_var_name(name)));
        }
        if at(variable, &["valueFrom"]).is_object() {
            errors.extend(value_from(variable, &path.child("valueFrom")));
        }
    }
    errors
}

fn value_from(variable: &Value, path: &Path) -> ErrorList {
    const SOURCES: [&str; 5] = [
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "fileKeyRef",
    ];
    let from = at(variable, &["valueFrom"]);
    let mut errors = ErrorList::new();
    let mut count = 0;
    for kind in SOURCES {
        let source = at(from, &[kind]);
        if !source.is_object() {
            continue;
        }
        count += 1;
        let path = path.child(kind);
        errors.extend(match kind {
            "fieldRef" => field_reference(source, FIELDS, &path),
            "resourceFieldRef" => resource_reference(source, false, &path),
            "fileKeyRef" => file_key(source, &path),
            _ => {
                let name = text(source, &["name"]);
                let mut errors = texts(&path.child("name"), name, names::dns1123_subdomain(name));
                errors.extend(key(source, &path.child("key")));
                errors
            }
        });
    }
    let detail = match count {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if !text(variable, &["value"]).is_empty() => "may not be specified when `value` is not empty",
        1 => return errors,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(Error::invalid(path, "", detail));
    errors
}

fn key(source: &Value, path: &Path) -> ErrorList {
    match text(source, &["key"]) {
        "" => vec![Error::required(path, "")],
        key => texts(path, key, names::config_map_key(key)),
    }
}

/// A variable in a file of a volume.
fn file_key(source: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match text(source, &["key"]) {
        "" => errors.push(Error::required(&path.child("key"), "")),
        key => errors.extend(texts(&path.child("key"), key, names::env_var_name(key))),
    }
    match text(source, &["volumeName"]) {
        "" => errors.push(Error::required(&path.child("volumeName"), "")),
        name => errors.extend(texts(&path.child("volumeName"), name, names::dns1123_label(name))),
    }
    match text(source, &["path"]) {
        "" => errors.push(Error::required(&path.child("path"), "")),
        file if backsteps(file) => {
            errors.push(Error::invalid(&path.child("path"), file, "must not contain '..'"))
        }
        _ => {}
    }
    errors
}

/// Files with variables are in empty directories of the pod, into which another container has put them.
pub(super) fn files(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (kind, index, container) in containers(spec) {
        for (place, variable) in list(container, &["env"]).iter().enumerate() {
            let source = at(variable, &["valueFrom", "fileKeyRef"]);
            if !source.is_object() {
                continue;
            }
            let path = path.child(kind).index(index).child("env").index(place);
            let path = path.child("valueFrom.fileKeyRef.volumeName");
            let name = text(source, &["volumeName"]);
            // Of volumes with one name the last counts.
            let volume = list(spec, &["volumes"])
                .iter()
                .rfind(|volume| text(volume, &["name"]) == name);
            match volume {
                None => errors.push(Error::not_found(&path, name)),
                Some(volume) if !at(volume, &["emptyDir"]).is_object() => errors.push(Error::invalid(
                    &path,
                    name,
                    "referenced volume must be of type emptyDir",
                )),
                Some(_) => {}
            }
        }
    }
    errors
}

/// A field of the pod itself, in a variable or in a file.
fn field_reference(source: &Value, supported: &[&str], path: &Path) -> ErrorList {
    let field = text(source, &["fieldPath"]);
    let version = text(source, &["apiVersion"]);
    if version.is_empty() {
        return vec![Error::required(&path.child("apiVersion"), "")];
    }
    if field.is_empty() {
        return vec![Error::required(&path.child("fieldPath"), "")];
    }
    let unknown = |why: String| {
        vec![Error::invalid(
            &path.child("fieldPath"),
            field,
            format!("error converting fieldPath: {why}"),
        )]
    };
    if version != "v1" {
        return unknown(format!("unsupported pod version: {version}"));
    }
    if let Some((name, subscript)) = subscripted(field) {
        return match name {
            "metadata.annotations" => texts(
                path,
                &subscript.to_lowercase(),
                names::qualified_name(&subscript.to_lowercase()),
            ),
            "metadata.labels" => texts(path, subscript, names::qualified_name(subscript)),
            _ => unknown(format!("field label does not support subscript: {field}")),
        };
    }
    if !FIELDS.contains(&field) && !NAMED.contains(&field) {
        return unknown(format!("field label not supported: {field}"));
    }
    if supported.contains(&field) {
        return ErrorList::new();
    }
    vec![Error::not_supported(&path.child("fieldPath"), field, supported)]
}

/// `name['subscript']`.
fn subscripted(field: &str) -> Option<(&str, &str)> {
    let (name, rest) = field.split_once("['")?;
    let subscript = rest.strip_suffix("']")?;
    (!name.is_empty()).then_some((name, subscript))
}

/// What a container asks for or is limited to; files have to name the container.
fn resource_reference(source: &Value, in_file: bool, path: &Path) -> ErrorList {
    let resource = text(source, &["resource"]);
    let huge = ["limits.hugepages-", "requests.hugepages-"]
        .iter()
        .any(|prefix| resource.starts_with(prefix));
    let mut errors = ErrorList::new();
    if in_file && text(source, &["containerName"]).is_empty() {
        errors.push(Error::required(&path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(Error::required(&path.child("resource"), ""));
    } else if !huge {
        errors.extend(one_of(
            &path.child("resource"),
            at(source, &["resource"]),
            RESOURCES,
        ));
    }
    errors.extend(divisor(source, resource, huge, path));
    errors
}

fn divisor(source: &Value, resource: &str, huge: bool, path: &Path) -> Option<Error> {
    const BYTES: &[&str] = &[
        "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
    ];
    let given = Quantity::from_json(at(source, &["divisor"])).ok()?;
    let (allowed, noun) = match resource {
        _ if given.is_zero() => return None,
        "limits.cpu" | "requests.cpu" => (&["1m", "1"][..], "cpu"),
        "limits.memory" | "requests.memory" => (BYTES, "memory"),
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => (BYTES, "local ephemeral storage"),
        _ if huge => (BYTES, "hugepages"),
        _ => return None,
    };
    if allowed.contains(&given.to_string().as_str()) {
        return None;
    }
    let listed = if noun == "cpu" {
        "1m and 1".to_owned()
    } else {
        BYTES.join(", ")
    };
    let detail = format!("only divisor's values {listed} are supported with the {noun} resource");
    Some(Error::invalid(&path.child("divisor"), resource, detail))
}

pub(super) fn sources(container: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, source) in list(container, &["envFrom"]).iter().enumerate() {
        let own = path.index(index);
        let prefix = text(source, &["prefix"]);
        if !prefix.is_empty() {
            errors.extend(texts(&own.child("prefix"), prefix, names::env_var_name(prefix)));
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            if !at(source, &[kind]).is_object() {
                continue;
            }
            count += 1;
            let path = own.child(kind).child("name");
            match text(source, &[kind, "name"]) {
                "" => errors.push(Error::required(&path, "")),
                name => {
                    // The end of a name is not looked at, as if it were the beginning of one.
                    let masked = names::mask_trailing_dash(name);
                    errors.extend(texts(&path, name, names::dns1123_subdomain(&masked)));
                }
            }
        }
        match count {
            0 => errors.push(Error::invalid(
                path,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            1 => {}
            _ => errors.push(Error::invalid(
                path,
                "",
                "may not have more than one field specified at a time",
            )),
        }
    }
    errors
}

/// A file with something of the pod in it.
pub(super) fn file(file: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = text(file, &["path"]);
    if name.is_empty() {
        errors.push(Error::required(&path.child("path"), ""));
    }
    errors.extend(reserved_path(name, &path.child("path")));
    let (field, resource) = (at(file, &["fieldRef"]), at(file, &["resourceFieldRef"]));
    match (field.is_object(), resource.is_object()) {
        (true, both) => {
            errors.extend(field_reference(field, FILE_FIELDS, &path.child("fieldRef")));
            if both {
                errors.push(Error::invalid(
                    path,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                ));
            }
        }
        (false, true) => errors.extend(resource_reference(
            resource,
            true,
            &path.child("resourceFieldRef"),
        )),
        (false, false) => errors.push(Error::required(
            path,
            "one of fieldRef and resourceFieldRef is required",
        )),
    }
    errors.extend(super::volumes::mode(file, "mode", path));
    errors
}
