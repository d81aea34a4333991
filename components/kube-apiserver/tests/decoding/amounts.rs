//! What the server makes of quantities, and of lists and optional fields that aren't given but always written.

use crate::Bench;
use serde_json::{Value, json};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

#[tokio::test]
async fn quantities_are_kept_or_rounded_as_upstream_does() {
    let bench = Bench::start().await;
    let quota = |name: &str, hard: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {{"name": "{name}"}}, "spec": {{"hard": {hard}}}}}"#
        )
    };
    let hard = r#"{"cpu": 1e3, "memory": "12E", "requests.cpu": "500u", "pods": 12345678901234567890123, "limits.cpu": "+5"}"#;
    let made = bench
        .send("POST", QUOTAS, "application/json", &quota("json", hard))
        .await;
    assert_eq!(
        made.body["spec"]["hard"],
        json!({"cpu": "1e3", "memory": "12E", "requests.cpu": "1m", "pods": "12345678901234567890123", "limits.cpu": "+5"}),
        "{}",
        made.body
    );
    let made = bench
        .send(
            "POST",
            QUOTAS,
            "application/yaml",
            &quota("yaml", r#"{"cpu": 1e3}"#),
        )
        .await;
    assert_eq!(made.body["spec"]["hard"], json!({"cpu": "1k"}), "{}", made.body);
    for (media, hard) in [
        ("application/merge-patch+json", r#"{"requests.cpu": "1500u"}"#),
        (
            "application/strategic-merge-patch+json",
            r#"{"requests.cpu": "1001u"}"#,
        ),
    ] {
        let path = format!("{QUOTAS}/json");
        let patch = format!(r#"{{"spec": {{"hard": {hard}}}}}"#);
        let changed = bench.send("PATCH", &path, media, &patch).await;
        assert_eq!(
            changed.body["spec"]["hard"]["requests.cpu"], "2m",
            "{}",
            changed.body
        );
    }

    let container = json!({"name": "c", "image": "i", "resources": {"limits": {"cpu": "100n"}, "requests": {"cpu": "0.0001"}}});
    let volume = json!({"name": "v", "emptyDir": {"sizeLimit": "0.5"}});
    let template = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"},
        "template": {"spec": {"containers": [container], "volumes": [volume]}},
    });
    let made = bench
        .post("/api/v1/namespaces/default/podtemplates", &template)
        .await;
    let spec = &made.body["template"]["spec"];
    assert_eq!(
        spec["containers"][0]["resources"],
        json!({"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}})
    );
    assert_eq!(spec["volumes"][0]["emptyDir"], json!({"sizeLimit": "500m"}));
    let class = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "r"}, "handler": "h",
        "overhead": {"podFixed": {"cpu": "500u"}},
    });
    let made = bench.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await;
    assert_eq!(made.body["overhead"], json!({"podFixed": {"cpu": "500u"}}));
}

#[tokio::test]
async fn what_is_always_written_is_null_when_it_is_not_given() {
    let bench = Bench::start().await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"images": [{"sizeBytes": 5}]}});
    let made = bench.post("/api/v1/nodes", &node).await;
    assert_eq!(
        made.body["status"]["images"],
        json!([{"names": null, "sizeBytes": 5}])
    );
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "p"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "azureFile": {"secretName": "s", "shareName": "h"}},
    });
    let made = bench.post("/api/v1/persistentvolumes", &volume).await;
    assert_eq!(
        made.body["spec"]["azureFile"],
        json!({"secretName": "s", "shareName": "h", "secretNamespace": null})
    );
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "f"},
        "spec": {
            "priorityLevelConfiguration": {"name": "exempt"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "u"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true}],
            }],
        },
    });
    let path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let made = bench.post(path, &schema).await;
    let rule = &made.body["spec"]["rules"][0]["resourceRules"][0];
    assert_eq!(rule.get("namespaces"), Some(&Value::Null), "{}", made.body);
}
