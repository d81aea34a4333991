//! Validation of kinds with little to check.
use super::shared::{self, immutable, label_selector, non_negative, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{BadValue, Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::{Value, json};
use std::collections::HashSet;

/// These kinds, new or changed; `None` for other kinds.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    Some(match kind {
        "RuntimeClass" => runtime_class(old, new),
        "ControllerRevision" => controller_revision(old, new),
        "CSIStorageCapacity" => storage_capacity(old, new),
        "CSINode" => csi_node(old, new),
        "APIService" => api_service(new),
        _ => return None,
    })
}

fn runtime_class(old: Option<&Value>, new: &Value) -> ErrorList {
    let handler = text(new, &["handler"]);
    let mut errors: ErrorList = if handler.is_empty() {
        vec![Error::required(&Path::new("handler"), "")]
    } else {
        texts(&Path::new("handler"), handler, names::dns1123_label(handler))
    };
    for kind in ["limits", "requests", "podFixed"] {
        for (name, quantity) in at(new, &["overhead", kind]).as_object().into_iter().flatten() {
            errors.extend(shared::amount(&Path::new("overhead.limits").key(name), quantity));
        }
    }
    errors.extend(super::metadata::labels(
        at(new, &["scheduling", "nodeSelector"]),
        &Path::new("scheduling.nodeSelector"),
    ));
    let tolerations = list(new, &["scheduling", "tolerations"]);
    let path = Path::new("scheduling.tolerations");
    for (index, toleration) in tolerations.iter().enumerate() {
        let own = super::pod::tolerations(std::slice::from_ref(toleration), &Path::root());
        errors.extend(own.into_iter().map(|error| Error {
            field: error.field.replacen("[0]", path.index(index).as_str(), 1),
            ..error
        }));
        if tolerations[..index].contains(toleration) {
            let field = |name: &str| json!(text(toleration, &[name]));
            let shown = format!(
                "{{\"Key\":{},\"Operator\":{},\"Value\":{},\"Effect\":{},\"TolerationSeconds\":{}}}",
                field("key"),
                field("operator"),
                field("value"),
                field("effect"),
                at(toleration, &["tolerationSeconds"])
            );
            errors.push(Error::duplicate(&path.index(index), BadValue::Raw(shown)));
        }
    }
    errors.extend(old.and_then(|old| {
        immutable(
            &Path::new("handler"),
            at(old, &["handler"]),
            at(new, &["handler"]),
        )
    }));
    errors
}

fn controller_revision(old: Option<&Value>, new: &Value) -> ErrorList {
    let data = at(new, &["data"]);
    let mut errors = ErrorList::new();
    match data {
        Value::Null => errors.push(Error::required(&Path::new("data"), "data is mandatory")),
        Value::Object(_) => {}
        _ if old.is_none() => errors.push(Error::required(
            &Path::new("data"),
            "data must be a valid JSON object",
        )),
        _ => {}
    }
    errors.extend(non_negative(&Path::new("revision"), at(new, &["revision"])));
    if old.is_some_and(|old| at(old, &["data"]) != data) {
        errors.retain(|error| error.field != "data");
        errors.push(Error::invalid(&Path::new("data"), data, "field is immutable"));
    }
    errors
}

fn storage_capacity(old: Option<&Value>, new: &Value) -> ErrorList {
    let class = text(new, &["storageClassName"]);
    let mut errors = texts(
        &Path::new("storageClassName"),
        class,
        names::dns1123_subdomain(class),
    );
    errors.extend(label_selector(
        &Path::new("nodeTopology"),
        at(new, &["nodeTopology"]),
    ));
    for field in ["capacity", "maximumVolumeSize"] {
        errors.extend(shared::amount(&Path::new(field), at(new, &[field])));
    }
    if let Some(old) = old {
        for field in ["nodeTopology", "storageClassName"] {
            errors.extend(immutable(&Path::new(field), at(old, &[field]), at(new, &[field])));
        }
    }
    errors
}

fn csi_node(old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    let path = Path::new("spec.drivers");
    for (index, driver) in list(new, &["spec", "drivers"]).iter().enumerate() {
        let path = path.index(index);
        let name = text(driver, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            if name.len() > 63 {
                errors.push(Error::too_long(&path.child("name"), 63));
            }
            errors.extend(texts(
                &path.child("name"),
                name,
                names::dns1123_subdomain(&name.to_lowercase()),
            ));
        }
        let node = text(driver, &["nodeID"]);
        if node.is_empty() {
            errors.push(Error::required(&path.child("nodeID"), ""));
        } else if node.len() > 256 {
            errors.push(Error::invalid(
                &path.child("nodeID"),
                node,
                "must be 256 characters or less",
            ));
        }
        let mut keys = HashSet::new();
        for key in list(driver, &["topologyKeys"]).iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(Error::required(&path, ""));
            } else if !keys.insert(key) {
                errors.push(Error::duplicate(&path, key));
            }
            if !key.is_empty() {
                errors.extend(texts(&path, key, names::qualified_name(key)));
            }
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    for driver in old.into_iter().flat_map(|old| list(old, &["spec", "drivers"])) {
        let Some(changed) = list(new, &["spec", "drivers"])
            .iter()
            .find(|other| other["name"] == driver["name"])
        else {
            continue;
        };
        let same = at(driver, &["nodeID"]) == at(changed, &["nodeID"])
            && at(driver, &["topologyKeys"]) == at(changed, &["topologyKeys"]);
        if !same {
            let shown = format!(
                "{{\"Name\":{},\"NodeID\":{},\"TopologyKeys\":{},\"Allocatable\":{}}}",
                json!(text(changed, &["name"])),
                json!(text(changed, &["nodeID"])),
                at(changed, &["topologyKeys"]),
                at(changed, &["allocatable"])
            );
            errors.push(Error::invalid(&path, BadValue::Raw(shown), "field is immutable"));
        }
    }
    errors
}

fn api_service(new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let (group, version) = (text(spec, &["group"]), text(spec, &["version"]));
    let mut errors = ErrorList::new();
    let wanted = format!("{version}.{group}");
    if meta::name(new) != wanted {
        errors.push(Error::invalid(
            &Path::new("metadata.name"),
            meta::name(new),
            format!("must be `spec.version+\".\"+spec.group`: \"{wanted}\""),
        ));
    }
    if group.is_empty() {
        if version != "v1" {
            errors.push(Error::required(
                &path.child("group"),
                "only v1 may have an empty group and it better be legacy kube",
            ));
        }
    } else {
        errors.extend(texts(
            &path.child("group"),
            group,
            names::dns1123_subdomain(group),
        ));
    }
    errors.extend(texts(
        &path.child("version"),
        version,
        names::dns1035_label(version),
    ));
    for (field, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let number = int(spec, &[field]).unwrap_or(0);
        if number <= 0 || number > most {
            errors.push(Error::invalid(
                &path.child(field),
                number,
                format!("must be positive and less than {most}"),
            ));
        }
    }
    let service = at(spec, &["service"]);
    if !service.is_object() {
        return errors;
    }
    for field in ["namespace", "name"] {
        if text(service, &[field]).is_empty() {
            errors.push(Error::required(&path.child("service").child(field), ""));
        }
    }
    let port = int(service, &["port"]).unwrap_or(0);
    if !(1..=65535).contains(&port) {
        errors.push(Error::invalid(
            &path.child("service.port"),
            port,
            "port is not valid: must be between 1 and 65535, inclusive",
        ));
    }
    errors
}
