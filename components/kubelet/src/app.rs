//! Puts the kubelet together: configuration, runtime, node, workers, server.

mod parts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use client::events::{EventApi, Recorder};
use client::{Connection, Credentials, Informer};
use component_config::kubelet::{KubeletConfiguration, KubeletFlags, parse_labels};
use daemon::Tasks;
use daemon::tls::Agreement;
use host::cgroups::{Cgroups, Version};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::mpsc;

use parts::{
    cgroup_driver, delegation, host_name, log_rotation, node_settings, serving_certificate, stream_authority,
    swap_is_on, wait_for_runtime,
};

use crate::admission::NodeFacts;
use crate::context::Context;
use crate::eviction::{DiskUse, EvictionControl, Pressures};
use crate::images::{Images, Thresholds};
use crate::manager::{Manager, Pokes};
use crate::metrics::KubeletMetrics;
use crate::node::{
    MachineFacts, NodeReporter, Reservations, RuntimeHealth, addresses_of_host, allocatable, renew_lease,
};
use crate::objects::ObjectCache;
use crate::pod::resources::{bytes, milli};
use crate::pod_cgroups::PodCgroups;
use crate::probes::Probes;
use crate::runtime::{Runtime, follow_events};
use crate::server::{CpuRates, Machine, ServerState, router};
use crate::sources::{follow_api, follow_files, keep_mirrors};
use crate::status_writer::StatusWriter;
use crate::volumes::{Tokens, Volumes};

/// Reads the configuration file and puts the command line over it.
pub fn configuration(flags: &KubeletFlags) -> anyhow::Result<KubeletConfiguration> {
    let mut configuration = match &flags.config {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            KubeletConfiguration::parse(&text).with_context(|| format!("{}", path.display()))?
        }
        None => KubeletConfiguration::default(),
    };
    flags.apply_to(&mut configuration)?;
    configuration.check()?;
    crate::eviction::Settings::read(&configuration)?;
    if let (Some(bootstrap), Some(kubeconfig)) = (&flags.bootstrap_kubeconfig, &flags.kubeconfig) {
        anyhow::ensure!(
            kubeconfig.exists(),
            "{} does not exist, and requesting a certificate with --bootstrap-kubeconfig={} is not supported yet",
            kubeconfig.display(),
            bootstrap.display()
        );
    }
    parse_labels(&flags.node_labels)?;
    Ok(configuration)
}

/// Runs the kubelet until it is told to stop.
pub async fn run(flags: KubeletFlags, configuration: KubeletConfiguration) -> anyhow::Result<()> {
    let host_name = host_name()?;
    let node_name = if flags.hostname_override.is_empty() {
        host_name
    } else {
        flags.hostname_override.trim().to_lowercase()
    };
    let cgroups = Cgroups::open(Path::new("/sys/fs/cgroup"));
    if cgroups.version() == Version::V1 && configuration.fail_cgroup_v1 {
        anyhow::bail!(
            "kubelet is configured to not run on a host using cgroup v1; set failCgroupV1: false to run on it all the same"
        );
    }
    if configuration.fail_swap_on && swap_is_on() {
        anyhow::bail!("running with swap on is not supported; switch it off, or set failSwapOn: false");
    }
    std::fs::create_dir_all(&flags.root_dir)
        .with_context(|| format!("cannot make {}", flags.root_dir.display()))?;

    let connection: Option<Connection> = match &flags.kubeconfig {
        Some(path) => Some(client::connect(
            Credentials::from_kubeconfig(path)?,
            &component_config::user_agent("kubelet"),
        )?),
        None => None,
    };
    let api = connection.as_ref().map(|connection| connection.client.clone());

    let metrics = KubeletMetrics::default();
    let runtime = Runtime::new(
        &configuration.container_runtime_endpoint,
        &configuration.image_service_endpoint,
        configuration.runtime_request_timeout.0,
        &metrics.runtime,
    )?;
    let version = wait_for_runtime(&runtime).await;
    let driver = cgroup_driver(&runtime, &configuration).await;
    let facts = MachineFacts::read(
        &flags.root_dir,
        format!("{}://{}", version.runtime_name, version.runtime_version),
    )?;
    let machine = Machine {
        cpus: facts.cpus,
        memory: facts.memory,
    };
    let reservations = Reservations {
        system: configuration.system_reserved.clone(),
        kube: configuration.kube_reserved.clone(),
        eviction_hard: configuration.eviction_hard.clone(),
        max_pods: configuration.max_pods,
        pods_per_core: configuration.pods_per_core,
    };
    let (capacity, allocatable) = allocatable(&facts, &reservations);
    let addresses = addresses_of_host(&flags.node_ip)?;

    let eviction = crate::eviction::Settings::read(&configuration)?;
    let pressures = Pressures::default();
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    let recorder = match &api {
        Some(api) => Recorder::start(api.clone(), "kubelet", &node_name, EventApi::Core),
        None => Recorder::discard(),
    };
    let pokes = Pokes::default();
    let objects = ObjectCache::new(api.clone(), {
        let pokes = pokes.clone();
        move |namespace, name| pokes.object_changed(namespace, name)
    });
    let settings = node_settings(&flags, &configuration, &node_name, driver, &cgroups, facts.memory);
    let pod_cgroups = PodCgroups::new(
        cgroups,
        driver,
        &configuration.cgroup_root,
        settings.cpu,
        configuration.pod_pids_limit,
    );
    // What pods may use together is what is not reserved for others.
    let reserved = |name: &str| {
        [&reservations.system, &reservations.kube]
            .iter()
            .filter_map(|map| map.get(name))
            .filter_map(|text| crate::pod::resources::parse(text))
            .sum::<f64>()
    };
    let all_pods = host::cgroups::Limits {
        cpu_shares: Some(crate::pod::resources::shares(
            (facts.cpus as i64 * 1000).saturating_sub((reserved("cpu") * 1000.0) as i64),
        )),
        memory: configuration
            .enforce_node_allocatable
            .iter()
            .any(|what| what == "pods")
            .then(|| facts.memory.saturating_sub(reserved("memory") as i64)),
        ..Default::default()
    };
    pod_cgroups
        .create_classes(all_pods)
        .await
        .context("cannot make the cgroups of the pods")?;
    let status = StatusWriter::new(api.clone());
    let parallel = match (
        configuration.serialize_image_pulls,
        configuration.max_parallel_image_pulls,
    ) {
        (true, None | Some(1)) => 1,
        (_, Some(limit)) => usize::try_from(limit).unwrap_or(1),
        (false, None) => 64,
    };
    let services = api.as_ref().map(|api| {
        Informer::<Service>::start(
            Api::all(api.clone()),
            watcher::Config::default(),
            shutdown.clone(),
        )
    });
    let context = Arc::new(Context {
        runtime: runtime.clone(),
        runtime_name: version.runtime_name.clone(),
        settings,
        volumes: Volumes {
            root: flags.root_dir.clone(),
            objects,
            tokens: Tokens::new(api.clone()),
        },
        images: Images::new(runtime.clone(), parallel),
        probes: Probes::new(runtime.clone(), recorder.clone(), metrics.probes.clone()),
        cgroups: pod_cgroups,
        disk: DiskUse::default(),
        status: status.clone(),
        recorder: recorder.clone(),
        metrics,
        services,
        host_ips: parking_lot::RwLock::new(addresses.iter().map(ToString::to_string).collect()),
        allocatable: allocatable.clone(),
        back_off_maximum: configuration
            .crash_loop_back_off
            .max_container_restart_period
            .map_or(Duration::from_secs(300), |limit| limit.0),
    });

    let (changes, receiver) = mpsc::unbounded_channel();
    let health = RuntimeHealth::default();
    let mut node_informer = None;
    if let Some(api) = &api {
        let mine = watcher::Config::default().fields(&format!("spec.nodeName={node_name}"));
        let pods = Informer::<Pod>::start(Api::all(api.clone()), mine, shutdown.clone());
        let this = watcher::Config::default().fields(&format!("metadata.name={node_name}"));
        let nodes = Informer::<Node>::start(Api::all(api.clone()), this, shutdown.clone());
        node_informer = Some(nodes.clone());
        let source = (
            pods.clone(),
            changes.clone(),
            shutdown.clone(),
            context.services.clone(),
        );
        tasks.spawn("pods of the API server", async move {
            let (pods, changes, shutdown, services) = source;
            // Variables of services must be complete before the first container starts.
            if let Some(services) = services {
                tokio::select! { () = shutdown.cancelled() => return Ok(()), _ = services.synced() => {} }
            }
            tokio::select! { () = shutdown.cancelled() => return Ok(()), () = follow_api(pods, changes) => {} }
            shutdown.cancelled().await;
            Ok(())
        });
        let mirror = (
            api.clone(),
            node_name.clone(),
            pods,
            pokes.table(),
            status.clone(),
            shutdown.clone(),
        );
        tasks.spawn("mirror pods", async move {
            let (api, node_name, pods, table, status, shutdown) = mirror;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = keep_mirrors(api, node_name, pods, table, status, shutdown.clone()) => {}
            }
            Ok(())
        });
        let reporter = NodeReporter {
            client: api.clone(),
            nodes,
            runtime: runtime.clone(),
            recorder: recorder.clone(),
            name: node_name.clone(),
            host_name: node_name.clone(),
            port: configuration.port,
            labels: parse_labels(&flags.node_labels)?,
            taints: configuration.register_with_taints.clone(),
            provider_id: configuration.provider_id.clone(),
            register: configuration.register_node,
            addresses: addresses.clone(),
            facts,
            capacity,
            allocatable: allocatable.clone(),
            pressures: pressures.clone(),
            declared_features: configuration.declared_features(),
            max_images: configuration.node_status_max_images,
            update_every: configuration.node_status_update_frequency.0,
            report_every: configuration
                .node_status_report_frequency
                .map_or(Duration::from_secs(300), |every| every.0),
            health: health.clone(),
        };
        let stop = shutdown.clone();
        tasks.spawn("node status", async move {
            reporter.run(stop).await;
            Ok(())
        });
        let lease = renew_lease(
            api.clone(),
            node_name.clone(),
            configuration.node_lease_duration_seconds,
            shutdown.clone(),
        );
        tasks.spawn("node lease", async move {
            lease.await;
            Ok(())
        });
        if let Some(nodes) = &node_informer {
            let (runtime, told) = (runtime.clone(), tokio::runtime::Handle::current());
            nodes.on_change(move |change| {
                let cidr = change
                    .new
                    .as_ref()
                    .and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
                let before = change
                    .old
                    .as_ref()
                    .and_then(|node| node.spec.as_ref()?.pod_cidr.clone());
                if let (Some(cidr), true) = (cidr.clone(), cidr != before) {
                    let runtime = runtime.clone();
                    told.spawn(async move {
                        if let Err(error) = runtime.update_pod_cidr(&cidr).await {
                            tracing::warn!(cidr, %error, "the runtime was not told the pod CIDR");
                        }
                    });
                }
            });
        }
    }
    let manifests = configuration.static_pod_path.clone();
    if !manifests.is_empty() {
        let files = follow_files(
            manifests.clone().into(),
            node_name.clone(),
            changes.clone(),
            shutdown.clone(),
        );
        tasks.spawn("static pods", async move {
            files.await;
            Ok(())
        });
    }
    let writer = status.run(shutdown.clone());
    tasks.spawn("pod status", async move {
        writer.await;
        Ok(())
    });
    let events = follow_events(runtime.clone(), shutdown.clone(), {
        let pokes = pokes.clone();
        move |uid| pokes.runtime_changed(uid)
    });
    tasks.spawn("runtime events", async move {
        events.await;
        Ok(())
    });
    let node_facts = NodeFacts {
        object: None,
        milli_cpu: allocatable.get("cpu").map_or(0, milli),
        memory: allocatable.get("memory").map_or(0, bytes),
        pods: allocatable.get("pods").map_or(0, bytes),
        allowed_sysctls: configuration.allowed_unsafe_sysctls.clone(),
        ..NodeFacts::default()
    };
    let pressures_of_node = pressures.clone();
    let name = node_name.clone();
    let facts_of_node = Arc::new(move || NodeFacts {
        object: node_informer.as_ref().and_then(|nodes| nodes.get("", &name)),
        pressures: pressures_of_node.get(),
        ..node_facts.clone()
    });
    let control = EvictionControl {
        context: context.clone(),
        settings: eviction,
        pressures,
        table: pokes.table(),
        changes: changes.clone(),
    };
    let stop = shutdown.clone();
    tasks.spawn("eviction", async move {
        control.run(stop).await;
        Ok(())
    });
    let manager = Manager::new(
        context.clone(),
        pokes.clone(),
        facts_of_node,
        api.is_some(),
        !manifests.is_empty(),
    );
    let stop = shutdown.clone();
    tasks.spawn("pods", async move {
        // Kept open: without an API server and without files there are simply no changes.
        let _open = changes;
        manager.run(receiver, stop).await
    });
    if configuration.enable_server {
        let delegation = match &api {
            Some(api) => Some(Arc::new(delegation(api.clone(), &configuration)?)),
            None => None,
        };
        let state = ServerState {
            context: context.clone(),
            table: pokes.table(),
            delegation,
            node_name: node_name.clone(),
            streams: stream_authority(&configuration),
            rates: CpuRates::default(),
            machine,
            configuration: serde_json::to_string(&configuration)?.into(),
            system_logs: configuration.enable_system_log_handler,
        };
        let certificate = serving_certificate(&flags, &configuration, &node_name, &addresses)?;
        let mut tls = daemon::tls::server_config(
            certificate,
            Agreement {
                min_version: &configuration.tls_min_version,
                cipher_suites: &configuration.tls_cipher_suites,
                ..Agreement::default()
            },
        )
        .context("tlsCipherSuites")?;
        // Upgrades, which most requests here are, exist in HTTP/1.1 only.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let address = std::net::SocketAddr::new(
            configuration.address.parse().context("address")?,
            u16::try_from(configuration.port)?,
        );
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        tasks.spawn(
            "server",
            daemon::tls::serve(listener, tls, router(state), shutdown.clone()),
        );
    }
    if configuration.healthz_port != 0 {
        let ip = configuration
            .healthz_bind_address
            .parse()
            .context("healthzBindAddress")?;
        let address = std::net::SocketAddr::new(ip, u16::try_from(configuration.healthz_port)?);
        let health = daemon::health::Health::new();
        tasks.spawn(
            "health",
            daemon::health::serve_plain(address, health.router(), shutdown.clone()),
        );
    }
    let thresholds = Thresholds {
        high: configuration.image_gc_high_threshold_percent,
        low: configuration.image_gc_low_threshold_percent,
        minimum_age: configuration.image_minimum_gc_age.0,
    };
    let keeper = crate::housekeeping::keep_house(
        context.clone(),
        pokes.table(),
        thresholds,
        log_rotation(&configuration)?,
        shutdown.clone(),
    );
    tasks.spawn("housekeeping", async move {
        keeper.await;
        Ok(())
    });
    daemon::notify::ready();
    tasks.run().await
}
