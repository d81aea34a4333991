//! Envelope encryption by a key management service (KMS v2): the service protects a seed, the seed gives each value
//! its key. The service is asked when a seed is made or met for the first time, and for its health.

mod client;
mod message;
pub mod metrics;
mod seal;
#[cfg(test)]
mod tests;

use super::failure::Failure;
use client::Client;
use message::{DecryptRequest, EncryptRequest, EncryptedObject, StatusResponse};
use metrics::KeyUses;
use parking_lot::Mutex;
use prost::Message;
use seal::Source;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The service's key is asked for this often when nobody wants to know how it is; sooner when it failed.
const PERIOD: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(10);
/// How long its answer holds for who wants to know; sooner when it failed.
const GOOD_FOR: Duration = Duration::from_secs(20);
const BAD_FOR: Duration = Duration::from_secs(3);
/// Without an answer for this long nothing is written any more: the key may have been withdrawn.
const EXPIRY: Duration = Duration::from_secs(180);
/// Opened seeds that are kept.
const SEEDS: usize = 1000;
/// Times its own length that a failed call of the service holds for a seed, at most [`RETRY`].
const PATIENCE: u32 = 4;
/// Upstream's number for sources that are seeds.
const SEED: i32 = 1;
const LONGEST_KEY_ID: usize = 1024;

/// A seed that the service has sealed with one of its keys.
#[derive(Debug)]
struct Seed {
    key_id: String,
    sealed: Vec<u8>,
    annotations: HashMap<String, Vec<u8>>,
    source: Arc<Source>,
    uses: KeyUses,
}

/// A seed that the service has opened.
#[derive(Clone, Debug)]
struct Opened {
    source: Arc<Source>,
    uses: KeyUses,
}

/// A seed that the service failed to open.
#[derive(Debug)]
struct Refused {
    until: Instant,
    why: String,
}

#[derive(Debug, Default)]
struct State {
    seed: Option<Arc<Seed>>,
    /// The last success, and the last attempt.
    proven: Option<Instant>,
    asked: Option<Instant>,
    failure: Option<String>,
    /// When it came.
    failed: Option<Instant>,
}

/// One KMS provider of the configuration.
#[derive(Debug)]
pub(super) struct Kms {
    name: String,
    /// `k8s:enc:kms:v2:NAME:`
    prefix: String,
    client: Client,
    state: Mutex<State>,
    /// Held while the service is asked for its key; readers and writers go on meanwhile.
    asking: Mutex<()>,
    opened: Mutex<HashMap<[u8; 32], Opened>>,
    refused: Mutex<HashMap<[u8; 32], Refused>>,
}

impl State {
    /// Whether the last answer is older than it may be, if all was well and if not.
    fn is_older(&self, well: Duration, failed: Duration) -> bool {
        let pause = if self.failure.is_some() { failed } else { well };
        self.asked.is_none_or(|asked| asked.elapsed() >= pause)
    }
}

impl Kms {
    /// `socket` is the path of the service's Unix socket.
    pub(super) fn new(name: &str, socket: PathBuf, timeout: Duration) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            prefix: format!("k8s:enc:kms:v2:{name}:"),
            client: Client::start(name, socket, timeout)?,
            state: Mutex::default(),
            asking: Mutex::default(),
            opened: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// None when the value isn't of this provider; else the plain text, and whether another key is in use now.
    pub(super) fn decrypt(&self, etcd_key: &str, stored: &[u8]) -> Option<Result<(Vec<u8>, bool), Failure>> {
        let object = stored.strip_prefix(self.prefix.as_bytes())?;
        Some(self.open(etcd_key, object))
    }

    fn open(&self, etcd_key: &str, stored: &[u8]) -> Result<(Vec<u8>, bool), Failure> {
        let object =
            EncryptedObject::decode(stored).map_err(|error| format!("failed to unmarshal data: {error}"))?;
        let opened = self.opened(&object)?;
        let plain = opened.source.open(etcd_key, &object.encrypted_data)?;
        opened.uses.read();
        let current = self.state.lock().seed.clone();
        let stale = current.is_some_and(|seed| seed.key_id != object.key_id)
            || object.encrypted_dek_source_type != SEED;
        Ok((plain, stale))
    }

    fn opened(&self, object: &EncryptedObject) -> Result<Opened, Failure> {
        let key = hash(
            object.encrypted_dek_source_type,
            &object.key_id,
            &object.encrypted_dek_source,
        );
        if let Some(known) = self.opened.lock().get(&key) {
            return Ok(known.clone());
        }
        metrics::missed();
        if let Some(refused) = self.refused.lock().get(&key)
            && refused.until > Instant::now()
        {
            return Err(Failure::of_service(refused.why.clone()));
        }
        let request = DecryptRequest {
            ciphertext: object.encrypted_dek_source.clone(),
            uid: uid(),
            key_id: object.key_id.clone(),
            annotations: object.annotations.clone(),
        };
        let asked = Instant::now();
        let plain = self.client.decrypt(request).map_err(|error| {
            let why = format!("failed to decrypt DEK, error: {error}");
            self.refuse(key, asked, &why);
            Failure::of_service(why)
        })?;
        let source = Arc::new(Source::new(object.encrypted_dek_source_type, &plain.plaintext)?);
        let uses = KeyUses::of(&self.name, &object.key_id);
        let opened = Opened { source, uses };
        self.keep(key, &opened);
        Ok(opened)
    }

    /// A service that hangs must not keep readers waiting most of the time: it is asked again after a multiple of the time
    /// that its failure took.
    fn refuse(&self, key: [u8; 32], asked: Instant, why: &str) {
        let now = Instant::now();
        let mut refused = self.refused.lock();
        refused.retain(|_, refused| refused.until > now);
        if refused.len() < SEEDS {
            let until = now + (asked.elapsed() * PATIENCE).min(RETRY);
            let why = why.to_owned();
            refused.insert(key, Refused { until, why });
        }
    }

    fn keep(&self, key: [u8; 32], seed: &Opened) {
        let mut opened = self.opened.lock();
        if opened.len() >= SEEDS {
            opened.clear();
        }
        opened.insert(key, seed.clone());
        metrics::sources(&self.name, opened.len());
    }

    pub(super) fn encrypt(&self, etcd_key: &str, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let seed = self.seed().map_err(Failure::of_service)?;
        let object = EncryptedObject {
            encrypted_data: seed.source.seal(etcd_key, plain)?,
            key_id: seed.key_id.clone(),
            encrypted_dek_source: seed.sealed.clone(),
            annotations: seed.annotations.clone(),
            encrypted_dek_source_type: SEED,
        };
        let mut out = Vec::with_capacity(self.prefix.len() + object.encoded_len());
        out.extend_from_slice(self.prefix.as_bytes());
        object.encode(&mut out).map_err(|error| error.to_string())?;
        seed.uses.written();
        Ok(out)
    }

    /// The seed to write with.
    fn seed(&self) -> Result<Arc<Seed>, String> {
        if self.state.lock().seed.is_none() {
            // Writers that queue up behind a failure share it.
            let began = Instant::now();
            self.refresh(|state| state.seed.is_none() && state.failed.is_none_or(|failed| failed < began));
        }
        let state = self.state.lock();
        match (&state.seed, state.proven) {
            (Some(seed), Some(proven)) if proven.elapsed() < EXPIRY => Ok(Arc::clone(seed)),
            _ => {
                let why = state.failure.as_deref().unwrap_or("no answer yet");
                Err(format!(
                    "EDEK with keyID is not usable for KMS provider {:?}: {why}",
                    self.name
                ))
            }
        }
    }

    /// Says how the service is, and follows its key. Blocks for its answer, unless the last one is still good.
    pub(super) fn check(&self) -> Result<(), String> {
        self.refresh(|state| state.is_older(GOOD_FOR, BAD_FOR));
        self.state.lock().failure.clone().map_or(Ok(()), Err)
    }

    /// Follows the service's key when nobody else has for a while. Blocks for its answer.
    pub(super) fn follow(&self) {
        self.refresh(|state| state.is_older(PERIOD, RETRY));
    }

    /// Asks for the key unless another caller just did.
    fn refresh(&self, due: impl Fn(&State) -> bool) {
        let _one = self.asking.lock();
        let known = {
            let mut state = self.state.lock();
            if !due(&state) {
                return;
            }
            state.asked = Some(Instant::now());
            state.seed.clone()
        };
        let renewed = self.renewed(known.as_ref());
        let mut state = self.state.lock();
        match renewed {
            Ok(seed) => {
                state.seed = Some(seed);
                state.proven = state.asked;
                state.failure = None;
            }
            Err(failure) => {
                tracing::error!(provider = self.name, failure, "the key management service failed");
                state.failure = Some(failure);
                state.failed = Some(Instant::now());
            }
        }
    }

    /// The seed under the service's current key: the known one, or a new one when the key is another.
    fn renewed(&self, known: Option<&Arc<Seed>>) -> Result<Arc<Seed>, String> {
        let status = self.client.status().map_err(|error| {
            let name = &self.name;
            format!("failed to perform status section of the healthz check for KMS Provider {name}, error: {error}")
        })?;
        self.under_key_of(&status, known)
            .map_err(|why| format!("kmsv2 Provider {} is not healthy, error: {why}", self.name))
    }

    fn under_key_of(&self, status: &StatusResponse, known: Option<&Arc<Seed>>) -> Result<Arc<Seed>, String> {
        if status.healthz != "ok" {
            return Err(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            return Err(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        if status.key_id.is_empty() || status.key_id.len() > LONGEST_KEY_ID {
            let error = if status.key_id.is_empty() {
                "empty"
            } else {
                "too_long"
            };
            metrics::invalid_key_id(&self.name, error);
            return Err(format!("got an invalid key ID of {} bytes", status.key_id.len()));
        }
        metrics::status(&self.name, &status.key_id);
        if let Some(known) = known.filter(|known| known.key_id == status.key_id) {
            return Ok(Arc::clone(known));
        }
        let began = Instant::now();
        let fresh = Source::fresh();
        metrics::generated(fresh.is_ok(), began.elapsed());
        let (source, plain) = fresh?;
        let sealed = self.client.encrypt(EncryptRequest {
            plaintext: plain,
            uid: uid(),
        })?;
        if sealed.key_id != status.key_id {
            // The key was changed between the two; the next look finds out.
            return Err("the key ID of the encrypt response does not match that of the status".to_owned());
        }
        tracing::info!(provider = self.name, "a new seed is in use");
        let own = Opened {
            source: Arc::new(source),
            uses: KeyUses::of(&self.name, &sealed.key_id),
        };
        // What is written with it is read without the service.
        self.keep(hash(SEED, &sealed.key_id, &sealed.ciphertext), &own);
        Ok(Arc::new(Seed {
            uses: own.uses,
            key_id: sealed.key_id,
            sealed: sealed.ciphertext,
            annotations: sealed.annotations,
            source: own.source,
        }))
    }
}

/// What opened seeds are remembered by.
fn hash(source_type: i32, key_id: &str, sealed: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(source_type.to_be_bytes());
    hash.update(key_id.as_bytes());
    hash.update([0]);
    hash.update(sealed);
    hash.finalize().into()
}

/// Tells requests apart in the service's log.
fn uid() -> String {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 16];
    if ring::rand::SystemRandom::new().fill(&mut bytes).is_err() {
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
