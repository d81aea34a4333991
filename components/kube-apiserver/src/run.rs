//! The process: build the server, start its tasks, serve, stop.

use crate::aggregator::{self, Aggregator};
use crate::authentication::token_cache::TokenCache;
use crate::authentication::webhook::KnownTokens;
use crate::authentication::{Authenticator, TokenAuthenticator, service_account::ServiceAccountTokens};
use crate::authorization::{Authorizer, node::NodeAuthorizer, rbac::Rbac};
use crate::beat;
use crate::bootstrap;
use crate::build_info::BuildInfo;
use crate::configuration::{self, Configuration};
use crate::flow_control::{self, FlowControl};
use crate::handlers::openapi::documents::Documents;
use crate::inflight::InFlight;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::metrics::tokens::TokenMetrics;
use crate::peers::{self, PeerMetrics, Peers};
use crate::pipeline;
use crate::server::{Server, has_feature};
use crate::services::families;
use crate::serving::accept::{self, Limits};
use crate::serving::certificates::{Listening, RELOAD_PERIOD};
use crate::serving::debug_socket;
use crate::serving::keepalive;
use crate::serving::stamps::Stamps;
use crate::serving::threads::Threads;
use crate::stores::Stores;
use crate::sync;
use crate::tokens::external::External;
use crate::traces::{self, Traces};
use crate::webhook::{Clients, Resolver};
use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use component_config::kube_apiserver::ApiServerFlags;
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::metrics::StorageMetrics;
use storage::{Storage, StorageOptions};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that wait to be accepted; the kernel takes its own limit if that is less.
const BACKLOG: u32 = 1024;
/// Longest wait for requests to finish once no new ones are taken.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How often objects are counted of which no cache knows.
const COUNT_PERIOD: Duration = Duration::from_secs(60);
/// How often it is looked whether requests still run.
const IDLE_CHECK: Duration = Duration::from_millis(20);
/// Longest wait for the last audit events to be written.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until a signal.
pub async fn run(configuration: Configuration, build: BuildInfo) -> anyhow::Result<()> {
    let Configuration {
        flags,
        advertise,
        listening,
        browsers,
        registry,
        client_authority,
        front_proxy,
        issuer,
        chain,
        authentication,
        audit,
        transformers,
        backends,
        egress,
        collector,
        proxy_identity,
        peer_authorities,
        admission,
        metrics: told,
    } = configuration;
    if let Some(socket) = &flags.service_account_signing_endpoint {
        let external = External::new(socket);
        let started = async {
            external.start().await?;
            anyhow::Ok(issuer.sign_elsewhere(external)?)
        };
        started.await.context("--service-account-signing-endpoint")?;
    }
    let store = crate::etcd::Store::open(&flags, &egress.etcd).await?;
    let options = StorageOptions {
        prefix: flags.etcd_prefix.clone(),
        transformers: transformers.clone(),
        ..StorageOptions::default()
    };
    let storage = Storage::open_several(store.backend(), store.others(), options);
    let registry = Arc::new(ArcSwap::from_pointee(registry));
    let first = flags.service_cluster_ip_range.first();
    let primary = first.map_or("IPv4", families::of);
    let stores = Stores::new(
        storage,
        Arc::clone(&registry),
        primary,
        build.known_commit(),
        flags.serving.clone(),
    );
    for row in registry.load().stored() {
        stores.of(row);
    }
    api::validate::allow_privileged(flags.allow_privileged);
    let listener = listen(&flags)
        .with_context(|| format!("listening on {}:{}", flags.bind_address, flags.secure_port))?;
    let debug_socket = match &flags.debug_socket_path {
        Some(path) => Some(debug_socket::listen(path)?),
        None => None,
    };
    let port = listener.local_addr()?.port();
    tracing::info!(port, "listening");

    let token_metrics = TokenMetrics::default();
    let peer_metrics = PeerMetrics::default();
    let handshake_errors = Counter::default();
    let kept_for = flags.authentication.authentication_token_webhook_cache_ttl;
    let authenticator = Authenticator {
        front_proxy,
        client_authority,
        certificates_have_uids: has_feature(&flags, "AllowParsingUserUIDFromCertAuth"),
        tokens: TokenAuthenticator {
            static_tokens: authentication.static_tokens,
            service_accounts: ServiceAccountTokens {
                issuer: Arc::clone(&issuer),
                check_legacy: flags.service_account_lookup,
                metrics: token_metrics.clone(),
            },
            bootstrap: flags.enable_bootstrap_token_auth,
            issuers: authentication.issuers,
            webhook: authentication
                .webhook
                .map(|webhook| KnownTokens::new(webhook, kept_for)),
            lookup: Arc::new(stores.clone()),
            cache: TokenCache::default(),
            metrics: token_metrics.clone(),
        },
        anonymous: authentication.anonymous,
    };
    let node = NodeAuthorizer {
        rules: bootstrap::objects::node_rules()?,
        ..NodeAuthorizer::default()
    };
    let authorizer = Arc::new(Authorizer::new(chain, Rbac::default(), node));
    let flow_control = flags
        .enable_priority_and_fairness
        .then(|| FlowControl::new(flags.max_requests_inflight + flags.max_mutating_requests_inflight))
        .transpose()?
        .map(Arc::new);
    let flow_control_steps: &[&str] = match flow_control {
        Some(_) => &[bootstrap::FLOW_CONTROL_STEP],
        None => &[],
    };
    let resolver = Resolver::new(stores.clone(), flags.enable_aggregator_routing);
    let aggregator = Aggregator::new(proxy_identity, Arc::clone(&resolver), egress.clone());
    let id = bootstrap::identity_lease::server_id();
    let own = SocketAddr::new(advertise, port).to_string();
    let advertised = match &flags.serving.external_hostname {
        Some(name) if !name.is_empty() => external(name, port),
        _ => own,
    };
    let own = format!("sha256:{}", hex::encode(Sha256::digest(&id)));
    traces::follow_clients();
    let traces = collector
        .map(|collector| Traces::start(&collector, &egress.control_plane, &id))
        .transpose()
        .context("--tracing-config-file")?;
    let mut metrics = Metrics::new(own.clone(), build, told, |registry| {
        audit.register(registry);
        authorizer.decisions.register(registry);
        authorizer.webhooks.register(registry);
        authenticator.tokens.issuers.metrics.register(registry);
        authorizer.node.actions.register(registry);
        registry.register_collector(Box::new(StorageMetrics::of(&stores.storage)));
        storage::kms_metrics::register(registry, &own);
        storage::register_encryption_metrics(registry);
        aggregator.metrics.register(registry);
        aggregator.merged.register(registry);
        egress.metrics.register(registry);
        peer_metrics.register(registry);
        token_metrics.register(registry);
        registry.register(
            "apiserver_tls_handshake_errors",
            "Connections that ended in their handshake",
            handshake_errors.clone(),
        );
        if let Some(control) = &flow_control {
            control.metrics.register(registry);
        }
    });
    metrics.versions(&flags);
    metrics.admission.passes.of(&admission.plugins);
    let peers = peer_authorities.map(|authorities| {
        let identity = Arc::clone(&aggregator.identity);
        Peers::new(id.clone(), authorities, identity, peer_metrics)
    });
    let server = Arc::new(Server {
        id,
        build,
        started: jiff::Timestamp::now(),
        browsers,
        advertised,
        advertise,
        port,
        registry,
        registry_changed: tokio::sync::watch::Sender::new(()),
        stores: stores.clone(),
        encryption: transformers.clone(),
        authenticator,
        authorizer: Arc::clone(&authorizer),
        issuer,
        aggregator,
        peers,
        inflight: InFlight::new(flags.max_requests_inflight, flags.max_mutating_requests_inflight),
        flow_control,
        lifecycle: Lifecycle::with_pending(
            &[
                &bootstrap::STEPS[..],
                &[
                    "informer-sync",
                    sync::RBAC_STEP,
                    crate::definitions::STEP,
                    crate::services::repair::STEP,
                ],
                flow_control_steps,
            ]
            .concat(),
            flags.shutdown_watch_termination_grace_period,
        ),
        metrics,
        traces,
        audit,
        backends,
        admission,
        webhooks: Clients::new(Some(resolver)).by(&egress),
        egress,
        openapi: Documents::of(flags.version.emulated),
        tracker: TaskTracker::new(),
        flags,
    });

    let audit_end = CancellationToken::new();
    let mut auditing = {
        let (audit, end) = (server.audit.clone(), audit_end.clone());
        tokio::spawn(async move { audit.run(end).await })
    };
    let mut tasks: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    let connections = TaskTracker::new();
    let stop_accepting = CancellationToken::new();
    let limits = Limits {
        max_streams: server.flags.http2_max_streams_per_connection,
        handshake_errors,
        ..Limits::default()
    };
    let handler = {
        let server = Arc::clone(&server);
        move |request, peer| pipeline::handle(Arc::clone(&server), request, peer)
    };
    let threads =
        Arc::new(Threads::for_this_machine().context("starting the threads that serve connections")?);
    let accepting = accept::serve(
        listener,
        Arc::clone(&threads),
        listening.current(),
        limits,
        handler,
        stop_accepting.clone(),
        connections.clone(),
    );
    tasks.spawn(async move {
        accepting.await;
        ("listener", Ok(()))
    });
    if let Some(listener) = debug_socket {
        tasks.spawn(named("debug socket", debug_socket::serve(listener)));
    }
    tasks.spawn(start_up(Arc::clone(&server)));
    let rbac_built = {
        let server = Arc::clone(&server);
        move || server.lifecycle.finished(sync::RBAC_STEP)
    };
    tasks.spawn(named(
        "rbac",
        sync::rbac(stores.clone(), Arc::clone(&authorizer), rbac_built),
    ));
    tasks.spawn(named("node-graph", sync::node_graph(stores, authorizer)));
    tasks.spawn(named(
        "flow-control",
        flow_control::controller::run(Arc::clone(&server)),
    ));
    tasks.spawn(named(
        "apiservices",
        aggregator::availability::run(Arc::clone(&server)),
    ));
    tasks.spawn(named(
        "configuration",
        configuration::reload::run(Arc::clone(&server)),
    ));
    tasks.spawn(named("signer", {
        let server = Arc::clone(&server);
        async move {
            match server.issuer.external.get() {
                Some(external) => external.follow().await,
                None => std::future::pending().await,
            }
            Ok(())
        }
    }));
    tasks.spawn(named("kms", crate::etcd::follow_services(transformers.clone())));
    tasks.spawn(named(
        "autoregistration",
        aggregator::keeper::run(Arc::clone(&server)),
    ));
    tasks.spawn(named("peers", peers::follow::run(Arc::clone(&server))));
    tasks.spawn(named(
        "webhooks",
        crate::admission::webhooks::sync::run(Arc::clone(&server)),
    ));
    tasks.spawn(named(
        "policies",
        crate::admission::policies::sync::run(Arc::clone(&server)),
    ));
    tasks.spawn(named("definitions", crate::definitions::run(Arc::clone(&server))));
    tasks.spawn(upkeep(Arc::clone(&server)));
    tasks.spawn(named("reload", reload(listening, Arc::clone(&server))));
    tasks.spawn(named("store", store.keep(server.flags.clone())));
    tasks.spawn(named("serving threads", {
        let lost = threads.lost();
        async move {
            lost.await;
            bail!("a thread that serves connections has ended")
        }
    }));
    let interval = server.flags.etcd_compaction_interval;
    if !interval.is_zero() {
        let storage = server.stores.storage.clone();
        tasks.spawn(named("compaction", async move {
            storage::compaction::run(storage, interval).await;
            Ok(())
        }));
    }
    if let (Some(file), true) = (
        &server.flags.encryption_provider_config,
        server.flags.encryption_provider_config_automatic_reload,
    ) {
        tasks.spawn(named(
            "encryption",
            crate::etcd::reload_transformers(Arc::clone(&server), transformers, file.clone()),
        ));
    }

    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let ended: Option<anyhow::Result<()>> = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            Some(ended) = tasks.join_next() => match ended {
                Ok(("start-up", Ok(()))) => daemon::notify::ready(),
                Ok(("upkeep", Ok(()))) => {}
                Ok((name, Ok(()))) => break Some(Err(anyhow::anyhow!("task {name} ended unexpectedly"))),
                Ok((name, Err(error))) => break Some(Err(error.context(format!("task {name}")))),
                Err(error) => break Some(Err(error.into())),
            },
            // A server whose requests are no longer audited must not go on.
            ended = &mut auditing => break Some(match ended {
                Ok(()) => Err(anyhow::anyhow!("task audit ended unexpectedly")),
                Err(error) => Err(anyhow::Error::new(error).context("task audit")),
            }),
        }
    };
    if let Some(Err(error)) = ended {
        return Err(error);
    }
    // Whoever asks a second time doesn't want to wait. In a task of its own, since what is waited for here may block.
    let mut hurried = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("a second signal came; the server ends at once");
        std::process::exit(1);
    });
    let orderly = async {
        stop(&server, &stop_accepting, &connections).await;
        audit_end.cancel();
        if tokio::time::timeout(AUDIT_TIMEOUT, auditing).await.is_err() {
            tracing::warn!("the last audit events could not be written in time");
        }
        drop(threads);
        if server.traces.is_some() {
            let server = Arc::clone(&server);
            tokio::task::spawn_blocking(move || server.traces.as_ref().map(Traces::finish)).await?;
        }
        Ok(())
    };
    tokio::select! {
        outcome = orderly => outcome,
        // It has no other end than the process's.
        Err(error) = &mut hurried => Err(anyhow::Error::new(error).context("task second-signal")),
    }
}

/// Listens as the flags say. SO_REUSEADDR is what every server sets on Linux.
fn listen(flags: &ApiServerFlags) -> std::io::Result<TcpListener> {
    let socket = match flags.bind_address {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(flags.serving.permit_port_sharing)?;
    // Connections inherit it.
    keepalive::set(&socket)?;
    socket.bind(SocketAddr::new(flags.bind_address, flags.secure_port))?;
    socket.listen(BACKLOG)
}

/// The name with a port.
fn external(name: &str, port: u16) -> String {
    match name.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, port).to_string(),
        Err(_)
            if name
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok()) =>
        {
            name.to_owned()
        }
        Err(_) => format!("{name}:{port}"),
    }
}

async fn named(
    name: &'static str,
    task: impl Future<Output = anyhow::Result<()>>,
) -> (&'static str, anyhow::Result<()>) {
    (name, task.await)
}

/// Loads the caches, then makes what every cluster needs.
async fn start_up(server: Arc<Server>) -> (&'static str, anyhow::Result<()>) {
    loop {
        match server.stores.storage.warm_up().await {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(%error, "the caches can't be loaded yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    server.lifecycle.finished("informer-sync");
    bootstrap::run(server).await;
    ("start-up", Ok(()))
}

/// What is repeated for as long as the server runs.
async fn upkeep(server: Arc<Server>) -> (&'static str, anyhow::Result<()>) {
    server.lifecycle.after("informer-sync").await;
    server.lifecycle.after(bootstrap::STEPS[0]).await;
    tokio::join!(
        bootstrap::kubernetes_service::run(Arc::clone(&server)),
        bootstrap::authentication::run(Arc::clone(&server)),
        bootstrap::identity_lease::run(Arc::clone(&server)),
        peers::address::run(Arc::clone(&server)),
        bootstrap::token_tracking::run(Arc::clone(&server)),
        count_objects(&server),
        crate::services::repair::run(Arc::clone(&server))
    );
    ("upkeep", Ok(()))
}

/// Has etcd count what no cache holds. Never ends.
async fn count_objects(server: &Server) {
    loop {
        server.stores.storage.count().await;
        beat::next(COUNT_PERIOD).await;
    }
}

/// Readiness goes off first, then load balancers get time to notice, then connections are drained.
async fn stop(server: &Server, stop_accepting: &CancellationToken, connections: &TaskTracker) {
    tracing::info!("stopping");
    daemon::notify::stopping();
    server.lifecycle.begin_stopping();
    bootstrap::kubernetes_service::leave(server).await;
    peers::address::leave(server).await;
    tokio::time::sleep(server.flags.shutdown_delay_duration).await;
    if server.flags.shutdown_send_retry_after {
        // The listener stays: who still comes is sent elsewhere, and nobody's connection is refused.
        server.lifecycle.begin_refusing();
        let idle = async {
            while server.inflight.taken() != (0, 0) {
                tokio::time::sleep(IDLE_CHECK).await;
            }
        };
        let idle = tokio::time::timeout(server.flags.request_timeout, idle);
        let (idle, ()) = tokio::join!(idle, server.lifecycle.end_watches());
        if idle.is_err() {
            tracing::warn!("not all requests ended in time");
        }
    }
    stop_accepting.cancel();
    server.lifecycle.begin_draining();
    connections.close();
    server.tracker.close();
    let drained = async {
        connections.wait().await;
        server.tracker.wait().await;
    };
    let patience = DRAIN_TIMEOUT + server.lifecycle.watch_grace;
    if tokio::time::timeout(patience, drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "not all connections ended in time"
        );
    }
}

async fn reload(listening: Listening, server: Arc<Server>) -> anyhow::Result<()> {
    let mut stamps = Stamps::of(files_of(&server.flags));
    loop {
        beat::next(RELOAD_PERIOD).await;
        if !stamps.changed() {
            continue;
        }
        let identity = server.aggregator.identity.reload();
        if matches!(identity, Ok(true)) {
            server.aggregator.refresh(&server.stores);
        }
        let mut outcomes = vec![
            ("the proxy client certificate", identity.map(drop)),
            (
                "the certificates for kubelets",
                server.backends.reload(&server.flags),
            ),
        ];
        if let Some(peers) = &server.peers {
            outcomes.push(("the authorities of other API servers", peers.reload()));
        }
        outcomes.extend(listening.reload((&server.flags.tls).into()));
        for (what, outcome) in outcomes {
            if let Err(error) = outcome {
                tracing::error!(
                    error = format!("{error:#}"),
                    "{what} can't be reloaded, the old state stays"
                );
                stamps.forget();
            }
        }
    }
}

/// Certificates, keys and authorities that are taken up anew when they change.
fn files_of(flags: &ApiServerFlags) -> Vec<PathBuf> {
    let single = [
        &flags.tls_cert_file,
        &flags.tls_private_key_file,
        &flags.client_ca_file,
        &flags.requestheader_client_ca_file,
        &flags.proxy_client_cert_file,
        &flags.proxy_client_key_file,
        &flags.peers.peer_ca_file,
        &flags.kubelet_certificate_authority,
        &flags.kubelet_client_certificate,
        &flags.kubelet_client_key,
    ];
    let named = flags.serving.tls_sni_cert_key.iter();
    let named = named.flat_map(|pair| [&pair.certificate, &pair.key]);
    single.into_iter().flatten().chain(named).cloned().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn external_names_get_the_port_unless_they_have_one() {
        for (name, told) in [
            ("api.example.com", "api.example.com:6443"),
            ("api.example.com:443", "api.example.com:443"),
            ("10.0.0.1", "10.0.0.1:6443"),
            ("fd00::1", "[fd00::1]:6443"),
            ("[fd00::1]:443", "[fd00::1]:443"),
        ] {
            assert_eq!(super::external(name, 6443), told, "{name}");
        }
    }
}
