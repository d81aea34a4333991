//! Envelope encryption by a key management service (KMS v2): the service protects a seed, the seed gives each value
//! its key. The service is asked when a seed is made or met for the first time, and for its health.

mod client;
mod message;
pub mod metrics;
mod seal;
#[cfg(test)]
mod tests;

use client::Client;
use message::{DecryptRequest, EncryptRequest, EncryptedObject};
use metrics::KeyUses;
use parking_lot::Mutex;
use prost::Message;
use seal::Source;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The service's key is asked for this often; sooner when it failed.
const PERIOD: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(10);
/// Without an answer for this long nothing is written any more: the key may have been withdrawn.
const EXPIRY: Duration = Duration::from_secs(180);
/// Opened seeds that are kept.
const SEEDS: usize = 1000;
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

#[derive(Debug, Default)]
struct State {
    seed: Option<Arc<Seed>>,
    /// The last success, and the last attempt.
    proven: Option<Instant>,
    asked: Option<Instant>,
    failure: Option<String>,
}

/// One KMS provider of the configuration.
#[derive(Debug)]
pub(super) struct Kms {
    name: String,
    /// `k8s:enc:kms:v2:NAME:`
    prefix: String,
    client: Client,
    state: Mutex<State>,
    opened: Mutex<HashMap<[u8; 32], Opened>>,
}

impl Kms {
    /// `socket` is the path of the service's Unix socket.
    pub(super) fn new(name: &str, socket: PathBuf, timeout: Duration) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            prefix: format!("k8s:enc:kms:v2:{name}:"),
            client: Client::start(name, socket, timeout)?,
            state: Mutex::default(),
            opened: Mutex::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// None when the value isn't of this provider; else the plain text, and whether another key is in use now.
    pub(super) fn decrypt(&self, etcd_key: &str, stored: &[u8]) -> Option<Result<(Vec<u8>, bool), String>> {
        let object = stored.strip_prefix(self.prefix.as_bytes())?;
        Some(self.open(etcd_key, object))
    }

    fn open(&self, etcd_key: &str, stored: &[u8]) -> Result<(Vec<u8>, bool), String> {
        let object =
            EncryptedObject::decode(stored).map_err(|error| format!("failed to unmarshal data: {error}"))?;
        let opened = self.opened(&object)?;
        let plain = opened.source.open(etcd_key, &object.encrypted_data)?;
        opened.uses.read();
        let current = self.state.lock().seed.clone();
        let stale =
            current.is_some_and(|seed| seed.key_id != object.key_id) || object.encrypted_dek_source_type != 1;
        Ok((plain, stale))
    }

    fn opened(&self, object: &EncryptedObject) -> Result<Opened, String> {
        let mut hash = Sha256::new();
        hash.update(object.encrypted_dek_source_type.to_be_bytes());
        hash.update(object.key_id.as_bytes());
        hash.update([0]);
        hash.update(&object.encrypted_dek_source);
        let key: [u8; 32] = hash.finalize().into();
        if let Some(known) = self.opened.lock().get(&key) {
            return Ok(known.clone());
        }
        let request = DecryptRequest {
            ciphertext: object.encrypted_dek_source.clone(),
            uid: uid(),
            key_id: object.key_id.clone(),
            annotations: object.annotations.clone(),
        };
        let plain = self
            .client
            .decrypt(request)
            .map_err(|error| format!("failed to decrypt DEK, error: {error}"))?;
        let source = Arc::new(Source::new(object.encrypted_dek_source_type, &plain.plaintext)?);
        let uses = KeyUses::of(&self.name, &object.key_id);
        let opened = Opened { source, uses };
        self.keep(key, &opened);
        Ok(opened)
    }

    fn keep(&self, key: [u8; 32], seed: &Opened) {
        let mut opened = self.opened.lock();
        if opened.len() >= SEEDS {
            opened.clear();
        }
        opened.insert(key, seed.clone());
        metrics::sources(&self.name, opened.len());
    }

    pub(super) fn encrypt(&self, etcd_key: &str, plain: &[u8]) -> Result<Vec<u8>, String> {
        let seed = self.seed()?;
        let object = EncryptedObject {
            encrypted_data: seed.source.seal(etcd_key, plain)?,
            key_id: seed.key_id.clone(),
            encrypted_dek_source: seed.sealed.clone(),
            annotations: seed.annotations.clone(),
            encrypted_dek_source_type: 1,
        };
        let mut out = Vec::with_capacity(self.prefix.len() + object.encoded_len());
        out.extend_from_slice(self.prefix.as_bytes());
        object.encode(&mut out).map_err(|error| error.to_string())?;
        seed.uses.written();
        Ok(out)
    }

    /// The seed to write with.
    fn seed(&self) -> Result<Arc<Seed>, String> {
        let mut state = self.state.lock();
        if state.seed.is_none() {
            self.refresh(&mut state);
        }
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

    /// Asks the service for its key when that is due, and says how it is. Blocks for the answer.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut state = self.state.lock();
        let pause = if state.failure.is_some() { RETRY } else { PERIOD };
        if state.asked.is_none_or(|asked| asked.elapsed() >= pause) {
            self.refresh(&mut state);
        }
        state.failure.clone().map_or(Ok(()), Err)
    }

    fn refresh(&self, state: &mut State) {
        state.asked = Some(Instant::now());
        match self.renewed(state.seed.as_ref()) {
            Ok(seed) => {
                state.seed = Some(seed);
                state.proven = state.asked;
                state.failure = None;
            }
            Err(failure) => {
                tracing::error!(provider = self.name, failure, "the key management service failed");
                state.failure = Some(failure);
            }
        }
    }

    /// The seed under the service's current key: the known one, or a new one when the key is another.
    fn renewed(&self, known: Option<&Arc<Seed>>) -> Result<Arc<Seed>, String> {
        let status = self.client.status()?;
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            return Err(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        if status.healthz != "ok" {
            return Err(format!(
                "expected healthz status to be ok, got {}",
                status.healthz
            ));
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
        let (source, plain) = Source::fresh()?;
        let sealed = self.client.encrypt(EncryptRequest {
            plaintext: plain,
            uid: uid(),
        })?;
        if sealed.key_id != status.key_id {
            // The key was changed between the two; the next look finds out.
            return Err("the key ID of the encrypt response does not match that of the status".to_owned());
        }
        tracing::info!(provider = self.name, "a new seed is in use");
        Ok(Arc::new(Seed {
            uses: KeyUses::of(&self.name, &sealed.key_id),
            key_id: sealed.key_id,
            sealed: sealed.ciphertext,
            annotations: sealed.annotations,
            source: Arc::new(source),
        }))
    }
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
