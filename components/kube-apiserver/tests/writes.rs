//! What writes do over several steps: who owns what, what is refused, what changes nothing.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;
use testkit::cluster::Cluster;
use testkit::webhook::{Answer, WebhookServer};
use testkit::{eventually, exchange};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn start() -> Cluster {
    Cluster::start(Path::new(BINARY), &[]).await.unwrap()
}

fn map(name: &str, more: Value) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    for (key, value) in more.as_object().unwrap() {
        map[key] = value.clone();
    }
    map
}

/// Managers, with the version and the top of what they own.
fn owners(object: &Value) -> Vec<(String, String, Value)> {
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| {
            (
                text(entry, "manager"),
                text(entry, "apiVersion"),
                entry["fieldsV1"].clone(),
            )
        })
        .collect()
}

fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

#[tokio::test]
async fn what_is_applied_again_is_not_written_again() {
    let cluster = start().await;
    let container = json!({"name": "c", "image": "i", "resources": {"limits": {"cpu": "1000m"}},
        "env": [{"name": "n", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
    let template = json!({"metadata": {"labels": {"a": "b"}, "annotations": {}, "creationTimestamp": null},
        "spec": {"containers": [container], "nodeSelector": {}}});
    let claim = json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "creationTimestamp": null}, "spec": {
        "serviceName": "s", "selector": {"matchLabels": {"a": "b"}}, "template": template, "volumeClaimTemplates": [claim]}, "status": {"replicas": 0}});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "u"}]});
    for (path, object) in [
        ("/apis/apps/v1/namespaces/default/statefulsets/s", set),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/b",
            binding,
        ),
        (
            &format!("{MAPS}/m"),
            map(
                "m",
                json!({"metadata": {"name": "m", "creationTimestamp": null, "annotations": {}}}),
            ),
        ),
    ] {
        let mut first = cluster.apply(path, "a", object.clone()).await.taken();
        // Managers say when, to the second.
        first["metadata"]["managedFields"][0]["time"] = json!("2026-01-01T00:00:00Z");
        let first = cluster.put(path, first).await.taken();
        let again = cluster.apply(path, "a", object).await.taken();
        assert_eq!(version(&first), version(&again), "{path}");
        let managers = |object: &Value| object["metadata"]["managedFields"].clone();
        assert_eq!(managers(&first), managers(&again), "{path}");
    }
}

/// Its name is the empty one by default, which tells it from others as well as any.
#[tokio::test]
async fn an_empty_reference_to_a_pull_secret_is_applied() {
    let cluster = start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments/puller";
    let pulled_with = |secrets: Value| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "puller"}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "imagePullSecrets": secrets}},
        }})
    };
    let made = cluster
        .apply(path, "helm", pulled_with(json!([{}, {"name": "a"}])))
        .await
        .taken();
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:imagePullSecrets"];
    assert!(
        fields.get(r#"k:{"name":""}"#).is_some() && fields.get(r#"k:{"name":"a"}"#).is_some(),
        "{made}"
    );
    let refused = cluster
        .apply(path, "helm", pulled_with(json!([{}, {}])))
        .await
        .refusal();
    assert_eq!(
        refused,
        r#"500 failed to create typed patch object (/puller; apps/v1, Kind=Deployment): .spec.template.spec.imagePullSecrets: duplicate entries for key [name=""]"#
    );
}

#[tokio::test]
async fn what_is_applied_says_what_it_is() {
    let cluster = start().await;
    let path = format!("{MAPS}/m");
    let made = cluster
        .apply(&path, "a", map("m", json!({"data": {"a": "1"}})))
        .await
        .taken();
    let changed = |field: &str, value: Value| {
        let mut map = map("m", json!({"data": {"a": "2"}}));
        map[field] = value;
        map
    };
    for (field, value, refused) in [
        (
            "apiVersion",
            json!("v2"),
            "400 invalid object type: /v2, Kind=ConfigMap",
        ),
        (
            "kind",
            json!("Secret"),
            "400 invalid object type: /v1, Kind=Secret",
        ),
        (
            "metadata",
            json!({"name": "m", "managedFields": []}),
            "400 metadata.managedFields must be nil",
        ),
        (
            "metadata",
            json!({"name": "m", "uid": "other"}),
            "422 ConfigMap \"m\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable",
        ),
        (
            "metadata",
            json!({"name": "m", "resourceVersion": "1"}),
            "409 Operation cannot be fulfilled on configmaps \"m\": the object has been modified; please apply your changes to the latest version and try again",
        ),
    ] {
        let told = cluster.apply(&path, "a", changed(field, value)).await;
        assert_eq!(told.refusal(), refused);
    }
    let told = cluster.apply(&path, "a", json!([1])).await;
    assert!(
        told.refusal().starts_with("400 error decoding YAML: "),
        "{}",
        told.refusal()
    );
    let current = json!({"name": "m", "resourceVersion": version(&made)});
    cluster
        .apply(&path, "a", changed("metadata", current))
        .await
        .taken();
    // A patch can't make it something else either.
    let told = cluster.merge(&path, json!({"kind": "Secret"})).await;
    assert!(
        told.refusal()
            .ends_with("converting (v1.Secret) to (core.ConfigMap): unknown conversion"),
        "{}",
        told.refusal()
    );
    let told = cluster.merge(&path, json!({"kind": "Zed"})).await;
    assert!(
        told.refusal()
            .contains("no kind \"Zed\" is registered for version \"v1\""),
        "{}",
        told.refusal()
    );
}

#[tokio::test]
async fn what_says_which_object_it_is_stays() {
    let cluster = start().await;
    let path = format!("{MAPS}/m");
    let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"});
    let told = cluster
        .post(
            MAPS,
            map(
                "m",
                json!({"metadata": {"name": "m", "ownerReferences": [owner, owner]}}),
            ),
        )
        .await;
    let twice =
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+";
    assert!(told.warnings[0].contains(twice), "{:?}", told.warnings);
    let made = told.taken();
    assert_eq!(made["metadata"]["ownerReferences"], json!([owner]));
    for (field, value) in [
        ("uid", json!("other")),
        ("deletionTimestamp", json!("2026-01-01T00:00:00Z")),
        ("deletionGracePeriodSeconds", json!(5)),
    ] {
        let told = cluster.merge(&path, json!({"metadata": { field: value }})).await;
        let refused = format!(
            "422 ConfigMap \"m\" is invalid: metadata.{field}: Invalid value: {value}: field is immutable"
        );
        assert_eq!(told.refusal(), refused);
    }
    // Whatever its version is.
    let mut new = made.clone();
    new["metadata"]["resourceVersion"] = json!("0");
    new["data"] = json!({"a": "1"});
    assert_eq!(cluster.put(&path, new).await.taken()["data"], json!({"a": "1"}));

    // What goes is shown as it was written last, and its name is not free before.
    let finalizer = json!({"metadata": {"finalizers": ["example.com/f"]}});
    cluster.merge(&path, finalizer).await.taken();
    cluster.delete(&path).await.taken();
    assert_eq!(
        cluster.post(MAPS, map("m", json!({}))).await.refusal(),
        "409 object is being deleted: configmaps \"m\" already exists"
    );
    let last = json!({"metadata": {"finalizers": null}, "data": {"a": "2"}});
    let shown = cluster.merge(&path, last).await.taken();
    assert_eq!(shown["metadata"].get("finalizers"), None);
    assert_eq!(shown["data"], json!({"a": "2"}));
    assert_eq!(cluster.get(&path).await.code, StatusCode::NOT_FOUND);

    let priority = "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical";
    assert_eq!(
        cluster.delete(priority).await.refusal(),
        "403 priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and cannot be deleted"
    );
    let exec = "/api/v1/namespaces/default/pods/p/exec?command=true&dryRun=All";
    assert_eq!(
        cluster.post(exec, json!({})).await.refusal(),
        "400 dryRun is not supported"
    );
}

#[tokio::test]
async fn managers_go_when_they_make_an_object_too_large() {
    let cluster = start().await;
    // Names as long as may be, which managers repeat.
    let data: serde_json::Map<String, Value> = (0..4000)
        .map(|number| (format!("{number:0>250}"), json!("")))
        .collect();
    let made = cluster
        .post(MAPS, map("m", json!({ "data": data })))
        .await
        .taken();
    assert_eq!(owners(&made), []);
    let path = format!("{MAPS}/m");
    let changed = cluster
        .merge(&path, json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .taken();
    assert_eq!(owners(&changed), []);
    let told = cluster
        .apply(&format!("{MAPS}/n"), "a", map("n", json!({ "data": data })))
        .await;
    assert_eq!(told.refusal(), "500 etcdserver: request is too large");
}

/// Regression: a write that etcd had been asked for and may still do was told as failed.
#[tokio::test]
async fn a_write_of_unknown_outcome_is_told_as_a_timeout() {
    const LATE: &str =
        "504 Timeout: request did not complete within requested timeout - context deadline exceeded";
    let cluster = start().await;
    for name in ["put", "patched", "gone"] {
        cluster.post(MAPS, map(name, json!({}))).await.taken();
    }
    let path = |name: &str| format!("{MAPS}/{name}");
    let (put, patched, gone) = (path("put"), path("patched"), path("gone"));
    let data = json!({"data": {"a": "b"}});
    cluster.etcd.freeze(0, true).unwrap();
    let (made, put, patched, gone) = tokio::join!(
        cluster.post(MAPS, map("made", json!({}))),
        cluster.put(&put, map("put", data.clone())),
        cluster.merge(&patched, data),
        cluster.delete(&gone),
    );
    cluster.etcd.freeze(0, false).unwrap();
    for told in [made, put, patched, gone] {
        assert_eq!(told.refusal(), LATE);
        assert_eq!(told.body["reason"], "Timeout");
    }
}

#[tokio::test]
async fn owners_of_one_version_and_of_another_know_of_each_other() {
    let cluster = start().await;
    let scaler = |version: &str, spec: Value| {
        let mut object = json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h"}, "spec": spec});
        object["spec"]["scaleTargetRef"] =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
        object
    };
    let path =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/h");
    let old = scaler(
        "v1",
        json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 50}),
    );
    cluster.apply(&path("v1"), "a", old.clone()).await.taken();
    let metric = |percentage: i64| {
        json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": percentage}}})
    };
    let new = |percentage: i64| scaler("v2", json!({"maxReplicas": 5, "metrics": [metric(percentage)]}));
    let told = cluster.apply(&path("v2"), "b", new(70)).await;
    assert_eq!(
        told.refusal(),
        "409 Apply failed with 1 conflict: conflict with \"a\": .spec.targetCPUUtilizationPercentage"
    );
    let shared = cluster.apply(&path("v2"), "b", new(50)).await.taken();
    assert_eq!(owners(&shared).len(), 2, "{shared}");
    // The first goes on in the other version, and names the metric no longer: it is the second's.
    let moved = cluster
        .apply(&path("v2"), "a", scaler("v2", json!({"maxReplicas": 5})))
        .await
        .taken();
    assert_eq!(moved["spec"]["metrics"], json!([metric(50)]));
    let versions: Vec<_> = owners(&moved)
        .into_iter()
        .map(|(name, version, _)| (name, version))
        .collect();
    let v2 = |name: &str| (name.to_owned(), "autoscaling/v2".to_owned());
    assert_eq!(versions, [v2("b"), v2("a")]);
}

#[tokio::test]
async fn a_write_that_changes_nothing_brings_an_object_to_the_version_that_is_stored() {
    let cluster = start().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "yams.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
            "names": {"plural": "yams", "kind": "Yam"}, "versions": [version("v1", true), version("v2", false)]}});
    cluster.post(definitions, definition).await.taken();
    let yams = |version: &str| format!("/apis/example.com/{version}/yams");
    let yam =
        json!({"apiVersion": "example.com/v1", "kind": "Yam", "metadata": {"name": "y"}, "spec": {"a": 1}});
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while cluster.post(&yams("v1"), yam.clone()).await.code == StatusCode::NOT_FOUND {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let other = json!({"spec": {"versions": [version("v1", false), version("v2", true)]}});
    cluster
        .merge(&format!("{definitions}/yams.example.com"), other)
        .await
        .taken();
    let mut client = etcd_client::Client::connect(cluster.etcd.endpoints(), None)
        .await
        .unwrap();
    let mut stored = async || {
        let found = client.get("/registry/example.com/yams/y", None).await.unwrap();
        let object: Value = serde_json::from_slice(found.kvs()[0].value()).unwrap();
        object["apiVersion"].as_str().unwrap().to_owned()
    };
    assert_eq!(stored().await, "example.com/v1");
    loop {
        let path = format!("{}/y", yams("v2"));
        cluster.merge(&path, json!({})).await.taken();
        if stored().await == "example.com/v2" {
            break;
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_deleted_service_leaves_no_endpoints() {
    let cluster = start().await;
    let services = "/api/v1/namespaces/default/services";
    let endpoints = "/api/v1/namespaces/default/endpoints";
    let service = |address: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"clusterIP": address, "ports": [{"port": 80}]}})
    };
    for address in ["10.32.0.0", "10.32.0.255"] {
        let refused = cluster.post(services, service(address)).await.refusal();
        let why = format!(
            "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range."
        );
        assert!(refused.contains(&why), "{refused}");
    }
    cluster.post(services, service("10.32.0.9")).await.taken();
    let of_service = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "s"}});
    cluster.post(endpoints, of_service).await.taken();
    cluster.delete(&format!("{services}/s")).await.taken();
    assert_eq!(
        cluster.get(&format!("{endpoints}/s")).await.code,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        cluster
            .get("/apis/networking.k8s.io/v1/ipaddresses/10.32.0.9")
            .await
            .code,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_time_of_a_pod_that_goes_only_gets_shorter() {
    let cluster = start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["example.com/f"]}, "spec": {
        "nodeName": "n", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
    cluster
        .post(
            "/api/v1/namespaces/default/serviceaccounts",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}),
        )
        .await;
    cluster.post(pods, pod).await.taken();
    let path = format!("{pods}/p");
    let ends = |pod: &Value| {
        let text = pod["metadata"]["deletionTimestamp"].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    };
    let grace = |pod: &Value| pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap();
    let first = cluster
        .delete(&format!("{path}?gracePeriodSeconds=100"))
        .await
        .taken();
    assert_eq!(grace(&first), 100);
    for same in ["", "?gracePeriodSeconds=200", "?propagationPolicy=Orphan"] {
        let again = cluster.delete(&format!("{path}{same}")).await.taken();
        assert_eq!(again["metadata"], first["metadata"], "{same}");
    }
    let shorter = cluster
        .delete(&format!("{path}?gracePeriodSeconds=40"))
        .await
        .taken();
    assert_eq!((grace(&shorter), ends(&shorter)), (40, ends(&first) - 60));
    let now = cluster
        .delete(&format!("{path}?gracePeriodSeconds=0"))
        .await
        .taken();
    assert_eq!(grace(&now), 0);
    let begun = ends(&first) - 100;
    assert!((begun..ends(&shorter)).contains(&ends(&now)));
    // It still waits for its finalizer.
    cluster
        .merge(&path, json!({"metadata": {"finalizers": null}}))
        .await
        .taken();
    assert_eq!(cluster.get(&path).await.code, StatusCode::NOT_FOUND);
}

/// Regression: what a deletion's query required of the object was not looked at, and the object was gone.
#[tokio::test]
async fn deletions_keep_what_their_query_requires() {
    let cluster = start().await;
    let made = cluster
        .post(MAPS, json!({"metadata": {"name": "kept"}}))
        .await
        .taken();
    let (uid, version) = (&made["metadata"]["uid"], version(&made));
    let (uid, version) = (uid.as_str().unwrap(), version.as_str().unwrap());
    let one = format!("{MAPS}/kept");
    for (path, code) in [
        (format!("{one}?uid=other"), StatusCode::CONFLICT),
        (format!("{one}?resourceVersion=1"), StatusCode::CONFLICT),
        (format!("{one}?uid={uid}&resourceVersion=x"), StatusCode::CONFLICT),
        (
            format!("{MAPS}?fieldSelector=metadata.name%3Dkept&uid=other"),
            StatusCode::CONFLICT,
        ),
        (
            format!("{MAPS}?fieldSelector=metadata.name%3Dkept&resourceVersion=0"),
            StatusCode::CONFLICT,
        ),
        (
            format!("{one}?propagationPolicy="),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            format!("{one}?uid={uid}&resourceVersion={version}"),
            StatusCode::OK,
        ),
    ] {
        assert_eq!(cluster.get(&one).await.code, StatusCode::OK, "before {path}");
        assert_eq!(cluster.delete(&path).await.code, code, "{path}");
    }
    assert_eq!(cluster.get(&one).await.code, StatusCode::NOT_FOUND);
}

/// Regression: of two writers who took the last finalizer away one was told that there is no such object.
// The webhook holds both back on threads of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_ends_an_object_last_has_ended_it_too() {
    use base64::Engine;
    let cluster = start().await;
    let pki = cluster.server.pki();
    let both = Barrier::new(2);
    let hook = WebhookServer::start(pki, &[], move |seen| {
        let review = &seen.body["request"];
        if review["name"] == "held" {
            tokio::task::block_in_place(|| both.wait());
        }
        let allowed = review["name"] != "refused";
        Answer::ok(
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": {"uid": review["uid"], "allowed": allowed}}),
        )
    })
    .await
    .unwrap();
    let bundle = std::fs::read(pki.file("ca.crt")).unwrap();
    let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/f"]}});
    cluster.post(MAPS, held).await.taken();
    let one = format!("{MAPS}/held");
    cluster.delete(&one).await.taken();
    cluster
        .post(MAPS, json!({"metadata": {"name": "refused"}}))
        .await
        .taken();
    let webhooks = json!([{"name": "hold.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": hook.url("/hold"), "caBundle": bundle},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["UPDATE"]}]}]);
    cluster
        .post(
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            json!({"metadata": {"name": "hold"}, "webhooks": webhooks}),
        )
        .await
        .taken();
    eventually(Duration::from_secs(60), "the webhook is asked", async || {
        let told = cluster
            .merge(&format!("{MAPS}/refused"), json!({"data": {"k": "v"}}))
            .await;
        told.code.is_success().then(|| "not yet".to_owned())
    })
    .await;
    let end = || cluster.merge(&one, json!({"metadata": {"finalizers": null}}));
    let (first, second) = tokio::join!(end(), end());
    assert_eq!((first.code, second.code), (StatusCode::OK, StatusCode::OK));
    assert_eq!(cluster.get(&one).await.code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_lets_the_server_choose_a_name_may_try_again() {
    let cluster = start().await;
    let map = json!({"metadata": {"name": "g1", "generateName": "g"}});
    cluster.post(MAPS, map.clone()).await.taken();
    let again = cluster.post(MAPS, map).await;
    assert_eq!(again.code, StatusCode::CONFLICT);
    assert_eq!(
        again.body["message"],
        "configmaps \"g1\" already exists, the server was not able to generate a unique name for the object"
    );
    assert_eq!(again.body["details"]["retryAfterSeconds"], 1);
}

#[tokio::test]
async fn options_of_deletions_have_their_types() {
    let cluster = start().await;
    cluster
        .post(MAPS, json!({"metadata": {"name": "kept"}}))
        .await
        .taken();
    let path = format!("{MAPS}/kept");
    for (body, field) in [
        (json!({"dryRun": "All"}), "dryRun"),
        (json!({"preconditions": {"uid": 5}}), "uid"),
        (json!({"preconditions": "x"}), "preconditions"),
        (json!({"gracePeriodSeconds": "5"}), "gracePeriodSeconds"),
        (json!({"propagationPolicy": 5}), "propagationPolicy"),
        (
            json!([]),
            "couldn't get version/kind; json parse error: json: cannot unmarshal array into",
        ),
    ] {
        let refused = cluster
            .send("DELETE", &path, exchange::JSON, &body)
            .await
            .refusal();
        assert!(
            refused.starts_with("400 ")
                && refused.contains("json: cannot unmarshal")
                && refused.contains(field),
            "{body}: {refused}"
        );
    }
    for (body, why) in [
        (
            json!({"kind": "Foo"}),
            r#"no kind "Foo" is registered for version "meta.k8s.io/v1" in scheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27""#,
        ),
        (
            json!({"kind": "CreateOptions", "apiVersion": "v1"}),
            "converting (v1.CreateOptions) to (v1.DeleteOptions): unknown conversion",
        ),
        (
            json!({"apiVersion": "a/b/c"}),
            "unexpected GroupVersion string: a/b/c",
        ),
    ] {
        let sent = cluster.send("DELETE", &path, exchange::JSON, &body).await;
        assert!(sent.refusal().ends_with(why), "{body}");
    }
    cluster
        .send("GET", &path, exchange::JSON, &Value::Null)
        .await
        .taken();
    let options =
        json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "dryRun": ["All"]});
    cluster
        .send("DELETE", &path, exchange::JSON, &options)
        .await
        .taken();
    cluster
        .send("GET", &path, exchange::JSON, &Value::Null)
        .await
        .taken();
}

/// `kubectl apply` of a list with two items of one key lost one of them.
#[tokio::test]
async fn patches_that_contradict_themselves_are_refused() {
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let cluster = start().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "args": ["a", "b"]}]}});
    let pods = "/apis/apps/v1/namespaces/default/deployments";
    let labels = json!({"app": "p"});
    let deployment = json!({"metadata": {"name": "p"}, "spec": {
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod["spec"]}}});
    cluster.post(pods, deployment).await.taken();
    let path = format!("{pods}/p");
    let container = json!({"name": "c", "$setElementOrder/env": [{"name": "A"}, {"name": "B"}, {"name": "A"}],
        "env": [{"name": "A", "value": "3"}, {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let refused = cluster.send("PATCH", &path, STRATEGIC, &patch).await;
    assert!(
        refused
            .refusal()
            .starts_with("500 The order in patch list:\n[map[name:A value:3]"),
        "{}",
        refused.body
    );
    assert_eq!(refused.body["reason"], Value::Null);
    let last = json!([{"op": "remove", "path": "/spec/template/spec/containers/-1/args/-1"}]);
    let changed = cluster
        .send("PATCH", &path, "application/json-patch+json", &last)
        .await
        .taken();
    assert_eq!(
        changed["spec"]["template"]["spec"]["containers"][0]["args"],
        json!(["a"])
    );
    let wrong = cluster
        .send("PATCH", &path, "application/json-patch+json", &json!([{"op": 1}]))
        .await;
    assert_eq!(
        wrong.refusal(),
        "400 error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"
    );
}

#[tokio::test]
async fn names_that_no_object_has_are_refused() {
    let cluster = start().await;
    for (name, why) in [
        ("a%25b", "\"a%b\": may not contain '%'"),
        ("%2e%2e", "\"..\": may not be '..'"),
    ] {
        for method in ["GET", "DELETE"] {
            let refused = cluster
                .send(method, &format!("{MAPS}/{name}"), exchange::JSON, &Value::Null)
                .await;
            assert_eq!(
                refused.refusal(),
                format!("400 Name parameter invalid: {why}"),
                "{method}"
            );
        }
    }
}

/// A conflict would make clients try for ever.
#[tokio::test]
async fn versions_that_are_no_numbers_are_refused() {
    let cluster = start().await;
    let path = format!("{MAPS}/m");
    let at = |version: &str| {
        map(
            "m",
            json!({"metadata": {"name": "m", "resourceVersion": version}}),
        )
    };
    // Where there is nothing yet, only a version that is one is refused.
    assert_eq!(
        cluster.post(MAPS, at("1")).await.refusal(),
        "500 resourceVersion should not be set on objects to be created"
    );
    cluster.post(MAPS, at("x")).await.taken();
    let wrong = "500 strconv.ParseUint: parsing \"x\": invalid syntax";
    let put = cluster.put(&path, at("x")).await;
    assert_eq!(put.refusal(), wrong);
    assert_eq!(put.body["reason"], Value::Null);
    let patch = json!({"metadata": {"resourceVersion": "x"}});
    assert_eq!(cluster.merge(&path, patch).await.refusal(), wrong);
    assert_eq!(cluster.apply(&path, "a", at("x")).await.refusal(), wrong);
    assert_eq!(cluster.put(&path, at("1")).await.code, StatusCode::CONFLICT);
    cluster.put(&path, at("0")).await.taken();
    // Of what isn't there nothing is said.
    assert_eq!(
        cluster
            .put(&format!("{MAPS}/none"), map("none", json!({})))
            .await
            .code,
        StatusCode::NOT_FOUND
    );
    // Null is an object without fields, and so without a name.
    let null = http::Request::post(MAPS)
        .header("content-type", exchange::JSON)
        .body(b"null".to_vec())
        .unwrap();
    match cluster.admin.request_text(null).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 422, "{status:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bindings_that_bind_nothing_are_refused() {
    let cluster = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster
        .post(accounts, json!({"metadata": {"name": "default"}}))
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}});
    let uid = cluster.post(pods, pod).await.taken()["metadata"]["uid"].clone();
    let path = format!("{pods}/p/binding");
    for (binding, wanted) in [
        (json!({"metadata": {"name": "p"}, "target": {}}), "500 target.name: Required value".to_owned()),
        (
            json!({"metadata": {"name": "p"}, "target": {"kind": "Pod"}}),
            "500 [target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\", target.name: Required value]".to_owned(),
        ),
        (
            json!({"metadata": {"name": "q"}, "target": {"name": "n"}}),
            "400 name in URL does not match name in Binding object".to_owned(),
        ),
        (
            json!({"metadata": {"name": "p", "uid": "other"}, "target": {"name": "n"}}),
            format!(
                "409 Operation cannot be fulfilled on pods \"p\": StorageError: invalid object, Code: 4, Key: /pods/default/p, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: other, UID in object meta: {}",
                uid.as_str().unwrap()
            ),
        ),
    ] {
        assert_eq!(cluster.post(&path, binding).await.refusal(), wanted);
    }
    let nameless = json!({"target": {"name": "n"}});
    let bindings = "/api/v1/namespaces/default/bindings";
    assert_eq!(
        cluster.post(bindings, nameless).await.refusal(),
        "400 Name parameter required."
    );
    let binding = json!({"metadata": {"name": "p", "uid": uid}, "target": {"name": "n"}});
    cluster.post(&path, binding).await.taken();
}

/// Watchers learn that a pod goes before it is gone, also when it goes at once; and of a collection the client is told what
/// was in it.
#[tokio::test]
async fn the_end_of_a_pod_is_announced() {
    let cluster = start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster
        .post(accounts, json!({"metadata": {"name": "default"}}))
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |name: &str, node: &str| {
        json!({"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"nodeName": node,
        "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}})
    };
    let mut last = Value::Null;
    for (name, node) in [("here", "n"), ("nowhere", "")] {
        last = cluster.post(pods, pod(name, node)).await.taken();
    }
    let from = last["metadata"]["resourceVersion"].as_str().unwrap();
    let gone = cluster
        .delete(&format!("{pods}/here?gracePeriodSeconds=0"))
        .await
        .taken();
    let list = cluster.delete(&format!("{pods}?labelSelector=a=b")).await.taken();
    assert_eq!(list["kind"], "PodList");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["metadata"], last["metadata"]);

    let request = http::Request::get(format!("{pods}?watch=1&resourceVersion={from}&timeoutSeconds=1"))
        .body(Vec::new())
        .unwrap();
    let text = cluster.admin.request_text(request).await.unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<(&str, &str, i64)> = events
        .iter()
        .map(|event| {
            let metadata = &event["object"]["metadata"];
            assert!(metadata["deletionTimestamp"].is_string(), "{event}");
            let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap();
            (
                event["type"].as_str().unwrap(),
                metadata["name"].as_str().unwrap(),
                grace,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("MODIFIED", "here", 0),
            ("DELETED", "here", 0),
            ("MODIFIED", "nowhere", 0),
            ("DELETED", "nowhere", 0)
        ]
    );
    assert_eq!(events[1]["object"], gone);
}

/// Upstream tracks a scale as an object of its own.
#[tokio::test]
async fn scales_take_over_replicas_that_somebody_owns_and_that_they_change() {
    let cluster = start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = |name: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    };
    let managers = |object: &Value| -> Vec<String> {
        let owners = owners(object).into_iter();
        owners.map(|(manager, ..)| manager).collect()
    };
    let scale =
        |name: &str, replicas: i64| json!({"metadata": {"name": name}, "spec": {"replicas": replicas}});

    let item = format!("{deployments}/owned");
    let posted = format!("{deployments}?fieldManager=maker");
    let made = cluster.post(&posted, deployment("owned")).await.taken();
    for (replicas, expected, written) in [(1, vec!["maker"], false), (2, vec!["scaler", "maker"], true)] {
        let path = format!("{item}/scale?fieldManager=scaler");
        cluster.put(&path, scale("owned", replicas)).await.taken();
        let now = cluster.get(&item).await.taken();
        let mut found = managers(&now);
        found.sort_by(|a, b| b.cmp(a));
        assert_eq!(found, expected, "{now}");
        assert_eq!(version(&now) != version(&made), written);
    }

    // Nobody owns what an applier left to its default.
    let item = format!("{deployments}/free");
    cluster.apply(&item, "applier", deployment("free")).await.taken();
    let path = format!("{item}/scale?fieldManager=scaler");
    cluster.put(&path, scale("free", 2)).await.taken();
    let now = cluster.get(&item).await.taken();
    assert_eq!(now["spec"]["replicas"], 2);
    assert_eq!(managers(&now), ["applier"]);
}

#[tokio::test]
async fn applied_scales_conflict_with_what_was_there_before() {
    let cluster = start().await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = |name: &str, replicas: Option<i64>| {
        let mut made = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        if let Some(replicas) = replicas {
            made["spec"]["replicas"] = json!(replicas);
        }
        made
    };
    let scale = |name: &str, replicas: i64| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": name}, "spec": {"replicas": replicas}});
    let managers = |object: &Value| -> Vec<String> {
        let owners = owners(object).into_iter();
        owners.map(|(manager, ..)| manager).collect()
    };
    let conflict = |with: &str| format!("Apply failed with 1 conflict: conflict with {with}: .spec.replicas");

    // Somebody applied all but the replicas, and somebody else made it whole.
    let free = format!("{deployments}/free");
    cluster
        .apply(&free, "applier", deployment("free", None))
        .await
        .taken();
    let made = format!("{deployments}?fieldManager=maker");
    cluster.post(&made, deployment("owned", Some(1))).await.taken();
    let owned = format!("{deployments}/owned");
    for (item, name, other) in [
        (
            &free,
            "free",
            r#""before-first-apply" with subresource "scale" using autoscaling/v1"#,
        ),
        (&owned, "owned", r#""maker" using autoscaling/v1"#),
    ] {
        let path = format!("{item}/scale");
        let told = cluster.apply(&path, "scaler", scale(name, 3)).await;
        assert_eq!(told.code, 409, "{name}");
        let why = told.refusal().to_string();
        assert!(why.contains(&conflict(other)), "{why}");
    }
    // What is applied as it is belongs to both.
    cluster
        .apply(&format!("{free}/scale"), "scaler", scale("free", 1))
        .await
        .taken();
    let mut found = managers(&cluster.get(&free).await.taken());
    found.sort();
    assert_eq!(found, ["applier", "before-first-apply", "scaler"]);

    // Nothing was there if there were no replicas.
    let none = format!("{deployments}/none");
    cluster
        .apply(&none, "applier", deployment("none", None))
        .await
        .taken();
    cluster
        .put(&format!("{none}/scale?fieldManager=putter"), scale("none", 0))
        .await
        .taken();
    cluster
        .apply(&format!("{none}/scale"), "scaler", scale("none", 3))
        .await
        .taken();
    let mut found = managers(&cluster.get(&none).await.taken());
    found.sort();
    assert_eq!(found, ["applier", "scaler"]);
}

/// Answers a request for conversions; an object that is `refused` can't be had in v2.
fn converted(review: &Value) -> Value {
    let request = &review["request"];
    let wanted = &request["desiredAPIVersion"];
    let objects = request["objects"].as_array().unwrap();
    let refused =
        wanted == "example.com/v2" && objects.iter().any(|object| object["spec"]["refused"] == true);
    let made: Vec<Value> = objects
        .iter()
        .cloned()
        .map(|mut object| {
            object["apiVersion"] = wanted.clone();
            object
        })
        .collect();
    let mut response =
        json!({"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": made});
    if refused {
        response["result"] = json!({"status": "Failure", "message": "not this one"});
        response["convertedObjects"] = json!([]);
    }
    json!({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response})
}

/// Upstream forgets all owners then, too.
#[tokio::test]
async fn owners_that_a_failed_conversion_costs_are_told_in_the_log() {
    use base64::Engine;
    let cluster = start().await;
    let pki = cluster.server.pki();
    let hook = WebhookServer::start(pki, &[], |seen| Answer::ok(converted(&seen.body)))
        .await
        .unwrap();
    let bundle = std::fs::read(pki.file("ca.crt")).unwrap();
    let bundle = base64::engine::general_purpose::STANDARD.encode(bundle);
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "n": {"type": "integer"}, "refused": {"type": "boolean"}}}}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema}});
    let definition = json!({"metadata": {"name": "yams.example.com"}, "spec": {
        "group": "example.com", "scope": "Cluster", "names": {"plural": "yams", "kind": "Yam"},
        "versions": [version("v1", true), version("v2", false)],
        "conversion": {"strategy": "Webhook", "webhook": {
            "conversionReviewVersions": ["v1"], "clientConfig": {"url": hook.url("/convert"), "caBundle": bundle}}}}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.post(definitions, definition).await.taken();
    let (one, two) = ("/apis/example.com/v1/yams", "/apis/example.com/v2/yams");
    let yam =
        json!({"apiVersion": "example.com/v2", "kind": "Yam", "metadata": {"name": "a"}, "spec": {"n": 1}});
    let posted = format!("{two}?fieldManager=first");
    eventually(Duration::from_secs(60), "the yam is taken", async || {
        let told = cluster.post(&posted, yam.clone()).await;
        (!told.code.is_success()).then(|| told.refusal())
    })
    .await;
    let item = format!("{one}/a?fieldManager=second");
    let changed = cluster.merge(&item, json!({"spec": {"n": 2}})).await.taken();
    assert_eq!(owners(&changed).len(), 2, "{changed}");
    let said = "who owns which fields could not be recorded";
    assert!(!cluster.server.log().contains(said));

    let change = json!({"spec": {"n": 3, "refused": true}});
    let changed = cluster.merge(&item, change).await.taken();
    assert_eq!(owners(&changed), [], "{changed}");
    let log = cluster.server.log();
    assert!(log.contains(said) && log.contains("not this one"), "{log}");
}
