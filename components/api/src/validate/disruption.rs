//! Validation of PodDisruptionBudgets (pkg/apis/policy/validation).
use super::internal;
use super::shared::{count_or_percent, label_selector, label_selector_with, maybe_one_of, not_more_than_all};
use crate::value::at;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// A new or changed budget.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let spec = at(new, &["spec"]);
    let mut errors = ErrorList::new();
    let set = |field: &str| !at(spec, &[field]).is_null();
    if set("minAvailable") && set("maxUnavailable") {
        errors.push(Error::invalid(
            &path,
            internal::shown(internal::DISRUPTION_BUDGET, spec),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if set(field) {
            errors.extend(count_or_percent(&path.child(field), at(spec, &[field])));
            errors.extend(not_more_than_all(&path.child(field), at(spec, &[field])));
        }
    }
    // A selector that older servers took may have values that no label can have.
    let any = old.is_some_and(|old| !label_selector(&path, at(old, &["spec", "selector"])).is_empty());
    errors.extend(label_selector_with(
        &path.child("selector"),
        at(spec, &["selector"]),
        any,
    ));
    errors.extend(maybe_one_of(
        &path.child("unhealthyPodEvictionPolicy"),
        at(spec, &["unhealthyPodEvictionPolicy"]),
        &["AlwaysAllow", "IfHealthyBudget"],
    ));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn budgets_are_one_number_and_a_selector() {
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]});
        let odd = json!({"spec": {"minAvailable": 1, "selector": odd}});
        for (old, new, wrong) in [
            (
                None,
                json!({"spec": {"minAvailable": "50%", "selector": {}}}),
                vec![],
            ),
            (
                None,
                json!({"spec": {"minAvailable": 1, "maxUnavailable": "150%"}}),
                vec![
                    "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":\"150%\",\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
                    "spec.maxUnavailable: Invalid value: \"150%\": must not be greater than 100%",
                ],
            ),
            (Some(&odd), odd.clone(), vec![]),
        ] {
            let found = check(old, &new);
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(told, wrong, "{new}");
        }
        assert_eq!(check(None, &odd).len(), 1);
    }
}
