//! A server on its own files instead of etcd: what was acknowledged is there after it was killed.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::ObjectMeta;
use std::path::Path;
use std::time::Duration;
use testkit::api_server::{ApiServer, Store};

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn objects_and_revisions_outlive_a_killed_server() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::Directory(directory.path());
    let mut server = ApiServer::start(Path::new(BINARY), store, &[]).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "default");
    for name in ["kept", "changed", "deleted"] {
        maps.create(&PostParams::default(), &map(name)).await.unwrap();
    }
    let before = maps.list(&ListParams::default()).await.unwrap();
    let mut changed = maps.get("changed").await.unwrap();
    changed.data = Some([("k".to_owned(), "v".to_owned())].into());
    let changed = maps
        .replace("changed", &PostParams::default(), &changed)
        .await
        .unwrap();
    maps.delete("deleted", &DeleteParams::default()).await.unwrap();
    server.kill();

    server.restart(Path::new(BINARY), store, &[]).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "default");
    let after = maps.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = after.iter().filter_map(|map| map.metadata.name.clone()).collect();
    assert_eq!(names, ["changed", "kept"], "kube-root-ca.crt is a controller's");
    assert_eq!(maps.get("changed").await.unwrap(), changed);
    // A watch from before the end of the old process sees what came after.
    let version = before.metadata.resource_version.unwrap();
    let mut watch = maps
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let event = tokio::time::timeout(Duration::from_secs(60), watch.try_next()).await;
        match event.unwrap().unwrap().unwrap() {
            WatchEvent::Modified(map) => seen.push(("modified", map.metadata.name.unwrap())),
            WatchEvent::Deleted(map) => seen.push(("deleted", map.metadata.name.unwrap())),
            // A server may have forgotten what was before its start; then clients list anew.
            WatchEvent::Error(error) if error.code == 410 => return,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        seen,
        [
            ("modified", "changed".to_owned()),
            ("deleted", "deleted".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::Directory(directory.path());
    let _first = ApiServer::start(Path::new(BINARY), store, &[]).await.unwrap();
    let error = ApiServer::start(Path::new(BINARY), store, &[])
        .await
        .err()
        .unwrap();
    assert!(format!("{error:#}").contains("storage-directory"), "{error:#}");
}
