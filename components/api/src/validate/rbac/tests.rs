use super::*;
use serde_json::json;

fn found(old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check("ClusterRole", old, new).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn values_of_older_selectors_are_told_once_only() {
    let role = |value: &str| {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": [value]}]});
        json!({"aggregationRule": {"clusterRoleSelectors": [selector]}})
    };
    let path = "aggregationRule.clusterRoleSelectors[0]";
    let whole = format!("{path}: Invalid value: null: invalid label selector.");
    assert_eq!(found(None, &role("a")), [""; 0]);
    let odd = role("-");
    assert_eq!(found(Some(&odd), &odd), std::slice::from_ref(&whole));
    let new = found(Some(&role("a")), &odd);
    assert_eq!(new.len(), 2);
    assert!(new[0].starts_with(&format!(
        "{path}.matchExpressions[0].values[0]: Invalid value: \"-\": "
    )));
    assert_eq!(new[1], whole);
}
