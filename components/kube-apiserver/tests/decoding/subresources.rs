//! Evictions, scales, tokens and reviews: what they take and what they answer.

use super::{Answered, Bench};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MERGE: &str = "application/merge-patch+json";

fn message(answered: &Answered) -> &str {
    answered.body["message"].as_str().unwrap_or("")
}

/// The answer, whatever it is.
async fn post(bench: &Bench, path: &str, body: &Value) -> Answered {
    bench
        .send("POST", path, "application/json", &body.to_string())
        .await
}

async fn made(bench: &Bench, path: &str, object: Value) -> Value {
    bench.post(path, &object).await.body
}

/// A pod that runs and is ready or not.
async fn pod(bench: &Bench, name: &str, ready: bool) -> Value {
    let pod = json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    made(bench, PODS, pod).await;
    let ready = if ready { "True" } else { "False" };
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    let path = format!("{PODS}/{name}/status");
    let answered = bench.send("PATCH", &path, MERGE, &status.to_string()).await;
    assert_eq!(answered.code, 200, "{}", answered.body);
    answered.body
}

/// A budget for the pods of an app, with a status.
async fn budget(bench: &Bench, name: &str, app: &str, status: Value) {
    let budget = json!({"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": app}}}});
    made(bench, BUDGETS, budget).await;
    let path = format!("{BUDGETS}/{name}/status");
    let status = json!({ "status": status });
    let answered = bench.send("PATCH", &path, MERGE, &status.to_string()).await;
    assert_eq!(answered.code, 200, "{}", answered.body);
}

#[tokio::test]
async fn evictions_are_answered_as_upstream_answers_them() {
    let bench = Bench::start().await;
    made(&bench, ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    for name in ["one", "two"] {
        pod(&bench, name, true).await;
    }
    let free = pod(&bench, "free", true).await;
    pod(&bench, "sick", false).await;
    let open =
        json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1});
    budget(&bench, "one", "one", open.clone()).await;
    budget(&bench, "two", "two", open.clone()).await;
    budget(&bench, "three", "two", open.clone()).await;
    let mut shut = open.clone();
    shut["disruptionsAllowed"] = json!(0);
    budget(&bench, "sick", "sick", shut).await;
    let named = |name: &str| json!({"metadata": {"name": name}});
    let with = |name: &str, options: Value| json!({"metadata": {"name": name}, "deleteOptions": options});
    let uid = "00000000-0000-0000-0000-000000000000";
    let wrong_uid = format!(
        "Operation cannot be fulfilled on Pod \"free\": the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
        free["metadata"]["uid"].as_str().unwrap()
    );
    for (name, query, body, code, why) in [
        (
            "free",
            "",
            json!({}),
            400,
            "name in URL does not match name in Eviction object",
        ),
        (
            "free",
            "",
            named("one"),
            400,
            "name in URL does not match name in Eviction object",
        ),
        (
            "free",
            "",
            json!({"metadata": {"name": "free", "namespace": "other"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        ("gone", "", named("gone"), 404, "pods \"gone\" not found"),
        (
            "free",
            "?dryRun=All",
            with("free", json!({"dryRun": ["All", "All"]})),
            500,
            "Non-matching dry-run options in request and content: [All] and [All All]",
        ),
        (
            "free",
            "",
            with("free", json!({"dryRun": ["Some"]})),
            422,
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
        ),
        (
            "two",
            "",
            named("two"),
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ),
        (
            "free",
            "",
            with("free", json!({"preconditions": {"uid": uid}})),
            409,
            wrong_uid.as_str(),
        ),
        // A pod that no budget counts may only go as it was, whatever else is wrong.
        (
            "sick",
            "",
            with("sick", json!({"preconditions": {"uid": uid}})),
            429,
            "Cannot evict pod as it would violate the pod's disruption budget.",
        ),
        ("one", "?dryRun=All", named("one"), 201, ""),
        ("one", "", with("one", json!({"gracePeriodSeconds": 30})), 201, ""),
        ("sick", "", named("sick"), 201, ""),
        (
            "free",
            "",
            json!({"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "free", "uid": uid}}),
            201,
            "",
        ),
    ] {
        let answered = post(&bench, &format!("{PODS}/{name}/eviction{query}"), &body).await;
        assert_eq!((answered.code, message(&answered)), (code, why), "{name} {body}");
        if code == 500 {
            assert_eq!(answered.body.get("reason"), None);
        }
    }
    let evicted = bench.get(&format!("{PODS}/one")).await.body;
    let conditions = evicted["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|one| one["reason"] == "EvictionByEvictionAPI"),
        "{evicted}"
    );
    let used = bench.get(&format!("{BUDGETS}/one")).await.body;
    assert_eq!(used["status"]["disruptionsAllowed"], 0);
    assert!(used["status"]["disruptedPods"]["one"].is_string(), "{used}");
    assert_eq!(used["status"]["conditions"][0]["reason"], "InsufficientPods");
    let managers = used["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .any(|entry| entry["manager"] == "kube-apiserver" && entry["subresource"] == "status"),
        "{used}"
    );
}

#[tokio::test]
async fn a_budget_that_is_not_up_to_date_says_when_to_come_again() {
    let bench = Bench::start().await;
    made(&bench, ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    pod(&bench, "p", true).await;
    budget(&bench, "p", "p", json!({"observedGeneration": 0})).await;
    let answered = post(
        &bench,
        &format!("{PODS}/p/eviction"),
        &json!({"metadata": {"name": "p"}}),
    )
    .await;
    assert_eq!(answered.code, 429);
    assert_eq!(
        answered.body["details"],
        json!({"retryAfterSeconds": 10, "causes": [{
            "reason": "DisruptionBudget",
            "message": "The disruption budget p is still being processed by the server.",
        }]})
    );
}

#[tokio::test]
async fn scales_are_checked_as_objects() {
    let bench = Bench::start().await;
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let stored = made(&bench, &format!("{DEPLOYMENTS}?fieldManager=maker"), deployment).await;
    let own = stored["metadata"]["uid"].as_str().unwrap();
    let path = format!("{DEPLOYMENTS}/d/scale");
    let uid = "00000000-0000-0000-0000-000000000000";
    let scale = |metadata: Value| json!({"metadata": metadata, "spec": {"replicas": 2}});
    let conflict = format!(
        "Operation cannot be fulfilled on deployments/scale.apps \"d\": Precondition failed: UID in precondition: {uid}, UID in object meta: {own}"
    );
    for (method, body, code, why) in [
        (
            "PUT",
            scale(json!({})),
            400,
            "the name of the object (d based on URL) was undeterminable: name must be provided",
        ),
        (
            "PUT",
            scale(json!({"name": "e"})),
            400,
            "the name of the object (e) does not match the name on the URL (d)",
        ),
        (
            "PUT",
            scale(json!({"name": "d", "namespace": "other"})),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "PUT",
            scale(json!({"name": "d", "labels": {"a b": "c"}})),
            422,
            "Scale.autoscaling \"d\" is invalid: metadata.labels: Invalid value: \"a b\"",
        ),
        (
            "PUT",
            scale(json!({"name": "d", "uid": uid})),
            409,
            "Operation cannot be fulfilled on deployments.apps \"d\": StorageError: invalid object",
        ),
        ("PATCH", json!({"metadata": {"uid": uid}}), 409, conflict.as_str()),
        (
            "PATCH",
            json!({"metadata": {"name": "e"}}),
            400,
            "the name of the object (e) does not match the name on the URL (d)",
        ),
        (
            "PATCH",
            json!({"spec": {"replicas": -1}}),
            422,
            "Scale.autoscaling \"d\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        ("PUT", scale(json!({"name": "d", "uid": own})), 200, ""),
    ] {
        let media = if method == "PUT" {
            "application/json"
        } else {
            MERGE
        };
        let answered = bench.send(method, &path, media, &body.to_string()).await;
        assert!(
            answered.code == code && message(&answered).starts_with(why),
            "{method} {body}: {}",
            answered.body
        );
    }
    let unknown = json!({"spec": {"replicas": 3, "odd": 1}}).to_string();
    let warned = bench.send("PATCH", &path, MERGE, &unknown).await;
    assert_eq!(warned.code, 200);
    assert!(
        warned.warnings.iter().any(|text| text.contains("spec.odd")),
        "{:?}",
        warned.warnings
    );
    let strict = bench
        .send(
            "PATCH",
            &format!("{path}?fieldValidation=Strict"),
            MERGE,
            &unknown,
        )
        .await;
    assert_eq!(strict.code, 422, "{}", strict.body);
    // Who scales owns the replicas, without a time.
    let now = bench.get(&format!("{DEPLOYMENTS}/d")).await.body;
    let entries = now["metadata"]["managedFields"].as_array().unwrap();
    let scaled = entries
        .iter()
        .find(|entry| entry["subresource"] == "scale")
        .unwrap();
    assert_eq!(scaled["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    assert_eq!(scaled.get("time"), None, "{now}");
    // So does who applies a scale.
    let applied = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}});
    for (query, code) in [("", 422), ("?fieldManager=applier", 200)] {
        let answered = bench
            .send(
                "PATCH",
                &format!("{path}{query}"),
                "application/apply-patch+yaml",
                &applied.to_string(),
            )
            .await;
        assert_eq!(answered.code, code, "{}", answered.body);
    }
    let now = bench.get(&format!("{DEPLOYMENTS}/d")).await.body;
    let entries = now["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        entries
            .iter()
            .any(|entry| entry["manager"] == "applier" && entry["operation"] == "Apply"),
        "{now}"
    );
}

#[tokio::test]
async fn tokens_are_answered_with_what_was_asked() {
    let bench = Bench::start().await;
    let account = made(&bench, ACCOUNTS, json!({"metadata": {"name": "a"}})).await;
    let path = format!("{ACCOUNTS}/a/token?fieldManager=me");
    let answered = post(
        &bench,
        &path,
        &json!({"metadata": {"labels": {"x": "y"}}, "spec": {"audiences": null}}),
    )
    .await;
    assert_eq!(answered.code, 201, "{}", answered.body);
    let metadata = &answered.body["metadata"];
    assert_eq!(metadata["name"], "a");
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["uid"], account["metadata"]["uid"]);
    assert_eq!(metadata["labels"], json!({"x": "y"}));
    assert_eq!(metadata["managedFields"][0]["subresource"], "token", "{metadata}");
    assert_eq!(answered.body["spec"]["expirationSeconds"], 3600);
    assert_eq!(answered.body["spec"]["boundObjectRef"], Value::Null);
    assert!(!answered.body["spec"]["audiences"].as_array().unwrap().is_empty());
    let bound = |reference: Value| json!({"spec": {"boundObjectRef": reference}});
    for (body, code, why) in [
        (
            json!({"metadata": {"name": "b"}}),
            422,
            "TokenRequest.authentication.k8s.io \"a\" is invalid: metadata.name: Invalid value: \"b\": must match the service account name if specified",
        ),
        (
            json!({"metadata": {"namespace": "other"}}),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            json!({"spec": {"expirationSeconds": 599}}),
            422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
        ),
        (
            bound(json!({"kind": "ConfigMap", "apiVersion": "v1", "name": "c"})),
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        (
            bound(json!({"kind": "Secret", "apiVersion": "v1"})),
            400,
            "Name parameter required.",
        ),
        (
            bound(json!({"kind": "Secret", "apiVersion": "v1", "name": "a/b"})),
            400,
            "Name parameter invalid: \"a/b\": may not contain '/'",
        ),
        (
            bound(json!({"kind": "Secret", "apiVersion": "v1", "name": "s"})),
            404,
            "secrets \"s\" not found",
        ),
    ] {
        let answered = post(&bench, &path, &body).await;
        assert_eq!((answered.code, message(&answered)), (code, why), "{body}");
    }
}

#[tokio::test]
async fn reviews_carry_no_metadata_but_what_is_wiped() {
    let bench = Bench::start().await;
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let spec = json!({"nonResourceAttributes": {"path": "/", "verb": "get"}});
    for (metadata, code) in [
        (
            json!({"uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {}, "name": ""}),
            201,
        ),
        (json!({"labels": {"a": "b"}}), 422),
    ] {
        let answered = post(&bench, reviews, &json!({"metadata": metadata, "spec": spec})).await;
        assert_eq!(answered.code, code, "{metadata} {}", answered.body);
    }
    let broken = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "fieldSelector": {
        "requirements": [{"key": "a", "operator": "Exists"}]}}}});
    let answered = post(&bench, reviews, &broken).await;
    assert_eq!(
        answered.body["status"]["evaluationError"],
        "spec.resourceAttributes.fieldSelector ignored due to parse error"
    );
    let tokens = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answered = post(&bench, tokens, &json!({"spec": {"token": " x"}})).await;
    assert_eq!(
        answered.body["status"]["user"]["username"], "system:anonymous",
        "{}",
        answered.body
    );
}

/// What v1 of autoscalers has no field for travels in annotations.
#[tokio::test]
async fn old_autoscalers_say_the_rest_in_annotations() {
    let bench = Bench::start().await;
    let (old, new) = (
        "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    );
    let key = "autoscaling.alpha.kubernetes.io/metrics";
    let scaler = |name: &str, metrics: &str| {
        json!({"metadata": {"name": name, "annotations": {key: metrics}}, "spec": {
            "maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}})
    };
    let external = r#"[{"type":"External","external":{"metricName":"m","targetValue":"1"}}]"#;
    made(&bench, old, scaler("a", external)).await;
    let stored = bench.get(&format!("{new}/a")).await.body;
    assert_eq!(
        stored["spec"]["metrics"],
        json!([{"type": "External", "external": {"metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}])
    );
    assert_eq!(stored["metadata"].get("annotations"), None);
    let again = bench.get(&format!("{old}/a")).await.body;
    assert_eq!(again["metadata"]["annotations"][key], external);
    let refused = post(
        &bench,
        old,
        &scaler(
            "b",
            r#"[{"type":"External","external":{"metricName":"","targetValue":"1"}}]"#,
        ),
    )
    .await;
    assert_eq!(refused.code, 422);
    assert!(
        message(&refused).contains("spec.metrics[0].external.metric.name"),
        "{}",
        refused.body
    );
    // Of the version that has fields for all they are dropped.
    let made = made(&bench, new, scaler("c", external)).await;
    assert_eq!(made["metadata"].get("annotations"), None, "{made}");
    let patch = json!({"metadata": {"annotations": {key: external, "other": "x"}}});
    let patched = bench
        .send("PATCH", &format!("{new}/c"), MERGE, &patch.to_string())
        .await;
    assert_eq!(
        patched.body["metadata"]["annotations"],
        json!({"other": "x"}),
        "{}",
        patched.body
    );
}
