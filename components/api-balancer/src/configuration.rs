//! Where the backends come from: flags, or a file that is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use component_config::api_balancer::{Configuration, Flags};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Everything that can change while the balancer runs.
#[derive(Clone)]
pub struct Loaded {
    pub configuration: Configuration,
    pub tls: Arc<rustls::ClientConfig>,
}

/// The files that were read, to see when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<(SystemTime, u64)>)>);

/// How often the files are looked at.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Modification time and size of the files that the flags name.
pub fn fingerprint(flags: &Flags) -> Fingerprint {
    let files = flags.config.iter().chain(std::iter::once(&flags.ca));
    Fingerprint(
        files
            .map(|path| {
                let seen = std::fs::metadata(path)
                    .ok()
                    .and_then(|meta| Some((meta.modified().ok()?, meta.len())));
                (path.clone(), seen)
            })
            .collect(),
    )
}

/// Reads and checks backends and certificate authority.
pub fn load(flags: &Flags) -> anyhow::Result<Loaded> {
    let mut configuration = match &flags.config {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            serde_yaml_ng::from_str(&text).with_context(|| format!("parse {}", path.display()))?
        }
        None => Configuration {
            backends: flags.backends.clone(),
            prefer: None,
        },
    };
    if flags.prefer.is_some() {
        configuration.prefer = flags.prefer.clone();
    }
    configuration.validate().with_context(|| match &flags.config {
        Some(path) => format!("configuration {}", path.display()),
        None => "flags --backends and --prefer".to_owned(),
    })?;
    Ok(Loaded {
        configuration,
        tls: Arc::new(tls(&flags.ca)?),
    })
}

fn tls(ca: &Path) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read certificate authority {}", ca.display()))?;
    for certificate in certificates {
        roots
            .add(certificate)
            .with_context(|| format!("certificate authority {}", ca.display()))?;
    }
    anyhow::ensure!(!roots.is_empty(), "no certificate in {}", ca.display());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
