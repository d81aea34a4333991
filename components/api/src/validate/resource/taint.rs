//! Taints of devices, and what claims tolerate.
use super::names::label_key;
use crate::validate::shared::texts;
use crate::value::text;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];

/// A taint of a device.
pub(super) fn taint(taint: &Value, path: &Path) -> ErrorList {
    let mut errors = label_key(text(taint, &["key"]), &path.child("key"));
    errors.extend(label_value(taint, path));
    match text(taint, &["effect"]) {
        "" => errors.push(Error::required(&path.child("effect"), "")),
        effect => errors.extend(unknown_effect(effect, path)),
    }
    errors
}

/// Which taints a request lives with.
pub(super) fn toleration(toleration: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let key = text(toleration, &["key"]);
    if !key.is_empty() {
        errors.extend(label_key(key, &path.child("key")));
    }
    let (operator, value) = (text(toleration, &["operator"]), text(toleration, &["value"]));
    match operator {
        "Exists" if !value.is_empty() => errors.push(Error::invalid(
            &path.child("value"),
            value,
            "must be empty for operator `Exists`",
        )),
        "Exists" => {}
        "Equal" => errors.extend(label_value(toleration, path)),
        "" => errors.push(Error::required(&path.child("operator"), "")),
        other => errors.push(Error::not_supported(
            &path.child("operator"),
            other,
            &["Equal", "Exists"],
        )),
    }
    let effect = text(toleration, &["effect"]);
    if !effect.is_empty() {
        errors.extend(unknown_effect(effect, path));
    }
    errors
}

/// The tolerations of a request, or of a device that was given to one.
pub(super) fn tolerations(value: &Value, path: &Path) -> ErrorList {
    let path = path.child("tolerations");
    crate::value::list(value, &["tolerations"])
        .iter()
        .enumerate()
        .flat_map(|(index, item)| toleration(item, &path.index(index)))
        .collect()
}

fn label_value(value: &Value, path: &Path) -> ErrorList {
    let value = text(value, &["value"]);
    texts(&path.child("value"), value, names::label_value(value))
}

fn unknown_effect(effect: &str, path: &Path) -> Option<Error> {
    (!EFFECTS.contains(&effect)).then(|| Error::not_supported(&path.child("effect"), effect, EFFECTS))
}
