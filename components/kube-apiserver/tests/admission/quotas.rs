//! Quotas and limit ranges, over the wire.

use crate::bench::Bench;
use serde_json::{Value, json};
use testkit::webhook::Answer;

const DEFAULT: &str = "/api/v1/namespaces/default";

fn pod(name: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}})
}

async fn bench(flags: &[&str]) -> Bench {
    let bench = Bench::with(flags, |_| Answer::ok(json!({}))).await;
    let account = json!({"metadata": {"name": "default"}});
    let (code, answer, _) = bench.post(&format!("{DEFAULT}/serviceaccounts"), &account).await;
    assert_eq!(code, 201, "{answer}");
    bench
}

async fn quota(bench: &Bench, name: &str, hard: Value, used: Value) {
    let made = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    let (code, answer, _) = bench.post(&format!("{DEFAULT}/resourcequotas"), &made).await;
    assert_eq!(code, 201, "{answer}");
    let status = json!({"status": {"hard": hard, "used": used}});
    let path = format!("{DEFAULT}/resourcequotas/{name}/status");
    let (code, answer, _) = bench.merge(&path, &status).await;
    assert_eq!(code, 200, "{answer}");
}

async fn used(bench: &Bench, name: &str) -> Value {
    let path = format!("{DEFAULT}/resourcequotas/{name}");
    let (_, quota, _) = bench.send("GET", &path, "application/json", None).await;
    quota["status"]["used"].clone()
}

/// One quota was charged before another refused.
#[tokio::test]
async fn no_quota_is_charged_for_what_another_refuses_and_resizes_are_counted() {
    let bench = bench(&[]).await;
    quota(
        &bench,
        "a",
        json!({"requests.cpu": "3"}),
        json!({"requests.cpu": "0"}),
    )
    .await;
    quota(&bench, "b", json!({"pods": "1"}), json!({"pods": "0"})).await;
    let pods = format!("{DEFAULT}/pods");
    let (code, answer, _) = bench.post(&pods, &pod("p", "1")).await;
    assert_eq!(code, 201, "{answer}");
    // Admission charges what it knows of: a consistent read waits until that is the newest.
    assert_eq!(used(&bench, "b").await, json!({"pods": "1"}));
    let path = format!("{DEFAULT}/resourcequotas/b");
    let (_, b, _) = bench.send("GET", &path, "application/json", None).await;
    let owned = json!({"f:status": {"f:used": {"f:pods": {}}}});
    let entries = b["metadata"]["managedFields"].as_array().unwrap();
    let charged = |entry: &&Value| entry["manager"] == "kube-apiserver" && entry["subresource"] == "status";
    let entry = entries.iter().find(charged);
    assert_eq!(entry.unwrap()["fieldsV1"], owned, "{b}");
    for (name, cpu, why) in [
        (
            "q",
            "1",
            "exceeded quota: b, requested: pods=1, used: pods=1, limited: pods=1",
        ),
        (
            "r",
            "5",
            "exceeded quota: a, requested: requests.cpu=5, used: requests.cpu=1, limited: requests.cpu=3",
        ),
    ] {
        let (code, answer, _) = bench.post(&pods, &pod(name, cpu)).await;
        assert_eq!(code, 403, "{answer}");
        assert_eq!(answer["message"], format!("pods \"{name}\" is forbidden: {why}"));
    }
    assert_eq!(used(&bench, "a").await, json!({"requests.cpu": "1"}));
    for (cpu, code, sum) in [("2", 200, "2"), ("4", 403, "2"), ("1", 200, "2")] {
        let resized = json!({"spec": pod("p", cpu)["spec"]});
        let (found, answer, _) = bench.merge(&format!("{pods}/p/resize"), &resized).await;
        assert_eq!(found, code, "{cpu}: {answer}");
        assert_eq!(used(&bench, "a").await, json!({"requests.cpu": sum}), "{cpu}");
    }
}

#[tokio::test]
async fn limited_resources_need_a_quota() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admission");
    let limited = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "ResourceQuotaConfiguration",
        "limitedResources": [
            {"resource": "pods", "matchContains": ["requests.cpu"]},
            {"resource": "pods", "matchScopes": [{"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}]},
        ],
    });
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{"name": "ResourceQuota", "configuration": limited}],
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let bench = bench(&[&format!("--admission-control-config-file={}", file.display())]).await;
    let pods = format!("{DEFAULT}/pods");
    let (code, answer, _) = bench.post(&pods, &pod("p", "1")).await;
    assert_eq!(code, 403, "{answer}");
    assert_eq!(
        answer["message"],
        "pods \"p\" is forbidden: insufficient quota to consume: requests.cpu"
    );
    let mut critical = pod("p", "0");
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    let (code, answer, _) = bench.post(&pods, &critical).await;
    assert_eq!(code, 500, "{answer}");
    assert_eq!(
        answer["message"],
        "insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]"
    );
    quota(
        &bench,
        "a",
        json!({"requests.cpu": "3"}),
        json!({"requests.cpu": "0"}),
    )
    .await;
    // Admission looks into the cache, and asks anew before it refuses.
    let (code, answer, _) = bench.post(&pods, &pod("p", "1")).await;
    assert_eq!(code, 201, "{answer}");
}

#[tokio::test]
async fn a_resize_is_within_the_limit_ranges() {
    let bench = bench(&[]).await;
    let pods = format!("{DEFAULT}/pods");
    let mut made = pod("p", "1");
    made["spec"]["containers"][0]["resources"]["limits"] = json!({"cpu": "1"});
    let (code, answer, _) = bench.post(&pods, &made).await;
    assert_eq!(code, 201, "{answer}");
    let range =
        json!({"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}});
    let (code, answer, _) = bench.post(&format!("{DEFAULT}/limitranges"), &range).await;
    assert_eq!(code, 201, "{answer}");
    // Admission looks into the cache; a consistent read waits until it is there.
    bench
        .send("GET", &format!("{DEFAULT}/limitranges"), "application/json", None)
        .await;
    for (cpu, expected) in [("2", 200), ("3", 403)] {
        let mut resized = pod("p", cpu);
        resized["spec"]["containers"][0]["resources"]["limits"] = json!({ "cpu": cpu });
        let body = json!({"spec": resized["spec"]});
        let (code, answer, _) = bench.merge(&format!("{pods}/p/resize"), &body).await;
        assert_eq!(code, expected, "{cpu}: {answer}");
        if code == 403 {
            assert_eq!(
                answer["message"],
                "pods \"p\" is forbidden: maximum cpu usage per Container is 2, but limit is 3"
            );
        }
    }
}
