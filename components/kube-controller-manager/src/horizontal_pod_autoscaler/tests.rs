use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HPAScalingRules, MetricStatus};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

use super::behavior::{Bounds, Rules, limit, stabilize};
use super::groups::{Delays, Groups, PodMetric, PodMetrics, group};
use super::history::History;
use super::measure::{Failed, Measured, requests};
use super::reconcile::decide;
use super::replicas::{Target, Tolerances, of_pods, of_shared_value, of_value};

const TOLERANCES: Tolerances = Tolerances { up: 0.1, down: 0.1 };

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now() - jiff::SignedDuration::from_secs(seconds)
}

fn metrics(values: &[i64]) -> PodMetrics {
    let metric = |value: &i64| PodMetric {
        value: *value,
        at: now(),
        window: Duration::from_secs(60),
    };
    values
        .iter()
        .enumerate()
        .map(|(index, value)| (format!("p{index}"), metric(value)))
        .collect()
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|index| format!("p{index}")).collect()
}

fn utilization(percent: i64, pods: usize, request: i64) -> Target {
    Target::Utilization {
        percent,
        requests: names(0..pods).into_iter().map(|name| (name, request)).collect(),
    }
}

#[test]
fn replicas_follow_the_use_of_the_pods() {
    let ready = |ready| Groups {
        ready,
        ..Groups::default()
    };
    let cases: [(&str, i32, Target, Groups, &[i64], i32); 11] = [
        (
            "above",
            3,
            utilization(30, 3, 1000),
            ready(3),
            &[300, 500, 700],
            5,
        ),
        (
            "below",
            5,
            utilization(50, 5, 1000),
            ready(5),
            &[100, 300, 500, 250, 250],
            3,
        ),
        (
            "within the tolerance",
            3,
            utilization(100, 3, 1000),
            ready(3),
            &[1010, 1030, 1020],
            3,
        ),
        (
            "average value",
            3,
            Target::Average(10_000),
            ready(3),
            &[20_000, 10_000, 30_000],
            6,
        ),
        (
            "unready pods are idle when more are needed",
            3,
            utilization(30, 3, 1000),
            Groups {
                ready: 2,
                unready: names(0..1),
                ..Groups::default()
            },
            &[100, 500, 700],
            4,
        ),
        (
            "unready pods do not count when fewer are needed",
            4,
            utilization(50, 4, 1000),
            Groups {
                ready: 3,
                unready: names(0..1),
                ..Groups::default()
            },
            &[10_000, 100, 300, 250],
            2,
        ),
        (
            "missing pods are idle when more are needed",
            4,
            utilization(100, 4, 1000),
            Groups {
                ready: 2,
                missing: names(2..4),
                ..Groups::default()
            },
            &[2000, 2100],
            4,
        ),
        (
            "missing pods use what they request when fewer are needed",
            4,
            utilization(100, 4, 1000),
            Groups {
                ready: 3,
                missing: names(3..4),
                ..Groups::default()
            },
            &[100, 100, 100],
            2,
        ),
        (
            "ignored pods do not exist",
            3,
            utilization(50, 3, 1000),
            Groups {
                ready: 2,
                ignored: names(2..3),
                ..Groups::default()
            },
            &[1000, 1000, 9000],
            4,
        ),
        (
            "nobody uses anything",
            4,
            utilization(100, 4, 1000),
            ready(4),
            &[0, 0, 0, 0],
            0,
        ),
        (
            "guesses that turn the direction change nothing",
            2,
            utilization(100, 4, 1000),
            Groups {
                ready: 1,
                missing: names(1..4),
                ..Groups::default()
            },
            &[1200],
            2,
        ),
    ];
    for (what, current, target, groups, values, want) in cases {
        let outcome = of_pods(current, &target, TOLERANCES, &groups, metrics(values)).unwrap();
        assert_eq!(outcome.replicas, want, "{what}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let all_unready = Groups {
        unready: names(0..1),
        ..Groups::default()
    };
    let error = of_pods(
        1,
        &utilization(50, 1, 1000),
        TOLERANCES,
        &all_unready,
        metrics(&[1]),
    )
    .unwrap_err();
    assert_eq!(
        error,
        "did not receive metrics for targeted pods (pods might be unready)"
    );
    let groups = Groups {
        ready: 1,
        ..Groups::default()
    };
    let error = of_pods(1, &utilization(50, 0, 0), TOLERANCES, &groups, metrics(&[1])).unwrap_err();
    assert_eq!(error, "no metrics returned matched known pods");
}

#[test]
fn one_value_for_all_pods() {
    for (current, used, target, ready, want) in [
        (3, 20_000, 10_000, 3, 6),
        (3, 10_500, 10_000, 3, 3),
        (0, 15_000, 10_000, 0, 2),
        (3, 0, 10_000, 3, 0),
    ] {
        assert_eq!(
            of_value(current, used, target, TOLERANCES, ready),
            want,
            "{used} of {target}"
        );
    }
    for (current, used, target, want) in [
        (3, 40_000, 10_000, (4, 13_334)),
        (4, 41_000, 10_000, (4, 10_250)),
        (0, 25_000, 10_000, (3, 0)),
    ] {
        assert_eq!(
            of_shared_value(current, used, target, TOLERANCES),
            want,
            "{used} of {target}"
        );
    }
}

fn pod(name: &str, phase: &str, ready: Option<(&str, i64)>, started: i64) -> Arc<Pod> {
    let conditions: Vec<_> = ready
        .iter()
        .map(|(status, seconds)| json!({"type": "Ready", "status": status, "lastTransitionTime": before(*seconds).to_string()}))
        .collect();
    let status = json!({"phase": phase, "startTime": before(started).to_string(), "conditions": conditions});
    Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap())
}

#[test]
fn pods_count_when_their_use_says_something() {
    let delays = Delays {
        cpu_initialization: Duration::from_secs(300),
        initial_readiness: Duration::from_secs(30),
    };
    let one = |pod: Arc<Pod>, cpu: bool, measured: bool| {
        let name = pod.metadata.name.clone().unwrap();
        let metric = PodMetric {
            value: 1,
            at: before(10),
            window: Duration::from_secs(60),
        };
        let found: PodMetrics = measured.then_some((name, metric)).into_iter().collect();
        let groups = group(&[pod], &found, cpu, delays, now());
        (
            groups.ready,
            groups.unready.len(),
            groups.missing.len(),
            groups.ignored.len(),
        )
    };
    let (ready, unready, missing, ignored) = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1));
    for (what, pod, cpu, measured, want) in [
        (
            "running",
            pod("p", "Running", Some(("True", 900)), 1000),
            true,
            true,
            ready,
        ),
        ("failed", pod("p", "Failed", None, 1000), true, true, ignored),
        ("pending", pod("p", "Pending", None, 1), true, true, unready),
        (
            "not measured",
            pod("p", "Running", Some(("True", 900)), 1000),
            true,
            false,
            missing,
        ),
        (
            "young, measured while ready",
            pod("p", "Running", Some(("True", 100)), 200),
            true,
            true,
            ready,
        ),
        (
            "young, the window began before it was ready",
            pod("p", "Running", Some(("True", 30)), 200),
            true,
            true,
            unready,
        ),
        (
            "young and not ready, memory",
            pod("p", "Running", Some(("False", 30)), 200),
            false,
            true,
            ready,
        ),
        (
            "never ready",
            pod("p", "Running", Some(("False", 990)), 1000),
            true,
            true,
            unready,
        ),
        (
            "was ready once",
            pod("p", "Running", Some(("False", 500)), 1000),
            true,
            true,
            ready,
        ),
        (
            "no condition yet",
            pod("p", "Running", None, 1000),
            true,
            true,
            unready,
        ),
    ] {
        assert_eq!(one(pod, cpu, measured), want, "{what}");
    }
}

fn rules(text: serde_json::Value) -> HPAScalingRules {
    serde_json::from_value(text).unwrap()
}

#[test]
fn recommendations_are_stabilized() {
    let history = History {
        recommendations: vec![(before(400), 9), (before(100), 5), (before(10), 2)],
        ..History::default()
    };
    let none = Rules {
        up: None,
        down: None,
        down_window: 300,
    };
    let (up, down) = (
        rules(json!({"stabilizationWindowSeconds": 60})),
        rules(json!({"stabilizationWindowSeconds": 30})),
    );
    let both = Rules {
        up: Some(&up),
        down: Some(&down),
        down_window: 300,
    };
    for (desired, current, rules, want, reason) in [
        (3, 5, &none, 5, "ScaleDownStabilized"),
        (6, 5, &none, 6, "ReadyForNewScale"),
        (1, 5, &both, 2, "ScaleDownStabilized"),
        (8, 5, &both, 5, "ScaleUpStabilized"),
        (5, 5, &both, 5, "ReadyForNewScale"),
    ] {
        let (number, verdict) = stabilize(desired, current, rules, &history, now());
        assert_eq!((number, verdict.1), (want, reason), "{desired} from {current}");
    }
}

#[test]
fn changes_are_limited() {
    let none = Rules {
        up: None,
        down: None,
        down_window: 300,
    };
    let up = rules(
        json!({"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]}),
    );
    let down = rules(
        json!({"selectPolicy": "Min", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}]}),
    );
    let off = rules(json!({"selectPolicy": "Disabled"}));
    let policies = Rules {
        up: Some(&up),
        down: Some(&down),
        down_window: 300,
    };
    let disabled = Rules {
        up: Some(&off),
        down: Some(&off),
        down_window: 300,
    };
    let fresh = History::default();
    let busy = History {
        increases: vec![(before(30), 3)],
        decreases: vec![(before(30), 1)],
        ..History::default()
    };
    let bounds = |current, min, max| Bounds { current, min, max };
    for (desired, bounds, rules, history, want, reason) in [
        (7, bounds(3, 1, 100), &none, &fresh, 6, "ScaleUpLimit"),
        (3, bounds(1, 1, 100), &none, &fresh, 3, "DesiredWithinRange"),
        (7, bounds(5, 1, 6), &none, &fresh, 6, "TooManyReplicas"),
        (1, bounds(9, 2, 10), &none, &fresh, 2, "TooFewReplicas"),
        (3, bounds(9, 2, 10), &none, &fresh, 3, "DesiredWithinRange"),
        (20, bounds(10, 1, 100), &policies, &fresh, 15, "ScaleUpLimit"),
        (20, bounds(10, 1, 12), &policies, &fresh, 12, "TooManyReplicas"),
        // There were 8 a minute ago, so 12 are allowed, and 7.
        (20, bounds(10, 1, 100), &policies, &busy, 12, "ScaleUpLimit"),
        (2, bounds(10, 1, 100), &policies, &fresh, 9, "ScaleDownLimit"),
        (2, bounds(10, 1, 100), &policies, &busy, 7, "ScaleDownLimit"),
        (20, bounds(10, 1, 100), &disabled, &fresh, 10, "ScaleUpLimit"),
        (2, bounds(10, 1, 100), &disabled, &fresh, 10, "ScaleDownLimit"),
        (
            10,
            bounds(10, 1, 100),
            &policies,
            &fresh,
            10,
            "DesiredWithinRange",
        ),
    ] {
        let (number, verdict) = limit(desired, bounds, rules, history, now());
        assert_eq!((number, verdict.1), (want, reason), "{desired} within {bounds:?}");
    }
}

proptest! {
    #[test]
    fn the_result_is_within_the_bounds(desired in 0..200_i32, current in 1..50_i32, min in 1..10_i32, width in 0..50_i32) {
        let rules = Rules { up: None, down: None, down_window: 300 };
        let bounds = Bounds { current: current.clamp(min, min + width), min, max: min + width };
        let (number, _) = limit(desired, bounds, &rules, &History::default(), now());
        prop_assert!(number >= bounds.min && number <= bounds.max, "{number} for {bounds:?}");
    }
}

#[test]
fn requests_are_those_of_all_containers() {
    let pod = |spec: serde_json::Value| {
        Arc::new(serde_json::from_value::<Pod>(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    };
    let own = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
    let sidecar = json!({"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "5m"}}});
    let whole = pod(
        json!({"initContainers": [sidecar, {"name": "i"}], "containers": [own("a", "100m"), own("b", "1")]}),
    );
    let of = |container| requests(std::slice::from_ref(&whole), "cpu", container);
    assert_eq!(of(None).unwrap(), BTreeMap::from([("p".to_owned(), 1105)]));
    assert_eq!(of(Some("a")).unwrap(), BTreeMap::from([("p".to_owned(), 100)]));
    let error = requests(&[pod(json!({"containers": [{"name": "a"}]}))], "cpu", None).unwrap_err();
    assert_eq!(error, "missing request for cpu in container a of Pod p");
}

#[test]
fn the_highest_metric_decides() {
    let ok = |replicas, name: &str| {
        Ok(Measured {
            replicas,
            name: name.to_owned(),
            status: MetricStatus::default(),
        })
    };
    let failed = || {
        Err(Failed {
            reason: "FailedGetResourceMetric",
            message: "gone".to_owned(),
        })
    };
    for (answers, want, reason) in [
        (vec![ok(3, "a"), ok(5, "b")], Some((5, "b")), "ValidMetricFound"),
        (vec![failed(), ok(5, "b")], Some((5, "b")), "ValidMetricFound"),
        (vec![failed(), ok(2, "b")], None, "FailedGetResourceMetric"),
        (vec![failed()], None, "FailedGetResourceMetric"),
        (vec![], None, "InvalidMetricSourceType"),
    ] {
        let (answer, active) = decide(answers, 4);
        assert_eq!(
            answer.ok().map(|(replicas, name, _)| (replicas, name)),
            want.map(|(replicas, name)| (replicas, name.to_owned()))
        );
        assert_eq!(active.1, reason);
    }
}
