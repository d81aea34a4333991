//! A changed AuthenticationConfiguration. It is taken when all its issuers have answered: tokens of the old ones
//! must not stop working for issuers that nobody can reach.

use super::{Followed, refused};
use crate::authentication::oidc::Issuer;
use crate::configuration::authentication;
use crate::metrics::access;
use crate::server::Server;
use anyhow::bail;
use std::time::{Duration, Instant};

/// After this time without all answers the configuration counts as failed; its issuers are asked on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at the file.
pub struct Follower {
    file: Followed,
    waiting: Option<Candidate>,
}

/// Issuers that are to take the place of the old ones.
struct Candidate {
    issuers: Vec<Issuer>,
    since: Instant,
    /// What was last said of those that don't answer.
    why: String,
}

impl Candidate {
    /// Asks those that haven't answered yet; what is wrong with the first that doesn't.
    async fn failure(&self) -> Option<String> {
        let asked = self.issuers.iter().map(|issuer| issuer.keys.discover());
        let answers = futures::future::join_all(asked).await;
        let mut answers = answers.into_iter().zip(&self.issuers);
        answers.find_map(|(answer, issuer)| {
            let why = answer.err()?;
            Some(format!(
                "authenticator for issuer {:?} is not initialized: {why}",
                issuer.url
            ))
        })
    }
}

impl Follower {
    /// `None` without such a file.
    pub fn new(server: &Server) -> Option<Self> {
        let file = server.flags.authentication.authentication_config.as_deref()?;
        let follower = Self {
            file: Followed::new(file),
            waiting: None,
        };
        follower.tell(server);
        Some(follower)
    }

    /// Which file is in use.
    fn tell(&self, server: &Server) {
        let metrics = &server.metrics.access;
        metrics.in_use(access::Followed::Authentication, &self.file.text);
    }

    /// Reads the file if it has changed, and takes it once it may be taken.
    pub async fn look(&mut self, server: &Server) {
        let told = |good| {
            server
                .metrics
                .access
                .reloaded(access::Followed::Authentication, good)
        };
        if let Some(text) = self.file.changed() {
            // What was waited for is no longer wanted.
            self.waiting = None;
            match read(server, text) {
                Ok(issuers) => {
                    let since = Instant::now();
                    let why = String::new();
                    self.waiting = Some(Candidate { issuers, since, why });
                }
                Err(error) => {
                    told(false);
                    refused("authentication", &error);
                }
            }
        }
        let Some(mut candidate) = self.waiting.take() else {
            return;
        };
        let Some(why) = candidate.failure().await else {
            server.authenticator.replace(candidate.issuers);
            tracing::info!("the authentication configuration was reloaded");
            self.tell(server);
            return told(true);
        };
        if candidate.since.elapsed() >= PATIENCE {
            told(false);
            refused("authentication", &anyhow::Error::msg(why));
            candidate.since = Instant::now();
        } else if candidate.why != why {
            tracing::info!(
                why,
                "a changed authentication configuration waits for its issuers"
            );
        }
        self.waiting = Some(candidate);
    }
}

fn read(server: &Server, text: &str) -> anyhow::Result<Vec<Issuer>> {
    let found = authentication::from_file(&server.flags, text, &server.egress)?;
    if found.anonymous.as_ref() != server.authenticator.anonymous.configured() {
        bail!("anonymous: Forbidden: changed from initial configuration file");
    }
    Ok(found.issuers)
}
