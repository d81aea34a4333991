//! Plugins that run only where they are asked for.

use crate::bench::Bench;
use serde_json::{Value, json};
use testkit::webhook::Answer;

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A server with these plugins, told this about them, with a namespace in which pods can be made.
async fn bench(plugins: &[&str], told: Value, answer: Value) -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admission");
    let told: Vec<Value> = told
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, told)| json!({"name": name, "configuration": told}))
        .collect();
    let configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": told,
    });
    std::fs::write(&file, configuration.to_string()).unwrap();
    let flags = [
        format!("--enable-admission-plugins={}", plugins.join(",")),
        format!("--admission-control-config-file={}", file.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let bench = Bench::with(&flags, move |_| Answer::ok(answer.clone())).await;
    let account = json!({"metadata": {"name": "default"}});
    let (code, made, _) = bench
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    assert_eq!(code, 201, "{made}");
    (bench, folder)
}

fn pod(name: &str, more: Value) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "i:1", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"},
            "limits": {"example.com/gpu": "1"}}}]}});
    for (key, value) in more.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn message(answer: &Value) -> &str {
    answer["message"].as_str().unwrap_or("")
}

#[tokio::test]
async fn pods_are_completed_and_refused() {
    let tolerations = json!({
        "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "default": [{"key": "team", "operator": "Exists"}],
    });
    let selectors = json!({"podNodeSelectorPluginConfig": {
        "clusterDefaultNodeSelector": "pool=shared", "default": "pool=shared,disk=fast"}});
    let plugins = [
        "AlwaysPullImages",
        "ExtendedResourceToleration",
        "LimitPodHardAntiAffinityTopology",
        "PodNodeSelector",
        "PodTolerationRestriction",
    ];
    let told = json!({"PodTolerationRestriction": tolerations, "PodNodeSelector": selectors});
    let (bench, _folder) = bench(&plugins, told, json!({})).await;
    let (code, made, _) = bench
        .post(PODS, &pod("complete", json!({"nodeSelector": {"disk": "fast"}})))
        .await;
    assert_eq!(code, 201, "{made}");
    let spec = &made["spec"];
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "Always");
    assert_eq!(spec["nodeSelector"], json!({"disk": "fast", "pool": "shared"}));
    let keys: Vec<&str> = spec["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["key"].as_str())
        .collect();
    let want = [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "team",
        "node.kubernetes.io/memory-pressure",
        "example.com/gpu",
    ];
    assert_eq!(keys, want);
    let apart = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {}}]}});
    for (name, more, code, why) in [
        (
            "other-nodes",
            json!({"nodeSelector": {"pool": "mine"}}),
            403,
            r#"pods "other-nodes" is forbidden: pod node label selector conflicts with its namespace node label selector"#,
        ),
        (
            "more-nodes",
            json!({"nodeSelector": {"gpu": "yes"}}),
            403,
            r#"pods "more-nodes" is forbidden: pod node label selector labels conflict with its namespace whitelist"#,
        ),
        (
            "far",
            json!({"affinity": apart}),
            403,
            r#"pods "far" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed"#,
        ),
    ] {
        let (found, answer, _) = bench.post(PODS, &pod(name, more)).await;
        assert_eq!((found, message(&answer)), (code, why), "{answer}");
    }
    // What the namespace says counts more than the file.
    let annotations = json!({"metadata": {"annotations": {
        "scheduler.alpha.kubernetes.io/node-selector": "",
        "scheduler.alpha.kubernetes.io/defaultTolerations": "",
        "scheduler.alpha.kubernetes.io/tolerationsWhitelist": r#"[{"operator": "Exists", "effect": "NoExecute"}]"#,
    }}});
    assert_eq!(
        bench.merge("/api/v1/namespaces/default", &annotations).await.0,
        200
    );
    bench
        .send("GET", "/api/v1/namespaces", "application/json", None)
        .await;
    let (code, answer, _) = bench.post(PODS, &pod("tolerant", json!({}))).await;
    assert_eq!(code, 500, "{answer}");
    assert_eq!(
        message(&answer),
        "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist"
    );
    // Read as Go reads it, which minds no case.
    for (told, code, why) in [
        ("x", 500, "invalid character 'x' looking for beginning of value"),
        (r#"[{"Operator": "Exists", "more": 5}]"#, 201, ""),
    ] {
        let annotations = json!({"metadata": {"annotations": {"scheduler.alpha.kubernetes.io/tolerationsWhitelist": told}}});
        let space = "/api/v1/namespaces/default";
        assert_eq!(bench.merge(space, &annotations).await.0, 200);
        bench
            .send("GET", "/api/v1/namespaces", "application/json", None)
            .await;
        let (found, answer, _) = bench.post(PODS, &pod("read", json!({}))).await;
        assert_eq!((found, message(&answer)), (code, why), "{answer}");
    }
}

#[tokio::test]
async fn addresses_owners_and_namespaces() {
    let plugins = [
        "DenyServiceExternalIPs",
        "NamespaceAutoProvision",
        "NamespaceExists",
        "OwnerReferencesPermissionEnforcement",
    ];
    let (bench, _folder) = bench(&plugins, json!({}), json!({})).await;
    let service =
        json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}});
    let (code, answer, _) = bench.post("/api/v1/namespaces/default/services", &service).await;
    assert_eq!(code, 403);
    assert_eq!(
        message(&answer),
        r#"services "s" is forbidden: Use of external IPs is denied by admission control"#
    );
    let map = |name: &str| json!({"metadata": {"name": name}});
    let (code, answer, _) = bench.post("/api/v1/namespaces/fresh/configmaps", &map("m")).await;
    assert_eq!(code, 201, "{answer}");
    let space = bench.send("GET", "/api/v1/namespaces/fresh", "", None).await.1;
    assert_eq!(space["spec"]["finalizers"], json!(["kubernetes"]), "{space}");
    assert_eq!(
        space["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "fresh"})
    );
    // Somebody who may do everything with config maps, but not delete them.
    let role = json!({"metadata": {"name": "writer"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "update"]}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    assert_eq!(bench.post(&format!("{roles}/clusterroles"), &role).await.0, 201);
    let binding = |role: &str| {
        json!({"metadata": {"name": role}, "subjects": [{"kind": "User", "name": "writer", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}})
    };
    let bindings = format!("{roles}/clusterrolebindings");
    assert_eq!(bench.post(&bindings, &binding("writer")).await.0, 201);
    bench.until_allowed("writer", "create").await;
    let owned = |name: &str, kind: &str, blocks: bool| {
        json!({"metadata": {"name": name, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "1", "blockOwnerDeletion": blocks}]}})
    };
    let maps = "/api/v1/namespaces/default/configmaps";
    let refused = |why: &str| format!(r#"configmaps "m" is forbidden: {why}"#);
    let asked = bench
        .post_as("writer", maps, &owned("m", "Deployment", false))
        .await;
    assert_eq!(asked.0, 403);
    assert_eq!(
        message(&asked.1),
        refused("cannot set an ownerRef on a resource you can't delete: , <nil>")
    );
    let role = json!({"metadata": {"name": "remover"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete"]}]});
    assert_eq!(bench.post(&format!("{roles}/clusterroles"), &role).await.0, 201);
    assert_eq!(bench.post(&bindings, &binding("remover")).await.0, 201);
    bench.until_allowed("writer", "delete").await;
    for (kind, blocks, code, why) in [
        (
            "Deployment",
            true,
            403,
            refused(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>",
            ),
        ),
        (
            "Imaginary",
            true,
            403,
            refused(
                r#"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind Imaginary: no matches for kind "Imaginary" in version "apps/v1""#,
            ),
        ),
        ("Deployment", false, 201, String::new()),
    ] {
        let asked = bench.post_as("writer", maps, &owned("m", kind, blocks)).await;
        assert_eq!((asked.0, message(&asked.1)), (code, why.as_str()), "{}", asked.1);
    }
}

#[tokio::test]
async fn events_are_limited() {
    let rates = json!({
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "limits": [{"type": "SourceAndObject", "qps": 1, "burst": 1, "cacheSize": 10}],
    });
    let (bench, _folder) = bench(&["EventRateLimit"], json!({"EventRateLimit": rates}), json!({})).await;
    let events = "/api/v1/namespaces/default/events";
    let event = |name: &str, object: &str| {
        json!({"metadata": {"name": name}, "source": {"component": "me", "host": "h"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": object, "uid": "u", "apiVersion": "v1"}})
    };
    assert_eq!(
        bench
            .post(&format!("{events}?dryRun=All"), &event("a", "p"))
            .await
            .0,
        201
    );
    assert_eq!(bench.post(events, &event("a", "p")).await.0, 201);
    assert_eq!(bench.post(events, &event("b", "q")).await.0, 201, "about another");
    // The rate may give one back while we ask; not twenty.
    let mut refused = None;
    for number in 0..20 {
        let (code, answer, _) = bench.post(events, &event(&format!("c{number}"), "p")).await;
        if code == 429 {
            refused = Some(answer);
            break;
        }
    }
    let answer = refused.expect("a limit");
    assert_eq!(
        message(&answer),
        "limit reached on type SourceAndObject for key mehPoddefaultpuv1"
    );
    assert_eq!(answer["reason"], "TooManyRequests");
}

#[tokio::test]
async fn somebody_else_decides_about_images() {
    let denied = json!({"kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1",
        "status": {"allowed": false, "reason": "too old"}});
    let hooks = Bench::start(move |_| Answer::ok(denied.clone())).await;
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let text = hooks.webhook.kubeconfig(hooks.server.pki(), "/images");
    std::fs::write(kubeconfig.path(), text).unwrap();
    let told = |allows: bool| {
        json!({"ImagePolicyWebhook": {"imagePolicy": {
        "kubeConfigFile": kubeconfig.path(), "retryBackoff": 1, "defaultAllow": allows}}})
    };
    let (asking, _folder) = bench(&["ImagePolicyWebhook"], told(false), json!({})).await;
    for _ in 0..2 {
        let (code, answer, _) = asking.post(PODS, &pod("p", json!({}))).await;
        assert_eq!(code, 403);
        assert_eq!(
            message(&answer),
            r#"pods "p" is forbidden: image policy webhook backend denied one or more images: too old"#
        );
    }
    let seen = hooks.webhook.seen();
    assert_eq!(seen.len(), 1, "the answer is kept");
    assert_eq!(
        seen[0].body["spec"],
        json!({"containers": [{"image": "i:1"}], "namespace": "default"})
    );
}
