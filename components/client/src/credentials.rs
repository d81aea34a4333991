//! Where the API server is and how to prove who we are: a kubeconfig, or a pod's service account.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use kube::config::{Kubeconfig, NamedAuthInfo};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509::{Certificate, Roots, ServerVerifier};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A PEM document or a token, either given inline or re-read from its file.
#[derive(Clone, Debug)]
pub enum Source {
    File(PathBuf),
    Inline(Vec<u8>),
}

impl Source {
    fn read(&self) -> Result<Vec<u8>, CredentialsError> {
        match self {
            Source::Inline(bytes) => Ok(bytes.clone()),
            Source::File(path) => std::fs::read(path).map_err(|source| CredentialsError::Read {
                path: path.clone(),
                source,
            }),
        }
    }

    fn modified(&self) -> Option<SystemTime> {
        match self {
            Source::Inline(_) => None,
            Source::File(path) => std::fs::metadata(path).and_then(|meta| meta.modified()).ok(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("kubeconfig {}: {reason}", path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    #[error("{what} is not valid: {reason}")]
    Invalid { what: &'static str, reason: String },
    #[error("not running in a pod: {0} is not set")]
    NotInCluster(&'static str),
}

/// Everything that is needed to open an authenticated connection.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `https://host:port`
    pub server: http::Uri,
    /// What the server's certificate has to be for, when it isn't the host of `server`.
    pub server_name: Option<String>,
    pub certificate_authority: Option<Source>,
    pub client_certificate: Option<Source>,
    pub client_key: Option<Source>,
    pub token: Option<Source>,
    pub default_namespace: String,
}

impl Credentials {
    /// Reads the current context of a kubeconfig. Relative file names are relative to the kubeconfig.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, CredentialsError> {
        let invalid = |reason: String| CredentialsError::Kubeconfig {
            path: path.to_owned(),
            reason,
        };
        let config = Kubeconfig::read_from(path).map_err(|error| invalid(error.to_string()))?;
        let current = config.current_context.as_deref().filter(|name| !name.is_empty());
        let context = match current {
            Some(name) => config.contexts.iter().find(|context| context.name == name),
            None => config.contexts.first(),
        }
        .and_then(|named| named.context.as_ref())
        .ok_or_else(|| {
            invalid(format!(
                "context {:?} is not defined",
                current.unwrap_or_default()
            ))
        })?;
        let cluster = config
            .clusters
            .iter()
            .find(|cluster| cluster.name == context.cluster)
            .and_then(|named| named.cluster.as_ref())
            .ok_or_else(|| invalid(format!("cluster {:?} is not defined", context.cluster)))?;
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(invalid(
                "insecure-skip-tls-verify is refused; set certificate-authority instead".to_owned(),
            ));
        }
        let server = cluster
            .server
            .as_deref()
            .ok_or_else(|| invalid(format!("cluster {:?} has no server", context.cluster)))?;
        let user = context.user.as_deref().unwrap_or_default();
        let named = config.auth_infos.iter().find(|named| named.name == user);
        // Going on without would be to go there as nobody, which only a context without a user asks for.
        if named.is_none() && !user.is_empty() {
            return Err(invalid(format!(
                "user {user:?} was not found for context {:?}; add it to users, or name one of those",
                current.unwrap_or_default()
            )));
        }
        let auth = named
            .and_then(|NamedAuthInfo { auth_info, .. }| auth_info.clone())
            .unwrap_or_default();
        if auth.exec.is_some() || auth.auth_provider.is_some() {
            return Err(invalid(format!(
                "user {user:?}: exec and auth-provider plugins are not supported"
            )));
        }
        use secrecy::ExposeSecret as _;
        let decode = |what: &str, data: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(data)
                .map(Source::Inline)
                .map_err(|error| invalid(format!("{what}: {error}")))
        };
        let file = |name: &String| Source::File(PathBuf::from(name));
        let certificate_authority = match (
            &cluster.certificate_authority,
            &cluster.certificate_authority_data,
        ) {
            (_, Some(data)) => Some(decode("certificate-authority-data", data)?),
            (Some(name), None) => Some(file(name)),
            (None, None) => None,
        };
        let client_certificate = match (&auth.client_certificate, &auth.client_certificate_data) {
            (_, Some(data)) => Some(decode("client-certificate-data", data)?),
            (Some(name), None) => Some(file(name)),
            (None, None) => None,
        };
        let client_key = match (&auth.client_key, &auth.client_key_data) {
            (_, Some(data)) => Some(decode("client-key-data", data.expose_secret())?),
            (Some(name), None) => Some(file(name)),
            (None, None) => None,
        };
        let lacks = |method: &str, missing: &str| {
            Err(invalid(format!(
                "{missing}-data or {missing} must be specified for {user} to use {method}"
            )))
        };
        match (&client_certificate, &client_key) {
            (Some(_), None) => return lacks("the clientCert authentication method", "client-key"),
            (None, Some(_)) => return lacks("its client key", "client-certificate"),
            _ => {}
        }
        let token = match (&auth.token_file, &auth.token) {
            (Some(name), _) => Some(file(name)),
            (None, Some(token)) => Some(Source::Inline(token.expose_secret().as_bytes().to_vec())),
            (None, None) => None,
        };
        Ok(Self {
            server: parse_server(server).map_err(invalid)?,
            server_name: cluster.tls_server_name.clone().filter(|name| !name.is_empty()),
            certificate_authority,
            client_certificate,
            client_key,
            token,
            default_namespace: context.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// What a pod is given: the service account's token and CA, and the API's address in the environment.
    pub fn in_cluster() -> Result<Self, CredentialsError> {
        let variable =
            |name: &'static str| std::env::var(name).map_err(|_| CredentialsError::NotInCluster(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let directory = Path::new(SERVICE_ACCOUNT);
        let namespace = std::fs::read_to_string(directory.join("namespace")).unwrap_or_default();
        Ok(Self {
            server: parse_server(&format!("https://{host}:{port}")).map_err(|reason| {
                CredentialsError::Invalid {
                    what: "KUBERNETES_SERVICE_HOST",
                    reason,
                }
            })?,
            server_name: None,
            certificate_authority: Some(Source::File(directory.join("ca.crt"))),
            client_certificate: None,
            client_key: None,
            token: Some(Source::File(directory.join("token"))),
            default_namespace: if namespace.is_empty() {
                "default".to_owned()
            } else {
                namespace
            },
        })
    }

    /// A kubeconfig when one is named, else the pod's service account.
    pub fn from_flag(kubeconfig: Option<&Path>) -> Result<Self, CredentialsError> {
        kubeconfig.map_or_else(Self::in_cluster, Self::from_kubeconfig)
    }

    /// The CA bundle by which the server is checked, as PEM.
    pub fn authority_pem(&self) -> Option<String> {
        let bytes = self.certificate_authority.as_ref()?.read().ok()?;
        String::from_utf8(bytes).ok()
    }

    /// The same place with a bearer token instead of a certificate.
    pub fn with_token(&self, token: Vec<u8>) -> Self {
        Self {
            client_certificate: None,
            client_key: None,
            token: Some(Source::Inline(token)),
            ..self.clone()
        }
    }

    /// Changes whenever a file behind the credentials does.
    pub(crate) fn fingerprint(&self) -> Vec<Option<SystemTime>> {
        [
            &self.certificate_authority,
            &self.client_certificate,
            &self.client_key,
            &self.token,
        ]
        .into_iter()
        .flatten()
        .map(Source::modified)
        .collect()
    }

    /// The bearer token, if there is one.
    pub(crate) fn read_token(&self) -> Result<Option<String>, CredentialsError> {
        let Some(source) = &self.token else {
            return Ok(None);
        };
        let token = String::from_utf8(source.read()?).map_err(|error| CredentialsError::Invalid {
            what: "token",
            reason: error.to_string(),
        })?;
        Ok(Some(token.trim().to_owned()))
    }

    /// TLS settings with the CA and the client certificate as they are now. ALPN is left to the caller.
    pub fn tls(&self) -> Result<rustls::ClientConfig, CredentialsError> {
        let invalid = |what| move |error: String| CredentialsError::Invalid { what, reason: error };
        let mut roots = Vec::new();
        if let Some(source) = &self.certificate_authority {
            for certificate in CertificateDer::pem_slice_iter(&source.read()?) {
                let certificate = certificate.map_err(|e| invalid("certificate authority")(e.to_string()))?;
                Certificate::read(&certificate)
                    .map_err(|e| invalid("certificate authority")(e.to_string()))?;
                roots.push(certificate);
            }
        }
        let verifier = ServerVerifier::new(Arc::new(Roots::new(roots)));
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(x509::provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| invalid("TLS versions")(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                let chain = CertificateDer::pem_slice_iter(&certificate.read()?)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|e| invalid("client certificate")(e.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(&key.read()?)
                    .map_err(|e| invalid("client key")(e.to_string()))?;
                let own =
                    x509::client_key(chain, key).map_err(|e| invalid("client certificate")(e.to_string()))?;
                Ok(builder.with_client_cert_resolver(own))
            }
            (None, None) => Ok(builder.with_no_client_auth()),
            _ => Err(CredentialsError::Invalid {
                what: "client certificate",
                reason: "client-certificate and client-key must be given together".to_owned(),
            }),
        }
    }
}

fn parse_server(server: &str) -> Result<http::Uri, String> {
    let uri: http::Uri = server
        .parse()
        .map_err(|error| format!("server {server:?}: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err(format!("server {server:?} must begin with https://"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests;
