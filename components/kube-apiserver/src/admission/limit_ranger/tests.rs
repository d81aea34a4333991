//! Defaults and bounds by table.

use super::*;

#[test]
fn bounds_on_both_sides_and_their_ratio() {
    let limit = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "4"}});
    let range = json!({"spec": {"limits": [limit]}});
    for (requests, limits, expected) in [
        (json!({"cpu": "500m"}), json!({"cpu": "2"}), vec![]),
        (
            json!({"cpu": "50m"}),
            json!({"cpu": "100m"}),
            vec!["minimum cpu usage per Container is 100m, but request is 50m"],
        ),
        (
            json!({"cpu": "100m"}),
            json!({"cpu": "50m"}),
            vec!["minimum cpu usage per Container is 100m, but limit is 50m"],
        ),
        (
            json!({"cpu": "1000m"}),
            json!({"cpu": "3000m"}),
            vec!["maximum cpu usage per Container is 2, but limit is 3"],
        ),
        (
            json!({"cpu": "3"}),
            json!({"cpu": "2"}),
            vec!["maximum cpu usage per Container is 2, but request is 3"],
        ),
        (
            json!({"cpu": "200m"}),
            json!({"cpu": "2"}),
            vec!["cpu max limit to request ratio per Container is 4, but provided ratio is 10.000000"],
        ),
        (
            json!({"cpu": "200m"}),
            json!({}),
            vec![
                "maximum cpu usage per Container is 2.  No limit is specified",
                "cpu max limit to request ratio per Container is 4, but no limit is specified or limit is 0",
            ],
        ),
        (
            json!({}),
            json!({}),
            vec![
                "minimum cpu usage per Container is 100m.  No request is specified",
                "maximum cpu usage per Container is 2.  No limit is specified",
                "cpu max limit to request ratio per Container is 4, but no request is specified or request is 0",
            ],
        ),
    ] {
        let container = json!({"resources": {"requests": requests, "limits": limits}});
        // A second container that breaks the same is no second problem.
        let pod = json!({"spec": {"containers": [container], "initContainers": [container]}});
        assert_eq!(broken_by_pod(&range, &pod, true), expected, "{pod}");
    }
}

#[test]
fn bounds_of_pods() {
    let range = json!({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}});
    let limits = |cpu: &str| json!({"resources": {"limits": {"cpu": cpu}, "requests": {"cpu": "1"}}});
    let sidecar = |cpu: &str| {
        let mut container = limits(cpu);
        container["restartPolicy"] = json!("Always");
        container
    };
    for (spec, pod_level, expected) in [
        (json!({"containers": [limits("1"), limits("1")]}), true, None),
        (
            json!({"containers": [limits("1"), limits("2")]}),
            true,
            Some("limit is 3"),
        ),
        (
            json!({"containers": [limits("1")], "initContainers": [limits("2")]}),
            true,
            None,
        ),
        (
            json!({"containers": [limits("1")], "initContainers": [sidecar("1"), limits("2")]}),
            true,
            Some("limit is 3"),
        ),
        (
            json!({"containers": [limits("1")], "overhead": {"cpu": "5"}}),
            true,
            None,
        ),
        (
            json!({"resources": {"limits": {"cpu": "3"}}, "containers": [limits("1")]}),
            true,
            Some("limit is 3"),
        ),
        (
            json!({"resources": {"limits": {"cpu": "3"}}, "containers": [limits("1")]}),
            false,
            None,
        ),
    ] {
        let expected: Vec<String> = expected
            .iter()
            .map(|what| format!("maximum cpu usage per Pod is 2, but {what}"))
            .collect();
        let pod = json!({ "spec": spec });
        assert_eq!(broken_by_pod(&range, &pod, pod_level), expected, "{pod}");
    }
}

#[test]
fn bounds_of_claims() {
    let limit = json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}, "maxLimitRequestRatio": {"storage": "1"}});
    let range = json!({"spec": {"limits": [limit, {"type": "Pod", "max": {"storage": "1"}}]}});
    for (requests, expected) in [
        (json!({"storage": "2Gi"}), vec![]),
        (
            json!({"storage": "512Mi"}),
            vec!["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"],
        ),
        (
            json!({"storage": "3Gi"}),
            vec!["maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"],
        ),
        (
            json!({}),
            vec![
                "minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified",
                "maximum storage usage per PersistentVolumeClaim is 2Gi.  No request is specified",
            ],
        ),
    ] {
        let claim = json!({"spec": {"resources": {"requests": requests}}});
        assert_eq!(broken_by_claim(&range, &claim), expected, "{claim}");
    }
}

#[test]
fn defaults() {
    let range = |limit: Value| json!({"spec": {"limits": [limit]}});
    let both = range(
        json!({"type": "Container", "default": {"memory": "1Gi", "cpu": "1"}, "defaultRequest": {"cpu": "100m"}}),
    );
    let mut pod = json!({"spec": {
        "containers": [{"name": "a", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}}, {"name": "b"}],
        "initContainers": [{"name": "i", "resources": {}}]}});
    fill_in(&both, &mut pod);
    let all = json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2"}})
    );
    assert_eq!(pod["spec"]["containers"][1]["resources"], all);
    assert_eq!(pod["spec"]["initContainers"][0]["resources"], all);
    assert_eq!(
        meta::annotation(&pod, "kubernetes.io/limit-ranger"),
        Some(
            "LimitRanger plugin set: memory limit for container a; cpu request for container b; cpu, memory limit for container b; \
             cpu request for init container i; cpu, memory limit for init container i"
        )
    );
    // A range with nothing to add says nothing.
    let before = pod.clone();
    fill_in(&range(json!({"type": "Pod", "default": {"cpu": "9"}})), &mut pod);
    assert_eq!(pod, before);
}
