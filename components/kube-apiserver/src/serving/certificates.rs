//! The serving certificate and trusted authorities, re-read when their files change.

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use daemon::tls::Agreement;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{DistinguishedName, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use x509::{Certificate, Roots, Usage, Verifier, VerifyError};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::client_certificates::ClientCertificates;
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
    /// The names of the authorities, encoded.
    subjects: Vec<Vec<u8>>,
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

    /// The names of the authorities, encoded, for clients that choose among certificates.
    pub fn subjects(&self) -> Vec<Vec<u8>> {
        self.current.load().subjects.clone()
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
    let subjects = certificates.iter().filter_map(subject).collect();
    let verifier = Verifier::new(Arc::new(Roots::new(certificates)), Usage::Client);
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    Ok(Loaded {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        pem,
        subjects,
        verifier,
    })
}

/// The name of an authority, encoded.
fn subject(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.subject().as_raw().to_vec())
}

/// The configuration of the listener as it is now: clients are told anew by whom their certificates should be signed when
/// the authorities have changed. Connections that are there keep theirs.
pub struct Listening {
    certificates: Arc<Certificates>,
    authorities: Vec<Arc<ClientAuthority>>,
    disable_http2: bool,
    told: Mutex<Vec<Vec<u8>>>,
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Listening {
    /// Who is vouched for by one of `authorities` is known.
    pub fn new(
        certificates: Arc<Certificates>,
        authorities: Vec<Arc<ClientAuthority>>,
        agreement: Agreement<'_>,
        disable_http2: bool,
    ) -> anyhow::Result<Self> {
        let subjects = subjects(&authorities);
        let config = server_config(Arc::clone(&certificates), agreement, disable_http2, &subjects)?;
        Ok(Self {
            certificates,
            authorities,
            disable_http2,
            told: Mutex::new(subjects),
            current: Arc::new(ArcSwap::from_pointee(config)),
        })
    }

    /// What new connections get, whenever they come.
    pub fn current(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.current)
    }

    /// Re-reads the certificates and authorities. What can't be used is told with its name, and stays as it was.
    pub fn reload(&self, agreement: Agreement<'_>) -> Vec<(&'static str, anyhow::Result<()>)> {
        let mut outcomes = vec![("the serving certificate", self.certificates.reload())];
        let authorities = self.authorities.iter().map(|authority| authority.reload());
        outcomes.extend(authorities.map(|outcome| ("client authorities", outcome)));
        outcomes.push(("the names of client authorities", self.tell(agreement)));
        outcomes
    }

    fn tell(&self, agreement: Agreement<'_>) -> anyhow::Result<()> {
        let subjects = subjects(&self.authorities);
        let mut told = self.told.lock();
        if *told == subjects {
            return Ok(());
        }
        let certificates = Arc::clone(&self.certificates);
        let mut config = server_config(certificates, agreement, self.disable_http2, &subjects)?;
        // Sessions go on: what a client was told of authorities has nothing to do with them.
        let before = self.current.load();
        config.session_storage = Arc::clone(&before.session_storage);
        config.ticketer = Arc::clone(&before.ticketer);
        self.current.store(Arc::new(config));
        *told = subjects;
        Ok(())
    }
}

/// The names of all authorities, each once.
fn subjects(authorities: &[Arc<ClientAuthority>]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for subject in authorities.iter().flat_map(|authority| authority.subjects()) {
        if !all.contains(&subject) {
            all.push(subject);
        }
    }
    all
}

fn server_config(
    certificates: Arc<Certificates>,
    agreement: Agreement<'_>,
    disable_http2: bool,
    authorities: &[Vec<u8>],
) -> anyhow::Result<ServerConfig> {
    let authorities = authorities.iter().cloned().map(DistinguishedName::from).collect();
    let provider = Arc::new(agreement.provider()?);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&agreement.versions()?)?
        .with_client_cert_verifier(Arc::new(ClientCertificates::new(provider, authorities)))
        .with_cert_resolver(certificates);
    if !disable_http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::cluster_pki::ClusterPki;

    #[test]
    fn clients_are_told_anew_when_the_authorities_change() {
        let folder = tempfile::tempdir().unwrap();
        let pki = ClusterPki::write(folder.path()).unwrap();
        let other = tempfile::tempdir().unwrap();
        let other = ClusterPki::write(other.path()).unwrap();
        let usual = ServingCertificate::load(&pki.file("apiserver.crt"), &pki.file("apiserver.key"));
        let certificates = Arc::new(Certificates::load(usual.unwrap(), &[]).unwrap());
        let bundle = pki.file("bundle.crt");
        let own = std::fs::read_to_string(pki.file("ca.crt")).unwrap();
        std::fs::write(&bundle, &own).unwrap();
        let authority = || Arc::new(ClientAuthority::load(&bundle).unwrap());
        let both = vec![authority(), authority()];
        let listening = Listening::new(certificates, both, Agreement::default(), false).unwrap();
        assert_eq!(listening.told.lock().len(), 1, "each once");
        let reload = || {
            for (what, outcome) in listening.reload(Agreement::default()) {
                outcome.unwrap_or_else(|error| panic!("{what}: {error:#}"));
            }
        };
        let before = listening.current().load_full();
        reload();
        assert!(
            Arc::ptr_eq(&before, &listening.current().load()),
            "nothing is new"
        );
        // An authority of another name.
        other.nameless("elsewhere", "CN=elsewhere").unwrap();
        let more = std::fs::read_to_string(other.file("elsewhere.crt")).unwrap();
        std::fs::write(&bundle, own + &more).unwrap();
        reload();
        let now = listening.current().load_full();
        assert!(!Arc::ptr_eq(&before, &now));
        assert!(Arc::ptr_eq(&before.session_storage, &now.session_storage));
        assert_eq!(listening.told.lock().len(), 2);
    }
}
