//! A server that behaves as one of an older version, over what a newer one stored.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;
use testkit::eventually;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const PATIENCE: Duration = Duration::from_secs(30);
const DEVICES: &str = "/apis/resource.k8s.io/v1/deviceclasses";
const CLASSES: &str = "/apis/storage.k8s.io/v1/volumeattributesclasses";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Bench {
    etcd: Etcd,
    server: ApiServer,
}

impl Bench {
    async fn start(flags: &[&str]) -> Self {
        let etcd = Etcd::start().await.unwrap();
        let server = ApiServer::start(Path::new(BINARY), &etcd, flags).await.unwrap();
        Self { etcd, server }
    }

    async fn restart(&mut self, flags: &[&str]) {
        self.server
            .restart(Path::new(BINARY), &self.etcd, flags)
            .await
            .unwrap();
    }

    /// The answer with its code; text where it is no JSON.
    async fn ask(&self, request: http::Request<Vec<u8>>) -> (u16, Value) {
        let client = self.server.admin().await.unwrap();
        match client.request_text(request).await {
            Ok(text) => (
                200,
                serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text)),
            ),
            Err(kube::Error::Api(status)) => (status.code, Value::from(status.message)),
            Err(other) => panic!("{other}"),
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(http::Request::get(path).body(Vec::new()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::post(path).header("content-type", "application/json");
        self.ask(request.body(body.to_string().into_bytes()).unwrap())
            .await
    }

    /// A new map's label that the policy sets.
    async fn label(&self, name: &str) -> Value {
        let (code, made) = self.post(MAPS, &json!({"metadata": {"name": name}})).await;
        assert_eq!(code, 200, "{made}");
        made["metadata"]["labels"]["marked"].clone()
    }

    /// What is told of APIs in every way, for group versions and kinds that not all versions have.
    async fn check_apis(&self, devices: bool, policies: bool) {
        for (path, there) in [
            (DEVICES, devices),
            (CLASSES, devices),
            (POLICIES, policies),
            (BINDINGS, policies),
            ("/apis/resource.k8s.io", devices),
            ("/apis/resource.k8s.io/v1", devices),
            ("/openapi/v3/apis/resource.k8s.io/v1", devices),
            ("/apis/networking.k8s.io/v1/servicecidrs", true),
            (
                "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
                true,
            ),
        ] {
            let (code, answer) = self.get(path).await;
            assert_eq!(code == 200, there, "{path}: {answer}");
            assert!(code == 200 || code == 404, "{path}: {answer}");
        }
        let (_, text) = self.get("/openapi/v2").await;
        assert_eq!(
            text["paths"].get(format!("{DEVICES}/{{name}}")).is_some(),
            devices
        );
        assert_eq!(
            text["paths"].get(format!("{POLICIES}/{{name}}")).is_some(),
            policies
        );
        let (_, list) = self.get("/apis/admissionregistration.k8s.io/v1").await;
        let names = list["resources"].as_array().unwrap();
        let named = |name: &str| names.iter().any(|resource| resource["name"] == name);
        assert_eq!(named("mutatingadmissionpolicies"), policies, "{list}");
        assert!(named("validatingadmissionpolicies/status"), "{list}");
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let request = http::Request::get("/apis").header("accept", aggregated);
        let (_, groups) = self.ask(request.body(Vec::new()).unwrap()).await;
        let groups = groups["items"].as_array().unwrap();
        let group = |name: &str| groups.iter().find(|group| group["metadata"]["name"] == name);
        assert_eq!(group("resource.k8s.io").is_some(), devices);
        let storage = group("storage.k8s.io").unwrap().to_string();
        assert_eq!(storage.contains("volumeattributesclasses"), devices, "{storage}");
        // What a newer server wrote about itself is taken away.
        let service = "/apis/apiregistration.k8s.io/v1/apiservices/v1.resource.k8s.io";
        eventually(PATIENCE, "the APIService of resource.k8s.io", async || {
            let (code, answer) = self.get(service).await;
            ((code == 200) != devices).then(|| answer.to_string())
        })
        .await;
    }

    async fn check_version(&self, emulated: &str, least: &str) {
        let (_, version) = self.get("/version").await;
        for (name, value) in [
            ("major", "1"),
            ("minor", "36"),
            ("emulationMajor", "1"),
            ("emulationMinor", emulated),
            ("minCompatibilityMajor", "1"),
            ("minCompatibilityMinor", least),
        ] {
            assert_eq!(version[name], value, "{name}: {version}");
        }
        for path in ["/openapi/v2", "/openapi/v3/apis/apps/v1"] {
            let (_, document) = self.get(path).await;
            assert_eq!(document["info"]["version"], format!("1.{emulated}"), "{path}");
        }
        let (_, metrics) = self.get("/metrics").await;
        let metrics = metrics.as_str().unwrap();
        let line = format!(
            "version_info{{component=\"kube\",binary=\"1.36\",emulation=\"1.{emulated}\",min_compat=\"1.{least}\"}} 1"
        );
        assert!(metrics.contains(&line), "{line}");
    }

    async fn check_features(&self, told: &[&str], untold: &[&str]) {
        let (_, metrics) = self.get("/metrics").await;
        let metrics = metrics.as_str().unwrap();
        for line in told {
            let line = format!("kubernetes_feature_enabled{{{line}");
            assert!(metrics.contains(&line), "{line}");
        }
        for name in untold {
            let name = format!("kubernetes_feature_enabled{{name=\"{name}\"");
            assert!(!metrics.contains(&name), "{name}");
        }
    }
}

#[tokio::test]
async fn apis_and_features_are_those_of_the_emulated_version_and_what_is_stored_stays() {
    let mut bench = Bench::start(&[]).await;
    bench.check_version("36", "35").await;
    bench.check_apis(true, true).await;
    let policy = json!({"metadata": {"name": "marks.example.com"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{metadata: Object.metadata{labels: {'marked': 'yes'}}}"}}],
    }});
    let binding =
        json!({"metadata": {"name": "marks.example.com"}, "spec": {"policyName": "marks.example.com"}});
    let class =
        json!({"metadata": {"name": "fast"}, "driverName": "disks.example.com", "parameters": {"iops": "9"}});
    let device = json!({"metadata": {"name": "gpu"}, "spec": {}});
    for (path, object) in [
        (POLICIES, &policy),
        (BINDINGS, &binding),
        (CLASSES, &class),
        (DEVICES, &device),
    ] {
        let (code, answer) = bench.post(path, object).await;
        assert_eq!(code, 200, "{answer}");
    }
    let tries = std::cell::Cell::new(0);
    eventually(PATIENCE, "the policy", async || {
        tries.set(tries.get() + 1);
        let label = bench.label(&format!("new-{}", tries.get())).await;
        (label != "yes").then(|| label.to_string())
    })
    .await;

    bench.restart(&["--emulated-version=1.35"]).await;
    bench.check_version("35", "34").await;
    bench.check_apis(true, false).await;
    bench
        .check_features(
            &[
                "name=\"MutatingAdmissionPolicy\",stage=\"BETA\"} 0",
                "name=\"WatchList\",stage=\"BETA\"} 1",
                "name=\"VolumeAttributesClass\",stage=\"\"} 1",
            ],
            &["AtomicFIFO"],
        )
        .await;
    assert_eq!(bench.label("of-1-35").await, Value::Null);
    assert_eq!(bench.get("/statusz").await.0, 404);
    let (_, read) = bench.get(&format!("{CLASSES}/fast")).await;
    assert_eq!(read["parameters"], json!({"iops": "9"}));
    let (_, read) = bench.get(&format!("{MAPS}/new-1")).await;
    assert_eq!(read["metadata"]["name"], "new-1");

    let flags = [
        "--emulated-version=kube=1.33",
        "--feature-gates=NodeSwap=false,ComponentStatusz=true",
    ];
    bench.restart(&flags).await;
    bench.check_version("33", "33").await;
    bench.check_apis(false, false).await;
    bench
        .check_features(
            &[
                "name=\"NodeSwap\",stage=\"BETA\"} 0",
                "name=\"WatchList\",stage=\"BETA\"} 0",
                "name=\"DynamicResourceAllocation\",stage=\"BETA\"} 0",
            ],
            &["AtomicFIFO", "GangScheduling", "EnvFiles"],
        )
        .await;
    let (_, status) = bench.get("/statusz").await;
    assert!(
        status.as_str().unwrap().contains("\nEmulation version: 1.33\n"),
        "{status}"
    );
    let streamed =
        format!("{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1");
    let (code, refused) = bench.get(&streamed).await;
    assert_eq!(code, 422, "{refused}");
    assert!(
        refused
            .to_string()
            .contains("unless the WatchList feature gate is enabled"),
        "{refused}"
    );
    let (_, read) = bench.get(&format!("{MAPS}/of-1-35")).await;
    assert_eq!(read["metadata"]["name"], "of-1-35");

    let flags = [
        "--emulated-version=1.33",
        "--runtime-config=resource.k8s.io/v1/deviceclasses=true",
        "--runtime-config-emulation-forward-compatible",
    ];
    bench.restart(&flags).await;
    let (code, read) = bench.get(&format!("{DEVICES}/gpu")).await;
    assert_eq!((code, &read["metadata"]["name"]), (200, &json!("gpu")), "{read}");
    assert_eq!(bench.get("/apis/resource.k8s.io/v1/resourceslices").await.0, 404);

    bench.restart(&[]).await;
    bench.check_apis(true, true).await;
    for (path, name) in [
        (POLICIES, "marks.example.com"),
        (BINDINGS, "marks.example.com"),
        (CLASSES, "fast"),
        (DEVICES, "gpu"),
    ] {
        let (code, read) = bench.get(&format!("{path}/{name}")).await;
        assert_eq!((code, &read["metadata"]["name"]), (200, &json!(name)));
    }
    assert_eq!(bench.label("of-1-36-again").await, "yes");
}

#[tokio::test]
async fn functions_that_a_compatible_server_lacks_are_refused_in_new_expressions_and_work_in_stored_ones() {
    const PATH: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    let policy = |name: &str, expression: &str| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}]},
            "validations": [{"expression": expression}],
        }})
    };
    let sorted = "object.data.map(key, key).sort() != ['forbidden']";
    let mut bench = Bench::start(&[]).await;
    let (code, answer) = bench.post(PATH, &policy("stored", sorted)).await;
    assert_eq!(code, 200, "{answer}");
    let binding = json!({"metadata": {"name": "stored"}, "spec": {"policyName": "stored", "validationActions": ["Deny"]}});
    let (code, answer) = bench
        .post(
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
            &binding,
        )
        .await;
    assert_eq!(code, 200, "{answer}");

    bench.restart(&["--min-compatibility-version=1.33"]).await;
    bench.check_version("36", "33").await;
    let (code, answer) = bench.post(PATH, &policy("new", sorted)).await;
    assert_eq!(code, 422, "{answer}");
    assert!(
        answer
            .as_str()
            .unwrap()
            .contains("undeclared reference to 'sort' (in container '')"),
        "{answer}"
    );
    let (_, mut stored) = bench.get(&format!("{PATH}/stored")).await;
    stored["metadata"]["labels"] = json!({"a": "b"});
    let request = http::Request::put(format!("{PATH}/stored")).header("content-type", "application/json");
    let (code, answer) = bench
        .ask(request.body(stored.to_string().into_bytes()).unwrap())
        .await;
    assert_eq!(
        (code, &answer["metadata"]["labels"]["a"]),
        (200, &json!("b")),
        "{answer}"
    );
    let tries = std::cell::Cell::new(0);
    eventually(PATIENCE, "the policy", async || {
        tries.set(tries.get() + 1);
        let map = json!({"metadata": {"name": format!("map-{}", tries.get())}, "data": {"forbidden": ""}});
        let (code, answer) = bench.post(MAPS, &map).await;
        (code != 422).then(|| answer.to_string())
    })
    .await;
}

/// Else the first write would set it, and so be a change of the spec.
#[tokio::test]
async fn a_default_that_comes_with_a_gate_is_there_before_anybody_writes() {
    const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
    let labels = json!({"a": "b"});
    let set = json!({"metadata": {"name": "s"}, "spec": {"serviceName": "s", "selector": {"matchLabels": labels},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let mut bench = Bench::start(&[]).await;
    let (code, answer) = bench.post(SETS, &set).await;
    assert_eq!(code, 200, "{answer}");

    bench
        .restart(&["--feature-gates=MaxUnavailableStatefulSet=true"])
        .await;
    let rolling = |set: &Value| set["spec"]["updateStrategy"]["rollingUpdate"].clone();
    let path = format!("{SETS}/s");
    let (_, mut stored) = bench.get(&path).await;
    assert_eq!(rolling(&stored), json!({"maxUnavailable": 1, "partition": 0}));
    let (_, list) = bench.get(SETS).await;
    assert_eq!(rolling(&list["items"][0]), rolling(&stored));
    stored["metadata"]["labels"] = labels;
    let request = http::Request::put(&path).header("content-type", "application/json");
    let (code, changed) = bench
        .ask(request.body(stored.to_string().into_bytes()).unwrap())
        .await;
    assert_eq!(
        (code, &changed["metadata"]["generation"]),
        (200, &json!(1)),
        "{changed}"
    );
}

#[test]
fn what_does_not_fit_the_version_is_refused() {
    for (flags, said) in [
        (
            "--emulated-version=1.32",
            "emulation version 1.32 is not between [1.33, 1.36.0]",
        ),
        (
            "--emulated-version=1.35 --min-compatibility-version=1.36",
            "minCompatibilityVersion version 1.36 is not between [1.33, 1.35]",
        ),
        (
            "--emulated-version=1.34 --feature-gates=NodeSwap=false",
            "cannot set feature gate NodeSwap to false, feature is locked to true",
        ),
        (
            "--emulated-version=1.34 --feature-gates=GangScheduling=true",
            "cannot set feature gate GangScheduling to true, feature is PreAlpha at emulated version 1.34",
        ),
        (
            "--emulation-forward-compatible",
            "EmulationForwardCompatible cannot be set to true if the emulation version is the same as the binary version",
        ),
    ] {
        let output = Command::new(BINARY)
            .args([
                "--etcd-servers=http://127.0.0.1:1",
                "--service-account-issuer=https://x",
            ])
            .args(flags.split(' '))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{flags}: {text}");
        assert!(text.contains(said), "{flags}: {text}");
    }
}

/// Servers that a cluster may still have, or go back to, don't know each version.
#[tokio::test]
async fn what_is_stored_can_be_read_by_the_oldest_server() {
    let mut bench = Bench::start(&["--emulated-version=1.34"]).await;
    let mut etcd = etcd_client::Client::connect(bench.etcd.endpoints(), None)
        .await
        .unwrap();
    let class = json!({"driverName": "d.example.com", "parameters": {"a": "b"}, "metadata": {"name": "c"}});
    for (path, object) in [
        (DEVICES, json!({"metadata": {"name": "c"}, "spec": {}})),
        (CLASSES, class),
    ] {
        let (code, made) = bench.post(path, &object).await;
        assert_eq!(code, 200, "{made}");
    }
    let mut stored = async |key: &str| -> Value {
        let found = etcd.get(format!("/registry/{key}/c"), None).await.unwrap();
        let object: Value = serde_json::from_slice(found.kvs()[0].value()).unwrap();
        object["apiVersion"].clone()
    };
    let keys = ["deviceclasses", "volumeattributesclasses"];
    assert_eq!(stored(keys[0]).await, "resource.k8s.io/v1beta2");
    assert_eq!(stored(keys[1]).await, "storage.k8s.io/v1beta1");
    // A server that need not mind others reads it, and stores what it writes as it likes.
    bench.restart(&[]).await;
    for (path, key, version) in [
        (DEVICES, keys[0], "resource.k8s.io/v1"),
        (CLASSES, keys[1], "storage.k8s.io/v1"),
    ] {
        let (code, read) = bench.get(&format!("{path}/c")).await;
        assert_eq!((code, &read["apiVersion"]), (200, &json!(version)));
        let patch = json!({"metadata": {"labels": {"a": "b"}}})
            .to_string()
            .into_bytes();
        let request =
            http::Request::patch(format!("{path}/c")).header("content-type", "application/merge-patch+json");
        let (code, patched) = bench.ask(request.body(patch).unwrap()).await;
        assert_eq!(code, 200, "{patched}");
        assert_eq!(stored(key).await, version);
    }
}

#[tokio::test]
async fn the_latest_pod_security_standards_are_those_of_the_emulated_version() {
    let probed = json!({"name": "c", "image": "i",
        "livenessProbe": {"tcpSocket": {"port": 1, "host": "10.0.0.1"}}});
    let unmasked = json!({"name": "c", "image": "i", "securityContext": {"procMount": "Unmasked"}});
    // Probes of other hosts are refused since v1.34, and whoever has no user of the host may see all of /proc since v1.35.
    for (flags, probes, unmasks) in [(&[][..], 403, 200), (&["--emulated-version=1.33"], 200, 403)] {
        let bench = Bench::start(flags).await;
        let namespace = json!({"metadata": {"name": "n",
            "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
        let account = json!({"metadata": {"name": "default"}});
        for (path, object) in [
            ("/api/v1/namespaces", &namespace),
            ("/api/v1/namespaces/n/serviceaccounts", &account),
        ] {
            let (code, made) = bench.post(path, object).await;
            assert_eq!(code, 200, "{made}");
        }
        for (name, container, expected) in [("probed", &probed, probes), ("unmasked", &unmasked, unmasks)] {
            let pod = json!({"metadata": {"name": name},
                "spec": {"hostUsers": false, "containers": [container]}});
            let (code, said) = bench.post("/api/v1/namespaces/n/pods", &pod).await;
            assert_eq!(code, expected, "{flags:?} {name}: {said}");
        }
    }
}
