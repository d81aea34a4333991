//! Objects that are written: pods of 10 KB as stored, a configmap of 8 KB.

use serde_json::{Value, json};

/// Namespace of the pods that are listed.
pub const NAMESPACE: &str = "bench-api";
/// Pods that share the label `group`.
pub const GROUP: usize = 50;

/// A pod as an application with two sidecars has it: about 10 KB once the server has added its defaults.
pub fn pod(name: &str, number: usize) -> Value {
    let container = |role: &str, port: u16| {
        let environment: Vec<Value> = (0..2)
            .map(|index| json!({ "name": format!("{}_SETTING_{index}", role.to_uppercase()), "value": format!("value-of-setting-{index}-for-{name}") }))
            .chain([
                json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }),
                json!({ "name": "NODE_NAME", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } }),
            ])
            .collect();
        json!({
            "name": role,
            "image": format!("registry.example.com/team/{role}:v1.2.3"),
            "args": ["--log-level=info", format!("--listen=0.0.0.0:{port}"), "--config=/etc/app/config.yaml"],
            "env": environment,
            "ports": [{ "name": "http", "containerPort": port, "protocol": "TCP" }],
            "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "512Mi" } },
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": port }, "periodSeconds": 10, "timeoutSeconds": 2 },
            "livenessProbe": { "httpGet": { "path": "/livez", "port": port }, "initialDelaySeconds": 15, "periodSeconds": 20 },
            "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
            "volumeMounts": [{ "name": "config", "mountPath": "/etc/app", "readOnly": true }, { "name": "scratch", "mountPath": "/tmp" }],
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": "bench", "app.kubernetes.io/instance": format!("bench-{}", number % 20),
                "app.kubernetes.io/version": "1.2.3", "group": format!("g{}", number / GROUP),
            },
            "annotations": {
                "prometheus.io/scrape": "true", "prometheus.io/port": "8080",
                "example.com/checksum": "d2f0c5b5a2ec7a0f9cbb31a5a6b5ce9dd2f0c5b5a2ec7a0f9cbb31a5a6b5ce9d",
            },
        },
        "spec": {
            "serviceAccountName": "default",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 30,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 1000 },
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "bench", "effect": "NoSchedule" }],
            "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app.kubernetes.io/name": "bench" } } },
            }] } },
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": { "app.kubernetes.io/name": "bench" } },
            }],
            "containers": [container("server", 8080), container("proxy", 8081), container("metrics", 8082)],
            "volumes": [{ "name": "config", "configMap": { "name": "bench-config" } }, { "name": "scratch", "emptyDir": { "sizeLimit": "64Mi" } }],
        },
    })
}

/// A configmap with 8 KB of data in 16 keys.
pub fn configmap(name: &str, number: usize) -> Value {
    let data: serde_json::Map<String, Value> = (0..16)
        .map(|key| {
            let line = format!("setting-{key} = value of run {number:08}\n");
            let text: String = line.chars().cycle().take(500).collect();
            (format!("file-{key}.conf"), Value::from(text))
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": NAMESPACE }, "data": data,
    })
}
