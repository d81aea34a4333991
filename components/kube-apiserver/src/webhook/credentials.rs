//! What a webhook's client shows of itself.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::PathBuf;
use url::Url;

/// Identity towards a webhook. The default is none.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Chain and key, PEM.
    pub(super) certificate: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) authorization: Authorization,
    /// Name that the server's certificate must have, when not that of the URL.
    pub server_name: Option<String>,
    /// Whom the webhook is to take this server for.
    pub(super) impersonation: Vec<(HeaderName, HeaderValue)>,
    /// By which the webhook is reached, and not as egress is configured.
    pub proxy: Option<Url>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) enum Authorization {
    #[default]
    None,
    Value(HeaderValue),
    /// Read for each request: tokens in files are rotated.
    TokenFile(PathBuf),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Certificate chain and key, PEM.
    pub fn of_certificate(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            certificate: Some((certificate, key)),
            ..Self::default()
        }
    }

    /// The server's certificate must have this name, and not that of the URL.
    pub fn expecting(mut self, server_name: &str) -> Self {
        self.server_name = Some(server_name.to_owned());
        self
    }

    /// Chain and key, parsed; an error if there are some that can't be.
    pub fn chain_and_key(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, pem::Error> {
        let Some((certificate, key)) = &self.certificate else {
            return Ok(None);
        };
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
        Ok(Some((chain, PrivateKeyDer::from_pem_slice(key)?)))
    }

    /// Shows them in the headers of a request.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        if let Some(value) = self.authorization() {
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in &self.impersonation {
            headers.append(name, value.clone());
        }
    }

    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        match &self.authorization {
            Authorization::None => None,
            Authorization::Value(value) => Some(value.clone()),
            Authorization::TokenFile(file) => match std::fs::read_to_string(file) {
                Ok(token) => secret(&format!("Bearer {}", token.trim())),
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "a webhook's token can't be read");
                    None
                }
            },
        }
    }
}

pub(super) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
