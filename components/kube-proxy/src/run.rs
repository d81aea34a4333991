//! The daemon: watches, collects changes, and syncs.

mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use client::Credentials;
use client::informer::{Informer, Key as ServiceKey};
use component_config::kube_proxy::{Flags, ProxyMode};
use daemon::Tasks;
use daemon::health::serve_plain;
use daemon::metrics::Metrics;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::configuration::{NodePortSetting, Settings};
use crate::conntrack;
use crate::health_check::HealthChecks;
use crate::metrics::ProxyMetrics;
use crate::model::{Family, ThisNode, local_endpoint_count};
use crate::sync::{ChangedService, Proxier, cleanup, host_addresses};
use state::{Pending, SyncState, this_node};

/// Other proxies' Services, and those without a cluster IP.
const SELECTOR: &str = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";
const SERVICE_OF_SLICE: &str = "service";
/// After a sync that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until a signal.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    let configuration = flags.configuration()?;
    if let Some(path) = &flags.write_config_to {
        let text = serde_yaml_ng::to_string(&configuration).context("configuration as YAML")?;
        return std::fs::write(path, text).with_context(|| format!("write {}", path.display()));
    }
    if flags.cleanup {
        cleanup(ProxyMode::Nftables).await.context("clean up nftables")?;
        return cleanup(ProxyMode::Iptables).await.context("clean up iptables");
    }
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("host name")?;
    let settings = Settings::new(&configuration, &host_name)?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    conntrack::apply_limits(
        "/proc/sys".as_ref(),
        &conntrack::limits(&settings.conntrack, cores),
    );
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", settings.oom_score_adj.to_string()) {
        tracing::info!(%error, value = settings.oom_score_adj, "OOM score not set");
    }

    let credentials = Credentials::from_flag(settings.kubeconfig.as_deref())?;
    let connection = client::connect(credentials, concat!("kube-proxy/", env!("CARGO_PKG_VERSION")))?;
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    let sources = Sources::start(&connection.client, &settings.node_name, shutdown.clone());

    let metrics = Metrics::new();
    let proxy_metrics = ProxyMetrics::register(&metrics);
    let state = Arc::new(SyncState::new(settings.sync_period));
    let pending = sources.pending(&proxy_metrics, &state);
    let mode = match settings.mode {
        ProxyMode::Iptables => "iptables",
        ProxyMode::Nftables => "nftables",
    };
    let metrics_router = metrics
        .router()
        .route("/proxyMode", axum::routing::get(move || std::future::ready(mode)));
    tasks.spawn(
        "health",
        serve_plain(settings.healthz, state::router(state.clone()), shutdown.clone()),
    );
    tasks.spawn(
        "metrics",
        serve_plain(settings.metrics, metrics_router, shutdown.clone()),
    );
    let sync = SyncLoop {
        settings,
        sources,
        pending,
        state,
        metrics: proxy_metrics,
        health_checks: HealthChecks::default(),
    };
    tasks.spawn("sync", sync.run(shutdown));
    daemon::notify::ready();
    tasks.run().await
}

/// The watched objects.
pub struct Sources {
    pub services: Informer<Service>,
    pub slices: Informer<EndpointSlice>,
    pub nodes: Informer<Node>,
}

impl Sources {
    fn start(client: &kube::Client, node_name: &str, shutdown: CancellationToken) -> Sources {
        let selected = || watcher::Config::default().labels(SELECTOR);
        let services = Informer::start_with(
            Api::all(client.clone()),
            selected(),
            shutdown.clone(),
            |service: &mut Service| {
                service.metadata.annotations = None;
                if let Some(status) = &mut service.status {
                    status.conditions = None;
                }
            },
        );
        let slices = Informer::start_with(Api::all(client.clone()), selected(), shutdown.clone(), trim_slice);
        let own = watcher::Config::default().fields(&format!("metadata.name={node_name}"));
        let nodes = Informer::start_with(Api::all(client.clone()), own, shutdown, |node: &mut Node| {
            node.metadata.annotations = None;
            if let Some(status) = &mut node.status {
                status.images = None;
                status.conditions = None;
            }
        });
        Sources {
            services,
            slices,
            nodes,
        }
    }

    async fn synced(&self) -> bool {
        tokio::join!(self.services.synced(), self.slices.synced(), self.nodes.synced()) == (true, true, true)
    }

    /// Collects the keys of changed Services from now on.
    pub fn pending(&self, metrics: &ProxyMetrics, state: &Arc<SyncState>) -> Pending {
        let pending = Pending::default();
        self.slices.add_index(SERVICE_OF_SLICE, |slice| {
            service_of(slice)
                .map(|key| index_value(&key))
                .into_iter()
                .collect()
        });
        let queued = metrics.last_queued.clone();
        let (queue, count, seen) = (pending.clone(), metrics.service_changes.clone(), state.clone());
        self.services.on_change(move |change| {
            count.inc();
            queue.add(client::informer::key_of(&**change.object()));
            queued.set(unix_seconds());
            seen.queued();
        });
        let queued = metrics.last_queued.clone();
        let (queue, count, seen) = (pending.clone(), metrics.endpoint_changes.clone(), state.clone());
        self.slices.on_change(move |change| {
            count.inc();
            for slice in change.old.iter().chain(&change.new) {
                service_of(slice).into_iter().for_each(|key| queue.add(key));
            }
            queued.set(unix_seconds());
            seen.queued();
        });
        let queue = pending.clone();
        self.nodes.on_change(move |change| {
            let facts = |node: &Option<Arc<Node>>| node.as_deref().map(this_node);
            if facts(&change.old) != facts(&change.new) {
                queue.node_changed();
            }
        });
        pending
    }

    fn service(&self, key: ServiceKey) -> ChangedService {
        let found = self.services.get(&key.0, &key.1).map(|service| {
            let slices = self.slices.by_index(SERVICE_OF_SLICE, &index_value(&key));
            (service, slices)
        });
        (key, found)
    }
}

fn index_value(key: &ServiceKey) -> String {
    format!("{}/{}", key.0, key.1)
}

fn service_of(slice: &EndpointSlice) -> Option<ServiceKey> {
    let name = slice
        .metadata
        .labels
        .as_ref()?
        .get("kubernetes.io/service-name")?;
    Some((slice.metadata.namespace.clone().unwrap_or_default(), name.clone()))
}

fn trim_slice(slice: &mut EndpointSlice) {
    slice.metadata.annotations = None;
    slice.metadata.owner_references = None;
    for endpoint in slice.endpoints.iter_mut().flatten() {
        endpoint.target_ref = None;
        endpoint.deprecated_topology = None;
    }
}

struct SyncLoop {
    settings: Settings,
    sources: Sources,
    pending: Pending,
    state: Arc<SyncState>,
    metrics: ProxyMetrics,
    health_checks: HealthChecks,
}

impl SyncLoop {
    async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            // Rules of an earlier run stay until everything is known: half of it would be worse.
            synced = self.sources.synced() => anyhow::ensure!(synced || shutdown.is_cancelled(), "a watch has ended"),
            () = shutdown.cancelled() => return Ok(()),
        }
        let other = match self.settings.mode {
            ProxyMode::Iptables => ProxyMode::Nftables,
            ProxyMode::Nftables => ProxyMode::Iptables,
        };
        let mut proxiers: Vec<Proxier> = Vec::new();
        let mut other_mode_cleaned = false;
        loop {
            let start = Instant::now();
            let synced = self.sync(&mut proxiers).await;
            if synced && !other_mode_cleaned {
                other_mode_cleaned = true;
                // After ours are in place. The other mode's tools may not be installed, then nothing is there either.
                if let Err(error) = cleanup(other).await {
                    tracing::info!(mode = ?other, %error, "rules of the other mode not removed");
                }
            }
            let took = start.elapsed();
            // A burst of changes is taken at once; the dearer a sync, the more it waits for.
            let rest = (took * 5)
                .max(Duration::from_millis(20))
                .min(self.settings.min_sync_period);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            let again = if synced {
                self.settings.sync_period
            } else {
                RETRY_INTERVAL
            };
            tokio::select! {
                () = self.pending.changed() => {}
                () = tokio::time::sleep(again) => {
                    for proxier in &mut proxiers {
                        if !proxier.needs_full() && !proxier.is_intact().await {
                            proxier.distrust();
                        }
                    }
                }
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// One sync of both families; false if it has to be tried again.
    async fn sync(&mut self, proxiers: &mut Vec<Proxier>) -> bool {
        let start = Instant::now();
        let (keys, node_changed) = self.pending.take();
        let node = self
            .sources
            .nodes
            .get("", &self.settings.node_name)
            .map(|node| this_node(&node))
            .unwrap_or_default();
        let node = ThisNode {
            name: self.settings.node_name.clone(),
            ..node
        };
        let addresses = match self.settings.node_ports {
            NodePortSetting::Within(_) => host_addresses().await,
            NodePortSetting::All | NodePortSetting::Primary => Vec::new(),
        };
        let families = if proxiers.is_empty() {
            families()
        } else {
            proxiers.iter().map(|p| p.options().family).collect()
        };
        let mut everything = node_changed || proxiers.is_empty();
        for (index, family) in families.into_iter().enumerate() {
            let options = self.settings.options(&node, &addresses, family);
            match proxiers.get_mut(index) {
                Some(proxier) if *proxier.options() == options => {}
                Some(proxier) => {
                    *proxier = Proxier::new(self.settings.mode, options);
                    everything = true;
                }
                None => proxiers.push(Proxier::new(self.settings.mode, options)),
            }
        }
        let mut keys = keys;
        if everything {
            let all = self.sources.services.list();
            keys.extend(all.iter().map(|service| client::informer::key_of(&**service)));
        }
        let changes: Vec<ChangedService> = keys.iter().map(|key| self.sources.service(key.clone())).collect();
        let full = proxiers.iter().any(Proxier::needs_full);
        let mut failed = false;
        for proxier in proxiers.iter_mut() {
            if let Err(error) = proxier.apply(&changes, &node).await {
                failed = true;
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(family = ?proxier.options().family, %error, source, "rules not applied");
            }
        }
        for (key, found) in &changes {
            let wanted = found.as_ref().and_then(|(service, slices)| {
                let port = service
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.health_check_node_port)?;
                let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
                Some((port, local_endpoint_count(slices, &node)))
            });
            self.health_checks.set(key, wanted).await;
        }
        let took = start.elapsed();
        self.metrics.changes_pending.set(self.pending.len() as i64);
        if failed {
            self.metrics.failures.inc();
            return false;
        }
        self.metrics.sync_duration.observe(took.as_secs_f64());
        let kind = if full {
            &self.metrics.full_sync_duration
        } else {
            &self.metrics.partial_sync_duration
        };
        kind.observe(took.as_secs_f64());
        self.metrics.last_sync.set(unix_seconds());
        self.state.synced();
        if full {
            tracing::info!(services = self.sources.services.len(), took = ?took, "all rules made");
        } else {
            tracing::debug!(services = changes.len(), took = ?took, "rules changed");
        }
        true
    }
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn families() -> Vec<Family> {
    let mut families = vec![Family::V4];
    if std::path::Path::new("/proc/net/if_inet6").exists() {
        families.push(Family::V6);
    }
    families
}
