//! Puts the parts together and reads the configuration again when it changes.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use component_config::api_balancer::Flags;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::backend::Backends;
use crate::configuration::{Fingerprint, POLL_INTERVAL, fingerprint, load};
use crate::handover::{Handover, Inherited, Seat};
use crate::{prober, proxy, status};

/// Runs until SIGTERM or SIGINT; then open connections go to the next process, if there is to be one.
pub async fn run(flags: Flags, inherited: Inherited) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT handler")?;
    let handover = Handover::new();
    let running = Running::start(flags, inherited, &handover).await?;
    tokio::select! {
        ended = running.run() => return ended,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    handover.finish().await;
    Ok(())
}

/// A balancer that has read its configuration and bound its ports.
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    /// The present backends.
    pub backends: watch::Receiver<Arc<Backends>>,
    flags: Flags,
    seen: Fingerprint,
    listener: TcpListener,
    seat: Seat,
    health: TcpListener,
    backends_sender: watch::Sender<Arc<Backends>>,
    tls: watch::Receiver<Arc<rustls::ClientConfig>>,
    tls_sender: watch::Sender<Arc<rustls::ClientConfig>>,
}

impl Running {
    /// Reads the configuration, then takes over what the process before left and binds the other ports.
    pub async fn start(
        flags: Flags,
        mut inherited: Inherited,
        handover: &Handover,
    ) -> anyhow::Result<Running> {
        anyhow::ensure!(
            flags.health_listen.ip().is_loopback(),
            "--health-listen={} is not a loopback address; it speaks plain HTTP",
            flags.health_listen
        );
        let seen = fingerprint(&flags);
        let loaded = load(&flags)?;
        let initial = Backends::from_configuration(&loaded.configuration, &Backends::default());
        let (backends_sender, backends) = watch::channel(Arc::new(initial));
        let (tls_sender, tls) = watch::channel(loaded.tls);
        let listener = match inherited.take_listener(flags.listen) {
            Some(listener) => {
                TcpListener::from_std(listener).context("the listener of the process before")?
            }
            None => bind(flags.listen).await?,
        };
        let health = bind(flags.health_listen).await?;
        let address = listener.local_addr().context("local address")?;
        let seat = handover.seat();
        inherited.accepted(&listener);
        proxy::resume(inherited.pairs, &backends.borrow(), &seat);
        tracing::info!(listen = %address, backends = ?loaded.configuration.backends, "serving");
        Ok(Running {
            address,
            backends,
            flags,
            seen,
            listener,
            seat,
            health,
            backends_sender,
            tls,
            tls_sender,
        })
    }

    /// Runs until the future is dropped; ends by itself only with an error.
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = prober::Settings {
            path: self.flags.probe_path.clone(),
            interval: self.flags.probe_interval,
            timeout: self.flags.probe_timeout,
        };
        let connect_timeout = self.flags.connect_timeout;
        tokio::select! {
            probed = prober::run(settings, self.backends.clone(), self.tls) => probed,
            () = proxy::serve(self.listener, self.backends.clone(), connect_timeout, self.seat) => Ok(()),
            () = status::serve(self.health, self.backends) => Ok(()),
            reloaded = reload(&self.flags, self.seen, self.backends_sender, self.tls_sender) => reloaded,
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))
}

async fn reload(
    flags: &Flags,
    mut seen: Fingerprint,
    backends: watch::Sender<Arc<Backends>>,
    tls: watch::Sender<Arc<rustls::ClientConfig>>,
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP handler")?;
    loop {
        let forced = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(POLL_INTERVAL) => false,
        };
        let now = fingerprint(flags);
        if now == seen && !forced {
            continue;
        }
        seen = now;
        match load(flags) {
            Ok(loaded) => {
                tracing::info!(backends = ?loaded.configuration.backends, "configuration read again");
                let next = Backends::from_configuration(&loaded.configuration, &backends.borrow());
                tls.send_replace(loaded.tls);
                backends.send_replace(Arc::new(next));
            }
            // A half-written file must not take the node off the API; the next change is tried again.
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "new configuration refused, the old one stays"
            ),
        }
    }
}
