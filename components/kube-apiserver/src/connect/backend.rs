//! How the API server reaches kubelets: its client certificate, and whom it believes.

use anyhow::Context;
use arc_swap::ArcSwap;
use component_config::kube_apiserver::ApiServerFlags;
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use x509::{AnyServer, Roots, ServerVerifier};

use crate::serving::certificates::{provider, read_certificates};

/// TLS settings of outgoing connections.
#[derive(Debug)]
pub struct Backends {
    kubelet: ArcSwap<Kubelet>,
    /// Without any identity, for pods and services behind `https:`, which nobody has vouched for.
    pub anonymous: Arc<ClientConfig>,
}

impl Backends {
    pub fn load(flags: &ApiServerFlags) -> anyhow::Result<Self> {
        let mut anonymous = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider())))
            .with_no_client_auth();
        anonymous.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            kubelet: ArcSwap::from_pointee(Kubelet::load(flags)?),
            anonymous: Arc::new(anonymous),
        })
    }

    /// With the kubelet client certificate.
    pub fn kubelet(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.kubelet.load().config)
    }

    /// The same for a kubelet whoever it says it is, as who reads a log may ask.
    pub fn any_kubelet(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.kubelet.load().unverified)
    }

    /// Takes up renewed files; files that don't fit together change nothing.
    pub fn reload(&self, flags: &ApiServerFlags) -> anyhow::Result<()> {
        let files = Kubelet::read(flags)?;
        if files != self.kubelet.load().files {
            self.kubelet.store(Arc::new(Kubelet::load(flags)?));
            tracing::info!("the certificates for kubelets were reloaded");
        }
        Ok(())
    }
}

/// How kubelets are reached, and the files that say so.
#[derive(Debug)]
struct Kubelet {
    config: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
    files: Vec<Vec<u8>>,
}

impl Kubelet {
    fn read(flags: &ApiServerFlags) -> anyhow::Result<Vec<Vec<u8>>> {
        [
            &flags.kubelet_certificate_authority,
            &flags.kubelet_client_certificate,
            &flags.kubelet_client_key,
        ]
        .into_iter()
        .flatten()
        .map(|file| std::fs::read(file).with_context(|| format!("reading {}", file.display())))
        .collect()
    }

    fn load(flags: &ApiServerFlags) -> anyhow::Result<Self> {
        // Read first: a change in between is found by the next look.
        let files = Self::read(flags)?;
        let any: Arc<dyn ServerCertVerifier> = Arc::new(AnyServer(provider()));
        let verifier: Arc<dyn ServerCertVerifier> = match &flags.kubelet_certificate_authority {
            Some(file) => {
                let roots = read_certificates(file).context("--kubelet-certificate-authority")?;
                Arc::new(ServerVerifier::new(Arc::new(Roots::new(roots))))
            }
            // Without an authority upstream does not verify either; the flag is how to ask for it.
            None => Arc::clone(&any),
        };
        Ok(Self {
            config: config(flags, verifier)?,
            unverified: config(flags, any)?,
            files,
        })
    }
}

/// With the server's own identity, if it has one.
fn config(
    flags: &ApiServerFlags,
    verifier: Arc<dyn ServerCertVerifier>,
) -> anyhow::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (&flags.kubelet_client_certificate, &flags.kubelet_client_key) {
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key)
                .with_context(|| format!("--kubelet-client-key {}", key.display()))?;
            let chain = read_certificates(certificate).context("--kubelet-client-certificate")?;
            builder.with_client_cert_resolver(x509::client_key(chain, private)?)
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
