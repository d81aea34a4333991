use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use super::health::{Health, silent_conditions};
use super::plan::{Rates, ZoneState, no_execute_taints, no_schedule_taints, zone_state};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn node(ready: &str, unschedulable: bool) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n"}, "spec": {"unschedulable": unschedulable},
        "status": {"conditions": [{"type": "Ready", "status": ready}, {"type": "MemoryPressure", "status": "False"}]},
    }))
    .unwrap()
}

fn lease(second: i64) -> Lease {
    serde_json::from_value(json!({"spec": {"renewTime": format!("{}", at(second))}})).unwrap()
}

#[test]
fn a_renewed_lease_is_a_sign_of_life_whatever_its_clock_says() {
    let grace = Duration::from_secs(40);
    let first = Health::observe(None, &node("True", false), Some(&lease(5)), at(1000));
    assert!(!first.is_silent(grace, at(1040)));
    let renewed = Health::observe(Some(&first), &node("True", false), Some(&lease(6)), at(1030));
    assert!(!renewed.is_silent(grace, at(1070)));
    let silent = Health::observe(Some(&renewed), &node("True", false), Some(&lease(6)), at(1071));
    assert!(silent.is_silent(grace, at(1071)));
}

#[test]
fn a_silent_node_is_unknown_in_every_respect() {
    let conditions = silent_conditions(&node("True", false), at(9)).unwrap();
    let told: Vec<_> = conditions
        .iter()
        .map(|condition| (condition.type_.as_str(), condition.reason.as_deref().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("Ready", "NodeStatusUnknown"),
            ("MemoryPressure", "NodeStatusUnknown"),
            ("DiskPressure", "NodeStatusNeverUpdated"),
            ("PIDPressure", "NodeStatusNeverUpdated"),
        ]
    );
}

#[test]
fn taints_follow_conditions_and_leave_others_alone() {
    let mine = super::plan::taint("mine", "NoSchedule", at(0));
    let keys = |taints: Option<Vec<k8s_openapi::api::core::v1::Taint>>| -> Option<Vec<String>> {
        taints.map(|taints| taints.into_iter().map(|taint| taint.key).collect())
    };
    let cases = [
        (node("True", false), None),
        (
            node("False", false),
            Some(vec!["mine", "node.kubernetes.io/not-ready"]),
        ),
        (
            node("Unknown", true),
            Some(vec![
                "mine",
                "node.kubernetes.io/unreachable",
                "node.kubernetes.io/unschedulable",
            ]),
        ),
    ];
    for (node, want) in cases {
        let got = keys(no_schedule_taints(&node, std::slice::from_ref(&mine), at(1)));
        assert_eq!(
            got,
            want.map(|want| want.into_iter().map(str::to_owned).collect())
        );
    }
    let given_up = no_execute_taints(
        std::slice::from_ref(&mine),
        Some("node.kubernetes.io/unreachable"),
        at(1),
    )
    .unwrap();
    let swapped = no_execute_taints(&given_up, Some("node.kubernetes.io/not-ready"), at(1));
    assert_eq!(
        keys(swapped),
        Some(vec!["mine".to_owned(), "node.kubernetes.io/not-ready".to_owned()])
    );
    assert_eq!(
        keys(no_execute_taints(&given_up, None, at(1))),
        Some(vec!["mine".to_owned()])
    );
}

#[test]
fn zones_slow_down_when_many_nodes_fail_at_once() {
    let rates = Rates {
        normal: 0.1,
        reduced: 0.01,
        large_cluster: 50,
    };
    for (ready, not_ready, state, rate) in [
        (10, 0, ZoneState::Normal, 0.1),
        (1, 2, ZoneState::Normal, 0.1),
        (2, 3, ZoneState::PartialDisruption, 0.0),
        (40, 60, ZoneState::PartialDisruption, 0.01),
        (0, 1, ZoneState::FullDisruption, 0.1),
    ] {
        assert_eq!(zone_state(ready, not_ready, 0.55), state);
        assert_eq!(
            rates.of_zone(state, ready + not_ready, false),
            rate,
            "{ready} of {}",
            ready + not_ready
        );
        assert_eq!(rates.of_zone(state, ready + not_ready, true), 0.0);
    }
}
