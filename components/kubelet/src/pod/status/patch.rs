//! The strategic merge patch from one status to the next.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};

use super::conditions::OF_RESIZE;

/// Lists that a strategic merge would merge by key, though the kubelet decides all of their elements.
const REPLACED: [&str; 2] = ["podIPs", "hostIPs"];

/// The patch, or None when nothing differs. The UID keeps it from hitting a successor of the same name.
pub fn status_patch(uid: &str, old: &PodStatus, new: &PodStatus) -> Option<Value> {
    let (Ok(Value::Object(old)), Ok(Value::Object(new))) =
        (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return None;
    };
    let mut changes = Map::new();
    for (field, value) in &new {
        let before = old.get(field);
        if before == Some(value) {
            continue;
        }
        let change = match (field.as_str(), value, before) {
            ("conditions", Value::Array(conditions), before) => {
                let before = before
                    .and_then(Value::as_array)
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                Value::Array(changed_conditions(before, conditions))
            }
            (field, Value::Array(items), Some(Value::Array(before)))
                if REPLACED.contains(&field) && !before.is_empty() =>
            {
                let directive = std::iter::once(json!({"$patch": "replace"}));
                Value::Array(directive.chain(items.iter().cloned()).collect())
            }
            _ => value.clone(),
        };
        changes.insert(field.clone(), change);
    }
    for field in old.keys().filter(|field| !new.contains_key(*field)) {
        changes.insert(field.clone(), Value::Null);
    }
    (!changes.is_empty()).then(|| json!({"metadata": {"uid": uid}, "status": changes}))
}

/// Changed conditions only, and those of a resize that is over; fields that are gone are nulled, since a merge would keep them.
fn changed_conditions(old: &[Value], new: &[Value]) -> Vec<Value> {
    let kind = |condition: &Value| condition.get("type").and_then(Value::as_str).map(str::to_owned);
    let gone = old
        .iter()
        .filter_map(kind)
        .filter(|kind_of_old| OF_RESIZE.contains(&kind_of_old.as_str()))
        .filter(|kind_of_old| {
            !new.iter()
                .any(|condition| kind(condition).as_ref() == Some(kind_of_old))
        })
        .map(|kind| json!({"type": kind, "$patch": "delete"}));
    new.iter()
        .filter_map(|condition| {
            let before = old
                .iter()
                .find(|before| before.get("type") == condition.get("type"));
            if before == Some(condition) {
                return None;
            }
            let mut change = condition.clone();
            if let (Some(before), Some(change)) = (before.and_then(Value::as_object), change.as_object_mut())
            {
                for field in before.keys() {
                    change.entry(field.clone()).or_insert(Value::Null);
                }
            }
            Some(change)
        })
        .chain(gone)
        .collect()
}
