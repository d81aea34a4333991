//! A service that signs tokens and has the keys that verify them: gRPC over a Unix socket, upstream's
//! `v1.ExternalJWTSigner`. Private keys never come into this process.

mod message;
mod metrics;

use super::claims::Claims;
use super::jwt::{self, TokenError};
use super::keys::VerifyingKey;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use message::{
    FetchKeysRequest, FetchKeysResponse, MetadataRequest, MetadataResponse, SignJwtRequest, SignJwtResponse,
};
pub use metrics::register;
use metrics::{CallLabels, CodeLabels, METRICS};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// Longest wait for one answer, and for a service that isn't there.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Between looks for a service that isn't there.
const PAUSE: Duration = Duration::from_millis(200);
/// When keys are asked for again after that has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Shortest lifetime of tokens that a service may allow at most, seconds.
const LEAST_LIFETIME: i64 = 600;
const LONGEST_KEY_ID: usize = 1024;

/// Why the service did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    message: String,
    /// gRPC's, if it came to a call.
    code: Option<tonic::Code>,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: None,
        }
    }

    fn during(self, what: &str) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            code: self.code,
        }
    }
}

/// As Go prints the code of what came of a call.
fn code<T>(outcome: &Result<T, Failure>) -> String {
    match outcome {
        Ok(_) => "OK".to_owned(),
        Err(Failure { code: None, .. }) => "unknown-non-grpc".to_owned(),
        Err(Failure {
            code: Some(tonic::Code::Cancelled),
            ..
        }) => "Canceled".to_owned(),
        Err(Failure { code: Some(code), .. }) => format!("{code:?}"),
    }
}

/// The service's keys, as they were at one time.
#[derive(Debug, Default)]
pub struct Keys {
    pub all: Vec<VerifyingKey>,
    /// Those that sign, and that others are told of.
    pub published: Vec<VerifyingKey>,
    /// When the service wants to be asked again.
    next: Option<Instant>,
}

impl Keys {
    fn has(&self, id: &str) -> bool {
        self.all.iter().any(|key| key.id == id)
    }

    /// How long others may keep them.
    pub fn fresh_for(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |next| {
            next.saturating_duration_since(Instant::now())
        })
    }
}

/// The service.
#[derive(Debug)]
pub struct External {
    channel: Channel,
    keys: ArcSwap<Keys>,
    /// One asks for keys at a time; who waits takes what the other got.
    asking: Mutex<()>,
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
            async move { reach(&socket).await.map(TokioIo::new) }
        });
        // The name is nobody's: the socket is.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector);
        Self {
            channel,
            keys: ArcSwap::default(),
            asking: Mutex::default(),
            longest: AtomicI64::new(0),
        }
    }

    /// Gets the keys and what the service allows; without both no server starts. The service may start later.
    pub async fn start(&self) -> Result<(), Failure> {
        let metadata: MetadataResponse = self.call("Metadata", MetadataRequest {}).await?;
        let longest = metadata.max_token_expiration_seconds;
        if longest < LEAST_LIFETIME {
            return Err(Failure::new(format!(
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
            tokio::time::sleep(self.keys.load().fresh_for()).await;
            while let Err(error) = self.fetch().await {
                tracing::error!(%error, "the signer's keys can't be fetched; the old ones stay");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }

    pub async fn sign(&self, claims: &Claims) -> Result<String, Failure> {
        let outcome = self.signed(claims).await;
        let labels = CodeLabels { code: code(&outcome) };
        METRICS.signatures.get_or_create(&labels).inc();
        outcome
    }

    async fn signed(&self, claims: &Claims) -> Result<String, Failure> {
        let json = serde_json::to_vec(claims).map_err(|error| Failure::new(error.to_string()))?;
        let claims = URL_SAFE_NO_PAD.encode(json);
        let request = SignJwtRequest {
            claims: claims.clone(),
        };
        let signing = self.call("Sign", request).await;
        let answer: SignJwtResponse = signing.map_err(|error| error.during("while signing jwt"))?;
        let checked = self.check_header(&answer.header).await;
        checked.map_err(|error| error.during("while validating header"))?;
        if answer.signature.is_empty() {
            return Err(Failure::new("empty signature returned"));
        }
        Ok(format!("{}.{claims}.{}", answer.header, answer.signature))
    }

    async fn check_header(&self, encoded: &str) -> Result<(), Failure> {
        let json = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|error| Failure::new(format!("while unwrapping header: {error}")))?;
        let header: Header = serde_json::from_slice(&json)
            .map_err(|error| Failure::new(format!("while parsing header JSON: {error}")))?;
        if header.typ != "JWT" {
            return Err(Failure::new("bad type"));
        }
        if header.kid.is_empty() {
            return Err(Failure::new("key id missing"));
        }
        if header.kid.len() > LONGEST_KEY_ID {
            return Err(Failure::new("key id longer than 1 kb"));
        }
        if !matches!(header.alg.as_str(), "RS256" | "ES256" | "ES384" | "ES512") {
            return Err(Failure::new(format!("bad signing algorithm {:?}", header.alg)));
        }
        let mut keys = self.keys.load_full();
        if !keys.has(&header.kid) {
            // A key that the service doesn't tell of verifies nothing yet, but it may tell of it later.
            match self.newer_than(&keys).await {
                Ok(newer) => keys = newer,
                Err(error) => tracing::error!(%error, "the signer's keys can't be fetched"),
            }
        }
        if keys.has(&header.kid) && !keys.published.iter().any(|key| key.id == header.kid) {
            return Err(Failure::new(format!(
                "key used for signing JWT (kid: {}) is excluded from OIDC discovery docs",
                header.kid
            )));
        }
        Ok(())
    }

    /// Reads the claims of a token that one of the keys signed.
    pub async fn verify<T: DeserializeOwned>(&self, token: &str) -> Result<T, TokenError> {
        let keys = self.keys.load_full();
        let known = jwt::key_id(token)?;
        if known.is_empty() || keys.has(&known) {
            return jwt::verify(token, &keys.all);
        }
        match self.newer_than(&keys).await {
            Ok(keys) => jwt::verify(token, &keys.all),
            Err(error) => {
                tracing::error!(%error, "the signer's keys can't be fetched");
                Err(TokenError::NoKey)
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
        let outcome = self.fetched().await;
        let labels = CodeLabels { code: code(&outcome) };
        METRICS.fetches.get_or_create(&labels).inc();
        let keys = Arc::new(outcome.map_err(|error| error.during("while fetching token verification keys"))?);
        METRICS
            .keys_fetched
            .set(Timestamp::now().as_duration().as_secs_f64());
        self.keys.store(Arc::clone(&keys));
        Ok(keys)
    }

    async fn fetched(&self) -> Result<Keys, Failure> {
        let asking = self.call("FetchKeys", FetchKeysRequest {}).await;
        let answer: FetchKeysResponse =
            asking.map_err(|error| error.during("while getting externally supported jwt signing keys"))?;
        let hint = answer.refresh_hint_seconds;
        let wait = u64::try_from(hint).ok().filter(|hint| *hint > 0);
        let wait = wait.ok_or_else(|| Failure::new(format!("found invalid refresh hint ({hint}s)")))?;
        if answer.keys.is_empty() {
            return Err(Failure::new("found no keys"));
        }
        let made = answer
            .data_timestamp
            .and_then(|made| Timestamp::new(made.seconds, made.nanos).ok())
            .ok_or_else(|| Failure::new("invalid data timestamp"))?;
        let mut keys = Keys {
            next: Instant::now().checked_add(Duration::from_secs(wait)),
            ..Keys::default()
        };
        for key in answer.keys {
            if key.key_id.is_empty() || key.key_id.len() > LONGEST_KEY_ID {
                return Err(Failure::new(format!(
                    "found invalid public key id {:?}",
                    key.key_id
                )));
            }
            if key.key.is_empty() {
                return Err(Failure::new("found empty public key"));
            }
            let mut verifying = VerifyingKey::from_spki(&key.key)
                .map_err(|error| Failure::new(format!("while parsing external public keys: {error}")))?;
            verifying.id = key.key_id;
            if !key.exclude_from_oidc_discovery {
                keys.published.push(verifying.clone());
            }
            keys.all.push(verifying);
        }
        METRICS.keys_made.set(made.as_duration().as_secs_f64());
        Ok(keys)
    }

    async fn call<Q, A>(&self, method: &str, request: Q) -> Result<A, Failure>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = format!("/v1.ExternalJWTSigner/{method}");
        let started = Instant::now();
        let exchange = tokio::time::timeout(TIMEOUT, self.exchange(&path, request));
        let outcome = exchange.await.unwrap_or_else(|_| {
            Err(Failure {
                message: "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned(),
                code: Some(tonic::Code::DeadlineExceeded),
            })
        });
        let labels = CallLabels {
            method: path,
            code: code(&outcome),
        };
        let calls = METRICS.calls.get_or_create(&labels);
        calls.observe(started.elapsed().as_secs_f64());
        outcome
    }

    async fn exchange<Q, A>(&self, path: &str, request: Q) -> Result<A, Failure>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let path = PathAndQuery::try_from(path).map_err(|error| Failure::new(error.to_string()))?;
        let mut client = Grpc::new(self.channel.clone());
        client
            .ready()
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = client.unary(tonic::Request::new(request), path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| Failure {
            message: format!(
                "rpc error: code = {:?} desc = {}",
                status.code(),
                status.message()
            ),
            code: Some(status.code()),
        })
    }
}

/// Waits for a service that isn't there, as long as somebody wants something of it.
async fn reach(socket: &str) -> std::io::Result<UnixStream> {
    let mut told = false;
    loop {
        match connect(socket).await {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                if !told {
                    tracing::warn!(%error, socket, "the signer of service-account tokens isn't there yet");
                    told = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
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
