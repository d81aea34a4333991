//! What operators see of a server: metrics, pages about the process, the log.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

async fn ask(
    client: &kube::Client,
    method: &str,
    path: &str,
    accept: &str,
    body: &str,
) -> Result<String, StatusCode> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .header("content-type", "application/json")
        .body(body.as_bytes().to_vec())
        .unwrap();
    match client.request_text(request).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err(StatusCode::from_u16(status.code).unwrap()),
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

async fn get(client: &kube::Client, path: &str) -> String {
    ask(client, "GET", path, "*/*", "").await.unwrap()
}

fn has(metrics: &str, line: &str) {
    assert!(
        metrics.lines().any(|found| found == line),
        "{line} is not in\n{metrics}"
    );
}

/// The value of the one series that begins so.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("{series} is not in\n{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Two certificates for a week: one that was asked for so, and one that was asked for a day.
async fn issue_certificates(server: &ApiServer, admin: &kube::Client) {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let (request, certificate) = server.pki().week("weekly").unwrap();
    for (name, days) in [("a-week", 7), ("a-day", 1)] {
        let object = serde_json::json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {
                "request": encode(&request), "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"], "expirationSeconds": days * 24 * 3600,
            },
        });
        let made = ask(admin, "POST", path, "*/*", &object.to_string())
            .await
            .unwrap();
        let mut object: Value = serde_json::from_str(&made).unwrap();
        let approved =
            serde_json::json!({"type": "Approved", "status": "True", "reason": "Wanted", "message": ""});
        object["status"]["conditions"] = serde_json::json!([approved]);
        let approval = format!("{path}/{name}/approval");
        let approved = ask(admin, "PUT", &approval, "*/*", &object.to_string())
            .await
            .unwrap();
        let mut object: Value = serde_json::from_str(&approved).unwrap();
        for time in ["lastUpdateTime", "lastTransitionTime"] {
            let given = &object["status"]["conditions"][0][time];
            assert!(given.is_string(), "{object}");
        }
        object["status"]["certificate"] = encode(&certificate).into();
        let status = format!("{path}/{name}/status");
        ask(admin, "PUT", &status, "*/*", &object.to_string())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn metrics_are_those_of_upstream_and_follow_what_happens() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(
        Path::new(BINARY),
        &etcd,
        &["--disabled-metrics=apiserver_init_events_total"],
    )
    .await
    .unwrap();
    let admin = server.admin().await.unwrap();
    let map = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"default"}}"#;
    let maps = "/api/v1/namespaces/default/configmaps";
    ask(&admin, "POST", &format!("{maps}?dryRun=All"), "*/*", map)
        .await
        .unwrap();
    ask(&admin, "POST", maps, "*/*", map).await.unwrap();
    get(&admin, maps).await;
    get(&admin, &format!("{maps}/a")).await;
    for path in [
        "/api/v1/namespaces/default/oddities/x",
        "/apis/odd.io/v1/odds",
        "/api/v1/namespaces/default/pods/x/oddity",
    ] {
        assert_eq!(
            ask(&admin, "GET", path, "*/*", "").await,
            Err(StatusCode::NOT_FOUND)
        );
    }
    issue_certificates(&server, &admin).await;
    let reader = server.client("reader", &[]).await.unwrap();
    get(&reader, "/version").await;
    let metrics = get(&admin, "/metrics").await;
    let of = "version=\"v1\",resource=\"configmaps\",subresource=\"\"";
    // A plugin that has nothing to do with a kind is told of too, as upstream's.
    let of_plugin = "name=\"DefaultIngressClass\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"";
    let series = format!("apiserver_admission_controller_admission_duration_seconds_count{{{of_plugin}}}");
    assert!(value(&metrics, &series) > 0.0);
    has(
        &metrics,
        &format!(
            "apiserver_request_total{{dry_run=\"All\",code=\"201\",verb=\"POST\",group=\"\",{of},scope=\"resource\",component=\"apiserver\"}} 1"
        ),
    );
    has(
        &metrics,
        &format!(
            "apiserver_request_duration_seconds_count{{dry_run=\"\",verb=\"LIST\",group=\"\",{of},scope=\"namespace\",component=\"apiserver\"}} 1"
        ),
    );
    for made_up in ["\"oddities\"", "\"odds\"", "\"oddity\"", "odd.io"] {
        assert!(!metrics.contains(made_up), "{made_up} is in\n{metrics}");
    }
    for line in [
        "# TYPE apiserver_request_total counter",
        "# TYPE authentication_attempts counter",
        "# TYPE authenticated_user_requests counter",
        "apiserver_audit_event_total 0",
        "hidden_metrics_total 0",
        "disabled_metrics_total 1",
        "kubernetes_feature_enabled{name=\"NodeSwap\",stage=\"\"} 1",
        "kubernetes_feature_enabled{name=\"AllAlpha\",stage=\"ALPHA\"} 0",
        "apiserver_current_inqueue_requests{request_kind=\"readOnly\"} 0",
        "version_info{component=\"kube\",binary=\"1.36\",emulation=\"1.36\",min_compat=\"1.35\"} 1",
        "apiserver_certificates_registry_csr_requested_duration_total{signerName=\"kubernetes.io/kube-apiserver-client\"} 2",
        "apiserver_certificates_registry_csr_honored_duration_total{signerName=\"kubernetes.io/kube-apiserver-client\"} 1",
        "apiserver_watch_cache_initializations_total{group=\"\",resource=\"configmaps\"} 1",
    ] {
        has(&metrics, line);
    }
    for series in [
        "etcd_requests_total{operation=\"create\",group=\"\",resource=\"configmaps\"}",
        "etcd_requests_total{operation=\"list\",group=\"apps\",resource=\"deployments\"}",
        "etcd_request_duration_seconds_count{operation=\"create\",group=\"\",resource=\"configmaps\"}",
        "apiserver_cache_list_total{index=\"\",group=\"\",resource=\"configmaps\"}",
        "apiserver_watch_cache_events_received_total{group=\"\",resource=\"configmaps\"}",
        "apiserver_watch_cache_consistent_read_total{success=\"true\",fallback=\"false\",group=\"\",resource=\"configmaps\"}",
        "apiserver_authorization_decisions_total{type=\"RBAC\",name=\"rbac\",decision=\"allowed\"}",
        "apiserver_request_filter_duration_seconds_count{filter=\"priorityandfairness\"}",
        // The administrator is exempt, and counted all the same.
        "apiserver_flowcontrol_watch_count_samples_count{priority_level=\"exempt\",flow_schema=\"exempt\"}",
        "apiserver_request_body_size_bytes_count{group=\"\",resource=\"configmaps\",verb=\"create\"}",
    ] {
        assert!(value(&metrics, series) >= 1.0, "{series}");
    }
    assert!(!metrics.contains("apiserver_init_events_total"));
    // A family has one header, before its samples, and nothing is told twice.
    let mut seen = BTreeSet::new();
    for line in metrics.lines().filter(|line| !line.starts_with("# HELP")) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series), "{series} is told twice");
    }
}

#[tokio::test]
async fn values_of_labels_that_are_not_allowed_become_unexpected() {
    let etcd = Etcd::start().await.unwrap();
    let flag = "--allow-metric-labels=apiserver_request_total,verb=LIST,WATCH";
    let server = ApiServer::start(
        Path::new(BINARY),
        &etcd,
        &[flag, "--show-hidden-metrics-for-version=1.35"],
    )
    .await
    .unwrap();
    let admin = server.admin().await.unwrap();
    get(&admin, "/api/v1/namespaces/default").await;
    get(&admin, "/api/v1/namespaces").await;
    let metrics = get(&admin, "/metrics").await;
    assert!(!metrics.contains("apiserver_request_total{dry_run=\"\",code=\"200\",verb=\"GET\""));
    assert!(metrics.contains("apiserver_request_total{dry_run=\"\",code=\"200\",verb=\"unexpected\""));
    assert!(metrics.contains("apiserver_request_total{dry_run=\"\",code=\"200\",verb=\"LIST\""));
    assert!(metrics.contains("apiserver_request_duration_seconds_count{dry_run=\"\",verb=\"GET\""));
}

#[tokio::test]
async fn pages_about_the_process_are_served_to_who_may_see_them() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &["--external-hostname=api.example.com"])
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    let text = get(&admin, "/statusz").await;
    assert!(text.starts_with("\nkube-apiserver statusz\nWarning: "), "{text}");
    assert!(text.contains("\nBinary version: 1.36."), "{text}");
    let json = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
    let page = ask(&admin, "GET", "/statusz", json, "").await.unwrap();
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["apiVersion"], "config.k8s.io/v1beta1");
    assert_eq!(page["emulationVersion"], "1.36");
    let refused = ask(&admin, "GET", "/statusz", "application/json", "").await;
    assert_eq!(refused, Err(StatusCode::NOT_ACCEPTABLE));
    let yaml = "application/yaml;v=v1beta1;g=config.k8s.io;as=Statusz";
    let page = ask(&admin, "GET", "/statusz", yaml, "").await.unwrap();
    assert!(page.contains("apiVersion: config.k8s.io/v1beta1\n"), "{page}");
    let flags = get(&admin, "/flagz").await;
    assert!(flags.contains("\nexternal-hostname=api.example.com\n"), "{flags}");
    assert!(flags.contains("\nallow-privileged="), "{flags}");
    // The name is told wherever the server tells how it is reached.
    let versions = get(&admin, "/api").await;
    assert!(
        versions.contains(&format!("api.example.com:{}", server.port())),
        "{versions}"
    );
    let command = get(&admin, "/debug/pprof/cmdline").await;
    assert!(
        command.contains("\0--external-hostname=api.example.com"),
        "{command}"
    );
    let profile = ask(&admin, "GET", "/debug/pprof/heap", "*/*", "").await;
    assert_eq!(profile, Err(StatusCode::NOT_IMPLEMENTED));
    let waiting = get(
        &admin,
        "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1",
    )
    .await;
    assert!(
        waiting.starts_with("PriorityLevelName, FlowSchemaName, QueueIndex,"),
        "{waiting}"
    );
    let (head, rows) = waiting.split_once('\n').unwrap();
    assert!(head.ends_with("SubResource"), "{waiting}");
    let own = rows
        .lines()
        .find(|row| row.contains(" /debug/api_priority_and_fairness/dump_requests,"));
    let own: Vec<&str> = own.unwrap_or(&waiting).split(',').map(str::trim).collect();
    assert_eq!(own[..4], ["exempt", "exempt", "-1", "-1"], "who asks runs, too");
    let moments = [own[5], own[9]].map(|text| text.parse::<jiff::Timestamp>().unwrap());
    assert!(moments[0] <= moments[1] && moments[1] <= jiff::Timestamp::now());
    for path in ["/statusz", "/flagz", "/debug/pprof/cmdline", "/debug/flags/v"] {
        let reader = server.client("reader", &[]).await.unwrap();
        assert_eq!(
            ask(&reader, "GET", path, "*/*", "").await,
            Err(StatusCode::FORBIDDEN),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_log_is_json_when_asked_and_its_verbosity_changes_while_the_server_runs() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &["--logging-format=json"])
        .await
        .unwrap();
    let admin = server.admin().await.unwrap();
    let told = ask(&admin, "PUT", "/debug/flags/v", "*/*", "4").await.unwrap();
    assert_eq!(told, "successfully set klog.logging.verbosity to 4");
    let refused = ask(&admin, "PUT", "/debug/flags/v", "*/*", "loud").await;
    assert_eq!(refused, Err(StatusCode::BAD_REQUEST));
    let refused = ask(&admin, "GET", "/debug/flags/v", "*/*", "").await;
    assert_eq!(refused, Err(StatusCode::NOT_ACCEPTABLE));
    let log = server.log();
    let mut changed = false;
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            line["ts"].is_number() && line["msg"].is_string() && line["caller"].is_string(),
            "{line}"
        );
        changed |= line["msg"] == "the verbosity of the log was changed" && line["verbosity"] == 4;
    }
    assert!(changed, "{log}");
}

#[tokio::test]
async fn nothing_of_profiling_is_served_without_it_and_features_can_be_off() {
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        "--profiling=false",
        "--feature-gates=ComponentStatusz=false,ComponentFlagz=false",
    ];
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let admin = server.admin().await.unwrap();
    for path in [
        "/debug/pprof/",
        "/debug/pprof/cmdline",
        "/debug/flags/",
        "/statusz",
        "/flagz",
    ] {
        assert_eq!(
            ask(&admin, "GET", path, "*/*", "").await,
            Err(StatusCode::NOT_FOUND),
            "{path}"
        );
    }
    let metrics = get(&admin, "/metrics").await;
    has(
        &metrics,
        "kubernetes_feature_enabled{name=\"ComponentStatusz\",stage=\"BETA\"} 0",
    );
}
