//! The whole server over a real etcd: what clients may count on.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::ObjectMeta;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

async fn started() -> (Etcd, ApiServer) {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(env!("CARGO_BIN_EXE_kube-apiserver")), &etcd, &[])
        .await
        .unwrap();
    (etcd, server)
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, kube::Error>) -> u16 {
    match outcome {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected an API error, got {other:?}"),
    }
}

#[tokio::test]
async fn an_object_lives_through_all_verbs_and_its_watch_sees_it() {
    use futures::{StreamExt, TryStreamExt};
    let (_etcd, server) = started().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "default");
    let list = maps.list(&ListParams::default()).await.unwrap();
    let mut watch = maps
        .watch(&WatchParams::default(), &list.metadata.resource_version.unwrap())
        .await
        .unwrap()
        .boxed();
    let created = maps
        .create(
            &PostParams::default(),
            &ConfigMap {
                metadata: named("a"),
                ..ConfigMap::default()
            },
        )
        .await
        .unwrap();
    assert_eq!(
        code(
            maps.create(
                &PostParams::default(),
                &ConfigMap {
                    metadata: named("a"),
                    ..ConfigMap::default()
                }
            )
            .await
        ),
        409
    );
    let mut changed = created.clone();
    changed.data = Some([("k".to_owned(), "v".to_owned())].into());
    let replaced = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(
        replaced.metadata.resource_version,
        created.metadata.resource_version
    );
    assert_eq!(
        code(maps.replace("a", &PostParams::default(), &changed).await),
        409,
        "the old version must conflict"
    );
    for patch in [
        Patch::Merge(json!({"data": {"merge": "1"}})),
        Patch::Strategic(json!({"data": {"strategic": "1"}})),
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"apply": "1"}}),
        ),
    ] {
        maps.patch("a", &PatchParams::apply("test"), &patch)
            .await
            .unwrap();
    }
    let now = maps.get("a").await.unwrap();
    assert_eq!(now.data.unwrap().len(), 4);
    assert!(
        now.metadata
            .managed_fields
            .unwrap()
            .iter()
            .any(|entry| entry.operation.as_deref() == Some("Apply"))
    );
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(maps.get("a").await), 404);
    let mut kinds = Vec::new();
    while let Some(event) = tokio::time::timeout(Duration::from_secs(10), watch.try_next())
        .await
        .unwrap()
        .unwrap()
    {
        match event {
            WatchEvent::Added(_) => kinds.push("added"),
            WatchEvent::Modified(_) => kinds.push("modified"),
            WatchEvent::Deleted(_) => {
                kinds.push("deleted");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(
        kinds,
        ["added", "modified", "modified", "modified", "modified", "deleted"]
    );
}

#[tokio::test]
async fn nobody_does_what_no_rule_allows() {
    let (_etcd, server) = started().await;
    let jane = server.client("jane", &[]).await.unwrap();
    assert_eq!(
        code(
            Api::<Secret>::namespaced(jane.clone(), "default")
                .list(&ListParams::default())
                .await
        ),
        403
    );
    // Granting what one doesn't have is refused, even with the right to write roles.
    let admin = server.admin().await.unwrap();
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    let writer = json!({"metadata": {"name": "role-writer"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": ["update", "patch"]},
    ]});
    roles
        .create(&PostParams::default(), &serde_json::from_value(writer).unwrap())
        .await
        .unwrap();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "role-writer"}, "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(admin.clone());
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
    let greedy: ClusterRole = serde_json::from_value(json!({"metadata": {"name": "greedy"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]})).unwrap();
    let modest: ClusterRole =
        serde_json::from_value(json!({"metadata": {"name": "modest"}, "rules": []})).unwrap();
    let janes: Api<ClusterRole> = Api::all(jane.clone());
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // The new binding is seen when the watch has brought it.
    while janes
        .create(
            &PostParams {
                dry_run: true,
                ..PostParams::default()
            },
            &modest,
        )
        .await
        .is_err()
    {
        assert!(std::time::Instant::now() < deadline, "the binding was never seen");
        tokio::task::yield_now().await;
    }
    assert_eq!(code(janes.create(&PostParams::default(), &greedy).await), 403);

    // What isn't there is not made by the right to change it, neither by an apply nor by a PUT that creates.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let service: Service = serde_json::from_value(service).unwrap();
    let apply = PatchParams::apply("test");
    let maps = |client| Api::<ConfigMap>::namespaced(client, "default");
    let services = |client| Api::<Service>::namespaced(client, "default");
    let post = PostParams::default();
    for made in [false, true] {
        let applied = maps(jane.clone()).patch("m", &apply, &Patch::Apply(&map)).await;
        let put = services(jane.clone()).replace("s", &post, &service).await;
        if made {
            applied.unwrap();
            put.unwrap();
            break;
        }
        assert_eq!((code(applied), code(put)), (403, 403));
        maps(admin.clone())
            .patch("m", &apply, &Patch::Apply(&map))
            .await
            .unwrap();
        let put = services(admin.clone())
            .replace("s", &post, &service)
            .await
            .unwrap();
        assert!(
            put.spec
                .unwrap()
                .cluster_ip
                .is_some_and(|address| !address.is_empty())
        );
    }
}

#[tokio::test]
async fn a_token_works_until_its_pod_is_gone() {
    let (_etcd, server) = started().await;
    let admin = server.admin().await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), "default");
    accounts
        .create(
            &PostParams::default(),
            &ServiceAccount {
                metadata: named("default"),
                ..ServiceAccount::default()
            },
        )
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "default");
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
    )
    .unwrap();
    let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
    assert!(
        pod.spec
            .unwrap()
            .volumes
            .unwrap()
            .iter()
            .any(|volume| volume.name.starts_with("kube-api-access-"))
    );
    let request: TokenRequest = TokenRequest {
        spec: Some(TokenRequestSpec {
            bound_object_ref: serde_json::from_value(
                json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod.metadata.uid}),
            )
            .unwrap(),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let token = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await
        .unwrap()
        .status
        .unwrap()
        .token;
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let ask = || {
        let client = admin.clone();
        let body = serde_json::to_vec(&review).unwrap();
        async move {
            let request = http::Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
                .header("content-type", "application/json")
                .body(body)
                .unwrap();
            client.request::<serde_json::Value>(request).await.unwrap()
        }
    };
    let answer = ask().await;
    assert_eq!(
        answer["status"]["user"]["username"], "system:serviceaccount:default:default",
        "{answer}"
    );
    assert_eq!(
        answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"][0],
        "p"
    );
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while ask().await["status"]["authenticated"] == true {
        assert!(std::time::Instant::now() < deadline, "the token still works");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn two_servers_share_one_etcd_and_one_leaves_in_order() {
    let etcd = Etcd::start().await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let first = ApiServer::start(binary, &etcd, &[]).await.unwrap();
    let mut second = ApiServer::start(binary, &etcd, &["--advertise-address=192.0.2.3"])
        .await
        .unwrap();
    let maps = |client| Api::<ConfigMap>::namespaced(client, "default");
    maps(first.admin().await.unwrap())
        .create(
            &PostParams::default(),
            &ConfigMap {
                metadata: named("shared"),
                ..ConfigMap::default()
            },
        )
        .await
        .unwrap();
    // A read without a version is the newest state, on whichever server.
    assert!(maps(second.admin().await.unwrap()).get("shared").await.is_ok());
    second.terminate(Duration::from_secs(30)).unwrap();
    let endpoints: Api<k8s_openapi::api::core::v1::Endpoints> =
        Api::namespaced(first.admin().await.unwrap(), "default");
    let seen = endpoints.get("kubernetes").await.unwrap();
    assert!(
        !serde_json::to_string(&seen).unwrap().contains("192.0.2.3"),
        "{seen:?}"
    );
}

/// Regression: an unchanged object was not written again, so a new first key never came to be used.
#[tokio::test]
async fn a_replaced_secret_is_written_again_when_another_key_encrypts() {
    let etcd = Etcd::start().await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("encryption.yaml");
    let write = |names: &[&str]| {
        let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let keys: Vec<_> = names
            .iter()
            .map(|name| json!({"name": name, "secret": secret}))
            .collect();
        let configuration = json!({
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": keys}}]}],
        });
        std::fs::write(&file, configuration.to_string()).unwrap();
    };
    let flag = format!("--encryption-provider-config={}", file.display());
    write(&["old"]);
    let mut server = ApiServer::start(binary, &etcd, &[&flag]).await.unwrap();
    let secrets = |client| Api::<Secret>::namespaced(client, "default");
    let secret = Secret {
        metadata: named("kept"),
        ..Secret::default()
    };
    secrets(server.admin().await.unwrap())
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    write(&["new", "old"]);
    server.restart(binary, &etcd, &[&flag]).await.unwrap();
    let api = secrets(server.admin().await.unwrap());
    let mut versions = Vec::new();
    for _ in 0..3 {
        let present = api.get("kept").await.unwrap();
        versions.push(present.metadata.resource_version.clone());
        api.replace("kept", &PostParams::default(), &present)
            .await
            .unwrap();
    }
    assert!(
        versions[0] != versions[1] && versions[1] == versions[2],
        "{versions:?}"
    );
}
