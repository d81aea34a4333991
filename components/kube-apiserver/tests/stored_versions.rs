//! Objects that other servers left in etcd in versions that are no longer served, and those that upstream still writes
//! in an older version.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{AsyncBufReadExt, StreamExt};
use kube_apiserver::protobuf;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::exchange::{self, Answer, JSON};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const MERGE: &str = "application/merge-patch+json";
const PATIENCE: Duration = Duration::from_secs(30);
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SHIRTS: &str = "/apis/stable.example.com/v1/namespaces/default/shirts";

struct Direct(etcd_client::Client);

impl Direct {
    async fn to(etcd: &Etcd) -> Self {
        Self(
            etcd_client::Client::connect(etcd.endpoints(), None)
                .await
                .unwrap(),
        )
    }

    async fn put(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.0.put(format!("/registry/{key}"), value, None).await.unwrap();
    }

    async fn json(&mut self, key: &str) -> Value {
        let found = self.0.get(format!("/registry/{key}"), None).await.unwrap();
        serde_json::from_slice(found.kvs()[0].value()).unwrap()
    }
}

async fn get(client: &kube::Client, path: &str) -> Answer {
    exchange::send(client, "GET", path, JSON, &Value::Null)
        .await
        .unwrap()
}

async fn found(client: &kube::Client, path: &str) -> Value {
    let answer = get(client, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

async fn label(client: &kube::Client, path: &str) -> Value {
    let patch = json!({ "metadata": { "labels": { "patched": "yes" } } });
    let answer = exchange::send(client, "PATCH", path, MERGE, &patch)
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// As upstream stores it.
fn shirts() -> Value {
    let names = json!({ "plural": "shirts", "singular": "shirt", "kind": "Shirt", "listKind": "ShirtList" });
    json!({
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1beta1",
        "metadata": {
            "name": "shirts.stable.example.com", "uid": "09696eb0-d58b-4a21-8820-b2230b13707e", "generation": 1,
            "creationTimestamp": "2025-02-21T12:38:19Z",
        },
        "spec": {
            "group": "stable.example.com", "version": "v1", "names": names, "scope": "Namespaced",
            "validation": { "openAPIV3Schema": { "type": "object", "properties": { "spec": { "type": "object", "properties": {
                "color": { "type": "string" }, "size": { "type": "string" },
            } } } } },
            "versions": [{ "name": "v1", "served": true, "storage": true }],
            "additionalPrinterColumns": [{ "name": "Color", "type": "string", "JSONPath": ".spec.color" }],
            "selectableFields": [{ "jsonPath": ".spec.color" }],
            "conversion": { "strategy": "None" }, "preserveUnknownFields": false,
        },
        "status": {
            "conditions": [
                { "type": "NamesAccepted", "status": "True", "lastTransitionTime": "2025-02-21T12:38:19Z", "reason": "NoConflicts", "message": "no conflicts found" },
                { "type": "Established", "status": "True", "lastTransitionTime": "2025-02-21T12:38:19Z", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted" },
            ],
            "acceptedNames": names, "storedVersions": ["v1"],
        },
    })
}

fn shirt(name: &str) -> Value {
    json!({
        "apiVersion": "stable.example.com/v1", "kind": "Shirt",
        "metadata": {
            "name": name, "namespace": "default", "uid": "11111111-1111-1111-1111-111111111113",
            "creationTimestamp": "2025-02-21T12:38:19Z",
        },
        "spec": { "color": "blue", "size": "XL" },
    })
}

/// Keys of the definition and of an object of it.
const DEFINITION: &str = "apiextensions.k8s.io/customresourcedefinitions/shirts.stable.example.com";
const SHIRT: &str = "stable.example.com/shirts/default/s1";

/// A server over an etcd in which upstream has left a definition and an object of it, once it serves that.
async fn serving(definition: &Value) -> (Etcd, Direct, ApiServer, kube::Client) {
    let etcd = Etcd::start().await.unwrap();
    let mut direct = Direct::to(&etcd).await;
    direct.put(DEFINITION, definition.to_string()).await;
    direct.put(SHIRT, shirt("s1").to_string()).await;
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let one = format!("{SHIRTS}/s1");
    testkit::eventually(PATIENCE, "shirts are served", async || {
        let answer = get(&admin, &one).await;
        (answer.status != 200).then(|| answer.text())
    })
    .await;
    (etcd, direct, server, admin)
}

#[tokio::test]
async fn definitions_are_read_and_written_in_upstreams_version() {
    let (etcd, mut direct, _server, admin) = serving(&shirts()).await;
    let one = format!("{SHIRTS}/s1");

    let path = format!("{DEFINITIONS}/shirts.stable.example.com");
    let definition = found(&admin, &path).await;
    assert_eq!(definition["apiVersion"], "apiextensions.k8s.io/v1");
    let version = &definition["spec"]["versions"][0];
    assert_eq!(version["schema"], shirts()["spec"]["validation"]);
    assert_eq!(version["additionalPrinterColumns"][0]["jsonPath"], ".spec.color");
    for gone in [
        "version",
        "validation",
        "additionalPrinterColumns",
        "selectableFields",
    ] {
        assert!(definition["spec"].get(gone).is_none(), "{gone}");
    }
    let listed = found(&admin, DEFINITIONS).await;
    assert_eq!(listed["items"][0]["spec"], definition["spec"]);

    assert_eq!(found(&admin, &one).await["spec"], shirt("s1")["spec"]);
    assert_eq!(label(&admin, &one).await["spec"], shirt("s1")["spec"]);
    assert_eq!(direct.json(SHIRT).await["spec"], shirt("s1")["spec"]);
    let selected = found(&admin, &format!("{SHIRTS}?fieldSelector=spec.color%3Dblue")).await;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    let mut wrong = shirt("s2");
    wrong["spec"]["color"] = json!(5);
    let answer = exchange::send(&admin, "POST", SHIRTS, JSON, &wrong)
        .await
        .unwrap();
    assert_eq!(answer.status, 422, "{}", answer.text());

    label(&admin, &path).await;
    let stored = direct.json(DEFINITION).await;
    assert_eq!(stored["metadata"]["labels"]["patched"], "yes");
    assert_eq!(stored["apiVersion"], "apiextensions.k8s.io/v1beta1");
    assert_eq!(stored["spec"], shirts()["spec"]);
    let mut own = definition.clone();
    own["metadata"] = json!({ "name": "hats.stable.example.com" });
    own["spec"]["names"] = json!({ "plural": "hats", "kind": "Hat" });
    own.as_object_mut().unwrap().remove("status");
    let answer = exchange::send(&admin, "POST", DEFINITIONS, JSON, &own)
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let stored = direct
        .json("apiextensions.k8s.io/customresourcedefinitions/hats.stable.example.com")
        .await;
    assert_eq!(stored["apiVersion"], "apiextensions.k8s.io/v1beta1");
    assert_eq!(stored["spec"]["validation"], shirts()["spec"]["validation"]);

    // A second server reads what the first has written, and a watch of it gets what others write.
    let second = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = second.admin().await.unwrap();
    let seen = found(&admin, &path).await;
    assert_eq!(seen["spec"], definition["spec"]);
    let listed = found(&admin, DEFINITIONS).await;
    let since = listed["metadata"]["resourceVersion"].as_str().unwrap();
    let request = http::Request::get(format!(
        "{DEFINITIONS}?watch=1&resourceVersion={since}&fieldSelector=metadata.name%3Dshirts.stable.example.com"
    ))
    .body(Vec::new())
    .unwrap();
    let lines = admin.request_stream(request).await.unwrap().lines();
    let mut changed = shirts();
    changed["spec"]["validation"]["openAPIV3Schema"]["description"] = json!("new");
    direct.put(DEFINITION, changed.to_string()).await;
    let mut events = std::pin::pin!(lines);
    let event = tokio::time::timeout(PATIENCE, async {
        loop {
            let event: Value = serde_json::from_str(&events.next().await.unwrap().unwrap()).unwrap();
            if !event["object"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"].is_null() {
                return event;
            }
        }
    });
    let event = event.await.unwrap();
    assert_eq!(event["type"], "MODIFIED");
    assert_eq!(event["object"]["apiVersion"], "apiextensions.k8s.io/v1");
}

/// Without a schema, and with objects of any form.
#[tokio::test]
async fn definitions_of_the_first_days_keep_what_their_objects_have() {
    let mut definition = shirts();
    let spec = definition["spec"].as_object_mut().unwrap();
    spec.retain(|key, _| ["group", "version", "names", "scope"].contains(&key.as_str()));
    let (_etcd, mut direct, _server, admin) = serving(&definition).await;
    let one = format!("{SHIRTS}/s1");
    assert_eq!(label(&admin, &one).await["spec"], shirt("s1")["spec"]);
    assert_eq!(direct.json(SHIRT).await["spec"], shirt("s1")["spec"]);
    let path = format!("{DEFINITIONS}/shirts.stable.example.com");
    let patched = label(&admin, &path).await;
    assert_eq!(patched["spec"]["preserveUnknownFields"], true);
    let versions = json!([{ "name": "v1", "served": true, "storage": true }]);
    assert_eq!(patched["spec"]["versions"], versions);
    let stored = direct.json(DEFINITION).await;
    assert_eq!(stored["spec"]["preserveUnknownFields"], true);
    assert_eq!(stored["spec"]["versions"], versions);
    assert_eq!(stored["spec"]["version"], "v1");
}

#[tokio::test]
async fn a_built_in_object_that_nobody_can_read_keeps_no_server_from_starting() {
    let etcd = Etcd::start().await.unwrap();
    let mut direct = Direct::to(&etcd).await;
    for (key, api_version, kind) in [
        (
            "flowschemas/probes",
            "flowcontrol.apiserver.k8s.io/v9",
            "FlowSchema",
        ),
        ("clusterroles/view", "rbac.authorization.k8s.io/v9", "ClusterRole"),
    ] {
        let name = key.rsplit('/').next().unwrap();
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name } });
        direct.put(key, object.to_string()).await;
    }
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    found(&admin, "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit").await;
    found(
        &admin,
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/global-default",
    )
    .await;
    let log = server.log();
    assert!(
        log.contains("stored as flowcontrol.apiserver.k8s.io/v9 FlowSchema"),
        "{log}"
    );
    assert!(
        log.contains("stored as rbac.authorization.k8s.io/v9 ClusterRole"),
        "{log}"
    );
}

/// An object as an older server stored it.
struct Old {
    /// Below `/registry/`.
    key: &'static str,
    path: &'static str,
    api_version: &'static str,
    kind: &'static str,
    /// All but type and metadata.
    content: Value,
    /// As protobuf, with the message of this schema, which is that of now.
    protobuf: Option<&'static str>,
    /// What is served, at a pointer.
    served: (&'static str, Value),
}

impl Old {
    fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap()
    }

    fn stored(&self) -> Vec<u8> {
        let mut object = self.content.clone();
        object["apiVersion"] = json!(self.api_version);
        object["kind"] = json!(self.kind);
        object["metadata"] = json!({
            "name": self.name(), "uid": uuid(self.name()), "creationTimestamp": "2020-02-21T12:38:19Z",
        });
        if self.path.contains("/namespaces/") {
            object["metadata"]["namespace"] = json!("default");
        }
        let json = object.to_string().into_bytes();
        let Some(schema) = self.protobuf else {
            return json;
        };
        let message = protobuf::encode::message(&api::schema::built_in(), schema, &json).unwrap();
        protobuf::envelope::wrap(self.api_version, self.kind, &message)
    }
}

fn uuid(name: &str) -> String {
    format!("00000000-0000-4000-8000-{:0>12x}", name.len())
}

fn flow_schema() -> Value {
    json!({ "spec": {
        "priorityLevelConfiguration": { "name": "old-level" }, "matchingPrecedence": 9000, "distinguisherMethod": { "type": "ByUser" },
        "rules": [{
            "subjects": [{ "kind": "Group", "group": { "name": "nobody-is-in-it" } }],
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"] }],
        }],
    } })
}

/// The one of each cluster, as it is.
fn global_default() -> Value {
    let groups = ["system:unauthenticated", "system:authenticated"];
    json!({ "spec": {
        "priorityLevelConfiguration": { "name": "global-default" }, "matchingPrecedence": 9900, "distinguisherMethod": { "type": "ByUser" },
        "rules": [{
            "subjects": groups.map(|name| json!({ "kind": "Group", "group": { "name": name } })),
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        }],
    } })
}

fn policy() -> Value {
    json!({ "spec": {
        "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "matchConstraints": { "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [
            { "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "*" },
        ] },
        "mutations": [{ "patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'by': 'policy'}}}",
        } }],
    } })
}

fn old_objects() -> Vec<Old> {
    vec![
        Old {
            key: "flowschemas/global-default",
            path: "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
            api_version: "flowcontrol.apiserver.k8s.io/v1beta3",
            kind: "FlowSchema",
            content: global_default(),
            protobuf: Some("io.k8s.api.flowcontrol.v1.FlowSchema"),
            served: ("/spec/matchingPrecedence", json!(9900)),
        },
        Old {
            key: "flowschemas/old",
            path: "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
            api_version: "flowcontrol.apiserver.k8s.io/v1beta1",
            kind: "FlowSchema",
            content: flow_schema(),
            protobuf: None,
            served: ("/spec/matchingPrecedence", json!(9000)),
        },
        Old {
            key: "prioritylevelconfigurations/old-level",
            path: "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations",
            api_version: "flowcontrol.apiserver.k8s.io/v1beta2",
            kind: "PriorityLevelConfiguration",
            content: json!({ "spec": { "type": "Limited", "limited": {
                "assuredConcurrencyShares": 7, "limitResponse": { "type": "Reject" },
            } } }),
            protobuf: None,
            served: ("/spec/limited/nominalConcurrencyShares", json!(7)),
        },
        Old {
            key: "mutatingadmissionpolicies/old",
            path: "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies",
            api_version: "admissionregistration.k8s.io/v1beta1",
            kind: "MutatingAdmissionPolicy",
            content: policy(),
            protobuf: Some("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy"),
            served: ("/spec/failurePolicy", json!("Fail")),
        },
        Old {
            key: "mutatingadmissionpolicybindings/old",
            path: "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings",
            api_version: "admissionregistration.k8s.io/v1beta1",
            kind: "MutatingAdmissionPolicyBinding",
            content: json!({ "spec": { "policyName": "old" } }),
            protobuf: None,
            served: ("/spec/policyName", json!("old")),
        },
        Old {
            key: "volumeattributesclasses/old",
            path: "/apis/storage.k8s.io/v1/volumeattributesclasses",
            api_version: "storage.k8s.io/v1beta1",
            kind: "VolumeAttributesClass",
            content: json!({ "driverName": "d.example.com", "parameters": { "a": "b" } }),
            protobuf: Some("io.k8s.api.storage.v1.VolumeAttributesClass"),
            served: ("/parameters/a", json!("b")),
        },
        Old {
            key: "runtimeclasses/older",
            path: "/apis/node.k8s.io/v1/runtimeclasses",
            api_version: "node.k8s.io/v1alpha1",
            kind: "RuntimeClass",
            content: json!({ "spec": { "runtimeHandler": "runc" } }),
            protobuf: None,
            served: ("/handler", json!("runc")),
        },
        Old {
            key: "runtimeclasses/old",
            path: "/apis/node.k8s.io/v1/runtimeclasses",
            api_version: "node.k8s.io/v1beta1",
            kind: "RuntimeClass",
            content: json!({ "handler": "runc" }),
            protobuf: Some("io.k8s.api.node.v1.RuntimeClass"),
            served: ("/handler", json!("runc")),
        },
        Old {
            key: "ingress/default/old",
            path: "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
            api_version: "extensions/v1beta1",
            kind: "Ingress",
            content: json!({ "spec": { "backend": { "serviceName": "s", "servicePort": 80 } } }),
            protobuf: None,
            served: ("/spec/defaultBackend/service/port/number", json!(80)),
        },
        Old {
            key: "horizontalpodautoscalers/default/old",
            path: "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
            api_version: "autoscaling/v1",
            kind: "HorizontalPodAutoscaler",
            content: json!({ "spec": {
                "scaleTargetRef": { "kind": "Deployment", "name": "d", "apiVersion": "apps/v1" }, "minReplicas": 2, "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 40,
            } }),
            protobuf: Some("io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler"),
            served: ("/spec/metrics/0/resource/target/averageUtilization", json!(40)),
        },
        Old {
            key: "poddisruptionbudgets/default/old",
            path: "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
            api_version: "policy/v1beta1",
            kind: "PodDisruptionBudget",
            content: json!({ "spec": { "minAvailable": 1, "selector": {} } }),
            protobuf: Some("io.k8s.api.policy.v1.PodDisruptionBudget"),
            served: ("/spec/selector/matchExpressions/0/operator", json!("Exists")),
        },
        Old {
            key: "resourceclaims/default/old",
            path: "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims",
            api_version: "resource.k8s.io/v1beta1",
            kind: "ResourceClaim",
            content: json!({ "spec": { "devices": { "requests": [{ "name": "r", "deviceClassName": "c" }] } } }),
            protobuf: None,
            served: ("/spec/devices/requests/0/exactly/deviceClassName", json!("c")),
        },
    ]
}

#[tokio::test]
async fn objects_of_older_versions_are_served_and_written_in_upstreams() {
    let etcd = Etcd::start().await.unwrap();
    let mut direct = Direct::to(&etcd).await;
    let olds = old_objects();
    for old in &olds {
        direct.put(old.key, old.stored()).await;
    }
    // It becomes ready, although built-in objects are among them.
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    for old in &olds {
        let path = format!("{}/{}", old.path, old.name());
        let group = old.path.trim_start_matches("/apis/");
        let now = group.split('/').take(2).collect::<Vec<_>>().join("/");
        let (pointer, wanted) = &old.served;
        let one = found(&admin, &path).await;
        assert_eq!(one["apiVersion"], now, "{}", old.key);
        assert_eq!(one.pointer(pointer), Some(wanted), "{}: {one}", old.key);
        let listed = found(&admin, old.path).await;
        let items = listed["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["metadata"]["name"] == old.name());
        assert_eq!(item.unwrap().pointer(pointer), Some(wanted), "{}", old.key);
        let version = listed["metadata"]["resourceVersion"].as_str().unwrap();

        let request = http::Request::get(format!("{}?watch=1&resourceVersion={version}", old.path))
            .body(Vec::new())
            .unwrap();
        let mut lines = std::pin::pin!(admin.request_stream(request).await.unwrap().lines());
        label(&admin, &path).await;
        let event = tokio::time::timeout(PATIENCE, async {
            loop {
                let event: Value = serde_json::from_str(&lines.next().await.unwrap().unwrap()).unwrap();
                if event["object"]["metadata"]["name"] == old.name() {
                    return event;
                }
            }
        });
        let event = event.await.unwrap();
        assert_eq!(
            event["object"].pointer(pointer),
            Some(wanted),
            "{}: {event}",
            old.key
        );
        let stored = direct.json(old.key).await;
        let written = match old.kind {
            "MutatingAdmissionPolicy" | "MutatingAdmissionPolicyBinding" => old.api_version,
            _ => &now,
        };
        assert_eq!(stored["apiVersion"], written, "{}", old.key);
        assert_eq!(stored.pointer(pointer), Some(wanted), "{}: {stored}", old.key);
    }
    let map = json!({ "metadata": { "name": "m" } });
    let maps = "/api/v1/namespaces/default/configmaps";
    let answer = exchange::send(&admin, "POST", maps, JSON, &map).await.unwrap();
    assert_eq!(
        answer.json()["metadata"]["labels"]["by"],
        "policy",
        "{}",
        answer.text()
    );

    // What nobody knows fails the list that it belongs into, as with upstream, and is told; others go on.
    let unknown =
        json!({ "apiVersion": "node.k8s.io/v9", "kind": "RuntimeClass", "metadata": { "name": "unknown" } });
    direct.put("runtimeclasses/unknown", unknown.to_string()).await;
    testkit::eventually(PATIENCE, "the list fails", async || {
        let answer = get(&admin, "/apis/node.k8s.io/v1/runtimeclasses").await;
        (answer.status != 500).then(|| answer.text())
    })
    .await;
    found(&admin, "/apis/node.k8s.io/v1/runtimeclasses/old").await;
    let why = "stored as node.k8s.io/v9 RuntimeClass, which is not read";
    testkit::eventually(PATIENCE, "it is logged", async || {
        let log = server.log();
        (!log.contains(why)).then_some(log)
    })
    .await;
}
