//! What definitions say of themselves and of their objects, in their conditions, refusals and warnings.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::cluster::Cluster;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";
const NAME: &str = "widgets.example.com";

struct Bench {
    cluster: Cluster,
}

/// Code, body, and warnings.
type Answered = (u16, Value, Vec<String>);

impl Bench {
    async fn start() -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
        Self {
            cluster: Cluster::start(binary, &[]).await.unwrap(),
        }
    }

    async fn send(&self, method: &str, path: &str, media: &str, body: &Value) -> Answered {
        let told = self.cluster.send(method, path, media, body).await;
        (told.code.as_u16(), told.body, told.warnings)
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answered {
        self.send(method, path, "application/json", &body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, Value::Null).await.1
    }

    async fn merge(&self, path: &str, body: Value) -> Answered {
        self.send("PATCH", path, "application/merge-patch+json", &body)
            .await
    }

    async fn apply(&self, path: &str, body: Value) -> Answered {
        self.send("PATCH", path, "application/apply-patch+yaml", &body)
            .await
    }

    /// Asks until the answer is as it should be; says what was last seen.
    async fn until(&self, path: &str, what: &str, fits: impl Fn(u16, &Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (code, body, _) = self.call("GET", path, Value::Null).await;
            if fits(code, &body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path}: not {what}: {code} {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn establish(&self, definition: &Value) {
        let (code, body, _) = self.call("POST", DEFINITIONS, definition.clone()).await;
        assert_eq!(code, 201, "{body}");
        let path = path_of(body["metadata"]["name"].as_str().unwrap());
        let established = |body: &Value| condition(body, "Established")["status"] == "True";
        self.until(&path, "established", |_, body| established(body))
            .await;
    }

    /// Changes the schema of widgets' specs and waits until `probe`, a dry run, is answered as it should be then.
    async fn redefine(&self, spec: Value, required: Value, probe: impl AsyncFn(&Self) -> bool) {
        let versions = widgets(spec, required)["spec"]["versions"].clone();
        let (code, body, _) = self
            .merge(&path_of(NAME), json!({"spec": {"versions": versions}}))
            .await;
        assert_eq!(code, 200, "{body}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !probe(self).await {
            assert!(Instant::now() < deadline, "the new schema does not hold");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn path_of(name: &str) -> String {
    format!("{DEFINITIONS}/{name}")
}

fn condition(definition: &Value, kind: &str) -> Value {
    let conditions = definition["status"]["conditions"].as_array();
    let mut found = conditions.into_iter().flatten();
    found.find(|one| one["type"] == kind).cloned().unwrap_or_default()
}

/// The condition Terminating: its status and reason.
fn terminating(definition: &Value) -> (Value, Value) {
    let condition = condition(definition, "Terminating");
    (condition["status"].clone(), condition["reason"].clone())
}

fn widgets(spec: Value, required: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "required": required, "properties": {
                    "spec": spec,
                    "status": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}},
                }}},
            }],
        },
    })
}

fn any() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_definition_that_is_held_is_as_it_was_once_its_objects_are_gone() {
    let bench = Bench::start().await;
    let path = path_of(NAME);
    bench.establish(&widgets(any(), json!([]))).await;
    bench.until(WIDGETS, "served", |code, _| code == 200).await;
    let held = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    assert_eq!(bench.merge(&path, held.clone()).await.0, 200);
    assert_eq!(bench.call("POST", WIDGETS, widget("a", json!({}))).await.0, 201);
    let item = format!("{WIDGETS}/a");
    assert_eq!(bench.merge(&item, held).await.0, 200);

    let (code, body, _) = bench.call("DELETE", &path, Value::Null).await;
    assert_eq!(code, 200, "{body}");
    let in_progress = (json!("True"), json!("InstanceDeletionInProgress"));
    bench
        .until(&path, "in progress", |_, body| terminating(body) == in_progress)
        .await;
    let grace = "/metadata/deletionGracePeriodSeconds";
    assert_eq!(body.pointer(grace), None);
    let (_, again, _) = bench.call("DELETE", &path, Value::Null).await;
    assert_eq!(again.pointer(grace), Some(&json!(0)), "{again}");
    let verbs = |body: &Value| body["resources"][0]["verbs"].clone();
    let fewer = json!(["delete", "deletecollection", "get", "list", "watch"]);
    let version = "/apis/example.com/v1";
    bench
        .until(version, "shown with less", |_, body| verbs(body) == fewer)
        .await;
    let (code, body, _) = bench.call("POST", WIDGETS, widget("b", json!({}))).await;
    let refused = |name: &str| {
        let why = "create not allowed while custom resource definition is terminating";
        json!([
            403,
            "Forbidden",
            format!("widgets.example.com {name:?} is forbidden: {why}")
        ])
    };
    assert_eq!(json!([code, body["reason"], body["message"]]), refused("b"));
    // Neither does apply make one.
    let applied = bench
        .apply(&format!("{WIDGETS}/c?fieldManager=m"), widget("c", json!({})))
        .await;
    assert_eq!(
        json!([applied.0, applied.1["reason"], applied.1["message"]]),
        refused("c")
    );
    assert_eq!(bench.merge(&item, json!({"spec": {"x": 1}})).await.0, 200);

    assert_eq!(
        bench
            .merge(&item, json!({"metadata": {"finalizers": null}}))
            .await
            .0,
        200
    );
    let completed = (json!("False"), json!("InstanceDeletionCompleted"));
    let body = bench
        .until(&path, "completed", |_, body| terminating(body) == completed)
        .await;
    assert_eq!(
        condition(&body, "Terminating")["message"],
        "removed all instances"
    );
    assert_eq!(body["metadata"]["finalizers"], json!(["example.com/hold"]));
    bench
        .until(version, "shown with all", |_, body| {
            verbs(body).as_array().is_some_and(|verbs| verbs.len() == 8)
        })
        .await;
    assert_eq!(bench.call("POST", WIDGETS, widget("c", json!({}))).await.0, 201);
    assert_eq!(
        bench.call("DELETE", &format!("{WIDGETS}/c"), Value::Null).await.0,
        200
    );

    // The status endpoint takes metadata as it is sent, and with the last finalizer the definition.
    let mut sent = bench.get(&path).await;
    sent["metadata"]["finalizers"] = json!([]);
    let (code, body, _) = bench.call("PUT", &format!("{path}/status"), sent).await;
    assert_eq!((code, body["metadata"].get("finalizers")), (200, None), "{body}");
    bench.until(&path, "gone", |code, _| code == 404).await;
}

#[tokio::test]
async fn built_in_objects_stay_when_a_definition_of_their_name_goes() {
    let bench = Bench::start().await;
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let uids = |list: &Value| -> Vec<Value> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["uid"].clone()).collect()
    };
    let before = uids(&bench.get(services).await);
    assert!(!before.is_empty());
    let mut definition = widgets(any(), json!([]));
    let name = "apiservices.apiregistration.k8s.io";
    definition["metadata"] = json!({"name": name, "annotations": {"api-approved.kubernetes.io": "https://example.com"}, "finalizers": ["example.com/hold"]});
    definition["spec"]["group"] = json!("apiregistration.k8s.io");
    definition["spec"]["scope"] = json!("Cluster");
    definition["spec"]["names"] = json!({"plural": "apiservices", "kind": "APIService"});
    bench.establish(&definition).await;
    let path = path_of(name);
    assert_eq!(bench.call("DELETE", &path, Value::Null).await.0, 200);
    let overlapping = (json!("False"), json!("OverlappingBuiltInResource"));
    bench
        .until(&path, "left alone", |_, body| terminating(body) == overlapping)
        .await;
    assert_eq!(
        bench
            .merge(&path, json!({"metadata": {"finalizers": null}}))
            .await
            .0,
        200
    );
    bench.until(&path, "gone", |code, _| code == 404).await;
    let after = uids(&bench.get(services).await);
    assert!(before.iter().all(|uid| after.contains(uid)), "{after:?}");
}

#[tokio::test]
async fn what_was_stored_before_a_rule_came_is_warned_of() {
    let bench = Bench::start().await;
    let spec = json!({"type": "object", "properties": {
        "n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "integer"}}, "o": {"type": "integer"},
    }});
    bench.establish(&widgets(spec.clone(), json!([]))).await;
    bench.until(WIDGETS, "served", |code, _| code == 200).await;
    let made = widget("a", json!({"n": 5, "list": [1, 2]}));
    assert_eq!(bench.call("POST", WIDGETS, made).await.0, 201);
    let bare = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "b"}});
    assert_eq!(bench.call("POST", WIDGETS, bare).await.0, 201);

    let mut ruled = spec;
    let rules = json!([{"rule": "self < 0", "message": "bad"}]);
    ruled["properties"]["n"]["x-kubernetes-validations"] = rules.clone();
    ruled["properties"]["list"]["items"]["x-kubernetes-validations"] = rules;
    bench
        .redefine(ruled, json!(["spec"]), async |bench: &Bench| {
            let probe = widget("c", json!({"n": 5}));
            let path = format!("{WIDGETS}?dryRun=All");
            bench.call("POST", &path, probe).await.0 == 422
        })
        .await;
    let item = format!("{WIDGETS}/a");
    let told = [
        r#"299 - "spec.list[0]: Invalid value: 1: bad""#,
        r#"299 - "spec.list[1]: Invalid value: 2: bad""#,
        r#"299 - "spec.n: Invalid value: 5: bad""#,
    ];
    let (code, body, warnings) = bench.merge(&item, json!({"spec": {"o": 1}})).await;
    assert_eq!(
        (code, warnings),
        (200, told.map(str::to_owned).to_vec()),
        "{body}"
    );
    // With a refusal as well.
    let (code, body, warnings) = bench.merge(&item, json!({"spec": {"n": 6}})).await;
    assert_eq!(
        (code, body["message"].as_str().unwrap()),
        (
            422,
            r#"Widget.example.com "a" is invalid: spec.n: Invalid value: 6: bad"#
        )
    );
    assert_eq!(warnings, told[..2]);

    // What is missing beside the status is not the business of those who write that.
    let item = format!("{WIDGETS}/b");
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, body, _) = bench.merge(&item, labels).await;
    assert_eq!(code, 422, "{body}");
    let status = format!("{item}/status");
    let (code, body, _) = bench.merge(&status, json!({"status": {"n": 3}})).await;
    assert_eq!((code, &body["status"]["n"]), (200, &json!(3)), "{body}");
    let (code, body, _) = bench.merge(&status, json!({"status": {"n": 4}})).await;
    assert_eq!(code, 422, "{body}");
    assert_eq!(body["details"]["causes"][0]["field"], json!("status.n"), "{body}");
}

#[tokio::test]
async fn objects_say_what_they_are_and_where() {
    let bench = Bench::start().await;
    bench.establish(&widgets(any(), json!([]))).await;
    bench.until(WIDGETS, "served", |code, _| code == 200).await;
    let (code, _, warnings) = bench
        .call(
            "POST",
            WIDGETS,
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "finalizers": ["foo"]}}),
        )
        .await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        [
            r#"299 - "metadata.finalizers: \"foo\": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers""#
        ]
    );
    let item = format!("{WIDGETS}/a");
    let wrong_kind = r#"Gadget.example.com "a" is invalid: kind: Invalid value: "Gadget": must be Widget"#;
    let sent = |version: &str, kind: &str| {
        let mut object = json!({"metadata": {"name": "a"}});
        for (field, value) in [("apiVersion", version), ("kind", kind)] {
            if !value.is_empty() {
                object[field] = json!(value);
            }
        }
        object
    };
    for (method, path, body, code, message) in [
        (
            "POST",
            WIDGETS,
            sent("example.com/v1", ""),
            400,
            r#"the object provided is unrecognized (must be of type Widget): Object 'Kind' is missing in '{"apiVersion":"example.com/v1","metadata":{"name":"a"}}' ({"apiVersion":"example.com/v1" ...)"#,
        ),
        (
            "POST",
            &format!("{WIDGETS}?fieldValidation=Ignore"),
            sent("", ""),
            400,
            r#"Widget in version "v1" cannot be handled as a Widget: Object 'Kind' is missing in '{"metadata":{"name":"a"}}'"#,
        ),
        (
            "POST",
            WIDGETS,
            sent("example.com/v2", "Widget"),
            400,
            "the API version in the data (example.com/v2) does not match the expected API version (example.com/v1)",
        ),
        (
            "POST",
            WIDGETS,
            sent("", "Widget"),
            400,
            "the API version in the data () does not match the expected API version (example.com/v1)",
        ),
        (
            "POST",
            WIDGETS,
            json!({"kind": 5}),
            400,
            r#"the object provided is unrecognized (must be of type Widget): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})"#,
        ),
        (
            "POST",
            "/api/v1/namespaces/default/configmaps",
            json!({"apiVersion": "a/b/c"}),
            400,
            r#"the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})"#,
        ),
        ("POST", WIDGETS, sent("example.com/v1", "Gadget"), 422, wrong_kind),
        ("PATCH", &item, json!({"kind": "Gadget"}), 422, wrong_kind),
        (
            "PATCH",
            &item,
            json!({"apiVersion": "example.com/v2"}),
            422,
            r#"Widget.example.com "a" is invalid: apiVersion: Invalid value: "example.com/v2": must be example.com/v1"#,
        ),
        (
            "PATCH",
            &format!("{item}/status"),
            json!({"kind": "Gadget"}),
            200,
            "",
        ),
        (
            "GET",
            &format!("{item}/log"),
            Value::Null,
            404,
            r#"widgets.example.com "a" not found"#,
        ),
    ] {
        let media = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let (given, answer, _) = bench.send(method, path, media, &body).await;
        let told = answer["message"].as_str().unwrap_or("");
        assert_eq!((given, told), (code, message), "{method} {path} {body}: {answer}");
    }
    let (code, body, _) = bench.merge(&item, json!({"kind": null})).await;
    let told = body["message"].as_str().unwrap_or("");
    assert!(
        code == 422
            && told.starts_with(r#" "" is invalid: patch: Invalid value: "{"#)
            && told.contains("Object 'Kind' is missing in '{"),
        "{body}"
    );
    for (method, path) in [
        ("POST", "/apis/example.com/v1/widgets"),
        ("DELETE", "/apis/example.com/v1/widgets"),
        ("GET", "/apis/example.com/v1/gadgets"),
        ("GET", "/apis/example.com/v1/namespaces/default/gadgets/a"),
    ] {
        let body = match method {
            "POST" => widget("b", json!({})),
            _ => Value::Null,
        };
        let (code, body, _) = bench.call(method, path, body).await;
        assert_eq!(
            (code, &body),
            (404, &json!("404 page not found\n")),
            "{method} {path}"
        );
    }
    let across = bench.get("/apis/example.com/v1/widgets").await;
    assert_eq!(across["items"].as_array().unwrap().len(), 1, "{across}");
}
