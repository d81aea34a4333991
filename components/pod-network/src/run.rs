//! The daemon: what wakes it and what it remembers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use client::{Credentials, Informer};
use component_config::pod_network::Flags;
use daemon::Tasks;
use daemon::health::{Health, serve_plain};
use host::routing::Routing;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::NodeNetwork;
use crate::reconcile::{Checks, Reconciler, Report};
use crate::{state, sysctl};

/// Everything is looked at again after this time, whatever was reported.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// After a pass that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Changes of the host's network come in bursts when pods start.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Runs until a signal.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    for problem in sysctl::problems(std::path::Path::new("/proc/sys")) {
        tracing::error!(problem, "kernel setting is wrong");
    }
    // What is on disk is used before the API answers, and a damaged file costs only that.
    let known = state::load(&flags.state_file).unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "last state is not usable");
        Vec::new()
    });
    tracing::info!(nodes = known.len(), "starting from the last state");
    let (nodes_sender, nodes) = watch::channel(known);
    let (report_sender, report) = watch::channel(None);
    let reconciler = Reconciler::new(flags.clone(), Routing::open().context("netlink")?);

    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    tasks.spawn(
        "reconcile",
        reconcile_loop(reconciler, nodes, report_sender, shutdown.clone()),
    );
    tasks.spawn("health", {
        let health = health(report);
        serve_plain(flags.healthz_bind_address, health.router(), shutdown.clone())
    });
    tasks.spawn("nodes", watch_nodes(flags, nodes_sender, shutdown));
    daemon::notify::ready();
    tasks.run().await
}

fn health(report: watch::Receiver<Option<Report>>) -> Health {
    let health = Health::new();
    health.ready("reconciled", move || match &*report.borrow() {
        None => Err("nothing done so far".to_owned()),
        Some(report) if report.errors.is_empty() => Ok(()),
        Some(report) => Err(report.errors.join("; ")),
    });
    health
}

async fn watch_nodes(
    flags: Flags,
    nodes: watch::Sender<Vec<NodeNetwork>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let credentials = Credentials::from_kubeconfig(&flags.kubeconfig)?;
    let connection = client::connect(credentials, concat!("pod-network/", env!("CARGO_PKG_VERSION")))?;
    let api = Api::all(connection.client);
    let informer = Informer::start_with(
        api,
        watcher::Config::default(),
        shutdown.clone(),
        |node: &mut Node| {
            // All but the addresses: a node's images alone are many kilobytes.
            if let Some(status) = &mut node.status {
                *status = k8s_openapi::api::core::v1::NodeStatus {
                    addresses: status.addresses.take(),
                    ..Default::default()
                };
            }
            node.metadata.annotations = None;
            node.metadata.labels = None;
        },
    );
    let changed = Arc::new(tokio::sync::Notify::new());
    let note = changed.clone();
    informer.on_change(move |change| {
        let network = |node: &Option<Arc<Node>>| node.as_deref().and_then(NodeNetwork::from_node);
        // Heartbeats change nothing here.
        if network(&change.old) != network(&change.new) {
            note.notify_one();
        }
    });
    tokio::select! {
        synced = informer.synced() => anyhow::ensure!(synced || shutdown.is_cancelled(), "the watch of nodes has ended"),
        () = shutdown.cancelled() => return Ok(()),
    }
    loop {
        let mut list: Vec<NodeNetwork> = informer
            .list()
            .iter()
            .filter_map(|node| NodeNetwork::from_node(node))
            .collect();
        list.sort();
        // Routes matter more than the copy on disk; the next change writes it again.
        if let Err(error) = state::save(&flags.state_file, &list) {
            tracing::error!(error = format!("{error:#}"), "state not saved");
        }
        nodes.send_if_modified(|known| {
            let differs = *known != list;
            *known = list;
            differs
        });
        tokio::select! {
            () = changed.notified() => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Reconciles on every change of nodes or of the host's network, and now and then.
pub async fn reconcile_loop(
    mut reconciler: Reconciler,
    mut nodes: watch::Receiver<Vec<NodeNetwork>>,
    reports: watch::Sender<Option<Report>>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut checks = Checks::Everything;
    loop {
        let known = nodes.borrow_and_update().clone();
        let report = reconciler.reconcile(&known, checks).await;
        let before = reports.send_replace(Some(report.clone()));
        if before.is_none_or(|before| before.errors != report.errors) {
            for error in &report.errors {
                tracing::error!(error, "not reconciled");
            }
        }
        let wait = if report.errors.is_empty() {
            RECHECK_INTERVAL
        } else {
            RETRY_INTERVAL
        };
        checks = tokio::select! {
            changed = nodes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                Checks::Everything
            }
            alive = reconciler.host_changed() => {
                anyhow::ensure!(alive, "the netlink connection has ended");
                tokio::time::sleep(SETTLE_TIME).await;
                Checks::Routes
            }
            () = tokio::time::sleep(wait) => Checks::Everything,
            () = shutdown.cancelled() => return Ok(()),
        };
    }
}
