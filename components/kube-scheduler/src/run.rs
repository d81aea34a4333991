//! Reads the configuration, then starts everything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use client::leader::{Election, Outcome};
use client::{Connection, Credentials};
use component_config::kube_apiserver::is_on;
use component_config::kube_scheduler::{Flags, KubeSchedulerConfiguration};
use daemon::Tasks;
use daemon::cluster_authority;
use daemon::delegation::{Delegation, require_path};
use daemon::health::Health;
use daemon::identity::ClientAuthority;
use daemon::metrics::Metrics;
use daemon::tls::{ServingCertificate, serve, server_config};
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::framework::Profile;
use crate::framework::plugin::Plugin;
use crate::metrics::SchedulerMetrics;
use crate::queue::Timing;
use crate::scheduler::effects::Effects;
use crate::scheduler::{Core, Scheduler, inputs};

/// Everything that flags and files say, checked.
pub struct Settings {
    pub flags: Flags,
    pub configuration: KubeSchedulerConfiguration,
    pub profiles: Vec<Profile>,
}

impl Settings {
    /// Checks the configuration without touching anything.
    pub fn of(flags: Flags) -> anyhow::Result<Self> {
        let version = flags.versions.effective().map_err(anyhow::Error::msg)?;
        let configuration = flags.configuration().context("invalid configuration")?;
        let mut profiles = Profile::all(&configuration).context("invalid configuration")?;
        if !is_on(&[], "NodeDeclaredFeatures", version.emulated) {
            for profile in &mut profiles {
                profile
                    .filters
                    .retain(|plugin| *plugin != Plugin::NodeDeclaredFeatures);
            }
        }
        Ok(Self {
            flags,
            configuration,
            profiles,
        })
    }
}

/// Runs until a signal, or until leadership is lost.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        flags,
        configuration,
        profiles,
    } = settings;
    let kubeconfig = &configuration.client_connection.kubeconfig;
    let connection = connect(
        (!kubeconfig.is_empty()).then_some(Path::new(kubeconfig)),
        flags.master.as_deref(),
    )?;
    let host = host_name();
    let mut tasks = Tasks::new();
    let shutdown = tasks.shutdown();
    let (health, metrics) = (Health::new(), Metrics::new());
    let scheduler_metrics = SchedulerMetrics::register(&metrics);

    if flags.secure_port != 0 {
        let listener = TcpListener::bind((flags.bind_address, flags.secure_port))
            .await
            .with_context(|| {
                format!(
                    "cannot listen on --bind-address={} --secure-port={}",
                    flags.bind_address, flags.secure_port
                )
            })?;
        let tls = server_config(serving_certificate(&flags)?, (&flags.tls).into())?;
        let delegation = Arc::new(delegation(&flags, &connection)?);
        let router = Router::new()
            .merge(metrics.router())
            .merge(health.router())
            .layer(axum::middleware::from_fn_with_state(
                delegation.clone(),
                require_path,
            ));
        if flags.client_ca_file.is_none() {
            tasks.spawn(
                "client CA",
                cluster_authority::follow(delegation, shutdown.clone()),
            );
        }
        let stop = shutdown.clone();
        tasks.spawn("serving", async move { serve(listener, tls, router, stop).await });
    }

    let timing = Timing {
        initial_backoff: Duration::from_secs(configuration.pod_initial_backoff_seconds.max(1) as u64),
        max_backoff: Duration::from_secs(configuration.pod_max_backoff_seconds.max(1) as u64),
        max_unschedulable: flags.pod_max_in_unschedulable_pods_duration.0,
    };
    let client = connection.client.clone();
    let work = Work {
        client: client.clone(),
        profiles,
        timing,
        metrics: scheduler_metrics,
        health,
        host,
    };
    let election = configuration.leader_election;
    daemon::notify::ready();
    if !election.leader_elect {
        tasks.spawn("scheduling", async move { schedule(work, shutdown).await });
        return tasks.run().await;
    }
    let elected = Election {
        lease_duration: election.lease_duration.0,
        renew_deadline: election.renew_deadline.0,
        retry_period: election.retry_period.0,
        ..Election::new(&election.resource_namespace, &election.resource_name, &work.host)
    };
    tasks.spawn("leader election", async move {
        let stop = shutdown.clone();
        let outcome = client::leader::run(client, elected, shutdown.clone(), || async move {
            if let Err(error) = schedule(work, stop).await {
                tracing::error!(error = format!("{error:#}"), "scheduling ended");
            }
        })
        .await;
        match outcome {
            Outcome::Stopped => Ok(()),
            Outcome::Ended if shutdown.is_cancelled() => Ok(()),
            Outcome::Ended => bail!("scheduling ended"),
            Outcome::Lost => bail!("leader election lost"),
        }
    });
    tasks.run().await
}

/// What scheduling is started from.
struct Work {
    client: Client,
    profiles: Vec<Profile>,
    timing: Timing,
    metrics: SchedulerMetrics,
    health: Health,
    host: String,
}

async fn schedule(work: Work, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Work {
        client,
        profiles,
        timing,
        metrics,
        health,
        host,
    } = work;
    // Watches that outlived a lost leadership would only cost.
    let watching = shutdown.child_token();
    let _stop_watching = watching.clone().drop_guard();
    let (sender, inputs) = tokio::sync::mpsc::unbounded_channel();
    let watches = Arc::new(inputs::start(&client, &sender, &watching));
    let synced = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = synced.clone();
    health.ready("informer-sync", move || {
        if seen.load(std::sync::atomic::Ordering::Relaxed) {
            Ok(())
        } else {
            Err("watches have not synced".to_owned())
        }
    });
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        all = watches.synced() => if !all { bail!("a watch ended before it had synced") },
    }
    synced.store(true, std::sync::atomic::Ordering::Relaxed);
    tracing::info!(profiles = profiles.len(), "scheduling");
    let effects = Effects::new(client, watches, &profiles, &host);
    let core = Core::new(profiles, timing, rand::random());
    let scheduler = Scheduler {
        core,
        effects,
        inputs,
        sender,
        metrics,
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = scheduler.run() => bail!("the scheduler's inputs ended"),
    }
}

fn connect(kubeconfig: Option<&Path>, master: Option<&str>) -> anyhow::Result<Connection> {
    let mut credentials = Credentials::from_flag(kubeconfig).context("cannot read credentials")?;
    if let Some(master) = master.filter(|master| !master.is_empty()) {
        credentials.server = master
            .parse()
            .with_context(|| format!("--master={master} is not a URL"))?;
    }
    client::connect(credentials, &component_config::user_agent("kube-scheduler"))
        .context("cannot connect to the API server")
}

fn serving_certificate(flags: &Flags) -> anyhow::Result<ServingCertificate> {
    match (&flags.tls_cert_file, &flags.tls_private_key_file, &flags.cert_dir) {
        (Some(certificate), Some(key), _) => ServingCertificate::from_files(certificate, key),
        (None, None, Some(directory)) => ServingCertificate::from_files(
            &directory.join("kube-scheduler.crt"),
            &directory.join("kube-scheduler.key"),
        ),
        (None, None, None) => ServingCertificate::self_signed(vec!["localhost".to_owned(), host_name()]),
        _ => bail!("--tls-cert-file and --tls-private-key-file must be given together"),
    }
}

/// Callers are checked with their own kubeconfigs when they are given, else with the scheduler's.
fn delegation(flags: &Flags, connection: &Connection) -> anyhow::Result<Delegation> {
    let authority = match &flags.client_ca_file {
        Some(path) => Some(ClientAuthority::load(path).context("--client-ca-file")?),
        None => None,
    };
    let client = match flags
        .authentication_kubeconfig
        .as_ref()
        .or(flags.authorization_kubeconfig.as_ref())
    {
        Some(path) => connect(Some(path), None)?.client,
        None => connection.client.clone(),
    };
    Ok(Delegation::new(client, authority))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}
