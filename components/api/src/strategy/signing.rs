//! What becomes of the conditions of a CertificateSigningRequest that its endpoints change
//! (pkg/registry/certificates/certificates/strategy.go).
use crate::value::{at, is_zero, list, text};
use serde_json::Value;

/// Keeps decisions as they were when a signer writes, who makes none: only their number may be wrong then.
pub(super) fn keep_decisions(old: &Value, new: &mut Value) {
    for kind in ["Approved", "Denied"] {
        let of = |request: &Value| -> Vec<usize> {
            let conditions = list(request, &["status", "conditions"]).iter().enumerate();
            conditions
                .filter(|(_, condition)| text(condition, &["type"]) == kind)
                .map(|(index, _)| index)
                .collect()
        };
        let (before, after) = (of(old), of(new));
        if before.len() != after.len() {
            continue;
        }
        for (before, after) in before.into_iter().zip(after) {
            let kept = list(old, &["status", "conditions"])[before].clone();
            if let Some(condition) = conditions_mut(new).nth(after) {
                *condition = kept;
            }
        }
    }
}

/// Sets the times that a writer leaves out.
pub(super) fn fill_times(old: &Value, new: &mut Value) {
    let now = || Value::from(apimachinery::time::format_time(jiff::Timestamp::now()));
    for condition in conditions_mut(new).filter_map(Value::as_object_mut) {
        if is_zero(condition.get("lastUpdateTime")) {
            condition.insert("lastUpdateTime".into(), now());
        }
        if !is_zero(condition.get("lastTransitionTime")) {
            continue;
        }
        let before = list(old, &["status", "conditions"]).iter().find(|before| {
            ["type", "status"].iter().all(|field| {
                before.get(*field).and_then(Value::as_str) == condition.get(*field).and_then(Value::as_str)
            }) && !is_zero(Some(at(before, &["lastTransitionTime"])))
        });
        let time = before.map_or_else(now, |before| at(before, &["lastTransitionTime"]).clone());
        condition.insert("lastTransitionTime".into(), time);
    }
}

fn conditions_mut(request: &mut Value) -> impl Iterator<Item = &mut Value> {
    request
        .get_mut("status")
        .and_then(|status| status.get_mut("conditions")?.as_array_mut())
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(conditions: Value) -> Value {
        json!({"status": {"conditions": conditions}})
    }

    #[test]
    fn times_are_kept_or_made() {
        let old = request(
            json!([{"type": "Approved", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
        );
        let mut new = request(json!([
            {"type": "Approved", "status": "True", "lastUpdateTime": "2026-02-01T00:00:00Z"},
            {"type": "Failed", "status": "True"},
        ]));
        fill_times(&old, &mut new);
        let conditions = list(&new, &["status", "conditions"]);
        assert_eq!(conditions[0]["lastUpdateTime"], "2026-02-01T00:00:00Z");
        assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:00:00Z");
        assert!(text(&conditions[1], &["lastUpdateTime"]) > "2026-01-01");
        assert!(text(&conditions[1], &["lastTransitionTime"]) > "2026-01-01");
    }

    #[test]
    fn signers_leave_decisions_alone() {
        let approved = |reason: &str| json!({"type": "Approved", "status": "True", "reason": reason});
        let failed = json!({"type": "Failed", "status": "True"});
        for (old, new, kept) in [
            (
                json!([approved("a")]),
                json!([failed, approved("b")]),
                json!([failed, approved("a")]),
            ),
            (json!([]), json!([approved("b")]), json!([approved("b")])),
            (json!([approved("a")]), json!([]), json!([])),
        ] {
            let mut new = request(new);
            keep_decisions(&request(old), &mut new);
            assert_eq!(new, request(kept));
        }
    }
}
