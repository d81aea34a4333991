//! Command lines that a server does not start with, and what some that it starts with mean.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

#[tokio::test]
async fn flags_that_make_no_sense_are_named() {
    let etcd = Etcd::start().await.unwrap();
    let oidc = "--oidc-issuer-url and --oidc-client-id must be specified together";
    // The harness gives Node and RBAC.
    for (flags, said) in [
        (
            &["--authorization-mode=RBAC"][..],
            "--authorization-mode: \"RBAC\" is named more than once",
        ),
        (
            &["--service-account-issuer=https://[x"],
            "--service-account-issuer: \"https://[x\" has a colon, but is not a valid URL",
        ),
        (
            &["--service-account-max-token-expiration=59m"],
            "--service-account-max-token-expiration must be between 1h and 2^32 seconds",
        ),
        (
            &["--max-requests-inflight=0", "--max-mutating-requests-inflight=0"],
            "--max-requests-inflight and --max-mutating-requests-inflight must add up to something positive",
        ),
        (
            &["--encryption-provider-config-automatic-reload=true"],
            "--encryption-provider-config-automatic-reload needs --encryption-provider-config",
        ),
        (&["--oidc-client-id=kubernetes"], oidc),
        (&["--oidc-username-claim=email"], oidc),
        (
            &["--service-account-issuer=https://kubernetes.default.svc"],
            "--service-account-issuer \"https://kubernetes.default.svc\" is already specified",
        ),
        (
            &["--service-account-jwks-uri=http://keys.example/jwks"],
            "--service-account-jwks-uri requires https scheme, parsed as: http://keys.example/jwks",
        ),
        (
            &["--authorization-webhook-config-file=/x"],
            "cannot specify --authorization-webhook-config-file without mode Webhook",
        ),
        (
            // The harness enables a plugin.
            &["--admission-control=NamespaceLifecycle"],
            "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive",
        ),
        (
            &["--audit-policy-file=/nowhere/policy.yaml"],
            "/nowhere/policy.yaml",
        ),
        (
            &["--feature-gates=NoSuchGate=true"],
            "unrecognized feature gate: NoSuchGate",
        ),
        (
            &["--feature-gates=NodeSwap=false"],
            "cannot set feature gate NodeSwap to false, feature is locked to true",
        ),
        (&["--tracing-config-file=/x"], "--tracing-config-file: reading /x"),
        (&["--enable-logs-handler"], "--enable-logs-handler"),
        (&["--vmodule=watch"], "--vmodule"),
        (
            &["--vmodule=watch=4", "--logging-format=json"],
            "--vmodule: only supported for text log format",
        ),
        (&["--logging-format=xml"], "--logging-format"),
        (
            &["--show-hidden-metrics-for-version=1.20"],
            "Only the previous minor version is allowed",
        ),
        (&["--allow-metric-labels=verb=GET"], "--allow-metric-labels"),
        (
            &["--tls-curve-preferences=29,30"],
            "--tls-curve-preferences: curve preference 30 (X448) is not supported; use 4588 (X25519MLKEM768), 29 (X25519)",
        ),
        (
            &["--tls-curve-preferences=X25519"],
            "is not the number of a curve",
        ),
        (&["--secure-port=0"], "It cannot be turned off with 0"),
        (
            &["--runtime-config=api/all=false"],
            "invalid key with only api/all=false",
        ),
        (
            &["--audit-log-path=-", "--audit-log-version=audit.k8s.io/v1beta1"],
            "invalid group version",
        ),
        (
            &["--storage-backend=etcd2"],
            "\"etcd2\" is not supported; use etcd3",
        ),
    ] {
        let ended = ApiServer::start(Path::new(BINARY), &etcd, flags).await;
        let Err(error) = ended else {
            panic!("{flags:?}: it started");
        };
        let error = format!("{error:#}");
        assert!(error.contains(said), "{flags:?}: {error}");
        assert!(error.contains("exit status: 1"), "{flags:?}: {error}");
    }
}

#[tokio::test]
async fn an_audit_log_without_a_policy_stays_empty() {
    let etcd = Etcd::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let flag = format!("--audit-log-path={}", log.display());
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[&flag])
        .await
        .unwrap();
    let nodes = http::Request::get("/api/v1/nodes").body(Vec::new()).unwrap();
    server.admin().await.unwrap().request_text(nodes).await.unwrap();
    assert!(
        server
            .log()
            .contains("there is no --audit-policy-file, so no event is recorded")
    );
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default(), "");
}
