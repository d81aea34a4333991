//! Who a client certificate says the peer is, and whether a CA vouches for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509::{Certificate, Name, Roots, Usage, Verifier};
use x509_parser::prelude::FromDer as _;

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{origin}: {reason}")]
    Authority { origin: String, reason: String },
    #[error("client certificate: {0}")]
    Certificate(String),
}

/// A CA bundle; one from a file follows it.
pub struct ClientAuthority {
    path: Option<PathBuf>,
    current: Mutex<(Verifier, Option<SystemTime>, Instant)>,
}

const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

impl ClientAuthority {
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let modified = modified(path);
        Ok(Self {
            path: Some(path.to_owned()),
            current: Mutex::new((read(path)?, modified, Instant::now())),
        })
    }

    /// Certificates that came from elsewhere; `origin` names the place in errors.
    pub fn from_pem(origin: &str, pem: &[u8]) -> Result<Self, IdentityError> {
        Ok(Self {
            path: None,
            current: Mutex::new((verifier(origin, pem)?, None, Instant::now())),
        })
    }

    fn verifier(&self) -> Verifier {
        let mut current = self.current.lock();
        if let Some(path) = &self.path
            && current.2.elapsed() >= RELOAD_INTERVAL
        {
            current.2 = Instant::now();
            let modified = modified(path);
            if modified != current.1 {
                match read(path) {
                    Ok(fresh) => *current = (fresh, modified, Instant::now()),
                    Err(error) => {
                        tracing::warn!(%error, "the changed client CA cannot be used, keeping the old one")
                    }
                }
            }
        }
        current.0.clone()
    }

    /// Checks the chain, the dates and the client usage now; the user is the subject's CN and O.
    pub fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<User, IdentityError> {
        let Some(leaf) = chain.first() else {
            return Err(IdentityError::Certificate("none was sent".to_owned()));
        };
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.verifier()
            .verify(chain, None, now)
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        subject(leaf)
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

fn read(path: &Path) -> Result<Verifier, IdentityError> {
    let bytes = std::fs::read(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })?;
    verifier(&path.display().to_string(), &bytes)
}

fn verifier(origin: &str, pem: &[u8]) -> Result<Verifier, IdentityError> {
    let bad = |reason: String| IdentityError::Authority {
        origin: origin.to_owned(),
        reason,
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(error.to_string()))?;
    for certificate in &certificates {
        Certificate::read(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if certificates.is_empty() {
        return Err(bad("holds no certificate".to_owned()));
    }
    Ok(Verifier::new(Arc::new(Roots::new(certificates)), Usage::Client))
}

/// The user that a certificate names: CN is the name, each O a group. Not verified here.
pub fn subject(certificate: &CertificateDer<'_>) -> Result<User, IdentityError> {
    let bad = |reason: String| IdentityError::Certificate(reason);
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
        .map_err(|error| bad(error.to_string()))?;
    let subject =
        Name::read(parsed.subject().as_raw()).ok_or_else(|| bad("the subject can't be read".to_owned()))?;
    let name = subject.common_name().to_owned();
    if name.is_empty() {
        return Err(bad("the subject has no common name".to_owned()));
    }
    let groups = subject.organizations().map(str::to_owned).collect();
    Ok(User {
        name,
        uid: String::new(),
        groups,
    })
}
