//! Plugins that are on without being asked for.

use crate::bench::Bench;
use serde_json::{Value, json};
use testkit::webhook::Answer;

const SPACES: &str = "/api/v1/namespaces";

async fn bench() -> Bench {
    Bench::start(|_| Answer::ok(json!({}))).await
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or("")
}

#[tokio::test]
async fn pod_security_refuses_pods_and_warns_of_what_makes_them() {
    let bench = bench().await;
    let space = |name: &str, level: &str| json!({"metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let (code, status, _) = bench.post(SPACES, &space("odd", "strict")).await;
    assert_eq!(code, 422);
    assert_eq!(
        message(&status),
        "Namespace \"odd\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
    );
    assert_eq!(bench.post(SPACES, &space("kept", "baseline")).await.0, 201);
    let account = json!({"metadata": {"name": "default"}});
    assert_eq!(
        bench
            .post(&format!("{SPACES}/kept/serviceaccounts"), &account)
            .await
            .0,
        201
    );
    let pod = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
    let (code, status, _) = bench.post(&format!("{SPACES}/kept/pods"), &pod).await;
    assert_eq!(code, 403, "{status}");
    assert!(
        message(&status)
            .contains("violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"),
        "{status}"
    );
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pod}});
    let (code, body, warnings) = bench
        .post("/apis/apps/v1/namespaces/kept/deployments", &deployment)
        .await;
    assert_eq!(code, 201, "{body}");
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("would violate PodSecurity")),
        "{warnings:?}"
    );
    let get = |path: &str| http::Request::get(path).body(Vec::new()).unwrap();
    let endpoints = get("/api/v1/namespaces/kept/endpoints");
    bench.client.request_text(endpoints).await.unwrap();
    let metrics = bench.client.request_text(get("/metrics")).await.unwrap();
    let evaluated = |decision: &str, mode: &str, resource: &str| {
        format!(
            "pod_security_evaluations_total{{decision=\"{decision}\",policy_level=\"baseline\",policy_version=\"latest\",mode=\"{mode}\",request_operation=\"create\",resource=\"{resource}\",subresource=\"\"}} 1"
        )
    };
    for line in [
        evaluated("deny", "enforce", "pod"),
        evaluated("deny", "warn", "controller"),
        "apiserver_requested_deprecated_apis{group=\"\",version=\"v1\",resource=\"endpoints\",subresource=\"\",removed_release=\"\"} 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn pod_security_counts_whom_it_spares_and_versions_to_come_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admission");
    let policy = json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline", "enforce-version": "v1.99"},
        "exemptions": {"namespaces": ["free"]},
    });
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration",
        "plugins": [{"name": "PodSecurity", "configuration": policy}],
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let flag = format!("--admission-control-config-file={}", file.display());
    let bench = Bench::with(&[&flag], |_| Answer::ok(json!({}))).await;
    for name in ["free", "kept"] {
        assert_eq!(
            bench.post(SPACES, &json!({"metadata": {"name": name}})).await.0,
            201
        );
        let account = json!({"metadata": {"name": "default"}});
        let accounts = format!("{SPACES}/{name}/serviceaccounts");
        assert_eq!(bench.post(&accounts, &account).await.0, 201);
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let (code, body, _) = bench.post(&format!("{SPACES}/{name}/pods"), &pod).await;
        assert_eq!(code, 201, "{body}");
    }
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = bench.client.request_text(request).await.unwrap();
    for line in [
        "pod_security_exemptions_total{request_operation=\"create\",resource=\"pod\",subresource=\"\"} 1",
        "pod_security_evaluations_total{decision=\"allow\",policy_level=\"baseline\",policy_version=\"future\",mode=\"enforce\",request_operation=\"create\",resource=\"pod\",subresource=\"\"} 1",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} is not in\n{metrics}"
        );
    }
}

#[tokio::test]
async fn claims_classes_and_bindings() {
    let bench = bench().await;
    let class = |name: &str, expands: bool| json!({"metadata": {"name": name}, "provisioner": "p", "allowVolumeExpansion": expands});
    for (name, expands) in [("grows", true), ("stays", false)] {
        let (code, body, _) = bench
            .post("/apis/storage.k8s.io/v1/storageclasses", &class(name, expands))
            .await;
        assert_eq!(code, 201, "{body}");
    }
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    for (name, class, expected) in [("a", "grows", 200), ("b", "stays", 403)] {
        let claim = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class, "volumeName": "v", "resources": {"requests": {"storage": "1Gi"}}}});
        let (code, made, _) = bench.post(claims, &claim).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(
            made["metadata"]["finalizers"],
            json!(["kubernetes.io/pvc-protection"])
        );
        let path = format!("{claims}/{name}");
        let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
        assert_eq!(bench.merge(&format!("{path}/status"), &bound).await.0, 200);
        let (code, status, _) = bench.merge(&path, &larger).await;
        assert_eq!(code, expected, "{status}");
    }
    let priority = |name: &str| json!({"metadata": {"name": name}, "value": 1, "globalDefault": true});
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    assert_eq!(bench.post(classes, &priority("one")).await.0, 201);
    // Admission looks into the cache, as upstream's does into an informer; a consistent read waits until it is there.
    let (_, listed, _) = bench.send("GET", classes, "application/json", None).await;
    assert!(
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|class| class["metadata"]["name"] == "one"),
        "{listed}"
    );
    let (code, status, _) = bench.post(classes, &priority("two")).await;
    assert_eq!(code, 403);
    assert!(
        message(&status)
            .ends_with("PriorityClass one is already marked as default. Only one default can exist"),
        "{status}"
    );

    let node =
        json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z", "other": "x"}}});
    assert_eq!(bench.post("/api/v1/nodes", &node).await.0, 201);
    let account = json!({"metadata": {"name": "default"}});
    bench
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(bench.post(pods, &pod).await.0, 201);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let (code, status, _) = bench.post(&format!("{pods}/p/binding"), &binding).await;
    assert_eq!(code, 201, "{status}");
    let (_, placed, _) = bench
        .send("GET", &format!("{pods}/p"), "application/json", None)
        .await;
    assert_eq!(
        placed["metadata"]["labels"],
        json!({"topology.kubernetes.io/zone": "z"})
    );
    // Only what is asked of pods themselves is about pods.
    let pod = json!({"metadata": {"name": "q"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(bench.post(pods, &pod).await.0, 201);
    let binding = json!({"metadata": {"name": "q"}, "target": {"kind": "Node", "name": "n"}});
    let (code, status, _) = bench.post("/api/v1/namespaces/default/bindings", &binding).await;
    assert_eq!(code, 201, "{status}");
    let (_, placed, _) = bench
        .send("GET", &format!("{pods}/q"), "application/json", None)
        .await;
    assert_eq!(placed["spec"]["nodeName"], "n");
    assert_eq!(placed["metadata"].get("labels"), None, "{placed}");
}

#[tokio::test]
async fn pod_security_needs_the_namespace() {
    let flags = ["--disable-admission-plugins=NamespaceLifecycle,ServiceAccount"];
    let bench = Bench::with(&flags, |_| Answer::ok(json!({}))).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, status, _) = bench.post(&format!("{SPACES}/none/pods"), &pod).await;
    assert_eq!(code, 500, "{status}");
    assert_eq!(
        message(&status),
        "Internal error occurred: failed to lookup namespace \"none\""
    );
    let map = json!({"metadata": {"name": "m"}});
    let (code, status, _) = bench.post(&format!("{SPACES}/none/configmaps"), &map).await;
    assert_eq!(code, 201, "{status}");
    let get = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = bench.client.request_text(get).await.unwrap();
    assert!(
        metrics.contains("pod_security_errors_total{fatal=\"true\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_running_pod_is_resized_only_where_its_node_can() {
    let bench = bench().await;
    let account = json!({"metadata": {"name": "default"}});
    bench
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let amounts = |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "1Gi"}});
    let pods = "/api/v1/namespaces/default/pods";
    let declared = json!(["Another", "GuaranteedQoSPodCPUResize"]);
    for (node, declared, cpu, os) in [
        ("old", json!([]), "4", "linux"),
        ("new", declared.clone(), "2", "linux"),
        ("small", declared.clone(), "1900m", "linux"),
        ("odd", declared, "4", "windows"),
    ] {
        let made = json!({"metadata": {"name": node, "labels": {"kubernetes.io/os": os}}, "status": {
            "declaredFeatures": declared, "allocatable": {"cpu": cpu, "memory": "1Gi"}}});
        assert_eq!(bench.post("/api/v1/nodes", &made).await.0, 201);
        let container = json!({"name": "c", "image": "i", "resources": amounts("1")});
        let pod = json!({"metadata": {"name": node}, "spec": {"nodeName": node, "containers": [container]}});
        let (code, made, _) = bench.post(pods, &pod).await;
        assert_eq!(code, 201, "{made}");
    }
    // Admission looks into the cache; a consistent read waits until it is there.
    bench.send("GET", "/api/v1/nodes", "application/json", None).await;
    for (name, expected) in [
        ("old", 403),
        ("new", 200),
        ("small", 403),
        ("odd", 403),
        ("gone", 403),
    ] {
        if name == "gone" {
            let pod = json!({"metadata": {"name": name}, "spec": {"nodeName": name, "containers": [
                {"name": "c", "image": "i", "resources": amounts("1")}]}});
            assert_eq!(bench.post(pods, &pod).await.0, 201);
        }
        let labelled = json!({"metadata": {"labels": {"a": "b"}}});
        assert_eq!(
            bench.merge(&format!("{pods}/{name}"), &labelled).await.0,
            200,
            "{name}"
        );
        let container = json!({"name": "c", "image": "i", "resources": amounts("2")});
        let resized = json!({"spec": {"containers": [container]}});
        let path = format!("{pods}/{name}/resize");
        let (code, answer, _) = bench.merge(&path, &resized).await;
        assert_eq!(code, expected, "{name}: {answer}");
        let why = match name {
            "old" => {
                r#"pods "old" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not available on node "old""#
            }
            "gone" => r#"pods "gone" is forbidden: node "gone" not found"#,
            "small" => {
                r#"pods "small" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 2000, allocatable: 1900"#
            }
            "odd" => {
                r#"pods "odd" is forbidden: pod resize is only supported on linux nodes, node "odd" is "windows""#
            }
            _ => continue,
        };
        assert_eq!(message(&answer), why);
        // Autoscalers look for the cause, to give up at once.
        let cause = match name {
            "small" => json!([{"reason": "NodeCapacity"}]),
            "odd" => json!([{"reason": "UnsupportedPlatform"}]),
            _ => Value::Null,
        };
        assert_eq!(answer["details"]["causes"], cause, "{answer}");
    }
}

#[tokio::test]
async fn a_binding_and_an_eviction_with_unknown_fields_are_warned_of() {
    let bench = bench().await;
    let account = json!({"metadata": {"name": "default"}});
    bench
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(bench.post(pods, &pod).await.0, 201);
    let bodies = [
        (
            "binding",
            json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n", "colour": "red"}}),
            "unknown field \"target.colour\"",
        ),
        (
            "eviction",
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}, "colour": "red"}),
            "unknown field \"colour\"",
        ),
    ];
    for (subresource, body, unknown) in bodies {
        let (code, answer, warnings) = bench.post(&format!("{pods}/p/{subresource}"), &body).await;
        assert_eq!(code, 201, "{answer}");
        assert!(
            warnings
                .iter()
                .any(|text| text.contains(&unknown.replace('"', "\\\""))),
            "{subresource}: {warnings:?}"
        );
    }
}

/// The controller that makes the account of a new namespace is as fast as the client that makes the first pod.
#[tokio::test]
async fn the_first_pod_of_a_namespace_waits_for_its_account() {
    let bench = bench().await;
    let space = json!({"metadata": {"name": "new"}});
    assert_eq!(bench.post(SPACES, &space).await.0, 201);
    let pods = format!("{SPACES}/new/pods");
    let pod = |account: &str| json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}});
    let (code, status, _) = bench.post(&pods, &pod("mine")).await;
    assert_eq!(code, 403, "others are not waited for: {status}");
    let account = json!({"metadata": {"name": "default"}});
    let accounts = format!("{SPACES}/new/serviceaccounts");
    let unnamed = pod("");
    let ((code, body, _), made) = tokio::join!(bench.post(&pods, &unnamed), bench.post(&accounts, &account));
    assert_eq!(made.0, 201);
    assert_eq!(code, 201, "{body}");
    assert_eq!(body["spec"]["serviceAccountName"], "default");
}

/// Who makes pods by the hundred tells its users which by what their names begin with.
#[tokio::test]
async fn a_refusal_names_what_the_name_would_have_begun_with() {
    let bench = bench().await;
    let pods = format!("{SPACES}/default/pods");
    for (metadata, shown) in [
        (json!({"generateName": "web-"}), "web-"),
        (json!({"name": "p", "generateName": "web-"}), "p"),
        (json!({"labels": {"a": "b"}}), "Unknown"),
    ] {
        let pod = json!({"metadata": metadata, "spec": {"serviceAccountName": "nope", "containers": [{"name": "c", "image": "i"}]}});
        let (code, status, _) = bench.post(&pods, &pod).await;
        assert_eq!(code, 403, "{status}");
        let begins = format!("pods {shown:?} is forbidden: error looking up service account");
        assert!(message(&status).starts_with(&begins), "{status}");
        assert_eq!(status["details"]["name"], shown, "{status}");
    }
}

/// The group that may do everything is seen however the request spells it, and whatever stands before it.
#[tokio::test]
async fn nobody_asks_for_the_group_of_masters() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::DnValue;
    const MASTERS: &str = "system:masters";
    let bench = bench().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let request = |group: DnValue| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "joe");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, group);
        params.serialize_request(&key).unwrap().pem().unwrap()
    };
    let text = |text: &str| DnValue::Utf8String(text.to_owned());
    let (fine, masters) = (request(text("staff")), request(text(MASTERS)));
    let unclosed = fine.replace("END CERTIFICATE REQUEST", "END CERTIFICATE");
    let trailing = fine.replace("END CERTIFICATE REQUEST-----", "END CERTIFICATE REQUEST-----x");
    for (name, text, want) in [
        ("fine", fine.clone(), 201),
        ("of-two", format!("{fine}{masters}"), 201),
        ("headers", fine.replacen('\n', "\nProc-Type: 4\n\n", 1), 201),
        ("blanks", fine.replace("\nM", "\n  M"), 201),
        ("utf8", masters.clone(), 403),
        (
            "bmp",
            request(DnValue::BmpString(MASTERS.try_into().unwrap())),
            403,
        ),
        (
            "t61",
            request(DnValue::TeletexString(MASTERS.try_into().unwrap())),
            403,
        ),
        (
            "ia5",
            request(DnValue::Ia5String(MASTERS.try_into().unwrap())),
            403,
        ),
        (
            "printable",
            request(DnValue::PrintableString(MASTERS.try_into().unwrap())),
            403,
        ),
        ("unclosed", format!("{unclosed}{masters}"), 403),
        ("trailing", format!("{trailing}{masters}"), 403),
    ] {
        let object = json!({"metadata": {"name": name}, "spec": {
            "request": STANDARD.encode(text), "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
        }});
        let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let (code, answer, _) = bench.post(path, &object).await;
        assert_eq!(code, want, "{name}: {answer}");
        if want == 403 {
            assert!(
                message(&answer).ends_with("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"),
                "{name}: {answer}"
            );
        }
    }
}
