//! A restart refuses no connection and ends none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;

use crate::support::{ApiServer, Client, TestAuthority, eventually};
use crate::unit::Unit;

#[tokio::test(flavor = "multi_thread")]
async fn clients_do_not_notice_a_restart() {
    let authority = TestAuthority::new();
    let server = ApiServer::start(&authority, "first", crate::LOOPBACK.parse().unwrap()).await;
    let files = tempfile::tempdir().unwrap();
    let ca = files.path().join("ca.crt");
    std::fs::write(&ca, authority.pem()).unwrap();
    let address = {
        let free = std::net::TcpListener::bind(crate::LOOPBACK).unwrap();
        free.local_addr().unwrap()
    };
    let mut unit = Unit::start(vec![
        format!("--listen={address}"),
        "--health-listen=127.0.0.1:0".to_owned(),
        format!("--backends={}", server.address),
        format!("--ca={}", ca.display()),
    ]);
    assert_eq!(unit.kept(), ["listener"]);
    let asked = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (authority, asked) = (authority.clone(), asked.clone());
        // One connection, always with a request on its way.
        tasks.spawn(async move {
            let mut client = Client::connect(&authority, address).await.unwrap();
            loop {
                assert_eq!(client.ask("/whoami").await.unwrap(), "first");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let opened = Arc::new(AtomicU64::new(0));
    let (other, count) = (authority.clone(), opened.clone());
    tasks.spawn(async move {
        loop {
            let mut client = Client::connect(&other, address).await.unwrap();
            assert_eq!(client.ask("/whoami").await.unwrap(), "first");
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..5 {
        let (requests, connections) = (asked.load(Ordering::Relaxed), opened.load(Ordering::Relaxed));
        unit = tokio::task::spawn_blocking(move || {
            unit.restart(Signal::SIGTERM);
            unit
        })
        .await
        .unwrap();
        eventually("both go on", async || {
            asked.load(Ordering::Relaxed) > requests + 20 && opened.load(Ordering::Relaxed) > connections + 2
        })
        .await;
        // What systemd keeps would stay open when its client has gone.
        assert_eq!(unit.kept(), ["listener"]);
    }
    assert!(
        tasks.try_join_next().is_none(),
        "a client has failed: {:?}",
        tasks.try_join_next()
    );
    tasks.shutdown().await;
    // After a crash connections are gone, but none is refused.
    let waiting = tokio::net::TcpStream::connect(address).await.unwrap();
    drop(waiting);
    unit = tokio::task::spawn_blocking(move || {
        unit.restart(Signal::SIGKILL);
        unit
    })
    .await
    .unwrap();
    let mut client = Client::connect(&authority, address).await.unwrap();
    assert_eq!(client.ask("/whoami").await.unwrap(), "first");
    drop(unit);
}
