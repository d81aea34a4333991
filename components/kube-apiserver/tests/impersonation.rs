//! Acting as somebody else for certain requests only.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// The answer's code and body.
async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> (StatusCode, Value) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = request
        .header("content-type", "application/json")
        .body(bytes)
        .unwrap();
    match client.request::<Value>(request).await {
        Ok(answer) => (StatusCode::OK, answer),
        Err(kube::Error::Api(status)) => {
            let code = StatusCode::from_u16(status.code).unwrap();
            (code, json!({ "message": status.message }))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Lets somebody do what the rules say, from now on.
async fn allow(admin: &kube::Client, who: &str, rules: Value) {
    let first = |list: &Value| list[0].as_str().unwrap_or("").to_owned();
    let last = rules.as_array().unwrap().last().unwrap();
    let asked = json!({"group": first(&last["apiGroups"]), "resource": first(&last["resources"]), "verb": first(&last["verbs"])});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": who}, "rules": rules});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": who},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": who},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": who}]});
    for (kind, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let (code, answer) = send(admin, "POST", &format!("{RBAC}/{kind}"), &[], &object).await;
        assert!(code.is_success(), "{answer}");
    }
    // The authorizer follows a watch.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": who, "resourceAttributes": asked}});
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, answer) = send(admin, "POST", REVIEWS, &[], &review).await;
        if answer["status"]["allowed"] == true {
            return;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_right_to_act_as_somebody_may_be_for_certain_requests_only() {
    let etcd = Etcd::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let policy = folder.path().join("policy");
    let text = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]});
    std::fs::write(&policy, text.to_string()).unwrap();
    let flags = [
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let admin = server.admin().await.unwrap();
    let all =
        |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
    for who in ["bob", "system:node:n1", "system:serviceaccount:default:robot"] {
        allow(
            &admin,
            who,
            json!([all("configmaps", &["list", "delete", "deletecollection"])]),
        )
        .await;
    }
    allow(
        &admin,
        "eve",
        json!([
            {"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate:user-info"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["groups"], "verbs": ["impersonate:user-info"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["userextras/example.com/team"], "verbs": ["impersonate:user-info"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["nodes"], "verbs": ["impersonate:arbitrary-node"]},
            {"apiGroups": ["authentication.k8s.io"], "resources": ["serviceaccounts"], "verbs": ["impersonate:serviceaccount"]},
            all("configmaps", &[
                "impersonate-on:user-info:list",
                "impersonate-on:arbitrary-node:list",
                "impersonate-on:serviceaccount:list",
            ]),
        ]),
    )
    .await;
    let legacy = [all("users", &["impersonate"]), all("groups", &["impersonate"])];
    allow(&admin, "old", json!(legacy)).await;
    let eve = server.client("eve", &[]).await.unwrap();
    let old = server.client("old", &[]).await.unwrap();
    let path = "/api/v1/namespaces/default/configmaps";
    let (user, group) = ("impersonate-user", "impersonate-group");
    let robot = "system:serviceaccount:default:robot";
    let extra = ("impersonate-extra-example.com%2fteam", "a");
    let trials: &[(&kube::Client, &str, &[(&str, &str)], bool)] = &[
        (&eve, "GET", &[], false),
        (&eve, "GET", &[(user, "bob")], true),
        (&eve, "GET", &[(user, "bob"), (group, "team"), extra], true),
        (
            &eve,
            "GET",
            &[(user, "bob"), ("impersonate-extra-team", "a")],
            false,
        ),
        (&eve, "GET", &[(user, "bob"), ("impersonate-uid", "1")], false),
        (&eve, "GET", &[(user, "bob"), (group, "system:masters")], false),
        (&eve, "GET", &[(user, "alice")], false),
        (&eve, "DELETE", &[(user, "bob")], false),
        (&eve, "GET", &[(user, "system:node:n1")], true),
        (&eve, "GET", &[(user, "system:node:n1"), (group, "team")], false),
        (&eve, "GET", &[(user, robot)], true),
        (&eve, "DELETE", &[(user, robot)], false),
        (&old, "DELETE", &[(user, "bob")], true),
        (&old, "GET", &[(user, "bob"), (group, "system:masters")], true),
    ];
    for (client, method, headers, allowed) in trials {
        let (code, answer) = send(client, method, path, headers, &Value::Null).await;
        let expected = if *allowed {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(code, expected, "{method} {headers:?} {answer}");
    }
    let (code, answer) = send(&eve, "DELETE", path, &[(user, "bob")], &Value::Null).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("cannot impersonate-on:user-info:deletecollection resource"),
        "{message}"
    );
    let (code, _) = send(&eve, "GET", path, &[(group, "team")], &Value::Null).await;
    assert_eq!(code, StatusCode::BAD_REQUEST, "a group of nobody");
    drop(server);
    let text = std::fs::read_to_string(&log).unwrap();
    let constraints: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["user"]["username"] == "eve" && event["stage"] == "ResponseComplete")
        .filter(|event| !event["impersonatedUser"].is_null())
        .map(|event| event["authenticationMetadata"]["impersonationConstraint"].clone())
        .collect();
    assert_eq!(
        constraints,
        [
            "impersonate:user-info",
            "impersonate:user-info",
            "impersonate:arbitrary-node",
            "impersonate:serviceaccount"
        ]
    );
}

#[tokio::test]
async fn a_right_for_certain_requests_is_none_where_the_emulated_version_does_not_know_it() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let maps = |verbs: &[&str]| json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs});
    allow(&admin, "bob", json!([maps(&["list"])])).await;
    let users = json!({"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "verbs": ["impersonate:user-info"]});
    allow(
        &admin,
        "eve",
        json!([users, maps(&["impersonate-on:user-info:list"])]),
    )
    .await;
    for (flags, wanted) in [
        (&[][..], StatusCode::OK),
        (&["--emulated-version=1.35"], StatusCode::FORBIDDEN),
        (
            &[
                "--emulated-version=1.35",
                "--feature-gates=ConstrainedImpersonation=true",
            ],
            StatusCode::OK,
        ),
    ] {
        server.restart(Path::new(BINARY), &etcd, flags).await.unwrap();
        let eve = server.client("eve", &[]).await.unwrap();
        let path = "/api/v1/namespaces/default/configmaps";
        let (code, answer) = send(&eve, "GET", path, &[("impersonate-user", "bob")], &Value::Null).await;
        assert_eq!(code, wanted, "{flags:?}: {answer}");
    }
}

#[tokio::test]
async fn who_edits_roles_can_hand_out_no_more_than_they_have() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let ed = server.client("ed", &[]).await.unwrap();
    allow(
        &admin,
        "ed",
        json!([
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["get", "create", "update", "patch"]},
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["made"], "verbs": ["escalate"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        ]),
    )
    .await;
    allow(
        &admin,
        "big",
        json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]),
    )
    .await;
    let role = |name: &str, more: Value| {
        let mut role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": []});
        for (key, value) in more.as_object().unwrap() {
            role[key] = value.clone();
        }
        role
    };
    let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let sum = role("sum", json!({"aggregationRule": selectors}));
    assert!(
        send(&admin, "POST", &format!("{RBAC}/clusterroles"), &[], &sum)
            .await
            .0
            .is_success()
    );
    let patch = [("content-type", "application/merge-patch+json")];
    let patched = async |kind: &str, name: &str, change: Value| {
        let request = http::Request::patch(format!("{RBAC}/{kind}/{name}"))
            .header(patch[0].0, patch[0].1)
            .body(change.to_string().into_bytes())
            .unwrap();
        match ed.request::<Value>(request).await {
            Ok(_) => String::new(),
            Err(kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
            Err(error) => panic!("{error}"),
        }
    };
    // A label can make the rules those of an aggregated role that the user has.
    let label = json!({"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}});
    for kind in ["clusterroles", "clusterrolebindings"] {
        let refused = patched(kind, "big", label.clone()).await;
        assert!(
            refused.starts_with(&format!(
                "403 {kind}.rbac.authorization.k8s.io \"big\" is forbidden: user \"ed\" "
            )) && refused.ends_with("{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"),
            "{refused}"
        );
        let finalizers = json!({"metadata": {"finalizers": ["example.com/f"]}});
        assert_eq!(patched(kind, "big", finalizers).await, "");
    }
    let everything = "403 clusterroles.rbac.authorization.k8s.io \"sum\" is forbidden: \
                      must have cluster-admin privileges to use the aggregationRule";
    for change in [json!({"aggregationRule": null}), label.clone()] {
        assert_eq!(patched("clusterroles", "sum", change).await, everything);
    }
    // Escalating a role of one name allows no creation, whose request names nothing.
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let made = role("made", json!({ "rules": rules }));
    let (code, _) = send(&ed, "POST", &format!("{RBAC}/clusterroles"), &[], &made).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    let (code, _) = send(&ed, "PUT", &format!("{RBAC}/clusterroles/made"), &[], &made).await;
    assert_eq!(code, StatusCode::OK);
}
