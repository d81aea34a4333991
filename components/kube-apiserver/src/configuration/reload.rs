//! Configuration files that are followed while the server runs.

mod authentication;
mod authorization;

use crate::beat;
use crate::server::Server;
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
    let mut authentication = authentication::Follower::new(&server);
    let mut authorization = authorization::Follower::new(&server);
    if authentication.is_none() && authorization.is_none() {
        return std::future::pending().await;
    }
    // Side by side: issuers that don't answer don't keep the other file from being read.
    let authentication = async {
        while let Some(follower) = &mut authentication {
            beat::next(PERIOD).await;
            follower.look(&server).await;
        }
    };
    let authorization = async {
        while let Some(follower) = &mut authorization {
            beat::next(PERIOD).await;
            follower.look(&server);
        }
    };
    tokio::join!(authentication, authorization);
    Ok(())
}

fn refused(what: &'static str, error: &anyhow::Error) {
    let error = format!("{error:#}");
    tracing::error!(
        what,
        error,
        "a changed configuration is not taken; the old one stays"
    );
}
