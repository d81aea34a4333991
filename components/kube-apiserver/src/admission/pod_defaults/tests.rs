//! Tolerations and overhead, by table.

use super::*;

#[test]
fn tolerations_that_others_include_go() {
    let exists = |key: &str| json!({"key": key, "operator": "Exists"});
    let equal = |key: &str, value: &str| json!({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"});
    let seconds = |seconds: i64| json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    for (all, kept) in [
        (vec![exists("a"), exists("a")], vec![0]),
        (vec![equal("a", "b"), exists("a")], vec![1]),
        (vec![exists("a"), equal("a", "b")], vec![0]),
        (vec![equal("a", "b"), equal("a", "c")], vec![0, 1]),
        (vec![exists("a"), exists("")], vec![1]),
        (vec![seconds(5), seconds(10)], vec![1]),
        (vec![seconds(5), exists("b")], vec![0, 1]),
    ] {
        let expected: Vec<Value> = kept.iter().map(|index: &usize| all[*index].clone()).collect();
        assert_eq!(merged_tolerations(all.clone()), expected, "{all:?}");
    }
}

#[test]
fn overhead_is_what_the_class_says() {
    let class = |overhead: Value| json!({ "overhead": overhead });
    let fixed = class(json!({"podFixed": {"cpu": "1"}}));
    let mismatch = Some("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    let unwanted = Some("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
    let (same, other) = (json!({"cpu": "1000m"}), json!({"cpu": "2"}));
    for (given, class, expected) in [
        (Some(&same), Some(&fixed), None),
        (Some(&other), Some(&fixed), mismatch),
        (None, Some(&fixed), mismatch),
        (Some(&same), Some(&class(Value::Null)), unwanted),
        (Some(&same), None, unwanted),
        (None, None, None),
    ] {
        assert_eq!(wrong_overhead(given, class), expected, "{given:?} {class:?}");
    }
}
