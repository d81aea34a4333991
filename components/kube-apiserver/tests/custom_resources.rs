//! Custom resources over a real etcd: from the definition to the last object.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::webhook::{Answer, WebhookServer};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

async fn server(etcd: &Etcd) -> ApiServer {
    ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), etcd, &[])
        .await
        .unwrap()
}

/// The answer's code and body.
async fn send(client: &Client, method: &str, path: &str, media: &str, body: &Value) -> (u16, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        })
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(body) => (200, body),
        Err(kube::Error::Api(status)) => (status.code, json!({"message": status.message})),
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

async fn call(client: &Client, method: &str, path: &str, body: Value) -> (u16, Value) {
    send(client, method, path, "application/json", &body).await
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    call(client, "GET", path, Value::Null).await
}

/// Asks until the answer is as it should be; says what was last seen.
async fn until(client: &Client, path: &str, what: &str, fits: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (code, body) = get(client, path).await;
        if fits(code, &body) {
            return body;
        }
        assert!(Instant::now() < deadline, "{path}: not {what}: {code} {body}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn widgets(spec: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector",
                }},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": spec,
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}},
                }}},
            }],
        },
    })
}

fn spec() -> Value {
    json!({
        "type": "object", "description": "What is wanted.",
        "x-kubernetes-validations": [
            {"rule": "self.size < 100", "messageExpression": "'size ' + string(self.size) + ' is too big'"},
            {"rule": "self.size >= oldSelf.size", "message": "must not shrink", "fieldPath": ".size"},
        ],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "default": 3},
            "color": {"type": "string", "enum": ["red", "green"], "default": "red"},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "maxItems": 10},
        },
    })
}

async fn establish(client: &Client, definition: Value) {
    let (code, body) = call(client, "POST", DEFINITIONS, definition).await;
    assert_eq!(code, 200, "{body}");
    let name = body["metadata"]["name"].as_str().unwrap();
    until(
        client,
        &format!("{DEFINITIONS}/{name}"),
        "established",
        |_, body| {
            body["status"]["conditions"].as_array().is_some_and(|list| {
                list.iter()
                    .any(|one| one["type"] == "Established" && one["status"] == "True")
            })
        },
    )
    .await;
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_definition_is_served_until_it_is_deleted_and_its_objects_go_first() {
    let etcd = Etcd::start().await.unwrap();
    let server = server(&etcd).await;
    let client = server.admin().await.unwrap();
    assert_eq!(get(&client, WIDGETS).await.0, 404);
    establish(&client, widgets(spec())).await;
    until(&client, WIDGETS, "served", |code, _| code == 200).await;

    // Pruned and defaulted.
    let (code, made) = call(
        &client,
        "POST",
        WIDGETS,
        widget("a", json!({"size": 5, "nothing": 1})),
    )
    .await;
    assert_eq!(code, 200, "{made}");
    assert_eq!(made["spec"], json!({"size": 5, "color": "red"}));
    assert_eq!(made["metadata"]["generation"], 1);
    let (code, refused) = call(
        &client,
        "POST",
        &format!("{WIDGETS}?fieldValidation=Strict"),
        widget("b", json!({"nothing": 1})),
    )
    .await;
    assert_eq!(
        (
            code,
            refused["message"]
                .as_str()
                .unwrap()
                .contains("unknown field \"spec.nothing\"")
        ),
        (400, true)
    );

    // Checked by the schema, then by rules.
    for (spec, message) in [
        (
            json!({"color": "blue"}),
            r#"spec.color: Unsupported value: "blue": supported values: "red", "green""#,
        ),
        (
            json!({"size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (json!({"size": 200}), "spec: Invalid value: size 200 is too big"),
        (
            json!({"tags": ["a", "a"]}),
            r#"spec.tags[1]: Duplicate value: "a""#,
        ),
    ] {
        let (code, refused) = call(&client, "POST", WIDGETS, widget("b", spec.clone())).await;
        let told = refused["message"].as_str().unwrap();
        assert!(code == 422 && told.contains(message), "{spec}: {code} {told}");
    }
    let item = format!("{WIDGETS}/a");
    let merge = "application/merge-patch+json";
    let (code, refused) = send(&client, "PATCH", &item, merge, &json!({"spec": {"size": 4}})).await;
    assert_eq!(code, 422, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("spec.size: Invalid value: must not shrink")
    );
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = client.request_text(request).await.unwrap();
    let compared = "apiextensions_apiserver_validation_ratcheting_seconds_count ";
    let compared = metrics.lines().find_map(|line| line.strip_prefix(compared));
    assert!(compared.unwrap().parse::<u64>().unwrap() >= 1, "{metrics}");
    assert_eq!(
        send(
            &client,
            "PATCH",
            &item,
            "application/strategic-merge-patch+json",
            &json!({})
        )
        .await
        .0,
        415
    );

    // The spec has a generation, the status an endpoint of its own.
    let (_, patched) = send(
        &client,
        "PATCH",
        &item,
        merge,
        &json!({"spec": {"size": 6}, "status": {"size": 9}}),
    )
    .await;
    assert_eq!(
        (&patched["metadata"]["generation"], &patched["status"]),
        (&json!(2), &Value::Null)
    );
    let status = format!("{item}/status");
    let (_, patched) = send(
        &client,
        "PATCH",
        &status,
        merge,
        &json!({"spec": {"size": 7}, "status": {"size": 6, "selector": "a=b"}}),
    )
    .await;
    assert_eq!(
        (&patched["metadata"]["generation"], &patched["spec"]["size"]),
        (&json!(2), &json!(6))
    );
    let (_, scale) = get(&client, &format!("{item}/scale")).await;
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]),
        (&json!(6), &json!({"replicas": 6, "selector": "a=b"}))
    );
    let (_, scaled) = send(
        &client,
        "PATCH",
        &format!("{item}/scale"),
        merge,
        &json!({"spec": {"replicas": 8}}),
    )
    .await;
    assert_eq!(scaled["spec"]["replicas"], 8);
    let apply = format!("{item}?fieldManager=test");
    let wanted = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"tags": ["x"]}});
    let (code, applied) = send(&client, "PATCH", &apply, "application/apply-patch+yaml", &wanted).await;
    assert_eq!(
        (code, &applied["spec"]["tags"]),
        (200, &json!(["x"])),
        "{applied}"
    );
    // A patch takes a field away by setting it to null; what is applied is looked at as it is.
    let nothing = json!({"spec": {"tags": [null], "color": null}});
    let (code, refused) = send(&client, "PATCH", &item, merge, &nothing).await;
    assert_eq!(code, 422, "{refused}");
    let mut nothing = wanted.clone();
    nothing["spec"] = json!({"tags": null});
    let (code, refused) = send(&client, "PATCH", &apply, "application/apply-patch+yaml", &nothing).await;
    let why = r#"Widget.example.com "a" is invalid: spec.tags: Invalid value: "null": spec.tags in body must be of type array: "null""#;
    let told = refused["message"].as_str().unwrap_or_default();
    assert!(code == 422 && told.contains(&why[38..]), "{refused}");

    // Found by its field, watched, listed.
    let (_, list) = get(&client, &format!("{WIDGETS}?fieldSelector=spec.color%3Dred")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let (_, none) = get(&client, &format!("{WIDGETS}?fieldSelector=spec.color%3Dgreen")).await;
    assert_eq!(none["items"], json!([]));
    assert_eq!(
        get(&client, &format!("{WIDGETS}?fieldSelector=spec.size%3D1"))
            .await
            .0,
        400
    );
    let (_, document) = get(&client, "/openapi/v3/apis/example.com/v1").await;
    let published = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(published["properties"]["spec"]["description"], "What is wanted.");
    assert_eq!(
        published["x-kubernetes-selectable-fields"],
        json!([{"fieldPath": "spec.color"}])
    );
    let (_, group) = get(&client, "/apis/example.com/v1").await;
    let names: Vec<&str> = group["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);

    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let request = http::Request::get(format!("{WIDGETS}?watch=1&resourceVersion={version}"))
        .body(Vec::new())
        .unwrap();
    let mut frames = client.request_stream(request).await.unwrap().lines();
    let (code, _) = call(
        &client,
        "DELETE",
        &format!("{DEFINITIONS}/widgets.example.com"),
        Value::Null,
    )
    .await;
    assert_eq!(code, 200);
    let frame: Value = serde_json::from_str(
        &tokio::time::timeout(Duration::from_secs(30), frames.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        (&frame["type"], &frame["object"]["metadata"]["name"]),
        (&json!("DELETED"), &json!("a"))
    );
    until(
        &client,
        &format!("{DEFINITIONS}/widgets.example.com"),
        "gone",
        |code, _| code == 404,
    )
    .await;
    until(&client, WIDGETS, "gone", |code, _| code == 404).await;
    until(&client, "/apis/example.com", "gone", |code, _| code == 404).await;
    // The watch ends with its resource.
    let rest = tokio::time::timeout(Duration::from_secs(30), frames.try_collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the watch goes on");
}

#[tokio::test]
async fn every_server_serves_what_one_was_told() {
    let etcd = Etcd::start().await.unwrap();
    let (one, two) = tokio::join!(server(&etcd), server(&etcd));
    let (first, second) = (one.admin().await.unwrap(), two.admin().await.unwrap());
    establish(&first, widgets(spec())).await;
    until(&second, WIDGETS, "served by the other", |code, _| code == 200).await;
    let (code, made) = call(&second, "POST", WIDGETS, widget("a", json!({"size": 5}))).await;
    assert_eq!(code, 200, "{made}");
    until(&first, &format!("{WIDGETS}/a"), "seen by the first", |code, _| {
        code == 200
    })
    .await;
    // A new default holds for what is stored already, on both.
    let mut wider = spec();
    wider["properties"]["note"] = json!({"type": "string", "default": "new"});
    let patch = json!({"spec": {"versions": widgets(wider)["spec"]["versions"]}});
    let (code, body) = send(
        &first,
        "PATCH",
        &format!("{DEFINITIONS}/widgets.example.com"),
        "application/merge-patch+json",
        &patch,
    )
    .await;
    assert_eq!(code, 200, "{body}");
    for client in [&first, &second] {
        until(client, &format!("{WIDGETS}/a"), "defaulted", |_, body| {
            body["spec"]["note"] == "new"
        })
        .await;
    }
    assert_eq!(
        call(
            &second,
            "DELETE",
            &format!("{DEFINITIONS}/widgets.example.com"),
            Value::Null
        )
        .await
        .0,
        200
    );
    for client in [&first, &second] {
        until(client, WIDGETS, "gone", |code, _| code == 404).await;
    }
}

/// Two versions, between which a webhook moves `spec.address` to `spec.host` and `spec.port` and back.
fn convert(review: &Value) -> Value {
    let wanted = review["request"]["desiredAPIVersion"].as_str().unwrap();
    let converted: Vec<Value> = review["request"]["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = json!(wanted);
            if wanted.ends_with("v2") {
                let address = object["spec"]["address"].as_str().unwrap().to_owned();
                let (host, port) = address.split_once(':').unwrap();
                object["spec"] = json!({"host": host, "port": port});
            } else {
                object["spec"] = json!({"address": format!("{}:{}", object["spec"]["host"].as_str().unwrap(), object["spec"]["port"].as_str().unwrap())});
            }
            object
        })
        .collect();
    json!({
        "apiVersion": review["apiVersion"], "kind": "ConversionReview",
        "response": {"uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": converted},
    })
}

#[tokio::test]
async fn a_webhook_converts_between_versions() {
    use base64::Engine;
    let etcd = Etcd::start().await.unwrap();
    let server = server(&etcd).await;
    let client = server.admin().await.unwrap();
    let spoiled = Arc::new(AtomicBool::new(false));
    let spoils = Arc::clone(&spoiled);
    let hook = WebhookServer::start(server.pki(), &[], move |seen| {
        let mut answer = convert(&seen.body);
        if spoils.load(Ordering::Relaxed) {
            answer["response"]["result"] = json!({"status": "Failed", "message": "spoiled"});
        }
        Answer::ok(answer)
    })
    .await
    .unwrap();
    let bundle = std::fs::read(server.pki().file("ca.crt")).unwrap();
    let text = json!({"type": "string"});
    let version = |name: &str, storage: bool, properties: Value, selectable: Value| {
        json!({"name": name, "served": true, "storage": storage, "selectableFields": selectable,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}}})
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "places.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "places", "kind": "Place"},
            "versions": [
                version("v1", true, json!({"address": text}), json!([{"jsonPath": ".spec.address"}])),
                version("v2", false, json!({"host": text, "port": text}), json!([{"jsonPath": ".spec.host"}])),
            ],
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"url": hook.url("/convert"), "caBundle": base64::engine::general_purpose::STANDARD.encode(bundle)},
            }},
        },
    });
    establish(&client, definition).await;
    let (one, two) = ("/apis/example.com/v1/places", "/apis/example.com/v2/places");
    until(&client, two, "served", |code, _| code == 200).await;
    let place = |version: &str, name: &str, spec: Value| json!({"apiVersion": format!("example.com/{version}"), "kind": "Place", "metadata": {"name": name}, "spec": spec});
    let (code, body) = call(&client, "POST", one, place("v1", "a", json!({"address": "x:1"}))).await;
    assert_eq!(code, 200, "{body}");
    let (code, body) = call(
        &client,
        "POST",
        two,
        place("v2", "b", json!({"host": "y", "port": "2"})),
    )
    .await;
    assert_eq!(
        (code, &body["spec"]),
        (200, &json!({"host": "y", "port": "2"})),
        "{body}"
    );
    let (_, body) = get(&client, &format!("{one}/b")).await;
    assert_eq!(body["spec"], json!({"address": "y:2"}));
    let (_, list) = get(&client, two).await;
    let specs: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["spec"])
        .collect();
    assert_eq!(
        specs,
        [
            &json!({"host": "x", "port": "1"}),
            &json!({"host": "y", "port": "2"})
        ]
    );
    let (_, list) = get(&client, &format!("{two}?fieldSelector=spec.host%3Dy")).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    // The same objects are not converted twice.
    let before = hook.seen().len();
    get(&client, two).await;
    assert_eq!(hook.seen().len(), before);
    let request = http::Request::get(format!(
        "{two}?watch=1&resourceVersion=0&fieldSelector=spec.host%3Dx"
    ))
    .body(Vec::new())
    .unwrap();
    let mut frames = client.request_stream(request).await.unwrap().lines();
    let frame = tokio::time::timeout(Duration::from_secs(30), frames.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(
        (&frame["type"], &frame["object"]["spec"]["port"]),
        (&json!("ADDED"), &json!("1")),
        "{frame}"
    );
    // A single object is always as the webhook converts it now, and so is one that would be made.
    let (before, (code, _)) = (hook.seen().len(), get(&client, &format!("{two}/a")).await);
    assert_eq!((code, hook.seen().len()), (200, before + 1));
    let asked = hook.seen().last().unwrap().body["request"]["objects"][0].clone();
    assert_eq!(asked["metadata"]["resourceVersion"], Value::Null, "{asked}");
    let would_be = || place("v2", "c", json!({"host": "z", "port": "3"}));
    let dry_run = format!("{two}?dryRun=All");
    let (code, made) = call(&client, "POST", &dry_run, would_be()).await;
    assert_eq!((code, &made["spec"]["port"]), (200, &json!("3")), "{made}");
    spoiled.store(true, Ordering::Relaxed);
    let (code, refused) = get(&client, &format!("{two}/a")).await;
    let why = "conversion webhook for example.com/v1, Kind=Place failed: spoiled";
    assert_eq!((code, &refused["message"]), (500, &json!(why)));
    let (code, refused) = call(&client, "POST", &dry_run, would_be()).await;
    let why = "conversion webhook for example.com/v2, Kind=Place failed: spoiled";
    assert_eq!((code, &refused["message"]), (500, &json!(why)));
    // Lists and watches are of what was converted as it came.
    assert_eq!(get(&client, two).await.0, 200);
}

#[tokio::test]
async fn the_verb_alone_says_what_is_done_with_an_object_and_empty_metadata_is_none() {
    let etcd = Etcd::start().await.unwrap();
    let server = server(&etcd).await;
    let client = server.admin().await.unwrap();
    establish(&client, widgets(spec())).await;
    until(&client, WIDGETS, "served", |code, _| code == 200).await;

    let mut named = widget("a", json!({}));
    named["metadata"]["finalizers"] = json!(["example.com/a"]);
    named["metadata"]["labels"] = json!({});
    let (code, made) = call(&client, "POST", &format!("{WIDGETS}/b"), named).await;
    assert_eq!((code, &made["metadata"]["name"]), (200, &json!("a")), "{made}");
    assert!(made["metadata"].get("labels").is_none(), "{made}");
    let patch = json!({"metadata": {"finalizers": [], "annotations": {}}});
    let one = format!("{WIDGETS}/a");
    let (_, patched) = send(&client, "PATCH", &one, "application/merge-patch+json", &patch).await;
    let metadata = patched["metadata"].as_object().unwrap();
    assert!(
        !metadata.contains_key("finalizers") && !metadata.contains_key("annotations"),
        "{patched}"
    );
    assert!(
        patched["metadata"]["managedFields"][0]["fieldsV1"]
            .get("f:metadata")
            .is_none(),
        "{patched}"
    );

    let unsupported =
        |verb: &str| format!("{verb} is not supported on resources of kind \"widgets.example.com\"");
    for (method, path, wanted) in [
        (
            "PUT",
            WIDGETS.to_owned(),
            (400, "name must be provided".to_owned()),
        ),
        (
            "PATCH",
            WIDGETS.to_owned(),
            (400, "name must be provided".to_owned()),
        ),
        ("DELETE", format!("{one}/status"), (405, unsupported("delete"))),
        ("POST", format!("{one}/scale"), (405, unsupported("create"))),
        ("OPTIONS", one.clone(), (405, unsupported(""))),
    ] {
        let (code, told) = call(&client, method, &path, Value::Null).await;
        let told = told["message"].as_str().unwrap_or_default().to_owned();
        assert_eq!((code, told), wanted, "{method} {path}");
    }
    let head = http::Request::head(&one).body(Vec::new()).unwrap();
    assert_eq!(client.request_text(head).await.unwrap(), "");

    // What can be had as what.
    let partial = "application/json;v=v1;g=meta.k8s.io;as=PartialObjectMetadata";
    for (path, accept, wanted) in [
        (
            WIDGETS.to_owned(),
            partial.to_owned(),
            (
                406,
                "you requested PartialObjectMetadata, but the requested object is a list (*unstructured.UnstructuredList)",
            ),
        ),
        (
            one.clone(),
            format!("{partial}List"),
            (500, "content is not a list"),
        ),
        (
            DEFINITIONS.to_owned(),
            format!("{partial},application/json"),
            (
                406,
                "you requested PartialObjectMetadata, but the requested object is a list (*apiextensions.CustomResourceDefinitionList)",
            ),
        ),
        (
            format!("{one}/scale"),
            format!("{partial}List"),
            (
                406,
                "you requested PartialObjectMetadataList, but the requested object is not a list (*autoscaling.Scale)",
            ),
        ),
    ] {
        let request = http::Request::get(&path)
            .header("accept", &accept)
            .body(Vec::new())
            .unwrap();
        let Err(kube::Error::Api(refused)) = client.request::<Value>(request).await else {
            panic!("{path} {accept}: not refused");
        };
        assert_eq!(refused.code, wanted.0, "{path} {accept}");
        assert_eq!(refused.message, wanted.1, "{path} {accept}");
    }
    // Not even a scale is there as protobuf.
    let scale = http::Request::get(format!("{one}/scale"))
        .header("accept", "application/vnd.kubernetes.protobuf")
        .body(kube::client::Body::empty())
        .unwrap();
    assert_eq!(client.send(scale).await.unwrap().status(), 406);
    let none = http::Request::get(format!("{WIDGETS}?labelSelector=nobody"))
        .header("accept", format!("{partial}List"))
        .body(Vec::new())
        .unwrap();
    let none: Value = client.request(none).await.unwrap();
    assert_eq!(none.get("items"), Some(&Value::Null), "{none}");
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused() {
    let etcd = Etcd::start().await.unwrap();
    let server = server(&etcd).await;
    let client = server.admin().await.unwrap();
    for (spec, message) in [
        (
            json!({"type": "object", "properties": {"a": {}}}),
            "properties[spec].properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
            "properties[a].default: Invalid value: \"string\"",
        ),
        (
            json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.nothing == 1"}]}),
            "compilation failed: ERROR: <input>:1:5: undefined field 'nothing'",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "array", "items": {
                "type": "string", "x-kubernetes-validations": [{"rule": "self.contains('x')"}]}}}}}),
            "estimated rule cost exceeds budget by factor of more than 100x",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "maxLength": 5,
                "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}, "maxItems": 5}}}),
            "oldSelf cannot be used on the uncorrelatable portion of the schema",
        ),
    ] {
        let (code, refused) = call(&client, "POST", DEFINITIONS, widgets(spec.clone())).await;
        let told = refused["message"].as_str().unwrap_or("");
        assert!(code == 422 && told.contains(message), "{spec}: {code} {told}");
    }
}
