//! Decisions by table.

use super::*;
use api::quota::Surroundings;

fn counter(plural: &str) -> Counter<'_> {
    Counter {
        group: "",
        plural,
        surroundings: Surroundings {
            now: 0,
            pod_level: true,
            devices: None,
        },
    }
}

fn quota(name: &str, spec: Value, hard: Value, used: Value) -> Arc<Value> {
    Arc::new(json!({"metadata": {"name": name}, "spec": spec, "status": {"hard": hard, "used": used}}))
}

fn pod(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn limited(told: Value) -> Vec<Limited> {
    super::super::limited::read(json!({ "limitedResources": told })).unwrap()
}

/// The charges in short, or the refusal.
fn outcome(
    plural: &str,
    object: &Value,
    old: Option<&Value>,
    enforced: bool,
    quotas: &[Arc<Value>],
    limited: &[Limited],
) -> Value {
    let change = Change {
        counter: counter(plural),
        object,
        old,
        enforced,
    };
    match decide(&change, quotas, limited) {
        Ok(charges) => charges
            .iter()
            .map(|(index, more)| {
                let more = more
                    .iter()
                    .map(|(name, amount)| (name.clone(), json!(amount.to_string())));
                json!([index, more.collect::<serde_json::Map<_, _>>()])
            })
            .collect(),
        Err(Refusal::Forbidden(why)) => json!(why),
        Err(Refusal::Uncovered(why)) => json!({ "failure": why }),
    }
}

#[test]
fn new_objects() {
    let none = json!({});
    let cpu = |hard: &str, used: &str| {
        quota(
            "q",
            json!({}),
            json!({"cpu": hard, "pods": "5"}),
            json!({"cpu": used, "pods": "1"}),
        )
    };
    let best_effort = |used: Value| quota("b", json!({"scopes": ["BestEffort"]}), json!({"pods": "1"}), used);
    for (what, plural, object, quotas, expected) in [
        (
            "fits",
            "pods",
            pod("1"),
            vec![cpu("2", "500m")],
            json!([[0, {"cpu": "1", "pods": "1"}]]),
        ),
        (
            "too much",
            "pods",
            pod("2"),
            vec![cpu("2", "500m")],
            json!("exceeded quota: q, requested: cpu=2, used: cpu=500m, limited: cpu=2"),
        ),
        (
            "several",
            "pods",
            pod("2"),
            vec![quota(
                "q",
                none.clone(),
                json!({"cpu": "1", "pods": "1", "count/pods": "9"}),
                json!({"cpu": "0", "pods": "1", "count/pods": "1"}),
            )],
            json!("exceeded quota: q, requested: cpu=2,pods=1, used: cpu=0,pods=1, limited: cpu=1,pods=1"),
        ),
        (
            "says nothing",
            "pods",
            json!({"spec": {"containers": [{"name": "c"}]}}),
            vec![cpu("2", "0")],
            json!("failed quota: q: must specify cpu for: c"),
        ),
        (
            "not counted yet",
            "pods",
            pod("1"),
            vec![quota(
                "q",
                none.clone(),
                json!({"pods": "1", "cpu": "1"}),
                json!({"cpu": "0"}),
            )],
            json!("status unknown for quota: q, resources: cpu,pods"),
        ),
        (
            "another scope",
            "pods",
            pod("1"),
            vec![best_effort(json!({}))],
            json!([]),
        ),
        (
            "no status",
            "pods",
            pod("1"),
            vec![quota(
                "q",
                json!({"hard": {"pods": "0"}}),
                Value::Null,
                Value::Null,
            )],
            json!([]),
        ),
        (
            "another kind",
            "services",
            json!({}),
            vec![cpu("0", "0"), best_effort(json!({}))],
            json!([]),
        ),
        (
            "each of two quotas is asked before one is charged",
            "pods",
            pod("1"),
            vec![
                cpu("2", "0"),
                quota("z", none.clone(), json!({"pods": "0"}), json!({"pods": "0"})),
            ],
            json!("exceeded quota: z, requested: pods=1, used: pods=0, limited: pods=0"),
        ),
        (
            "negative",
            "pods",
            pod("-1"),
            vec![cpu("2", "0")],
            json!("quota usage is negative for resource(s): cpu,requests.cpu"),
        ),
    ] {
        assert_eq!(
            outcome(plural, &object, None, true, &quotas, &[]),
            expected,
            "{what}"
        );
    }
}

#[test]
fn changed_objects() {
    let full = quota(
        "q",
        json!({}),
        json!({"services.nodeports": "1"}),
        json!({"services.nodeports": "1"}),
    );
    let service =
        |kind: &str, ports: usize| json!({"spec": {"type": kind, "ports": vec![json!({"port": 1}); ports]}});
    let refused = |more: &str| {
        json!(format!(
            "exceeded quota: q, requested: services.nodeports={more}, used: services.nodeports=1, limited: services.nodeports=1"
        ))
    };
    for (old, new, expected) in [
        (service("NodePort", 1), service("NodePort", 1), json!([])),
        (service("NodePort", 2), service("NodePort", 1), json!([])),
        (service("NodePort", 1), service("NodePort", 3), refused("2")),
        (service("ClusterIP", 3), service("NodePort", 3), refused("3")),
    ] {
        let found = outcome(
            "services",
            &new,
            Some(&old),
            true,
            std::slice::from_ref(&full),
            &[],
        );
        assert_eq!(found, expected, "{old} {new}");
    }
    // What comes into a scope counts in full, and a status is never refused.
    let gold = quota(
        "g",
        json!({"scopes": ["VolumeAttributesClass"]}),
        json!({"persistentvolumeclaims": "1"}),
        json!({"persistentvolumeclaims": "1"}),
    );
    let claim = |class: &str| json!({"status": {"currentVolumeAttributesClassName": class}});
    for (old, new, enforced, expected) in [
        (claim("gold"), claim("gold"), true, json!([])),
        (claim("gold"), claim("iron"), true, json!([])),
        (
            claim(""),
            claim("gold"),
            false,
            json!([[0, {"persistentvolumeclaims": "1"}]]),
        ),
        (
            claim(""),
            claim("gold"),
            true,
            json!(
                "exceeded quota: g, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=1, limited: persistentvolumeclaims=1"
            ),
        ),
    ] {
        let quotas = std::slice::from_ref(&gold);
        let found = outcome("persistentvolumeclaims", &new, Some(&old), enforced, quotas, &[]);
        assert_eq!(found, expected, "{old} {new}");
    }
}

#[test]
fn limited_resources_need_a_quota() {
    let in_classes = json!({"scopeName": "PriorityClass", "operator": "In", "values": ["a", "b"]});
    let storage = limited(json!([{"resource": "pods", "matchContains": ["cpu"]}]));
    let scoped = limited(json!([{"resource": "pods", "matchScopes": [in_classes]}]));
    let of_class = |class: &str| {
        let mut pod = pod("1");
        pod["spec"]["priorityClassName"] = json!(class);
        pod
    };
    let cpu = quota(
        "q",
        json!({}),
        json!({"cpu": "5", "requests.cpu": "5"}),
        json!({"cpu": "0", "requests.cpu": "0"}),
    );
    let all = quota(
        "a",
        json!({"scopeSelector": {"matchExpressions": [in_classes]}}),
        json!({"pods": "5"}),
        json!({"pods": "0"}),
    );
    for (what, object, quotas, limited, expected) in [
        (
            "no quota",
            pod("1"),
            vec![],
            &storage,
            json!("insufficient quota to consume: cpu,requests.cpu"),
        ),
        ("nothing used", pod("0"), vec![], &storage, json!([])),
        (
            "covered",
            pod("1"),
            vec![cpu],
            &storage,
            json!([[0, {"cpu": "1", "requests.cpu": "1"}]]),
        ),
        (
            "no quota of the scope",
            of_class("b"),
            vec![],
            &scoped,
            json!({"failure": "insufficient quota to match these scopes: [{PriorityClass In [a b]}]"}),
        ),
        ("another class", of_class("c"), vec![], &scoped, json!([])),
        (
            "a quota of the scope",
            of_class("a"),
            vec![all],
            &scoped,
            json!([[0, {"pods": "1"}]]),
        ),
    ] {
        assert_eq!(
            outcome("pods", &object, None, true, &quotas, limited),
            expected,
            "{what}"
        );
    }
}

#[test]
fn a_quota_fills_up() {
    let mut quota =
        json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "2"}, "used": {"pods": "1"}}});
    let more = counter("pods").usage(&json!({"spec": {}}));
    add_to(&mut quota, &more, true).unwrap();
    assert_eq!(quota["status"]["used"], json!({"pods": "2"}));
    assert_eq!(
        add_to(&mut quota, &more, true).unwrap_err(),
        "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    );
    add_to(&mut quota, &more, false).unwrap();
    assert_eq!(quota["status"]["used"], json!({"pods": "3"}));
}
