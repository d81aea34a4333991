//! What mutating webhooks may make of an object's type, name, namespace and version.

use crate::bench::{Bench, MAPS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use testkit::webhook::{Answer, Seen};

/// Patches an object as its annotation says.
fn answer(seen: &Seen) -> Answer {
    let request = &seen.body["request"];
    let mut response = json!({"uid": request["uid"], "allowed": seen.path != "/deny"});
    if let Some(patch) = request["object"]["metadata"]["annotations"]["patch"].as_str() {
        response["patch"] = json!(STANDARD.encode(patch));
        response["patchType"] = json!("JSONPatch");
    }
    Answer::ok(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}))
}

async fn bench() -> Bench {
    let bench = Bench::start(answer).await;
    let everything = json!({"rules": [{
        "apiGroups": ["", "autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps", "persistentvolumes", "horizontalpodautoscalers"],
    }]});
    let hook = bench.hook("said.example.com", "/said", everything);
    bench
        .configure("MutatingWebhookConfiguration", "said", vec![hook])
        .await;
    bench
}

fn patched(name: &str, patch: &Value) -> Value {
    json!({"metadata": {"name": name, "annotations": {"patch": patch.to_string()}}, "data": {"a": "b"}})
}

#[tokio::test]
async fn a_patched_object_is_read_as_what_it_says_it_is() {
    let bench = bench().await;
    let replace = |path: &str, value: &str| json!([{"op": "replace", "path": path, "value": value}]);
    for (patch, code, message) in [
        (
            replace("/kind", "Secret"),
            500,
            "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
        ),
        (
            replace("/apiVersion", "v2"),
            500,
            "Internal error occurred: no kind \"ConfigMap\" is registered for version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            replace("/kind", "Nothing"),
            500,
            "Internal error occurred: no kind \"Nothing\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
        ),
        (
            json!([{"op": "replace", "path": "/kind", "value": "Deployment"}, {"op": "replace", "path": "/apiVersion", "value": "apps/v1"}]),
            500,
            "converting (v1.Deployment) to (core.ConfigMap): unknown conversion",
        ),
    ] {
        let (found, status, _) = bench.post(MAPS, &patched("refused", &patch)).await;
        assert_eq!((found, &status["message"]), (code, &json!(message)), "{patch}");
    }
    for field in ["kind", "apiVersion"] {
        let patch = json!([{"op": "remove", "path": format!("/{field}")}]);
        let path = format!("{MAPS}?dryRun=All");
        let (code, made, _) = bench.post(&path, &patched("untyped", &patch)).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(
            (&made["kind"], &made["apiVersion"]),
            (&json!("ConfigMap"), &json!("v1"))
        );
    }
    let patch = json!([
        {"op": "replace", "path": "/apiVersion", "value": "autoscaling/v2"},
        {"op": "remove", "path": "/spec/targetCPUUtilizationPercentage"},
        {"op": "add", "path": "/spec/metrics", "value": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]},
    ]);
    let scaler = json!({
        "metadata": {"name": "h", "annotations": {"patch": patch.to_string()}},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}},
    });
    let scalers = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let (code, made, _) = bench.post(scalers, &scaler).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["apiVersion"], "autoscaling/v1");
    assert_eq!(
        made["spec"]["targetCPUUtilizationPercentage"], 70,
        "another version of the same kind will do"
    );
}

#[tokio::test]
async fn which_object_is_changed_is_not_for_webhooks_to_say() {
    let bench = bench().await;
    let path = format!("{MAPS}/kept");
    let plain = json!({"metadata": {"name": "kept"}, "data": {"a": "b"}});
    assert_eq!(bench.post(MAPS, &plain).await.0, 201);
    let replace = |path: &str, value: &str| json!([{"op": "add", "path": path, "value": value}]);
    for (patch, code, message) in [
        (
            replace("/metadata/name", "other"),
            422,
            "ConfigMap \"other\" is invalid: metadata.name: Invalid value: \"other\": field is immutable",
        ),
        (
            json!([{"op": "remove", "path": "/metadata/name"}]),
            422,
            "ConfigMap \"\" is invalid: [metadata.name: Required value: name or generateName is required, metadata.name: Invalid value: \"\": field is immutable]",
        ),
        (
            replace("/metadata/resourceVersion", "1"),
            409,
            "Operation cannot be fulfilled on configmaps \"kept\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            replace("/metadata/namespace", "elsewhere"),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
    ] {
        let change = patched("kept", &patch);
        let (put, status, _) = bench.send("PUT", &path, "application/json", Some(&change)).await;
        assert_eq!((put, &status["message"]), (code, &json!(message)), "{patch}");
        let (merged, status, _) = bench.merge(&path, &change).await;
        assert_eq!((merged, &status["message"]), (code, &json!(message)), "{patch}");
    }
    let (_, before, _) = bench.send("GET", &path, "application/json", None).await;
    let stale = json!({"metadata": {"name": "kept", "resourceVersion": before["metadata"]["resourceVersion"],
        "annotations": {"patch": json!([{"op": "remove", "path": "/metadata/resourceVersion"}]).to_string()}}});
    let (code, made, _) = bench.send("PUT", &path, "application/json", Some(&stale)).await;
    assert_eq!(code, 200, "a version that isn't there is any: {made}");
}

/// Charts write namespaces into everything.
#[tokio::test]
async fn objects_of_the_cluster_lose_a_namespace() {
    let bench = bench().await;
    let volume = json!({
        "metadata": {"name": "v", "namespace": "default", "annotations": {"patch": "[{\"op\": \"add\", \"path\": \"/metadata/namespace\", \"value\": \"x\"}]"}},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}},
    });
    let volumes = "/api/v1/persistentvolumes";
    let (code, made, _) = bench.post(volumes, &volume).await;
    assert_eq!(code, 201, "{made}");
    assert!(made["metadata"].get("namespace").is_none(), "{made}");
    let path = format!("{volumes}/v");
    let (code, made, _) = bench.send("PUT", &path, "application/json", Some(&volume)).await;
    assert_eq!(code, 200, "{made}");
    assert!(made["metadata"].get("namespace").is_none(), "{made}");
}
