//! The balancer against real sockets and fake API servers that speak TLS.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

mod restart;
mod support;
mod unit;

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{ApiServer, Balancer, Client, TestAuthority, eventually};

const LOOPBACK: &str = "127.0.0.1:0";

#[tokio::test]
async fn connections_of_a_dead_backend_end_and_new_ones_go_elsewhere() {
    let authority = TestAuthority::new();
    let first = ApiServer::start(&authority, "first", LOOPBACK.parse().unwrap()).await;
    let second = ApiServer::start(&authority, "second", LOOPBACK.parse().unwrap()).await;
    let balancer = Balancer::start(&authority, &[first.address, second.address], Some(first.address)).await;
    balancer.wait_until_healthy(2).await;

    let mut client = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(
        client.ask("/whoami").await.unwrap(),
        "first",
        "the preferred backend is used"
    );
    let start = Instant::now();
    first.kill();
    assert!(client.ask("/whoami").await.is_err());
    let mut client = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(client.ask("/whoami").await.unwrap(), "second");
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_backend_that_is_not_ready_keeps_its_connections_and_gets_no_new_ones() {
    let authority = TestAuthority::new();
    let first = ApiServer::start(&authority, "first", LOOPBACK.parse().unwrap()).await;
    let second = ApiServer::start(&authority, "second", LOOPBACK.parse().unwrap()).await;
    let balancer = Balancer::start(&authority, &[first.address, second.address], Some(first.address)).await;
    balancer.wait_until_healthy(2).await;
    let mut old = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(old.ask("/whoami").await.unwrap(), "first");

    first.set_ready(false);
    balancer.wait_until_healthy(1).await;
    assert_eq!(
        old.ask("/whoami").await.unwrap(),
        "first",
        "its own shutdown is not disturbed"
    );
    let mut new = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(new.ask("/whoami").await.unwrap(), "second");
    // Not for ever: a server that cannot reach etcd would hold its clients.
    eventually("the old connection is moved", async || {
        old.ask("/whoami").await.is_err()
    })
    .await;

    first.set_ready(true);
    balancer.wait_until_healthy(2).await;
    let mut new = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(new.ask("/whoami").await.unwrap(), "first");
}

#[tokio::test]
async fn a_backend_with_a_foreign_certificate_is_not_chosen() {
    let authority = TestAuthority::new();
    let stranger = ApiServer::start(&TestAuthority::new(), "stranger", LOOPBACK.parse().unwrap()).await;
    let known = ApiServer::start(&authority, "known", LOOPBACK.parse().unwrap()).await;
    let balancer = Balancer::start(
        &authority,
        &[stranger.address, known.address],
        Some(stranger.address),
    )
    .await;
    balancer.wait_until_healthy(1).await;
    eventually("the stranger is out", async || {
        balancer.statuses().contains("Unhealthy")
    })
    .await;
    let mut client = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(client.ask("/whoami").await.unwrap(), "known");
}

#[tokio::test]
async fn after_all_were_down_the_first_to_return_is_used() {
    let authority = TestAuthority::new();
    let first = ApiServer::start(&authority, "first", LOOPBACK.parse().unwrap()).await;
    let second = ApiServer::start(&authority, "second", LOOPBACK.parse().unwrap()).await;
    let (first_address, second_address) = (first.address, second.address);
    first.kill();
    second.kill();
    let balancer = Balancer::start(&authority, &[first_address, second_address], None).await;
    eventually("both are out", async || {
        balancer.statuses().matches("Unhealthy").count() == 2
    })
    .await;
    assert!(Client::connect(&authority, balancer.address).await.is_err());

    // Before any probe has seen it: unhealthy backends are tried as well.
    let _second = ApiServer::start(&authority, "second", second_address).await;
    let mut client = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(client.ask("/whoami").await.unwrap(), "second");
}

#[tokio::test]
async fn backends_are_exchanged_while_it_runs() {
    let authority = TestAuthority::new();
    let first = ApiServer::start(&authority, "first", LOOPBACK.parse().unwrap()).await;
    let second = ApiServer::start(&authority, "second", LOOPBACK.parse().unwrap()).await;
    let balancer = Balancer::start(&authority, &[first.address], None).await;
    let mut client = Client::connect(&authority, balancer.address).await.unwrap();
    assert_eq!(client.ask("/whoami").await.unwrap(), "first");

    balancer.write_configuration("backends: [");
    balancer.write_configuration(&format!("backends: ['{}']\n", second.address));
    eventually("the new backend is used", async || {
        // One that was opened to the old backend in that moment is reset, perhaps in its handshake.
        match Client::connect(&authority, balancer.address).await {
            Ok(mut client) => client.ask("/whoami").await.is_ok_and(|name| name == "second"),
            Err(_) => false,
        }
    })
    .await;
    eventually("the old connection is reset", async || {
        client.ask("/whoami").await.is_err()
    })
    .await;
}

/// A host without power answers nothing: no RST, no FIN.
#[test]
fn power_loss_is_noticed_within_three_seconds() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: network namespaces need root");
        return;
    }
    let lab = support::lab::Lab::new(&["10.9.0.1", "10.9.0.2"]);
    let authority = TestAuthority::new();
    let addresses: Vec<SocketAddr> = vec!["10.9.0.1:6443".parse().unwrap(), "10.9.0.2:6443".parse().unwrap()];
    let _servers: Vec<_> = ["first", "second"]
        .into_iter()
        .enumerate()
        .map(|(index, name)| lab.serve(index, &authority, name, addresses[index]))
        .collect();
    lab.on_node(move |faults| async move {
        let balancer = Balancer::start(&authority, &addresses, Some(addresses[0])).await;
        balancer.wait_until_healthy(2).await;
        let mut client = Client::connect(&authority, balancer.address).await.unwrap();
        assert_eq!(client.ask("/whoami").await.unwrap(), "first");

        let start = Instant::now();
        faults.cut_power(0);
        // A new connection goes on to the next backend by itself.
        let mut new = Client::connect(&authority, balancer.address).await.unwrap();
        assert_eq!(new.ask("/whoami").await.unwrap(), "second");
        let new_connection = start.elapsed();
        // An idle one is reset.
        client.ended().await;
        let old_connection = start.elapsed();
        let _ = writeln!(
            std::io::stderr(),
            "new connection after {new_connection:?}, reset after {old_connection:?}"
        );
        assert!(new_connection < Duration::from_millis(1000), "{new_connection:?}");
        assert!(old_connection < Duration::from_secs(3), "{old_connection:?}");

        faults.restore_power(0);
        balancer.wait_until_healthy(2).await;
        let mut back = Client::connect(&authority, balancer.address).await.unwrap();
        assert_eq!(back.ask("/whoami").await.unwrap(), "first");
        assert_eq!(
            new.ask("/whoami").await.unwrap(),
            "second",
            "the others are not disturbed"
        );
    });
}
