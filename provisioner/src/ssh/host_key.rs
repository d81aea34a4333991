use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use super::known_hosts::{KnownHosts, Lookup};

/// A host's public key as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// For example `ssh-ed25519`.
    pub algorithm: String,
    pub blob: Vec<u8>,
}

impl HostKey {
    /// The algorithm's name is the first field of the blob.
    pub fn from_blob(blob: &[u8]) -> Option<HostKey> {
        let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
        let algorithm = std::str::from_utf8(blob.get(4..4 + length)?).ok()?;
        Some(HostKey {
            algorithm: algorithm.to_owned(),
            blob: blob.to_vec(),
        })
    }

    /// Reads `ssh-ed25519 AAAA… [comment]`.
    pub fn parse(text: &str) -> Option<HostKey> {
        let mut words = text.split_whitespace();
        let (algorithm, blob) = (words.next()?, words.next()?);
        let key = HostKey::from_blob(&STANDARD.decode(blob).ok()?)?;
        (key.algorithm == algorithm).then_some(key)
    }

    /// As in OpenSSH: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    /// `ssh-ed25519 AAAA…`, as it stands in known_hosts.
    pub fn line(&self) -> String {
        format!("{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

/// What the operator knows about a host's key.
#[derive(Clone, Debug)]
pub struct Trust {
    /// `host_key` of the inventory.
    pub pinned: Option<String>,
    pub known: KnownHosts,
}

/// Why a host's key was not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UntrustedKey {
    #[error(
        "HOST KEY CHANGED: {host} shows {found} but {source_of} says {expected}. Somebody may be listening, or \
         the host was installed anew. If you are sure: {remedy}"
    )]
    Changed {
        host: String,
        found: String,
        expected: String,
        source_of: String,
        remedy: String,
    },
    #[error("the key {found} of {host} is not known. Compare it with the host's, then run: hardway trust")]
    Unknown { host: String, found: String },
    #[error("the key {found} of {host} is marked @revoked in {source_of}; do not connect to this host")]
    Revoked {
        host: String,
        found: String,
        source_of: String,
    },
    #[error(
        "host_key {pinned:?} of {host} is neither `ssh-ed25519 AAAA…` nor `SHA256:…`; correct the inventory"
    )]
    BadPin { host: String, pinned: String },
}

impl Trust {
    /// Key types to ask the server for, so that it shows one that is known here. Empty: any.
    pub fn preferred(&self, host: &str, port: u16) -> Vec<String> {
        match self.pinned.as_deref().map(HostKey::parse) {
            Some(Some(key)) => vec![key.algorithm],
            Some(None) => Vec::new(),
            None => self.known.algorithms(host, port),
        }
    }

    /// Accepts or refuses the key that a host has shown.
    pub fn check(&self, host: &str, port: u16, found: &HostKey) -> Result<(), UntrustedKey> {
        let fingerprint = found.fingerprint();
        let revoked = self.known.revoked(host, port, found);
        if let Some(source_of) = revoked {
            return Err(UntrustedKey::Revoked {
                host: host.to_owned(),
                found: fingerprint,
                source_of,
            });
        }
        if let Some(pinned) = &self.pinned {
            let expected = match HostKey::parse(pinned) {
                Some(key) => key.fingerprint(),
                None if pinned.starts_with("SHA256:") => pinned.trim_end_matches('=').to_owned(),
                None => {
                    return Err(UntrustedKey::BadPin {
                        host: host.to_owned(),
                        pinned: pinned.clone(),
                    });
                }
            };
            if expected == fingerprint {
                return Ok(());
            }
            return Err(UntrustedKey::Changed {
                host: host.to_owned(),
                found: fingerprint,
                expected,
                source_of: "host_key in the inventory".to_owned(),
                remedy: "replace host_key by the new key".to_owned(),
            });
        }
        match self.known.lookup(host, port, found) {
            Lookup::Match => Ok(()),
            Lookup::Unknown => Err(UntrustedKey::Unknown {
                host: host.to_owned(),
                found: fingerprint,
            }),
            Lookup::Mismatch { expected, source_of } => Err(UntrustedKey::Changed {
                host: host.to_owned(),
                found: fingerprint,
                expected,
                remedy: format!("remove the old line ({source_of}) and run: hardway trust"),
                source_of,
            }),
        }
    }
}
