//! The daemon.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use axum::routing::get;
use client::{Credentials, Informer};
use component_config::cluster_dns::Flags;
use daemon::Tasks;
use daemon::health::{Health, serve_plain};
use hickory_server::Server;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::forward::Forwarder;
use crate::handler::Handler;
use crate::upstreams;
use crate::zone::Zone;

/// A client that says nothing for so long is hung up on.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// Responses that may wait for a slow TCP client.
const TCP_RESPONSES: usize = 32;

/// Runs until a signal.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    let zone = Zone::new(&flags.cluster_domain, flags.ttl, flags.reverse_cidr.clone())
        .with_context(|| format!("--cluster-domain={:?} is not a domain name", flags.cluster_domain))?;
    let upstreams = resolvers(&flags)?;
    let credentials = Credentials::from_flag(flags.kubeconfig.as_deref())?;
    let connection = client::connect(credentials, concat!("cluster-dns/", env!("CARGO_PKG_VERSION")))?;
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    let catalog = watch(&connection.client, &shutdown);
    tracing::info!(domain = flags.cluster_domain, ?upstreams, "answering");
    let handler = Handler {
        zone,
        catalog: catalog.clone(),
        forwarder: Forwarder::new(upstreams),
    };

    let address = SocketAddr::new(flags.listen, flags.port);
    let (udp, tcp) = bind(address).await?;
    tasks.spawn(
        "health",
        serve_plain(flags.health_listen, health(catalog), shutdown.clone()),
    );
    tasks.spawn("dns", serve(handler, udp, tcp, shutdown));
    daemon::notify::ready();
    tasks.run().await
}

/// Binds UDP and TCP; with port 0 both get the same.
pub async fn bind(address: SocketAddr) -> anyhow::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on TCP {address}"))?;
    let address = tcp.local_addr().context("local address")?;
    let udp = UdpSocket::bind(address)
        .await
        .with_context(|| format!("listen on UDP {address}"))?;
    Ok((udp, tcp))
}

/// Serves until told to stop.
pub async fn serve(
    handler: Handler,
    udp: UdpSocket,
    tcp: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut server = Server::new(handler);
    server.register_socket(udp);
    server.register_listener(tcp, TCP_TIMEOUT, TCP_RESPONSES);
    tokio::select! {
        ended = server.block_until_done() => ended.context("DNS server"),
        () = shutdown.cancelled() => server.shutdown_gracefully().await.context("stop of the DNS server"),
    }
}

fn resolvers(flags: &Flags) -> anyhow::Result<Vec<SocketAddr>> {
    if !flags.upstream.is_empty() {
        let parse = |text: &String| {
            upstreams::parse(text)
                .with_context(|| format!("--upstream={text:?} is not an address; write IP or IP:port"))
        };
        return flags.upstream.iter().map(parse).collect();
    }
    match std::fs::read_to_string(&flags.resolv_conf) {
        Ok(text) => Ok(upstreams::of_resolv_conf(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", flags.resolv_conf.display())),
    }
}

fn watch(client: &kube::Client, shutdown: &CancellationToken) -> Catalog {
    let everything = watcher::Config::default;
    let services = Informer::start_with(
        Api::all(client.clone()),
        everything(),
        shutdown.clone(),
        |service: &mut Service| {
            service.metadata.annotations = None;
            service.metadata.labels = None;
            service.metadata.owner_references = None;
            service.status = None;
        },
    );
    let slices = Informer::start_with(
        Api::all(client.clone()),
        everything(),
        shutdown.clone(),
        |slice: &mut EndpointSlice| {
            slice.metadata.annotations = None;
            slice.metadata.owner_references = None;
            for endpoint in slice.endpoints.iter_mut().flatten() {
                endpoint.target_ref = None;
                endpoint.node_name = None;
                endpoint.zone = None;
                endpoint.hints = None;
                endpoint.deprecated_topology = None;
            }
        },
    );
    let namespaces = Informer::start_with(
        Api::all(client.clone()),
        everything(),
        shutdown.clone(),
        |namespace: &mut Namespace| {
            namespace.metadata.annotations = None;
            namespace.metadata.labels = None;
            namespace.spec = None;
            namespace.status = None;
        },
    );
    Catalog::new(services, slices, namespaces)
}

fn health(catalog: Catalog) -> axum::Router {
    let health = Health::new();
    let synced = catalog.clone();
    health.ready("informer-sync", move || match synced.is_synced() {
        true => Ok(()),
        false => Err("not everything is known so far".to_owned()),
    });
    // The names that other cluster DNS servers have.
    let ready = move || {
        let status = if catalog.is_synced() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        std::future::ready(status)
    };
    health
        .router()
        .route("/ready", get(ready))
        .route("/health", get(|| std::future::ready("OK")))
}
