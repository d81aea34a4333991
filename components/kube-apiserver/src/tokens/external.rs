//! A service that signs tokens and has the keys that verify them: gRPC over a Unix socket, upstream's
//! `v1.ExternalJWTSigner`. Private keys never come into this process.

mod message;

use super::claims::Claims;
use super::jwt::{self, TokenError};
use super::keys::VerifyingKey;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use message::{
    FetchKeysRequest, FetchKeysResponse, MetadataRequest, MetadataResponse, SignJwtRequest, SignJwtResponse,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Shortest lifetime of tokens that a service may allow at most, seconds.
const LEAST_LIFETIME: i64 = 600;
const LONGEST_KEY_ID: usize = 1024;

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// The service's keys, as they were at one time.
#[derive(Debug, Default)]
pub struct Keys {
    pub all: Vec<VerifyingKey>,
    /// Those that sign, and that others are told of.
    pub published: Vec<VerifyingKey>,
}

/// The service.
#[derive(Debug)]
pub struct External {
    channel: Channel,
    keys: ArcSwap<Keys>,
    /// One asks for keys at a time; who waits takes what the other got.
    asking: Mutex<()>,
    /// Seconds until keys are asked for again.
    refresh: AtomicI64,
    longest: AtomicI64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    typ: String,
}

impl External {
    /// `socket` is a path, or `@` and the name of an abstract socket. It is connected to when first needed.
    pub fn new(socket: &str) -> Self {
        let socket = socket.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { connect(&socket).await.map(TokioIo::new) }
        });
        // The name is nobody's: the socket is.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        Self {
            channel,
            keys: ArcSwap::default(),
            asking: Mutex::default(),
            refresh: AtomicI64::new(0),
            longest: AtomicI64::new(0),
        }
    }

    /// Gets the keys and what the service allows; without both no server starts.
    pub async fn start(&self) -> Result<(), Failure> {
        let metadata: MetadataResponse = self.call("Metadata", MetadataRequest {}).await?;
        let longest = metadata.max_token_expiration_seconds;
        if longest < LEAST_LIFETIME {
            return Err(Failure(format!(
                "the signer allows tokens of {longest} s at most, which is less than {LEAST_LIFETIME} s"
            )));
        }
        self.longest.store(longest, Ordering::Relaxed);
        self.fetch().await.map(drop)
    }

    /// Longest lifetime of tokens, seconds.
    pub fn longest(&self) -> i64 {
        self.longest.load(Ordering::Relaxed)
    }

    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// Asks for keys again and again, as often as the service wants. Never ends.
    pub async fn follow(&self) {
        loop {
            let pause = u64::try_from(self.refresh.load(Ordering::Relaxed)).unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(pause.max(1))).await;
            if let Err(error) = self.fetch().await {
                tracing::error!(%error, "the signer's keys can't be fetched; the old ones stay");
            }
        }
    }

    pub async fn sign(&self, claims: &Claims) -> Result<String, Failure> {
        let json = serde_json::to_vec(claims).map_err(|error| Failure(error.to_string()))?;
        let claims = URL_SAFE_NO_PAD.encode(json);
        let request = SignJwtRequest {
            claims: claims.clone(),
        };
        let answer: SignJwtResponse = self.call("Sign", request).await?;
        self.check_header(&answer.header).await?;
        Ok(format!("{}.{claims}.{}", answer.header, answer.signature))
    }

    async fn check_header(&self, encoded: &str) -> Result<(), Failure> {
        let wrong = |why: String| Failure(format!("the signer's header can't be used: {why}"));
        let json = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|error| wrong(error.to_string()))?;
        let header: Header = serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))?;
        if header.typ != "JWT" {
            return Err(wrong(format!("typ is {:?}, not JWT", header.typ)));
        }
        if header.kid.is_empty() || header.kid.len() > LONGEST_KEY_ID {
            return Err(wrong(format!("kid has {} bytes", header.kid.len())));
        }
        if !matches!(header.alg.as_str(), "RS256" | "ES256" | "ES384") {
            return Err(wrong(format!("alg {:?} is not supported", header.alg)));
        }
        let known = |keys: &Keys| keys.published.iter().any(|key| key.id == header.kid);
        let keys = self.keys.load_full();
        if known(&keys) || known(&*self.newer_than(&keys).await?) {
            return Ok(());
        }
        // Nobody who looks up keys would believe the token.
        Err(wrong(format!(
            "key {:?} is not one that is published",
            header.kid
        )))
    }

    /// Reads the claims of a token that one of the keys signed.
    pub async fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        let keys = self.keys.load_full();
        let known = jwt::key_id(token)?;
        if known.is_empty() || keys.all.iter().any(|key| key.id == known) {
            return jwt::verify(token, &keys.all);
        }
        match self.newer_than(&keys).await {
            Ok(keys) => jwt::verify(token, &keys.all),
            Err(error) => {
                tracing::error!(%error, "the signer's keys can't be fetched");
                Err(TokenError::Signature)
            }
        }
    }

    /// Keys that were fetched after `old`.
    async fn newer_than(&self, old: &Arc<Keys>) -> Result<Arc<Keys>, Failure> {
        let asking = self.asking.lock().await;
        let current = self.keys.load_full();
        if !Arc::ptr_eq(&current, old) {
            return Ok(current);
        }
        let outcome = self.fetch().await;
        drop(asking);
        outcome
    }

    async fn fetch(&self) -> Result<Arc<Keys>, Failure> {
        let answer: FetchKeysResponse = self.call("FetchKeys", FetchKeysRequest {}).await?;
        if answer.refresh_hint_seconds <= 0 {
            return Err(Failure("refresh_hint_seconds is not positive".to_owned()));
        }
        let mut keys = Keys::default();
        for key in answer.keys {
            if key.key_id.is_empty() || key.key_id.len() > LONGEST_KEY_ID {
                return Err(Failure(format!("a key's ID has {} bytes", key.key_id.len())));
            }
            let mut verifying = match VerifyingKey::from_spki(&key.key) {
                Ok(verifying) => verifying,
                Err(error) => {
                    tracing::warn!(key = key.key_id, %error, "a key of the signer can't be used");
                    continue;
                }
            };
            verifying.id = key.key_id;
            if !key.exclude_from_oidc_discovery {
                keys.published.push(verifying.clone());
            }
            keys.all.push(verifying);
        }
        if keys.all.is_empty() {
            return Err(Failure("the signer has no keys".to_owned()));
        }
        self.refresh.store(answer.refresh_hint_seconds, Ordering::Relaxed);
        let keys = Arc::new(keys);
        self.keys.store(Arc::clone(&keys));
        Ok(keys)
    }

    async fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Failure>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let failed = |why: &dyn std::fmt::Display| Failure(format!("{method} of the external signer: {why}"));
        let path = PathAndQuery::try_from(format!("/v1.ExternalJWTSigner/{method}"))
            .map_err(|error| failed(&error))?;
        let exchange = async {
            let mut client = Grpc::new(self.channel.clone());
            client.ready().await.map_err(|error| failed(&error))?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = client.unary(tonic::Request::new(request), path, codec).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| failed(&format!("{}: {}", status.code(), status.message())))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(failed(&"context deadline exceeded")))
    }
}

async fn connect(socket: &str) -> std::io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let Some(name) = socket.strip_prefix('@') else {
        return UnixStream::connect(socket).await;
    };
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    // An abstract socket is there or not: connecting does not wait for anybody.
    let stream = std::os::unix::net::UnixStream::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}
