//! Puts the parts together and reads the configuration again when it changes.

use std::sync::Arc;

use anyhow::Context;
use component_config::api_balancer::Flags;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::backend::Backends;
use crate::configuration::{POLL_INTERVAL, fingerprint, load};
use crate::{prober, proxy, status};

/// Runs until SIGTERM or SIGINT.
pub async fn run(flags: Flags) -> anyhow::Result<()> {
    anyhow::ensure!(
        flags.health_listen.ip().is_loopback(),
        "--health-listen={} is not a loopback address; it speaks plain HTTP",
        flags.health_listen
    );
    let seen = fingerprint(&flags);
    let loaded = load(&flags)?;
    let backends = Arc::new(Backends::from_configuration(&loaded.configuration, &Backends::default()));
    let (backends_sender, backends) = watch::channel(backends);
    let (tls_sender, tls) = watch::channel(loaded.tls);

    let listener = TcpListener::bind(flags.listen).await.with_context(|| format!("listen on {}", flags.listen))?;
    let health = TcpListener::bind(flags.health_listen)
        .await
        .with_context(|| format!("listen on {}", flags.health_listen))?;
    tracing::info!(listen = %flags.listen, backends = ?loaded.configuration.backends, "serving");

    let settings = prober::Settings {
        path: flags.probe_path.clone(),
        interval: flags.probe_interval,
        timeout: flags.probe_timeout,
    };
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT handler")?;
    tokio::select! {
        probed = prober::run(settings, backends.clone(), tls) => probed,
        () = proxy::serve(listener, backends.clone(), flags.connect_timeout) => Ok(()),
        () = status::serve(health, backends) => Ok(()),
        reloaded = reload(&flags, seen, backends_sender, tls_sender) => reloaded,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn reload(
    flags: &Flags,
    mut seen: crate::configuration::Fingerprint,
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
            Err(error) => tracing::error!(error = format!("{error:#}"), "new configuration refused, the old one stays"),
        }
    }
}
