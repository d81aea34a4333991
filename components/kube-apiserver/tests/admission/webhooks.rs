//! Admission webhooks against a real TLS server.

use crate::bench::{Bench, CONFIGURATIONS, MAPS};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::webhook::{Answer, Seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

pub fn review(seen: &Seen, response: Value) -> Answer {
    let mut response = response;
    response["uid"] = seen.body["request"]["uid"].clone();
    Answer::ok(json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}))
}

fn patch(seen: &Seen, operations: Value) -> Answer {
    let patch = STANDARD.encode(operations.to_string());
    review(
        seen,
        json!({"allowed": true, "patch": patch, "patchType": "JSONPatch"}),
    )
}

pub fn answer(seen: &Seen) -> Answer {
    let data = &seen.body["request"]["object"]["data"];
    match seen.path.as_str() {
        "/deny" => review(
            seen,
            json!({"allowed": false, "status": {"message": "not so", "code": 403, "reason": "Forbidden"}}),
        ),
        "/silent" => review(seen, json!({"allowed": false})),
        "/warn" => review(seen, json!({"allowed": true, "warnings": ["mind this"]})),
        "/first" if data["start"] == "yes" => patch(
            seen,
            json!([{"op": "add", "path": "/data/first", "value": "yes"}]),
        ),
        "/second" if data["first"] == "yes" => patch(
            seen,
            json!([{"op": "add", "path": "/data/second", "value": "yes"}]),
        ),
        "/container" => patch(
            seen,
            json!([{"op": "add", "path": "/spec/initContainers", "value": [{"name": "init", "image": "i"}]}]),
        ),
        "/slow" => Answer {
            after: Duration::from_secs(5),
            ..review(seen, json!({"allowed": true}))
        },
        "/broken" => Answer {
            code: 500,
            ..Answer::ok(json!("broken"))
        },
        "/empty" => Answer {
            text: Some(String::new()),
            ..Answer::ok(json!({}))
        },
        "/page" => Answer {
            text: Some("<html></html>".to_owned()),
            ..Answer::ok(json!({}))
        },
        "/pod" => Answer::ok(json!({"kind": "Pod", "apiVersion": "v1"})),
        "/mismatch" => Answer::ok(
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "other", "allowed": true}}),
        ),
        _ => review(seen, json!({"allowed": true})),
    }
}

#[tokio::test]
async fn objects_are_changed_in_order_and_complete_afterwards() {
    let bench = Bench::start(answer).await;
    let pods = json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]});
    let hooks = vec![
        bench.hook("first.example.com", "/first", json!({})),
        bench.hook("second.example.com", "/second", json!({})),
        bench.hook("pods.example.com", "/container", pods),
    ];
    bench
        .configure("MutatingWebhookConfiguration", "ordered", hooks)
        .await;
    let (code, made, _) = bench.post(MAPS, &map("ordered", json!({"start": "yes"}))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["data"],
        json!({"start": "yes", "first": "yes", "second": "yes"})
    );
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false}});
    let (code, pod, _) = bench.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, 403, "there is no default service account: {pod}");
    let account = json!({"metadata": {"name": "default"}});
    bench
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, pod, _) = bench.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(code, 201, "{pod}");
    let init = &pod["spec"]["initContainers"][0];
    assert_eq!(
        init["terminationMessagePolicy"], "File",
        "a webhook's part gets defaults"
    );
    assert_eq!(
        init["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount",
        "built-in plugins look again after a webhook"
    );
}

#[tokio::test]
async fn refusals_warnings_and_what_a_review_carries() {
    let bench = Bench::start(answer).await;
    let labelled = |value: &str| json!({"objectSelector": {"matchLabels": {"case": value}}});
    let hooks = vec![
        bench.hook("deny.example.com", "/deny", labelled("deny")),
        bench.hook("silent.example.com", "/silent", labelled("silent")),
        bench.hook("warn.example.com", "/warn", labelled("warn")),
        bench.hook(
            "effects.example.com",
            "/ok",
            json!({"sideEffects": "NoneOnDryRun", "objectSelector": {"matchLabels": {"case": "look"}}}),
        ),
    ];
    bench
        .configure("ValidatingWebhookConfiguration", "cases", hooks)
        .await;
    let labelled =
        |case: &str| json!({"metadata": {"name": case, "labels": {"case": case}}, "data": {"a": "b"}});
    let (code, status, _) = bench.post(MAPS, &labelled("deny")).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "admission webhook \"deny.example.com\" denied the request: not so"
    );
    let (code, status, _) = bench.post(MAPS, &labelled("silent")).await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "admission webhook \"silent.example.com\" denied the request without explanation"
    );
    let (code, _, warnings) = bench.post(MAPS, &labelled("warn")).await;
    assert_eq!(
        (code, warnings.as_slice()),
        (201, &["299 - \"mind this\"".to_owned()][..])
    );

    let path = format!("{MAPS}?fieldManager=me&fieldValidation=Strict");
    assert_eq!(bench.post(&path, &labelled("look")).await.0, 201);
    // Changes begin with the cached object and ask again when it was not the newest; a consistent read waits for it.
    bench.send("GET", MAPS, "application/json", None).await;
    assert_eq!(
        bench
            .merge(&format!("{MAPS}/look"), &json!({"data": {"c": "d"}}))
            .await
            .0,
        200
    );
    bench.send("GET", MAPS, "application/json", None).await;
    assert_eq!(
        bench.delete(&format!("{MAPS}/look?gracePeriodSeconds=3")).await.0,
        200
    );
    let reviews: Vec<Value> = bench
        .webhook
        .seen()
        .into_iter()
        .filter(|seen| seen.path == "/ok")
        .map(|seen| seen.body)
        .collect();
    let [create, update, delete] = reviews.as_slice() else {
        panic!("{reviews:?}");
    };
    let request = &create["request"];
    assert_eq!(create["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(
        request["kind"],
        json!({"group": "", "version": "v1", "kind": "ConfigMap"})
    );
    assert_eq!(
        request["requestResource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    assert_eq!(
        (&request["name"], &request["namespace"]),
        (&json!("look"), &json!("default"))
    );
    assert_eq!(
        (&request["operation"], &request["dryRun"]),
        (&json!("CREATE"), &json!(false))
    );
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["oldObject"], Value::Null);
    assert_eq!(
        request["options"],
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me", "fieldValidation": "Strict"})
    );
    assert_eq!(request["object"]["data"], json!({"a": "b"}));
    assert!(
        request["object"]["metadata"]["uid"].is_string(),
        "validation sees the finished object"
    );
    let request = &update["request"];
    assert_eq!(request["oldObject"]["data"], json!({"a": "b"}));
    assert_eq!(request["object"]["data"], json!({"a": "b", "c": "d"}));
    assert_eq!(request["options"]["kind"], "UpdateOptions");
    let request = &delete["request"];
    assert_eq!(
        (&request["operation"], &request["object"]),
        (&json!("DELETE"), &Value::Null)
    );
    assert_eq!(request["oldObject"]["data"], json!({"a": "b", "c": "d"}));
    assert_eq!(
        request["options"],
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 3})
    );
}

/// A server that says the same to everybody who says something, and hangs up.
async fn speaker(text: &'static [u8]) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 4096];
            if stream.read(&mut hello).await.is_ok() {
                // The other end may be gone.
                let _ = stream.write_all(text).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

#[tokio::test]
async fn failures_follow_the_policy() {
    let bench = Bench::start(answer).await;
    let case = |name: &str, path: &str, more: Value| {
        let mut more = more;
        more["objectSelector"] = json!({"matchLabels": {"case": name}});
        bench.hook(&format!("{name}.example.com"), path, more)
    };
    let at = |name: &str, port: u16| {
        let url = format!("https://127.0.0.1:{port}/");
        let mut hook = case(name, "/ok", json!({}));
        hook["clientConfig"]["url"] = json!(url);
        hook
    };
    let plain = speaker(b"HTTP/1.1 400 Bad Request\r\n\r\nno TLS here").await;
    let silent = speaker(b"").await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = format!("dial tcp 127.0.0.1:{nobody}: connect: connection refused");
    let mut stranger = case("stranger", "/ok", json!({}));
    stranger["clientConfig"] = json!({"url": bench.webhook.url("/ok")});
    let hooks = vec![
        case("slow", "/slow", json!({"timeoutSeconds": 1})),
        case(
            "open",
            "/slow",
            json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"}),
        ),
        case("broken", "/broken", json!({})),
        case("mismatch", "/mismatch", json!({})),
        case("empty", "/empty", json!({})),
        case("page", "/page", json!({})),
        case("pod", "/pod", json!({})),
        at("plain", plain),
        at("silent", silent),
        at("nobody", nobody),
        stranger,
    ];
    bench
        .configure("ValidatingWebhookConfiguration", "failing", hooks)
        .await;
    let labelled = |case: &str| json!({"metadata": {"name": case, "labels": {"case": case}}});
    let (code, status, _) = bench.post(MAPS, &labelled("slow")).await;
    let url = bench.webhook.url("/slow?timeout=1s");
    assert_eq!((code, &status["reason"]), (500, &json!("InternalError")));
    assert_eq!(
        status["message"],
        format!(
            "Internal error occurred: failed calling webhook \"slow.example.com\": failed to call webhook: Post {url:?}: context deadline exceeded"
        )
    );
    assert_eq!(bench.post(MAPS, &labelled("open")).await.0, 201);
    for (case, part) in [
        (
            "broken",
            "an error on the server (\"unknown\") has prevented the request from succeeding",
        ),
        (
            "mismatch",
            "received invalid webhook response: expected response.uid=",
        ),
        (
            "empty",
            "failed to call webhook: 0-length response with status code: 200 and content type: application/json",
        ),
        (
            "page",
            "failed to call webhook: couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct {",
        ),
        (
            "pod",
            "failed to call webhook: no kind \"Pod\" is registered for version \"v1\" in scheme",
        ),
        ("plain", ": http: server gave HTTP response to HTTPS client"),
        ("silent", ": EOF"),
        ("nobody", refused.as_str()),
        ("stranger", "x509: certificate signed by unknown authority"),
    ] {
        let (code, status, _) = bench.post(MAPS, &labelled(case)).await;
        let message = status["message"].as_str().unwrap();
        assert_eq!(code, 500, "{status}");
        assert!(message.contains(part), "{message}");
    }
    let metrics = bench
        .client
        .request_text(http::Request::get("/metrics").body(Vec::new()).unwrap())
        .await
        .unwrap();
    let counted = |line: &str| metrics.lines().any(|found| found == line);
    assert!(
        counted(
            "apiserver_admission_webhook_rejection_count{name=\"broken.example.com\",operation=\"CREATE\",error_type=\"calling_webhook_error\",rejection_code=\"500\",type=\"validate\"} 1"
        ),
        "{metrics}"
    );
    assert!(counted(
        "apiserver_admission_webhook_fail_open_count{name=\"open.example.com\",type=\"validate\"} 1"
    ));
}

#[tokio::test]
async fn services_connections_conditions_and_exemptions() {
    let bench = Bench::start(answer).await;
    // An address of loopback is no endpoint, but a name may lead there.
    let service =
        json!({"metadata": {"name": "hook"}, "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let (code, body, _) = bench.post("/api/v1/namespaces/default/services", &service).await;
    assert_eq!(code, 201, "{body}");
    let bundle = bench.client_config("/")["caBundle"].clone();
    let behind = json!({"service": {"namespace": "default", "name": "hook", "port": bench.webhook.port(), "path": "/deny"}, "caBundle": bundle});
    let connect = json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/attach"], "operations": ["CONNECT"]}]);
    let everything =
        json!([{"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]);
    let conditions = json!([
        {"name": "named", "expression": "object.metadata.name == 'skip' || object.metadata.name == 'explode'"},
        {"name": "safe", "expression": "object.metadata.name != 'explode' || object.data.missing == 'x'"},
    ]);
    let registration = json!([{"apiGroups": ["admissionregistration.k8s.io"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}]);
    let hooks = vec![
        bench.hook(
            "service.example.com",
            "/",
            json!({"clientConfig": behind, "objectSelector": {"matchLabels": {"case": "service"}}}),
        ),
        bench.hook("attach.example.com", "/deny", json!({"rules": connect})),
        bench.hook(
            "named.example.com",
            "/deny",
            json!({"matchConditions": conditions}),
        ),
        bench.hook(
            "space.example.com",
            "/deny",
            json!({"rules": everything, "namespaceSelector": {"matchLabels": {"guarded": "yes"}}}),
        ),
        bench.hook("self.example.com", "/deny", json!({"rules": registration})),
    ];
    bench
        .configure("ValidatingWebhookConfiguration", "various", hooks)
        .await;

    let labelled = json!({"metadata": {"name": "a", "labels": {"case": "service"}}});
    let (code, status, _) = bench.post(MAPS, &labelled).await;
    assert_eq!(
        (code, &status["message"]),
        (
            403,
            &json!("admission webhook \"service.example.com\" denied the request: not so")
        )
    );

    let attach = "/api/v1/namespaces/default/pods/nobody/attach?stdin=true&container=c";
    let (code, status, _) = bench.post(attach, &Value::Null).await;
    assert_eq!(
        (code, &status["message"]),
        (
            403,
            &json!("admission webhook \"attach.example.com\" denied the request: not so")
        )
    );
    let seen = bench.webhook.seen();
    let review = seen
        .iter()
        .find(|seen| seen.body["request"]["operation"] == "CONNECT")
        .unwrap();
    assert_eq!(
        review.body["request"]["object"],
        json!({"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": true, "container": "c"})
    );
    assert_eq!(review.body["request"]["subResource"], "attach");

    let (code, status, _) = bench.post(MAPS, &map("skip", json!({}))).await;
    assert_eq!(code, 403, "{status}");
    assert_eq!(bench.post(MAPS, &map("other", json!({}))).await.0, 201);
    let (code, status, _) = bench.post(MAPS, &map("explode", json!({"a": "b"}))).await;
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("no such key: missing"),
        "{status}"
    );

    let space = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
    assert_eq!(
        bench
            .post("/api/v1/namespaces", &space("free", json!({})))
            .await
            .0,
        201
    );
    let (code, status, _) = bench
        .post("/api/v1/namespaces", &space("kept", json!({"guarded": "yes"})))
        .await;
    assert_eq!(code, 403, "{status}");
    assert_eq!(
        bench
            .merge(
                "/api/v1/namespaces/free",
                &space("free", json!({"guarded": "yes"}))
            )
            .await
            .0,
        403
    );
    // Configurations are not subject to webhooks, or nobody could remove a bad one.
    let (code, status, _) = bench
        .delete(&format!(
            "{CONFIGURATIONS}/validatingwebhookconfigurations/various"
        ))
        .await;
    assert_eq!(code, 200, "{status}");
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = bench.client.request_text(request).await.unwrap();
    let evaluations = "apiserver_admission_match_condition_evaluation_seconds_count{name=\"named.example.com\",kind=\"webhook\",operation=\"CREATE\",type=\"validate\"} ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(evaluations));
    assert!(
        count.is_some_and(|count| count.parse::<u64>().unwrap() >= 1),
        "{metrics}"
    );
}

#[tokio::test]
async fn reinvocation_and_dry_run() {
    let bench = Bench::start(answer).await;
    let hooks = vec![
        bench.hook(
            "second.example.com",
            "/second",
            json!({"reinvocationPolicy": "IfNeeded"}),
        ),
        bench.hook("first.example.com", "/first", json!({})),
    ];
    bench
        .configure("MutatingWebhookConfiguration", "again", hooks)
        .await;
    let (_, made, _) = bench.post(MAPS, &map("again", json!({"start": "yes"}))).await;
    assert_eq!(
        made["data"],
        json!({"start": "yes", "first": "yes", "second": "yes"})
    );
    let calls = |path: &str| {
        let again = |seen: &Seen| seen.body["request"]["name"] == "again" && seen.path == path;
        bench.webhook.seen().iter().filter(|seen| again(seen)).count()
    };
    assert_eq!((calls("/second"), calls("/first")), (2, 1));
    let scale = json!({"rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"], "operations": ["UPDATE"]}]});
    bench
        .configure(
            "ValidatingWebhookConfiguration",
            "scale",
            vec![bench.hook("scale.example.com", "/deny", scale)],
        )
        .await;
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(bench.post(deployments, &deployment).await.0, 201);
    let (code, status, _) = bench
        .merge(
            &format!("{deployments}/d/scale"),
            &json!({"spec": {"replicas": 3}}),
        )
        .await;
    assert_eq!(code, 403, "{status}");
    let seen = bench.webhook.seen();
    let request = &seen.last().unwrap().body["request"];
    assert_eq!(
        request["kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert_eq!(
        (
            &request["object"]["spec"]["replicas"],
            &request["oldObject"]["spec"]["replicas"]
        ),
        (&json!(3), &json!(1))
    );
}

#[tokio::test]
async fn custom_resources_are_changed_pruned_and_guarded() {
    let bench = Bench::start(answer).await;
    let text = json!({"type": "string"});
    let schema = json!({"type": "object", "properties": {"data": {"type": "object", "properties": {"start": text, "first": text}}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    let (code, body, _) = bench
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await;
    assert_eq!(code, 201, "{body}");
    let rules = json!([{"apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["widgets"], "operations": ["*"]}]);
    let hooks = vec![
        bench.hook("first.example.com", "/first", json!({"rules": rules})),
        bench.hook("second.example.com", "/second", json!({"rules": rules})),
    ];
    bench
        .configure("MutatingWebhookConfiguration", "widgets", hooks)
        .await;
    let refusing = json!([{"apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["widgets"], "operations": ["DELETE"]}]);
    let written = json!([{"apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["widgets"], "operations": ["CREATE", "UPDATE"]}]);
    bench
        .configure(
            "ValidatingWebhookConfiguration",
            "widgets",
            vec![
                bench.hook("keep.example.com", "/deny", json!({"rules": refusing})),
                bench.hook("see.example.com", "/see", json!({"rules": written})),
            ],
        )
        .await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "data": {"start": "yes"}});
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let made = loop {
        let (code, body, _) = bench.post(widgets, &widget).await;
        if code == 201 {
            break body;
        }
        assert!(std::time::Instant::now() < deadline, "{body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(
        made["data"],
        json!({"start": "yes", "first": "yes"}),
        "what the schema lacks is pruned"
    );
    let unpruned = json!({"start": "yes", "first": "yes", "second": "yes"});
    let seen = || {
        let seen = bench.webhook.seen();
        let seen = seen.iter().rfind(|seen| seen.path == "/see");
        seen.map(|seen| seen.body["request"]["object"].clone())
            .unwrap_or_default()
    };
    assert_eq!(seen()["data"], unpruned, "but not before it is validated");
    let adds = "[JSONPatch{op: 'add', path: '/data/third', value: 'yes'}]";
    let policy = json!({
        "matchConstraints": {"resourceRules": written},
        "reinvocationPolicy": "Never",
        "failurePolicy": "Fail",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": adds}}],
    });
    bench
        .bound("MutatingAdmissionPolicy", "widgets", policy, json!({}))
        .await;
    bench.acts("widgets").await;
    let unpruned = json!({"start": "yes", "first": "yes", "second": "yes", "third": "yes"});
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, changed, _) = bench.merge(&format!("{widgets}/w"), &labelled).await;
    assert_eq!(code, 200, "{changed}");
    assert_eq!(changed["data"], made["data"]);
    assert_eq!(seen()["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(seen()["data"], unpruned);
    let (code, status, _) = bench.delete(&format!("{widgets}/w")).await;
    assert_eq!(code, 403, "{status}");
}

/// A measurement, not a check: run it alone, with a release build.
#[tokio::test]
#[ignore = "measures"]
async fn overhead_of_a_local_webhook() {
    let bench = Bench::start(answer).await;
    let median = async |name: &str| {
        let mut times = Vec::new();
        for _ in 0..400 {
            let started = std::time::Instant::now();
            let (code, body, _) = bench
                .post(&format!("{MAPS}?dryRun=All"), &map(name, json!({"a": "b"})))
                .await;
            assert_eq!(code, 201, "{body}");
            times.push(started.elapsed());
        }
        times.sort_unstable();
        times[times.len() / 2]
    };
    let without = median("without").await;
    bench
        .configure("ValidatingWebhookConfiguration", "elsewhere", vec![bench.hook("pods.example.com", "/ok", json!({"rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["*"]}]}))])
        .await;
    let unrelated = median("unrelated").await;
    bench
        .configure(
            "ValidatingWebhookConfiguration",
            "here",
            vec![bench.hook("maps.example.com", "/ok", json!({}))],
        )
        .await;
    let validated = median("validated").await;
    println!(
        "median of a create: {without:?} without webhooks, {unrelated:?} with one for other kinds, {validated:?} with one called"
    );
}
