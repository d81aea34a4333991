use serde_json::{Value, json};

pub(super) const PORT: u16 = 8080;
/// What the Secret holds; it must not be found in etcd.
pub(super) const SECRET: &str = "hardway-smoke-in-clear";

/// Collection and object of everything that the smoke test makes, in order.
pub(super) fn objects(namespace: &str, image: &str) -> Vec<(String, Value)> {
    let core = |resource: &str| format!("/api/v1/namespaces/{namespace}/{resource}");
    let apps = |resource: &str| format!("/apis/apps/v1/namespaces/{namespace}/{resource}");
    vec![
        (
            "/api/v1/namespaces".to_owned(),
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": { "name": namespace, "labels": { "app.kubernetes.io/managed-by": "hardway" } },
            }),
        ),
        (
            core("secrets"),
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "smoke" },
                "stringData": { "text": SECRET },
            }),
        ),
        (
            apps("deployments"),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
                "spec": {
                    "replicas": 2,
                    "selector": { "matchLabels": { "app": "web" } },
                    "template": pod("web", image, json!([])),
                },
            }),
        ),
        (
            core("services"),
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
                "spec": {
                    "type": "NodePort",
                    "selector": { "app": "web" },
                    "ports": [{ "port": 80, "targetPort": PORT }],
                },
            }),
        ),
        (
            apps("daemonsets"),
            json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "probe" },
                "spec": {
                    "selector": { "matchLabels": { "app": "probe" } },
                    "template": pod("probe", image, json!([{ "operator": "Exists" }])),
                },
            }),
        ),
    ]
}

fn pod(app: &str, image: &str, tolerations: Value) -> Value {
    json!({
        "metadata": { "labels": { "app": app } },
        "spec": {
            "tolerations": tolerations,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": "Never",
                "args": ["serve", PORT.to_string()],
                "ports": [{ "containerPort": PORT }],
                "readinessProbe": { "httpGet": { "path": "/", "port": PORT }, "periodSeconds": 1 },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                    "readOnlyRootFilesystem": true,
                },
            }],
        },
    })
}
