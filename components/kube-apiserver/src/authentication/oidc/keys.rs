//! The keys of an issuer: found by discovery, kept, and read anew when a token is signed with one that isn't known.

use super::fetch::Fetcher;
use crate::tokens::jwk::{JwkSet, PublicKey};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Unknown keys make the issuer be asked at most this often: tokens can be made up by anybody.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// Keys are read anew after this at the latest, so that withdrawn ones are forgotten.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

pub type Keys = Arc<Vec<PublicKey>>;

#[derive(Default)]
struct State {
    jwks_uri: Option<String>,
    keys: Option<(Keys, Instant, Duration)>,
    /// When the issuer was last asked.
    asked: Option<Instant>,
    failure: String,
}

/// Keys of one issuer.
pub struct KeySet {
    issuer: String,
    discovery_url: String,
    fetcher: Arc<Fetcher>,
    state: Mutex<State>,
}

impl KeySet {
    /// `discovery_url` empty is the usual place below the issuer's URL.
    pub fn new(issuer: &str, discovery_url: &str, fetcher: Arc<Fetcher>) -> Self {
        let discovery_url = if discovery_url.is_empty() {
            format!(
                "{}/.well-known/openid-configuration",
                issuer.trim_end_matches('/')
            )
        } else {
            discovery_url.to_owned()
        };
        Self {
            issuer: issuer.to_owned(),
            discovery_url,
            fetcher,
            state: Mutex::default(),
        }
    }

    /// The keys as they are known; read if they never were.
    pub async fn current(&self) -> Result<Keys, String> {
        let mut state = self.state.lock().await;
        match &state.keys {
            Some((keys, read, good_for)) if read.elapsed() < *good_for => Ok(Arc::clone(keys)),
            known => {
                let known = known.as_ref().map(|(keys, ..)| Arc::clone(keys));
                match (self.read(&mut state).await, known) {
                    (Ok(keys), _) => Ok(keys),
                    // An issuer that is away for a while doesn't lock everybody out.
                    (Err(_), Some(keys)) => Ok(keys),
                    (Err(why), None) => Err(format!(
                        "authenticator for issuer {:?} is not initialized: {why}",
                        self.issuer
                    )),
                }
            }
        }
    }

    /// Other keys than `known`, if the issuer has them now.
    pub async fn newer_than(&self, known: &Keys) -> Result<Option<Keys>, String> {
        let mut state = self.state.lock().await;
        if let Some((keys, ..)) = &state.keys
            && !Arc::ptr_eq(keys, known)
        {
            // Somebody else has just read them.
            return Ok(Some(Arc::clone(keys)));
        }
        let before = Arc::clone(known);
        match self.read(&mut state).await {
            Ok(keys) => Ok((*keys != *before).then_some(keys)),
            Err(why) => Err(format!("fetching keys: {why}")),
        }
    }

    async fn read(&self, state: &mut State) -> Result<Keys, String> {
        if let Some(asked) = state.asked
            && asked.elapsed() < LEAST_PAUSE
        {
            return match &state.keys {
                Some((keys, ..)) => Ok(Arc::clone(keys)),
                None => Err(state.failure.clone()),
            };
        }
        state.asked = Some(Instant::now());
        match self.ask(state).await {
            Ok((keys, good_for)) => {
                let keys = match &state.keys {
                    // The same keys stay the same object.
                    Some((known, ..)) if **known == keys => Arc::clone(known),
                    _ => Arc::new(keys),
                };
                state.keys = Some((Arc::clone(&keys), Instant::now(), good_for));
                Ok(keys)
            }
            Err(why) => {
                tracing::warn!(issuer = self.issuer, why, "an issuer's keys can't be read");
                state.failure.clone_from(&why);
                Err(why)
            }
        }
    }

    /// Whether the issuer says where its keys are, as far as it has said so or does so now.
    pub async fn discover(&self) -> Result<(), String> {
        let mut state = self.state.lock().await;
        self.jwks_uri(&mut state).await.map(drop)
    }

    async fn jwks_uri(&self, state: &mut State) -> Result<String, String> {
        if let Some(uri) = &state.jwks_uri {
            return Ok(uri.clone());
        }
        let (body, _) = self.fetcher.get(&self.discovery_url).await?;
        let found: Discovery = serde_json::from_slice(&body)
            .map_err(|error| format!("failed to decode provider discovery object: {error}"))?;
        if found.issuer != self.issuer {
            return Err(format!(
                "issuer did not match the issuer returned by provider, expected {:?} got {:?}",
                self.issuer, found.issuer
            ));
        }
        state.jwks_uri = Some(found.jwks_uri.clone());
        Ok(found.jwks_uri)
    }

    async fn ask(&self, state: &mut State) -> Result<(Vec<PublicKey>, Duration), String> {
        let uri = self.jwks_uri(state).await?;
        let read = async {
            let (body, good_for) = self.fetcher.get(&uri).await?;
            let set: JwkSet =
                serde_json::from_slice(&body).map_err(|error| format!("failed to decode keys: {error}"))?;
            Ok((
                set.public_keys(),
                good_for.unwrap_or(LONGEST).clamp(LEAST_PAUSE, LONGEST),
            ))
        };
        let outcome: Result<_, String> = read.await;
        if outcome.is_err() {
            // The keys may have moved.
            state.jwks_uri = None;
        }
        outcome
    }
}
