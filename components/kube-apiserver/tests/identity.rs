//! Who callers are and what they may do, as issuers, webhooks and configuration files say.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use http::StatusCode;
use kube_apiserver::tokens::jwt;
use kube_apiserver::tokens::keys::SigningKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;
use testkit::exchange;
use testkit::webhook::{Answer, WebhookServer};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

async fn eventually<F: Future<Output = Option<String>>>(what: &str, mut wrong: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Some(seen) = wrong().await {
        assert!(Instant::now() < deadline, "{what}: {seen}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A client with a token, or without any credentials, that shows failures instead of trying again.
async fn client(server: &ApiServer, token: Option<&str>) -> kube::Client {
    let user = token.map_or(json!({}), |token| json!({ "token": token }));
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority": server.pki().file("ca.crt")}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let kubeconfig: kube::config::Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    config.default_retry = false;
    kube::Client::try_from(config).unwrap()
}

async fn send(client: &kube::Client, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = exchange::send(client, method, path, exchange::JSON, body)
        .await
        .unwrap();
    (answer.status, answer.json())
}

/// Who the server takes the bearer of a token for.
async fn who(server: &ApiServer, token: &str) -> Result<Value, StatusCode> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    match send(&client(server, Some(token)).await, "POST", path, &review).await {
        (StatusCode::CREATED, answer) => Ok(answer["status"]["userInfo"].clone()),
        (code, _) => Err(code),
    }
}

fn fresh_key() -> SigningKey {
    let secret = p256::SecretKey::random(&mut OsRng);
    SigningKey::from_pem(secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap()
}

fn token(key: &SigningKey, issuer: &str, extra: Value) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut claims = json!({"iss": issuer, "aud": "kubernetes", "sub": "jane", "exp": now + 600, "roles": ["dev"], "tenant": "t"});
    for (name, value) in extra.as_object().unwrap() {
        claims[name] = value.clone();
    }
    jwt::sign(key, &claims).unwrap()
}

#[tokio::test]
async fn an_issuers_tokens_are_good_as_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let keys = Arc::new(Mutex::new(vec![fresh_key()]));
    let own_url = Arc::new(Mutex::new(String::new()));
    let open = Arc::new(AtomicBool::new(true));
    let issuer = {
        let (keys, own_url, open) = (Arc::clone(&keys), Arc::clone(&own_url), Arc::clone(&open));
        WebhookServer::start(&pki, &[], move |seen| {
            let url = own_url.lock().unwrap().clone();
            if !open.load(Ordering::SeqCst) {
                return Answer {
                    code: 503,
                    ..Answer::ok(Value::Null)
                };
            }
            Answer::ok(if seen.path == "/keys" {
                let keys: Vec<Value> = keys
                    .lock()
                    .unwrap()
                    .iter()
                    .filter_map(|key| key.public.to_jwk())
                    .collect();
                json!({ "keys": keys })
            } else {
                json!({"issuer": url, "jwks_uri": format!("{url}/keys")})
            })
        })
        .await
        .unwrap()
    };
    let url = issuer.url("");
    own_url.lock().unwrap().clone_from(&url);
    let file = folder.path().join("authentication.yaml");
    let config = |prefix: &str| {
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": {"url": url, "audiences": ["kubernetes"], "certificateAuthority": std::fs::read_to_string(pki.file("ca.crt")).unwrap()},
                "claimMappings": {
                    "username": {"expression": format!("'{prefix}' + claims.sub")},
                    "groups": {"expression": "claims.roles.map(r, 'oidc:' + r)"},
                    "extra": [{"key": "acme.io/tenant", "valueExpression": "claims.tenant"}],
                },
                "claimValidationRules": [{"expression": "claims.tenant == 't'", "message": "wrong tenant"}],
                "userValidationRules": [{"expression": "!user.username.startsWith('system:')"}],
            }],
            "anonymous": {"enabled": true, "conditions": [{"path": "/livez"}]},
        })
        .to_string()
    };
    std::fs::write(&file, config("a:")).unwrap();
    let etcd = Etcd::start().await.unwrap();
    let flag = format!("--authentication-config={}", file.display());
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[&flag])
        .await
        .unwrap();

    let first = token(&keys.lock().unwrap()[0], &url, json!({}));
    let user = who(&server, &first).await.unwrap();
    assert_eq!(user["username"], "a:jane");
    assert_eq!(user["groups"], json!(["oidc:dev", "system:authenticated"]));
    assert_eq!(user["extra"]["acme.io/tenant"], json!(["t"]));
    for wrong in [
        json!({"aud": "others"}),
        json!({"exp": 1000}),
        json!({"tenant": "u"}),
        json!({"iss": "https://nobody.example"}),
    ] {
        let refused = token(&keys.lock().unwrap()[0], &url, wrong.clone());
        assert_eq!(
            who(&server, &refused).await,
            Err(StatusCode::UNAUTHORIZED),
            "{wrong}"
        );
    }
    assert_eq!(
        who(&server, &token(&fresh_key(), &url, json!({}))).await,
        Err(StatusCode::UNAUTHORIZED)
    );

    // New keys are found when a token needs them, and old ones are forgotten.
    *keys.lock().unwrap() = vec![fresh_key()];
    let second = token(&keys.lock().unwrap()[0], &url, json!({}));
    eventually("the new key is found", || async {
        who(&server, &second).await.err().map(|code| code.to_string())
    })
    .await;

    // Anonymous callers get where they may, and no further.
    let anonymous = client(&server, None).await;
    assert_eq!(
        send(&anonymous, "GET", "/livez", &Value::Null).await.0,
        StatusCode::OK
    );
    assert_eq!(
        send(&anonymous, "GET", "/version", &Value::Null).await.0,
        StatusCode::UNAUTHORIZED
    );

    // A changed file is taken in; a broken one is not.
    std::fs::write(&file, config("b:")).unwrap();
    eventually("the file is read again", || async {
        let user = who(&server, &second).await.unwrap();
        (user["username"] != "b:jane").then(|| user.to_string())
    })
    .await;
    std::fs::write(&file, config("c:").replace("claims.tenant == 't'", "claims.")).unwrap();
    eventually("the mistake is reported", || async {
        let log = server.log();
        (!log.contains("jwt[0].claimValidationRules[0].expression")).then_some(log)
    })
    .await;
    assert_eq!(who(&server, &second).await.unwrap()["username"], "b:jane");

    // Who may come without credentials was settled at the start.
    std::fs::write(
        &file,
        config("d:").replace("\"path\":\"/livez\"", "\"path\":\"/readyz\""),
    )
    .unwrap();
    eventually("the change is refused", || async {
        let log = server.log();
        (!log.contains("anonymous: Forbidden: changed from initial configuration file")).then_some(log)
    })
    .await;
    assert_eq!(
        send(&anonymous, "GET", "/livez", &Value::Null).await.0,
        StatusCode::OK
    );
    assert_eq!(who(&server, &second).await.unwrap()["username"], "b:jane");

    // The old issuers stay until the new ones answer.
    open.store(false, Ordering::SeqCst);
    std::fs::write(&file, config("e:")).unwrap();
    eventually("the file waits for its issuer", || async {
        let log = server.log();
        (!log.contains("waits for its issuers")).then_some(log)
    })
    .await;
    assert_eq!(who(&server, &second).await.unwrap()["username"], "b:jane");
    open.store(true, Ordering::SeqCst);
    eventually("the issuer has answered", || async {
        let user = who(&server, &second).await.unwrap();
        (user["username"] != "e:jane").then(|| user.to_string())
    })
    .await;
}

/// An issuer that says elsewhere what groups somebody is in, after a redirect to its keys.
#[tokio::test]
async fn groups_may_be_told_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let key = Arc::new(fresh_key());
    let told = Arc::new(Mutex::new(String::new()));
    let own_url = Arc::new(Mutex::new(String::new()));
    let issuer = {
        let (key, told, own_url) = (Arc::clone(&key), Arc::clone(&told), Arc::clone(&own_url));
        WebhookServer::start(&pki, &[], move |seen| {
            let url = own_url.lock().unwrap().clone();
            match seen.path.as_str() {
                "/groups" if seen.authorization == "Bearer f005ba11" => Answer {
                    text: Some(told.lock().unwrap().clone()),
                    ..Answer::ok(Value::Null)
                },
                "/groups" => Answer {
                    code: 401,
                    ..Answer::ok(Value::Null)
                },
                "/keys" => Answer {
                    code: 302,
                    location: Some("/moved".to_owned()),
                    ..Answer::ok(Value::Null)
                },
                "/moved" => Answer::ok(json!({ "keys": [key.public.to_jwk()] })),
                _ => Answer::ok(json!({"issuer": url, "jwks_uri": format!("{url}/keys")})),
            }
        })
        .await
        .unwrap()
    };
    let url = issuer.url("");
    own_url.lock().unwrap().clone_from(&url);
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        format!("--oidc-issuer-url={url}"),
        "--oidc-client-id=kubernetes".to_owned(),
        format!("--oidc-ca-file={}", pki.file("ca.crt").display()),
        "--oidc-username-prefix=-".to_owned(),
        "--oidc-groups-claim=groups".to_owned(),
        "--oidc-signing-algs=ES256".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let refers = |access: &str| {
        json!({
            "_claim_names": {"groups": "s"},
            "_claim_sources": {"s": {"endpoint": format!("{url}/groups"), "access_token": access}},
        })
    };
    for (number, (claims, answer, groups)) in [
        (
            json!({"groups": ["own"]}),
            json!({}),
            Some(json!(["own", "system:authenticated"])),
        ),
        (
            refers("f005ba11"),
            json!({"groups": ["dev"]}),
            Some(json!(["dev", "system:authenticated"])),
        ),
        (refers("another"), json!({"groups": ["dev"]}), None),
        (
            refers("f005ba11"),
            json!({"groups": ["dev"], "aud": "others"}),
            None,
        ),
        (refers("f005ba11"), json!({"groups": ["dev"], "exp": 1000}), None),
        (refers("f005ba11"), json!({"roles": ["dev"]}), None),
        (json!({"_claim_names": {"groups": "s"}}), json!({}), None),
    ]
    .into_iter()
    .enumerate()
    {
        *told.lock().unwrap() = token(&key, &url, answer.clone());
        // Each a token of its own: what came of the others is known for a while.
        let mut claims = claims;
        claims["nonce"] = json!(number);
        let user = who(&server, &token(&key, &url, claims.clone())).await;
        assert_eq!(
            user.ok().map(|user| user["groups"].clone()),
            groups,
            "{claims} {answer}"
        );
    }
    // Nor is what somebody else has signed.
    *told.lock().unwrap() = token(&fresh_key(), &url, json!({"groups": ["dev"]}));
    let forged = who(&server, &token(&key, &url, refers("f005ba11"))).await;
    assert_eq!(forged, Err(StatusCode::UNAUTHORIZED));

    // Who has the name of nobody is in no group, and refused for that alone.
    let nobody = server.client("system:anonymous", &[]).await.unwrap();
    let (code, answer) = send(&nobody, "GET", "/api/v1/nodes", &Value::Null).await;
    assert_eq!(code, StatusCode::FORBIDDEN, "{answer}");
}

/// Policies ask the webhook in the middle of an expression. More of them at once than there are threads that serve
/// connections: were one of these to wait there, the answer would have nobody to read it.
async fn policies_ask_it(server: &ApiServer, joe: &kube::Client) {
    let admin = server.admin().await.unwrap();
    let group = "/apis/admissionregistration.k8s.io/v1";
    let api_version = "admissionregistration.k8s.io/v1";
    let asks = "object.metadata.name != 'never' && authorizer.group('').resource('configmaps').namespace('default').name(object.metadata.name).check('delete').allowed()";
    let policy = json!({"apiVersion": api_version, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "asks"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}]},
        "validations": [{"expression": asks}],
    }});
    let binding = json!({"apiVersion": api_version, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "asks"},
        "spec": {"policyName": "asks", "validationActions": ["Deny"]}});
    for (plural, object) in [
        ("validatingadmissionpolicies", &policy),
        ("validatingadmissionpolicybindings", &binding),
    ] {
        let made = send(&admin, "POST", &format!("{group}/{plural}"), object).await;
        assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);
    }
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    eventually("the policy holds", || async {
        let (code, answer) = send(joe, "POST", &format!("{maps}?dryRun=All"), &map("never")).await;
        (code != StatusCode::UNPROCESSABLE_ENTITY).then(|| answer.to_string())
    })
    .await;
    let posts = (0..40).map(|number| async move {
        let (code, answer) = send(joe, "POST", maps, &map(&format!("asked-{number}"))).await;
        assert_eq!(code, StatusCode::CREATED, "{answer}");
    });
    futures::future::join_all(posts).await;
}

#[tokio::test]
async fn webhooks_say_who_callers_are_and_what_they_may() {
    let folder = tempfile::tempdir().unwrap();
    let pki = ClusterPki::write(folder.path()).unwrap();
    let webhook = WebhookServer::start(&pki, &[], |seen| {
        let spec = &seen.body["spec"];
        Answer::ok(match seen.body["kind"].as_str() {
            Some("TokenReview") if spec["token"] == "of-joe" => {
                json!({"status": {"authenticated": true, "user": {"username": "joe", "groups": ["hook"]}, "audiences": spec["audiences"]}})
            }
            Some("TokenReview") if spec["token"] == "of-many" => {
                // As directories have them.
                let groups: Vec<String> = (0..400).map(|number| format!("{number:036}")).collect();
                json!({"status": {"authenticated": true, "user": {"username": "joe", "uid": null, "groups": groups, "extra": null}}})
            }
            Some("TokenReview") => json!({"status": {"authenticated": false}}),
            _ => {
                let attributes = &spec["resourceAttributes"];
                let allowed = spec["user"] == "joe" && attributes["resource"] == "configmaps";
                let both = attributes["resource"] == "limitranges";
                json!({"status": {"allowed": allowed || both, "denied": both || attributes["resource"] == "pods", "reason": "says the hook"}})
            }
        })
    })
    .await
    .unwrap();
    let kubeconfig = folder.path().join("webhook.kubeconfig");
    let config = json!({
        "clusters": [{"name": "c", "cluster": {"server": webhook.url("/hook"), "certificate-authority": pki.file("ca.crt")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let chain = folder.path().join("authorization.yaml");
    let config = |policy: &str| {
        json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
            "authorizers": [
                {"type": "Webhook", "name": "hook", "webhook": {
                    "timeout": "3s", "subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1",
                    "authorizedTTL": "30s", "unauthorizedTTL": "30s", "failurePolicy": policy,
                    "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
                    "matchConditions": [{"expression": "has(request.resourceAttributes)"}, {"expression": "request.user == 'joe'"}],
                }},
                {"type": "Node", "name": "node"},
                {"type": "RBAC", "name": "rbac"},
            ],
        })
        .to_string()
    };
    std::fs::write(&chain, config("NoOpinion")).unwrap();
    let tokens = folder.path().join("tokens.csv");
    std::fs::write(&tokens, "of-eve,eve,7,\"dev,ops\"\n").unwrap();
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        format!("--authorization-config={}", chain.display()),
        format!(
            "--authentication-token-webhook-config-file={}",
            kubeconfig.display()
        ),
        "--authentication-token-webhook-version=v1".to_owned(),
        format!("--token-auth-file={}", tokens.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();

    assert_eq!(
        who(&server, "of-joe").await.unwrap()["groups"],
        json!(["hook", "system:authenticated"])
    );
    assert_eq!(
        who(&server, "of-eve").await.unwrap()["groups"],
        json!(["dev", "ops", "system:authenticated"])
    );
    for _ in 0..3 {
        assert_eq!(who(&server, "of-nobody").await, Err(StatusCode::UNAUTHORIZED));
    }

    let joe = client(&server, Some("of-joe")).await;
    let eve = client(&server, Some("of-eve")).await;
    let list = |resource: &str| format!("/api/v1/namespaces/default/{resource}");
    for _ in 0..3 {
        assert_eq!(
            send(&joe, "GET", &list("configmaps"), &Value::Null).await.0,
            StatusCode::OK
        );
    }
    let (code, answer) = send(&joe, "GET", &list("pods"), &Value::Null).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(
        answer["message"].as_str().unwrap().ends_with("says the hook"),
        "{answer}"
    );
    assert_eq!(
        send(&joe, "GET", &list("services"), &Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send(&eve, "GET", &list("configmaps"), &Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
    let asked = |user: &str, resource: &str| {
        let about = |seen: &&testkit::webhook::Seen| {
            seen.body["spec"]["user"] == user
                && seen.body["spec"]["resourceAttributes"]["resource"] == resource
        };
        webhook.seen().iter().filter(about).count()
    };
    assert_eq!(asked("joe", "configmaps"), 1, "answers are kept");
    assert_eq!(asked("eve", "configmaps"), 0, "the conditions keep others away");
    for token in ["of-joe", "of-nobody"] {
        let seen = webhook.seen();
        let reviews = seen.iter().filter(|seen| seen.body["spec"]["token"] == token);
        assert_eq!(reviews.count(), 1, "{token} is not asked about again");
    }

    // Who says yes and no means no, and is not asked again.
    for _ in 0..2 {
        let text = undecided(&joe, &list("limitranges")).await;
        let why = "webhook subject access review returned both allow and deny response";
        assert!(text.trim_end().ends_with(why), "{text}");
    }
    assert_eq!(asked("joe", "limitranges"), 1);
    // However many groups somebody is in.
    let many = client(&server, Some("of-many")).await;
    for _ in 0..3 {
        send(&many, "GET", &list("endpoints"), &Value::Null).await;
    }
    assert_eq!(asked("joe", "endpoints"), 1);
    // And once for all who come together.
    let answers = futures::future::join_all((0..10).map(|_| who(&server, "of-crowd"))).await;
    assert!(
        answers
            .iter()
            .all(|answer| *answer == Err(StatusCode::UNAUTHORIZED))
    );
    let crowd = webhook.seen();
    let crowd = crowd
        .iter()
        .filter(|seen| seen.body["spec"]["token"] == "of-crowd");
    assert_eq!(crowd.count(), 1);

    let metrics = server.admin().await.unwrap();
    let metrics = metrics.request_text(http::Request::get("/metrics").body(Vec::new()).unwrap());
    let metrics = metrics.await.unwrap();
    for told in [
        "apiserver_authorization_webhook_evaluations_total{name=\"hook\",result=\"success\"} ",
        "apiserver_authorization_webhook_duration_seconds_count{name=\"hook\",result=\"success\"} ",
        "apiserver_authorization_match_condition_exclusions_total{type=\"Webhook\",name=\"hook\"} ",
        "apiserver_authorization_match_condition_evaluation_seconds_count{type=\"Webhook\",name=\"hook\"} ",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(told)),
            "{told}: {metrics}"
        );
    }

    policies_ask_it(&server, &joe).await;

    // Without the webhook it is as the failure policy says.
    let url = webhook.url("/hook");
    let told = |error: &str| {
        error.starts_with(&format!("Post \"{url}?timeout=3s\": dial tcp "))
            && error.ends_with("connect: connection refused")
    };
    drop(webhook);
    std::fs::write(&chain, config("Deny")).unwrap();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "joe"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"}]});
    let admin = server.admin().await.unwrap();
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(send(&admin, "POST", path, &binding).await.0, StatusCode::CREATED);
    eventually("the file is read again", || async {
        let log = server.log();
        (!log.contains("the authorization configuration was reloaded")).then_some(log)
    })
    .await;
    let text = undecided(&joe, &list("endpoints")).await;
    let error = text
        .strip_prefix(&format!("Internal Server Error: \"{}\": ", list("endpoints")))
        .unwrap_or_default();
    assert!(told(error.trim_end()), "{text}");
    let question = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "joe",
        "resourceAttributes": {"verb": "list", "resource": "endpoints", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let (_, answer) = send(&admin, "POST", path, &question).await;
    assert_eq!(answer["status"]["denied"], true);
    let error = answer["status"]["evaluationError"].as_str().unwrap_or_default();
    assert!(told(error), "{answer}");
    std::fs::write(&chain, config("NoOpinion")).unwrap();
    eventually("RBAC decides in the webhook's place", || async {
        let (code, answer) = send(&joe, "GET", &list("endpoints"), &Value::Null).await;
        (code != StatusCode::OK).then(|| answer.to_string())
    })
    .await;
    // What no other authorizer allows is not said to be forbidden: the webhook might have allowed it.
    let text = undecided(&joe, &list("secrets")).await;
    assert!(text.trim_end().ends_with("connect: connection refused"), "{text}");
    let metrics = admin.request_text(http::Request::get("/metrics").body(Vec::new()).unwrap());
    let open = "apiserver_authorization_webhook_evaluations_fail_open_total{name=\"hook\",result=\"error\"} ";
    assert!(metrics.await.unwrap().contains(open));

    // Built-in authorizers don't go.
    let without = config("NoOpinion").replace("\"RBAC\"", "\"AlwaysAllow\"");
    std::fs::write(&chain, without).unwrap();
    eventually("the change is refused", || async {
        let log = server.log();
        (!log.contains("missing required types: [RBAC]")).then_some(log)
    })
    .await;
    assert_eq!(
        send(&eve, "GET", &list("configmaps"), &Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
}

/// What is told of a request that nobody could decide.
async fn undecided(client: &kube::Client, path: &str) -> String {
    let answer = exchange::send(client, "GET", path, exchange::JSON, &Value::Null)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// The certificate that the server shows now.
async fn shown(server: &ApiServer) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for root in rustls::pki_types::CertificateDer::pem_file_iter(server.pki().file("ca.crt")).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, tcp)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn renewed_certificates_and_authorities_are_taken_up() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = ClusterPki::write(folder.path()).unwrap();
    other.leaf("boss", "boss", &["system:masters"]).unwrap();
    let own = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(std::fs::read(server.pki().file("ca.crt")).unwrap())
    };
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": {"server": server.url(), "certificate-authority-data": own}}],
        "users": [{"name": "u", "user": {"client-certificate": other.file("boss.crt"), "client-key": other.file("boss.key")}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let mut config = kube::Config::from_custom_kubeconfig(
        serde_json::from_value(kubeconfig).unwrap(),
        &Default::default(),
    )
    .await
    .unwrap();
    config.default_retry = false;
    let boss = kube::Client::try_from(config).unwrap();
    let path = "/api/v1/namespaces";
    assert_eq!(
        send(&boss, "GET", path, &Value::Null).await.0,
        StatusCode::UNAUTHORIZED
    );
    let before = shown(&server).await;
    let both = ["ca.crt"].map(|name| {
        let read = |pki: &ClusterPki| std::fs::read_to_string(pki.file(name)).unwrap();
        read(server.pki()) + &read(&other)
    });
    std::fs::write(server.pki().file("ca.crt"), &both[0]).unwrap();
    server
        .pki()
        .serving("apiserver", &["kubernetes.default.svc"])
        .unwrap();
    eventually("the other authority's clients are known", || async {
        let (code, answer) = send(&boss, "GET", path, &Value::Null).await;
        (code != StatusCode::OK).then(|| answer.to_string())
    })
    .await;
    eventually("the new certificate is shown", || async {
        (shown(&server).await == before).then(|| "the old one".to_owned())
    })
    .await;
}

/// Everybody who could reach the server could do everything.
#[tokio::test]
async fn where_everything_is_allowed_nobody_is_anonymous() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &["--authorization-mode=AlwaysAllow"])
        .await
        .unwrap();
    let anonymous = client(&server, None).await;
    let (code, status) = send(&anonymous, "GET", "/api/v1/nodes", &Value::Null).await;
    assert_eq!(code, 401, "{status}");
    let nobody = server.client("nobody", &[]).await.unwrap();
    assert_eq!(send(&nobody, "GET", "/api/v1/nodes", &Value::Null).await.0, 200);
}
