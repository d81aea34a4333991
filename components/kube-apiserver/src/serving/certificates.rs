//! The serving certificate and trusted authorities, re-read when their files change.

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use daemon::tls::Agreement;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use x509::{AnyOwnedCertificate, Certificate, Roots, Usage, Verifier, VerifyError};

use super::names::Certificates;
use super::peer::{Peer, Verified};

/// How often the files are looked at.
pub const RELOAD_PERIOD: Duration = Duration::from_secs(20);

/// The one crypto provider of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(x509::provider())
}

/// A certificate and key from files.
#[derive(Debug)]
pub struct ServingCertificate {
    certificate: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
}

impl ServingCertificate {
    pub fn load(certificate: &Path, key: &Path) -> anyhow::Result<Self> {
        let current = ArcSwap::from_pointee(certified_key(certificate, key)?);
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current,
        })
    }

    /// Re-reads the files; a pair that doesn't fit is reported and the old one kept.
    pub fn reload(&self) -> anyhow::Result<()> {
        let fresh = certified_key(&self.certificate, &self.key)?;
        if fresh.cert != self.current.load().cert {
            self.current.store(Arc::new(fresh));
            tracing::info!(file = %self.certificate.display(), "serving certificate reloaded");
        }
        Ok(())
    }

    pub fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }
}

/// Reads a certificate chain and its key.
pub fn certified_key(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = read_certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("reading private key {}", key.display()))?;
    match x509::certified_key(chain, private) {
        Ok(certified) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => bail!(
            "private key {} does not belong to certificate {}",
            key.display(),
            certificate.display()
        ),
        Err(error) => Err(error).with_context(|| format!("using private key {}", key.display())),
    }
}

/// All certificates of a PEM file; an error if there are none.
pub fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .with_context(|| format!("reading certificates {}", file.display()))?
        .collect::<Result<_, _>>()
        .with_context(|| format!("reading certificates {}", file.display()))?;
    if chain.is_empty() {
        bail!("no certificate in {}", file.display());
    }
    Ok(chain)
}

/// Authorities from a file, and a verifier of client certificates that they signed.
#[derive(Debug)]
pub struct ClientAuthority {
    file: PathBuf,
    current: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    /// No two sets of authorities have the same.
    number: u64,
    pem: String,
    verifier: Verifier,
}

impl ClientAuthority {
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            current: ArcSwap::from_pointee(load_authority(file)?),
        })
    }

    pub fn reload(&self) -> anyhow::Result<()> {
        let fresh = load_authority(&self.file)?;
        if fresh.pem != self.current.load().pem {
            self.current.store(Arc::new(fresh));
            tracing::info!(file = %self.file.display(), "client authorities reloaded");
        }
        Ok(())
    }

    /// The file's text, for the cluster's authentication configuration.
    pub fn pem(&self) -> String {
        self.current.load().pem.clone()
    }

    /// Checks a connection's chain for use as a client certificate now. The signatures are looked at once for each
    /// connection: they cost more than the rest of a small request.
    pub fn verify(&self, peer: &Peer) -> Result<(), VerifyError> {
        let loaded = self.current.load();
        let now = rustls::pki_types::UnixTime::now().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        if peer.is_verified(loaded.number, now) {
            return Ok(());
        }
        let verified = loaded.verifier.verify(&peer.chain, None, now)?;
        peer.note_verified(Verified {
            authorities: loaded.number,
            until: verified.until,
        });
        Ok(())
    }
}

fn load_authority(file: &Path) -> anyhow::Result<Loaded> {
    let pem = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let certificates = read_certificates(file)?;
    for certificate in &certificates {
        Certificate::read(certificate).with_context(|| format!("using authority in {}", file.display()))?;
    }
    let verifier = Verifier::new(Arc::new(Roots::new(certificates)), Usage::Client);
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    Ok(Loaded {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        pem,
        verifier,
    })
}

/// The configuration of the listener.
pub fn server_config(
    certificates: Arc<Certificates>,
    agreement: Agreement<'_>,
    disable_http2: bool,
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(agreement.provider()?);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&agreement.versions()?)?
        .with_client_cert_verifier(Arc::new(AnyOwnedCertificate::new(provider)))
        .with_cert_resolver(certificates);
    if !disable_http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}
