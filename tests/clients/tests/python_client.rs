//! The official Python client.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use clients::{python, server};

#[tokio::test]
async fn every_kind_lives_through_all_verbs() {
    let running = server::start().await.unwrap();
    let mut script = python::script("every_kind.py").unwrap();
    script
        .arg(running.api.kubeconfig("admin", &["system:masters"]).unwrap())
        .arg(testkit::own_folder().join("samples.yaml"));
    let said = tokio::task::spawn_blocking(|| python::run(script))
        .await
        .unwrap()
        .unwrap();
    println!("{said}");
}
