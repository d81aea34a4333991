//! Start-up: connect, serve, become the leader, run the controllers.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use client::leader::{self, Election, Outcome};
use client::{Connection, Credentials, connect};
use component_config::kube_controller_manager::ControllerManagerFlags;
use daemon::Tasks;
use daemon::cluster_authority;
use daemon::delegation::{Delegation, require_path};
use daemon::health::Health;
use daemon::identity::ClientAuthority;
use daemon::metrics::Metrics;
use daemon::tls::{self, ServingCertificate};
use tokio::net::TcpListener;

use crate::files::Files;
use crate::registry;
use crate::runtime::Context;

/// Runs until a signal, or until leadership is lost.
pub async fn run(flags: ControllerManagerFlags) -> anyhow::Result<()> {
    flags.versions.effective().map_err(anyhow::Error::msg)?;
    let chosen = registry::chosen(&flags.controllers, |feature| flags.has_feature(feature))?;
    let root = connection(flags.kubeconfig.as_deref(), "--kubeconfig")?;
    let files = Files::load(&flags, root.credentials.authority_pem())?;
    let mut tasks = Tasks::new();
    if flags.secure_port != 0 {
        let server = Server::prepare(&flags).await?;
        if flags.client_ca_file.is_none() {
            tasks.spawn(
                "client CA",
                cluster_authority::follow(server.delegation, tasks.shutdown()),
            );
        }
        let shutdown = tasks.shutdown();
        tasks.spawn("server", async move {
            tls::serve(server.listener, server.tls, server.router, shutdown).await
        });
    }
    let shutdown = tasks.shutdown();
    tasks.spawn("controllers", async move {
        let context = Context::new(flags.clone(), files, root.clone(), shutdown.clone());
        if !flags.leader_elect {
            registry::run(context, chosen).await;
            return Ok(());
        }
        let election = election(&flags);
        match leader::run(root.client, election, shutdown, || registry::run(context, chosen)).await {
            Outcome::Stopped | Outcome::Ended => Ok(()),
            // Whatever is under way must end now; the process does.
            Outcome::Lost => anyhow::bail!("leader election lost"),
        }
    });
    daemon::notify::ready();
    tasks.run().await
}

fn election(flags: &ControllerManagerFlags) -> Election {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut election = Election::new(
        &flags.leader_elect_resource_namespace,
        &flags.leader_elect_resource_name,
        host.trim(),
    );
    election.lease_duration = flags.leader_elect_lease_duration;
    election.renew_deadline = flags.leader_elect_renew_deadline;
    election.retry_period = flags.leader_elect_retry_period;
    election
}

fn connection(path: Option<&Path>, flag: &str) -> anyhow::Result<Connection> {
    let credentials = Credentials::from_flag(path).with_context(|| format!("{flag} cannot be used"))?;
    connect(
        credentials,
        &component_config::user_agent("kube-controller-manager"),
    )
    .with_context(|| format!("{flag} cannot be used"))
}

/// What serves health and metrics, with its port bound.
struct Server {
    listener: TcpListener,
    tls: rustls::ServerConfig,
    router: Router,
    delegation: Arc<Delegation>,
}

impl Server {
    async fn prepare(flags: &ControllerManagerFlags) -> anyhow::Result<Self> {
        let certificate = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
            (Some(certificate), Some(key)) => ServingCertificate::from_files(certificate, key)?,
            (None, None) => {
                ServingCertificate::self_signed(vec!["localhost".to_owned(), flags.bind_address.to_string()])?
            }
            _ => anyhow::bail!("--tls-cert-file and --tls-private-key-file must be given together"),
        };
        let authority = flags
            .client_ca_file
            .as_deref()
            .map(ClientAuthority::load)
            .transpose()?;
        let reviewer = flags
            .authentication_kubeconfig
            .as_ref()
            .or(flags.kubeconfig.as_ref());
        let reviews = connection(reviewer.map(|path| path.as_path()), "--authentication-kubeconfig")?;
        let delegation = Arc::new(Delegation::new(reviews.client, authority));
        let router = Health::new().router().merge(Metrics::new().router()).layer(
            axum::middleware::from_fn_with_state(delegation.clone(), require_path),
        );
        let address = (flags.bind_address, flags.secure_port);
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {}:{}", address.0, address.1))?;
        Ok(Self {
            listener,
            tls: tls::server_config(certificate, (&flags.tls).into())?,
            router,
            delegation,
        })
    }
}
