use super::*;
use proptest::prelude::*;

fn annotation<'o>(object: &'o Value, key: &str) -> &'o str {
    meta::annotation(object, key).unwrap_or("")
}

#[test]
fn metrics_travel_in_the_words_of_v1() {
    for (v2, v1) in [
        (
            json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}),
            r#"{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}"#,
        ),
        (
            json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 60}}}),
            r#"{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":60}}"#,
        ),
        (
            json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 60}}}),
            r#"{"type":"ContainerResource","containerResource":{"name":"cpu","targetAverageUtilization":60,"container":"c"}}"#,
        ),
        (
            json!({"type": "Pods", "pods": {"metric": {"name": "m", "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "Exists"}]}}, "target": {"type": "AverageValue", "averageValue": "1k"}}}),
            r#"{"type":"Pods","pods":{"metricName":"m","targetAverageValue":"1k","selector":{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"Exists"}]}}}"#,
        ),
        (
            json!({"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"}, "metric": {"name": "a<b"}, "target": {"type": "Value", "value": "10"}}}),
            r#"{"type":"Object","object":{"target":{"kind":"Service","name":"s","apiVersion":"v1"},"metricName":"a\u003cb","targetValue":"10"}}"#,
        ),
        (
            json!({"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "5"}}}),
            r#"{"type":"External","external":{"metricName":"m","targetAverageValue":"5"}}"#,
        ),
    ] {
        assert_eq!(metrics::to_v1(&v2), v1);
        let parsed: Value = serde_json::from_str(v1).unwrap();
        assert_eq!(metrics::to_v2(&parsed), Some(v2), "{v1}");
    }
    // An average of an object comes with a value, which is zero then and not meant (kubernetes/kubernetes#87733).
    let average = json!({"type": "Object", "object": {"target": {"kind": "A", "name": "a"}, "metricName": "m", "averageValue": 3}});
    assert_eq!(
        metrics::to_v2(&average).unwrap()["object"]["target"],
        json!({"type": "AverageValue", "averageValue": "3"})
    );
}

#[test]
fn behavior_travels_with_the_names_of_gos_fields() {
    let v2 = json!({"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}], "tolerance": "50m"}});
    let internal = r#"{"ScaleUp":null,"ScaleDown":{"StabilizationWindowSeconds":60,"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}],"Tolerance":"50m"}}"#;
    assert_eq!(behavior::to_internal(&v2), internal);
    let parsed: Value = serde_json::from_str(internal).unwrap();
    assert_eq!(behavior::from_internal(&parsed), Some(v2.clone()));
    // In letters of any case, as Go reads.
    assert_eq!(behavior::from_internal(&v2), Some(v2));
    for nothing in [
        json!({}),
        json!({"ScaleUp": null}),
        json!([]),
        json!({"ScaleUp": 1}),
    ] {
        assert_eq!(behavior::from_internal(&nothing), None, "{nothing}");
    }
}

#[test]
fn what_a_client_annotates_is_read_or_dropped() {
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}});
    let external = r#"[{"type":"External","external":{"metricName":"m","targetValue":"1"}}]"#;
    for (text, count) in [
        (external, 2),
        ("[]", 1),
        ("{}", 1),
        ("x", 1),
        (r#"[{"type":"External","external":{"metricName":1}}]"#, 1),
        (r#"[{"type":"External","external":{"targetValue":"x"}}]"#, 1),
        (r#"[{"type":"Odd"}]"#, 2),
    ] {
        let mut object = json!({"metadata": {"annotations": {METRICS: text}}, "spec": {"targetCPUUtilizationPercentage": 80}});
        to_v2(&mut object);
        let metrics = object["spec"]["metrics"].as_array().unwrap();
        assert_eq!(metrics.len(), count, "{text}");
        // That of the field comes last.
        assert_eq!(metrics.last(), Some(&cpu), "{text}");
        assert!(meta::annotations(&object).is_none(), "{text}");
    }
}

#[test]
fn both_ways_lead_back() {
    let condition = json!({"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "R", "message": "m"});
    let stored = json!({
        "metadata": {"annotations": {"mine": "a"}},
        "spec": {"maxReplicas": 4, "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "1"}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
        ], "behavior": {"scaleUp": {"selectPolicy": "Disabled"}}},
        "status": {"currentReplicas": 1, "desiredReplicas": 1, "conditions": [condition], "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "5m"}}},
        ]},
    });
    let mut object = stored.clone();
    from_v2(&mut object);
    assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 80);
    assert_eq!(object["status"]["currentCPUUtilizationPercentage"], 7);
    assert_eq!(
        annotation(&object, STATUSES),
        r#"[{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":7,"currentAverageValue":"5m"}}]"#
    );
    assert_eq!(
        annotation(&object, CONDITIONS),
        r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"R","message":"m"}]"#
    );
    assert!(has_annotations(&object));
    to_v2(&mut object);
    assert_eq!(object, stored);
    drop_annotations(&mut object);
    assert_eq!(object, stored);
}

proptest! {
    #[test]
    fn whatever_is_annotated_is_read(text in "[\\[{\"a-z:,}\\] 0-9]{0,40}", key in 0..4_usize) {
        let key = [METRICS, BEHAVIOR, STATUSES, CONDITIONS][key];
        let mut object = json!({"metadata": {"annotations": {key: text}}, "spec": {}, "status": {}});
        to_v2(&mut object);
        prop_assert!(!has_annotations(&object));
    }
}
