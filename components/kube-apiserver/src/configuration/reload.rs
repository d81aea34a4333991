//! Configuration files that are followed while the server runs.

use super::{authentication, authorization};
use crate::beat;
use crate::metrics::access;
use crate::server::Server;
use crate::webhook::Clients;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often the files are looked at; reading one is a few microseconds.
const PERIOD: Duration = Duration::from_secs(2);

/// A file and what it said last.
struct Followed {
    file: PathBuf,
    text: String,
}

impl Followed {
    fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            // Was read a moment ago; a failure now shows as a change later.
            text: std::fs::read_to_string(file).unwrap_or_default(),
        }
    }

    /// The text, if it is another one now.
    fn changed(&mut self) -> Option<&str> {
        match std::fs::read_to_string(&self.file) {
            Ok(text) if text != self.text => {
                self.text = text;
                Some(&self.text)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::error!(file = %self.file.display(), %error, "a configuration file can't be read");
                None
            }
        }
    }
}

/// Follows the files of authentication and authorization. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let follow = |file: &Option<PathBuf>| file.as_deref().map(Followed::new);
    let mut authentication = follow(&server.flags.authentication.authentication_config);
    let mut authorization = follow(&server.flags.authorization.authorization_config);
    if authentication.is_none() && authorization.is_none() {
        return std::future::pending().await;
    }
    let clients = Clients::new(None).by(&server.egress);
    loop {
        beat::next(PERIOD).await;
        if let Some(text) = authentication.as_mut().and_then(Followed::changed) {
            let outcome = authentication::from_file(&server.flags, text, &server.egress);
            let metrics = &server.metrics.access;
            metrics.reloaded(access::Followed::Authentication, outcome.is_ok());
            match outcome {
                Ok((issuers, anonymous)) => {
                    server.authenticator.replace(issuers, anonymous);
                    tracing::info!("the authentication configuration was reloaded");
                }
                Err(error) => refused("authentication", &error),
            }
        }
        if let Some(text) = authorization.as_mut().and_then(Followed::changed) {
            let outcome = authorization::from_file(text, server.authorizer.policies(), &clients);
            let metrics = &server.metrics.access;
            metrics.reloaded(access::Followed::Authorization, outcome.is_ok());
            match outcome {
                Ok(chain) => {
                    server.authorizer.replace(chain);
                    tracing::info!("the authorization configuration was reloaded");
                }
                Err(error) => refused("authorization", &error),
            }
        }
    }
}

fn refused(what: &'static str, error: &anyhow::Error) {
    let error = format!("{error:#}");
    tracing::error!(
        what,
        error,
        "a changed configuration is not taken; the old one stays"
    );
}
