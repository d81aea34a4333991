//! Disks of other systems.
use crate::validate::shared::maybe_one_of;
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// An initiator is told by the volume and the portal together, in at most this many bytes.
const MAX_ISCSI_NAME: usize = 64;
pub(super) const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

/// Whether an initiator's name would be too long for the volume of this name.
pub(super) fn is_iscsi_name_too_long(value: &Value, volume: &str) -> bool {
    let portal = text(value, &["targetPortal"]);
    !at(value, &["initiatorName"]).is_null() && volume.len() + 1 + portal.len() > MAX_ISCSI_NAME
}

/// A disk of iSCSI in a pod.
pub(super) fn iscsi(value: &Value, path: &Path) -> ErrorList {
    iscsi_of(value, false, path)
}

/// A disk of iSCSI in the PersistentVolume of this name.
pub(in crate::validate) fn iscsi_of_volume(value: &Value, volume: &str, path: &Path) -> ErrorList {
    let mut errors = iscsi_of(value, true, path);
    if is_iscsi_name_too_long(value, volume) {
        let portal = text(value, &["targetPortal"]);
        let place = usize::from(portal.is_empty());
        let error = Error::invalid(&path.child("targetportal"), portal, ISCSI_NAME_TOO_LONG);
        errors.insert(place, error);
    }
    errors
}

fn iscsi_of(value: &Value, in_volume: bool, path: &Path) -> ErrorList {
    const FORMAT: &str = "must be valid format";
    let start = match in_volume {
        true => FORMAT,
        false => "must be valid format starting with iqn, eui, or naa",
    };
    let mut errors = ErrorList::new();
    if text(value, &["targetPortal"]).is_empty() {
        errors.push(Error::required(&path.child("targetPortal"), ""));
    }
    let name = |name: &str, path: Path| {
        let detail = if !["iqn", "eui", "naa"].iter().any(|start| name.starts_with(start)) {
            start
        } else if is_initiator(name) {
            return None;
        } else {
            FORMAT
        };
        Some(Error::invalid(&path, name, detail))
    };
    match text(value, &["iqn"]) {
        "" => errors.push(Error::required(&path.child("iqn"), "")),
        iqn => errors.extend(name(iqn, path.child("iqn"))),
    }
    let lun = int(value, &["lun"]).unwrap_or(0);
    if !(0..=255).contains(&lun) {
        errors.push(Error::invalid(
            &path.child("lun"),
            lun,
            "must be between 0 and 255, inclusive",
        ));
    }
    let secret = at(value, &["secretRef"]);
    if (flag(value, &["chapAuthDiscovery"]) || flag(value, &["chapAuthSession"])) && !secret.is_object() {
        errors.push(Error::required(&path.child("secretRef"), ""));
    }
    if in_volume && secret.is_object() && text(secret, &["name"]).is_empty() {
        errors.push(Error::required(&path.child("secretRef.name"), ""));
    }
    if let Some(initiator) = at(value, &["initiatorName"]).as_str() {
        errors.extend(name(initiator, path.child("initiatorname")));
    }
    errors
}

/// `iqn.2001-04.com.example:name`, `eui.` and 16 or `naa.` and 32 letters and digits.
fn is_initiator(name: &str) -> bool {
    let coded = |prefix: &str, length: usize| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            // Upstream's pattern takes any character where the dot is.
            let mut rest = rest.chars();
            rest.next().is_some_and(|dot| dot != '\n')
                && rest.as_str().len() == length
                && rest.all(|c| c.is_ascii_alphanumeric())
        })
    };
    // Upstream's pattern may begin anywhere.
    let qualified = || {
        let starts = name.match_indices("iqn.");
        starts
            .filter_map(|(start, found)| name.get(start + found.len()..))
            .any(is_qualified)
    };
    if name.starts_with("iqn") {
        qualified()
    } else {
        coded("eui", 16) || coded("naa", 32)
    }
}

/// `2001-04.com.example:name`
fn is_qualified(name: &str) -> bool {
    let is_date = |date: &[u8]| {
        date.iter().enumerate().all(|(place, byte)| match place {
            4 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    let Some(rest) = name
        .as_bytes()
        .split_at_checked(7)
        .filter(|(date, _)| is_date(date))
        .and_then(|(_, rest)| rest.strip_prefix(b"."))
    else {
        return false;
    };
    let domain = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        .count();
    domain > 0
        && rest[domain..]
            .strip_prefix(b":")
            .is_some_and(|own| !own.is_empty() && !own.iter().any(|byte| b",;*&$|\t\n\x0c\r ".contains(byte)))
}

pub(super) fn fibre_channel(value: &Value, path: &Path) -> ErrorList {
    let (targets, ids) = (list(value, &["targetWWNs"]), list(value, &["wwids"]));
    let own = path.child("targetWWNs");
    let mut errors = ErrorList::new();
    match (targets.is_empty(), ids.is_empty()) {
        (true, true) => errors.push(Error::required(
            &own,
            "must specify either targetWWNs or wwids, but not both",
        )),
        (false, false) => errors.push(Error::invalid(
            &own,
            Value::from(targets),
            "targetWWNs and wwids can not be specified simultaneously",
        )),
        _ => {}
    }
    if !targets.is_empty() {
        match int(value, &["lun"]) {
            None => errors.push(Error::required(
                &path.child("lun"),
                "lun is required if targetWWNs is specified",
            )),
            Some(lun) if !(0..=255).contains(&lun) => errors.push(Error::invalid(
                &path.child("lun"),
                lun,
                "must be between 0 and 255, inclusive",
            )),
            Some(_) => {}
        }
    }
    errors
}

pub(super) fn quobyte(value: &Value, path: &Path) -> ErrorList {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = text(value, &["registry"]);
    let mut errors = ErrorList::new();
    if registry.is_empty() {
        errors.push(Error::required(&path.child("registry"), PAIRS));
    } else if text(value, &["tenant"]).len() > 64 {
        errors.push(Error::required(
            &path.child("tenant"),
            "must be a UUID and may not exceed a length of 64 characters",
        ));
    } else {
        let wrong = registry.split(',').filter(|pair| !is_host_and_port(pair));
        errors.extend(wrong.map(|_| Error::invalid(&path.child("registry"), registry, PAIRS)));
    }
    if text(value, &["volume"]).is_empty() {
        errors.push(Error::required(&path.child("volume"), ""));
    }
    errors
}

/// `host:port` or `[host]:port`, as Go splits them: brackets stand around a host only, and one without them has no colon.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, port)) = pair.rsplit_once(':') else {
        return false;
    };
    let host = match host.strip_prefix('[') {
        Some(inner) => match inner.strip_suffix(']') {
            Some(host) => host,
            None => return false,
        },
        None if host.contains(':') => return false,
        None => host,
    };
    !host.contains(['[', ']']) && !port.contains(['[', ']'])
}

pub(super) fn flocker(value: &Value, path: &Path) -> ErrorList {
    let (name, id) = (text(value, &["datasetName"]), text(value, &["datasetUUID"]));
    let mut errors = ErrorList::new();
    match (name.is_empty(), id.is_empty()) {
        (true, true) => errors.push(Error::required(
            path,
            "one of datasetName and datasetUUID is required",
        )),
        (false, false) => errors.push(Error::invalid(
            path,
            "resource",
            "datasetName and datasetUUID can not be specified simultaneously",
        )),
        _ => {}
    }
    if name.contains('/') {
        errors.push(Error::invalid(
            &path.child("datasetName"),
            name,
            "must not contain '/'",
        ));
    }
    errors
}

pub(super) fn reserved_options(value: &Value, path: &Path) -> ErrorList {
    at(value, &["options"])
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| {
            let domain = key.split_once('/').map_or(key.as_str(), |(domain, _)| domain);
            let dotted = format!(".{}", domain.to_lowercase());
            dotted.ends_with(".kubernetes.io") || dotted.ends_with(".k8s.io")
        })
        .map(|(key, _)| {
            let why = "kubernetes.io and k8s.io namespaces are reserved";
            Error::invalid(&path.key(key), key.as_str(), why)
        })
        .collect()
}

pub(super) fn azure_disk(value: &Value, path: &Path) -> ErrorList {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    let mut errors = ErrorList::new();
    errors.extend(maybe_one_of(
        &path.child("cachingMode"),
        at(value, &["cachingMode"]),
        &["None", "ReadOnly", "ReadWrite"],
    ));
    errors.extend(maybe_one_of(
        &path.child("kind"),
        at(value, &["kind"]),
        &["Dedicated", "Managed", "Shared"],
    ));
    let place = text(value, &["diskURI"]);
    let unfit = match at(value, &["kind"]).as_str() {
        Some("Managed") => (!place.starts_with("/subscriptions/")).then_some(MANAGED),
        Some(_) => (!place.starts_with("https://")).then_some(BLOB),
        None => None,
    };
    errors.extend(unfit.map(|wanted| Error::not_supported(&path.child("diskURI"), place, &[wanted])));
    errors
}
