//! The objects that every server has, which nobody changes: upstream's flowcontrol/internalbootstrap.
use crate::validate::internal::{self, LEVEL_SPEC, SCHEMA_SPEC};
use crate::validate::shared::same;
use crate::value::at;
use apimachinery::field::{Error, Path};
use serde_json::{Value, json};

/// Whether a flow schema of this name has the spec that it must have.
pub(super) fn schema(name: &str, spec: &Value, path: &Path) -> Option<Error> {
    let groups: &[&str] = match name {
        "exempt" => &["system:masters"],
        "catch-all" => &["system:unauthenticated", "system:authenticated"],
        _ => return None,
    };
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"kind": "Group", "group": {"name": group}}))
        .collect();
    let everything = json!({
        "subjects": subjects,
        "resourceRules": [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]},
        ],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    });
    let mut wanted = json!({
        "priorityLevelConfiguration": {"name": name},
        "matchingPrecedence": if name == "exempt" { 1 } else { 10_000 },
        "rules": [everything],
    });
    if name == "catch-all" {
        wanted["distinguisherMethod"] = json!({"type": "ByUser"});
    }
    (!same(spec, &wanted)).then(|| {
        Error::invalid(
            path,
            internal::shown(SCHEMA_SPEC, spec),
            format!("spec of '{name}' must equal the fixed value"),
        )
    })
}

/// Whether a priority level of this name has the spec that it must have. The shares of the exempt one are an administrator's.
pub(super) fn level(name: &str, spec: &Value, path: &Path) -> Option<Error> {
    let (fits, detail) = match name {
        "exempt" => (
            at(spec, &["type"]) == "Exempt" && at(spec, &["limited"]).is_null(),
            "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value",
        ),
        "catch-all" => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            });
            (
                same(spec, &json!({"type": "Limited", "limited": limited})),
                "spec of 'catch-all' must equal the fixed value",
            )
        }
        _ => return None,
    };
    (!fits).then(|| Error::invalid(path, internal::shown(LEVEL_SPEC, spec), detail))
}
