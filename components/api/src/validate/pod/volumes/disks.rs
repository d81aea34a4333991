//! Disks of other systems.
use crate::validate::shared::maybe_one_of;
use crate::value::{at, flag, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// An initiator is told by the volume and the portal together, in at most this many bytes.
pub(super) const MAX_ISCSI_NAME: usize = 64;
pub(super) const ISCSI_NAME_TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

pub(super) fn iscsi(value: &Value, path: &Path) -> ErrorList {
    const START: &str = "must be valid format starting with iqn, eui, or naa";
    let mut errors = ErrorList::new();
    if text(value, &["targetPortal"]).is_empty() {
        errors.push(Error::required(&path.child("targetPortal"), ""));
    }
    let name = |name: &str, path: Path| {
        let detail = if !["iqn", "eui", "naa"].iter().any(|start| name.starts_with(start)) {
            START
        } else if is_initiator(name) {
            return None;
        } else {
            "must be valid format"
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
    let secret = at(value, &["secretRef"]).is_object();
    if (flag(value, &["chapAuthDiscovery"]) || flag(value, &["chapAuthSession"])) && !secret {
        errors.push(Error::required(&path.child("secretRef"), ""));
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
            rest.len() == length + 1 && rest.bytes().skip(1).all(|byte| byte.is_ascii_alphanumeric())
        })
    };
    let qualified = || {
        let rest = name.strip_prefix("iqn.")?;
        let (date, rest) = (rest.get(..7)?, rest.get(7..)?);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (domain, own) = rest.strip_prefix('.')?.split_once(':')?;
        let fits = digits(&date[..4])
            && &date[4..5] == "-"
            && digits(&date[5..])
            && !domain.is_empty()
            && domain
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            && !own.is_empty()
            && !own.contains(|c: char| c.is_whitespace() || ",;*&$|".contains(c));
        fits.then_some(())
    };
    coded("eui", 16) || coded("naa", 32) || qualified().is_some()
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
    let is_pair = |pair: &str| match pair.rsplit_once(':') {
        Some((host, _)) => !host.contains(':') || (host.starts_with('[') && host.ends_with(']')),
        None => false,
    };
    if registry.is_empty() {
        errors.push(Error::required(&path.child("registry"), PAIRS));
    } else if text(value, &["tenant"]).len() > 64 {
        errors.push(Error::required(
            &path.child("tenant"),
            "must be a UUID and may not exceed a length of 64 characters",
        ));
    } else {
        let wrong = registry.split(',').filter(|pair| !is_pair(pair));
        errors.extend(wrong.map(|_| Error::invalid(&path.child("registry"), registry, PAIRS)));
    }
    if text(value, &["volume"]).is_empty() {
        errors.push(Error::required(&path.child("volume"), ""));
    }
    errors
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
